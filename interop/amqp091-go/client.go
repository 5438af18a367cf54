package main

// A scenario's connections, channels and consumers with amqp091-go.

import (
	"context"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// client opens connections for one scenario and closes what is left of them.
type client struct {
	open []*amqp.Connection
}

// connect opens a connection; change may alter where and how.
func (c *client) connect(change func(*amqp.URI, *amqp.Config)) (*amqp.Connection, error) {
	uri, err := amqp.ParseURI(os.Getenv("AMQP_URI"))
	if err != nil {
		return nil, err
	}
	config := amqp.Config{Properties: amqp.NewConnectionProperties()}
	if change != nil {
		change(&uri, &config)
	}
	config.Vhost = uri.Vhost
	connection, err := amqp.DialConfig(uri.String(), config)
	if err == nil {
		c.open = append(c.open, connection)
	}
	return connection, err
}

func (c *client) connection() *amqp.Connection {
	return must(c.connect(nil))
}

// channel opens a channel in confirm mode on a connection of its own.
func (c *client) channel() *amqp.Channel {
	return openChannel(c.connection())
}

func openChannel(connection *amqp.Connection) *amqp.Channel {
	channel := must(connection.Channel())
	check(channel.Confirm(false))
	return channel
}

func (c *client) close() {
	for _, connection := range c.open {
		if !connection.IsClosed() {
			check(connection.Close())
		}
	}
}

// exclusiveQueue declares an exclusive queue with a name of its own.
func exclusiveQueue(channel *amqp.Channel, arguments amqp.Table) string {
	return must(channel.QueueDeclare(nameFor("queue"), false, false, true, false, arguments)).Name
}

// sharedQueue declares a durable queue other connections may use; it expires by itself.
func sharedQueue(channel *amqp.Channel) string {
	expires := amqp.Table{"x-expires": 60000}
	return must(channel.QueueDeclare(nameFor("shared"), true, false, false, false, expires)).Name
}

// autoDeleteExchange declares an exchange with a name of its own.
func autoDeleteExchange(channel *amqp.Channel, kind string, arguments amqp.Table) string {
	name := nameFor(kind)
	check(channel.ExchangeDeclare(name, kind, false, true, false, false, arguments))
	return name
}

// publishTo publishes, waits for the confirm where there is one, and gives its outcome.
func publishTo(ch *amqp.Channel, exchange, key string, mandatory bool, m amqp.Publishing) bool {
	confirm := must(ch.PublishWithDeferredConfirm(exchange, key, mandatory, false, m))
	if confirm == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), scenarioTime)
	defer cancel()
	return must(confirm.WaitContext(ctx))
}

// publish publishes by way of the default exchange and waits for the acks.
func publish(channel *amqp.Channel, queue string, bodies ...string) {
	for _, body := range bodies {
		publishMessage(channel, queue, amqp.Publishing{Body: []byte(body)})
	}
}

func publishMessage(channel *amqp.Channel, queue string, message amqp.Publishing) {
	equal(publishTo(channel, "", queue, false, message), true, "the publish is acked")
}

// consume starts a consumer that acks by itself.
func consume(channel *amqp.Channel, queue, tag string) <-chan amqp.Delivery {
	return must(channel.Consume(queue, tag, false, false, false, false, nil))
}

// consumeNoAck starts a consumer without acks.
func consumeNoAck(channel *amqp.Channel, queue string) <-chan amqp.Delivery {
	return must(channel.Consume(queue, "", true, false, false, false, nil))
}

// one waits for the next delivery.
func one(deliveries <-chan amqp.Delivery) amqp.Delivery {
	delivery, open := <-deliveries
	equal(open, true, "the consumer goes on")
	return delivery
}

// take waits for the next deliveries.
func take(deliveries <-chan amqp.Delivery, count int) []amqp.Delivery {
	taken := make([]amqp.Delivery, 0, count)
	for len(taken) < count {
		taken = append(taken, one(deliveries))
	}
	return taken
}

// drain gets the bodies of all ready messages.
func drain(channel *amqp.Channel, queue string) []string {
	bodies := []string{}
	for {
		message, found, err := channel.Get(queue, true)
		check(err)
		if !found {
			return bodies
		}
		bodies = append(bodies, string(message.Body))
	}
}

// look declares the queue passively.
func look(channel *amqp.Channel, queue string) (amqp.Queue, error) {
	return channel.QueueDeclarePassive(queue, false, false, false, false, nil)
}

// ready gives the number of ready messages.
func ready(channel *amqp.Channel, queue string) int {
	return must(look(channel, queue)).Messages
}

// closing gives the error that closes a channel or connection.
func closing(closed <-chan *amqp.Error) error {
	select {
	case err := <-closed:
		return err
	case <-time.After(scenarioTime):
		return context.DeadlineExceeded
	}
}
