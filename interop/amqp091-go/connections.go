package main

// Connections, channels and the scope of errors with amqp091-go.

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const idleMilliseconds = "4000"

func lockedQueue(c *client) {
	owner, other := c.channel(), c.connection()
	queue := exclusiveQueue(owner, nil)
	text := fmt.Sprintf(
		"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s'", queue)
	_, err := look(openChannel(other), queue)
	closedWith(err, 405, text)
	_, err = openChannel(other).Consume(queue, "", false, false, false, false, nil)
	closedWith(err, 405, text)
	publish(owner, queue, "still mine")
	equal(drain(owner, queue), []string{"still mine"}, "the owner's queue")
}

func errorClosesChannel(c *client) {
	connection := c.connection()
	failing, steady := openChannel(connection), openChannel(connection)
	closed := failing.NotifyClose(make(chan *amqp.Error, 1))
	missing := nameFor("missing")
	check(failing.Publish(missing, "", false, false, amqp.Publishing{}))
	closedWith(closing(closed), 404,
		fmt.Sprintf("NOT_FOUND - no exchange '%s' in vhost '/'", missing))
	queue := exclusiveQueue(steady, nil)
	publish(steady, queue, "goes on")
	equal(drain(steady, queue), []string{"goes on"}, "the other channel")
	again := openChannel(connection)
	closed = again.NotifyClose(make(chan *amqp.Error, 1))
	check(again.Ack(77, false))
	closedWith(closing(closed), 406, "PRECONDITION_FAILED - unknown delivery tag 77")
	publish(steady, queue, "still")
}

func errorClosesConnection(c *client) {
	connection := c.connection()
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	err := openChannel(connection).Qos(0, 10, false)
	closedWith(err, 540, "NOT_IMPLEMENTED - prefetch_size!=0")
	closedWith(closing(closed), 540)
	equal(connection.IsClosed(), true, "the connection is closed")
}

func manyChannels(c *client) {
	connection := c.connection()
	channels, queues := [200]*amqp.Channel{}, [200]string{}
	for i := range channels {
		channels[i] = openChannel(connection)
		queues[i] = must(channels[i].QueueDeclare("", false, false, true, false, nil)).Name
	}
	for i, queue := range queues {
		publish(channels[i], queue, queue)
	}
	for i := len(queues) - 1; i >= 0; i-- {
		equal(drain(channels[i], queues[i]), []string{queues[i]}, "queue "+queues[i])
	}
}

func reconnect(c *client) {
	name := nameFor("again")
	for i := 0; i < 5; i++ {
		connection := c.connection()
		channel := openChannel(connection)
		queue := must(channel.QueueDeclare(name, false, false, true, false, nil))
		equal(queue.Messages, 0, "messages of the new queue")
		publish(channel, name, "dies with its queue")
		check(connection.Close())
	}
}

// heartbeat waits for a message that expires later: nothing else moves on the connection.
func heartbeat(c *client) {
	connection := must(c.connect(func(_ *amqp.URI, config *amqp.Config) {
		config.Heartbeat = time.Second
	}))
	equal(connection.Config.Heartbeat, time.Second, "the negotiated interval")
	channel := openChannel(connection)
	target := exclusiveQueue(channel, nil)
	waiting := exclusiveQueue(channel, amqp.Table{
		"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target,
	})
	deliveries := consumeNoAck(channel, target)
	late := amqp.Publishing{Body: []byte("after the idle time"), Expiration: idleMilliseconds}
	publishMessage(channel, waiting, late)
	equal(seen(one(deliveries)), "after the idle time false", "delivered when idle")
	equal(connection.IsClosed(), false, "the connection is closed")
}

// wrongPassword: this client does not announce authentication_failure_close, so the broker ends
// the connection without a frame, and the library says what that must mean.
func wrongPassword(c *client) {
	_, err := c.connect(func(uri *amqp.URI, _ *amqp.Config) { uri.Password = "wrong" })
	equal(err, error(amqp.ErrCredentials), "the refusal")
}

func unknownVhost(c *client) {
	name := nameFor("vhost")
	_, err := c.connect(func(uri *amqp.URI, _ *amqp.Config) { uri.Vhost = name })
	closedWith(err, 530, fmt.Sprintf("NOT_ALLOWED - vhost %s not found", name))
}

var connections = []scenario{
	{"exclusive-queue", lockedQueue},
	{"error-closes-channel", errorClosesChannel},
	{"error-closes-connection", errorClosesConnection},
	{"many-channels", manyChannels},
	{"reconnect", reconnect},
	{"heartbeat", heartbeat},
	{"wrong-password", wrongPassword},
	{"unknown-vhost", unknownVhost},
}
