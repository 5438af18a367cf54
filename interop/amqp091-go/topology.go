package main

// Exchanges, queues and bindings with amqp091-go.

import (
	"fmt"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

func exchangeTypes(c *client) {
	channel := c.channel()
	for _, route := range routes {
		exchange := autoDeleteExchange(channel, route.kind, nil)
		queues := [2]string{exclusiveQueue(channel, nil), exclusiveQueue(channel, nil)}
		for _, b := range route.bindings {
			check(channel.QueueBind(queues[b.queue], b.key, exchange, false, b.arguments))
		}
		for number, message := range route.messages {
			body := []byte(strconv.Itoa(number))
			publishing := amqp.Publishing{Body: body, Headers: message.headers}
			publishTo(channel, exchange, message.key, false, publishing)
		}
		for index, expected := range route.arrive {
			what := "messages through a " + route.kind + " exchange"
			equal(drain(channel, queues[index]), expected, what)
		}
	}
}

func exchangeBind(c *client) {
	channel := c.channel()
	source := autoDeleteExchange(channel, "topic", nil)
	target := autoDeleteExchange(channel, "fanout", nil)
	queue := exclusiveQueue(channel, nil)
	check(channel.QueueBind(queue, "", target, false, nil))
	check(channel.QueueBind(exclusiveQueue(channel, nil), "keeps.it.alive", source, false, nil))
	check(channel.ExchangeBind(target, "k.#", source, false, nil))
	publishTo(channel, source, "k.1", false, amqp.Publishing{Body: []byte("crosses")})
	equal(drain(channel, queue), []string{"crosses"}, "through two exchanges")
	check(channel.ExchangeUnbind(target, "k.#", source, false, nil))
	publishTo(channel, source, "k.2", false, amqp.Publishing{Body: []byte("stays")})
	equal(drain(channel, queue), []string{}, "after exchange.unbind")
}

func alternateExchange(c *client) {
	channel := c.channel()
	alternate := autoDeleteExchange(channel, "fanout", nil)
	arguments := amqp.Table{"alternate-exchange": alternate}
	exchange := autoDeleteExchange(channel, "direct", arguments)
	own, rest := exclusiveQueue(channel, nil), exclusiveQueue(channel, nil)
	check(channel.QueueBind(own, "own", exchange, false, nil))
	check(channel.QueueBind(rest, "", alternate, false, nil))
	returns := channel.NotifyReturn(make(chan amqp.Return, 2))
	publishTo(channel, exchange, "own", true, amqp.Publishing{Body: []byte("bound")})
	publishTo(channel, exchange, "other", true, amqp.Publishing{Body: []byte("unbound")})
	equal(drain(channel, own), []string{"bound"}, "the bound queue")
	equal(drain(channel, rest), []string{"unbound"}, "the alternate exchange's queue")
	equal(len(returns), 0, "returned messages")
}

func passive(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	publish(channel, queue, "1", "2", "3")
	found := must(look(channel, queue))
	equal(found, amqp.Queue{Name: queue, Messages: 3, Consumers: 0}, "declare-ok")
	check(channel.ExchangeDeclarePassive("amq.topic", "topic", true, false, false, false, nil))
	missing := nameFor("missing")
	_, err := look(channel, missing)
	closedWith(err, 404, fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '/'", missing))
	err = c.channel().ExchangeDeclarePassive(missing, "direct", false, false, false, false, nil)
	closedWith(err, 404, fmt.Sprintf("NOT_FOUND - no exchange '%s' in vhost '/'", missing))
}

func serverNamed(c *client) {
	channel := c.channel()
	names := [2]string{}
	for i := range names {
		names[i] = must(channel.QueueDeclare("", false, false, true, false, nil)).Name
		equal(strings.HasPrefix(names[i], "amq.gen-"), true, "an amq.gen- name, not "+names[i])
	}
	equal(names[0] != names[1], true, "two different names")
	publish(channel, names[0], "found")
	equal(drain(channel, names[0]), []string{"found"}, "the first queue")
	equal(drain(channel, names[1]), []string{}, "the second queue")
}

func deleteConditions(c *client) {
	connection := c.connection()
	channel := openChannel(connection)
	queue := exclusiveQueue(channel, nil)
	consume(channel, queue, "")
	_, err := channel.QueueDelete(queue, true, false, false)
	closedWith(err, 406, "PRECONDITION_FAILED", "in use")
	channel = openChannel(connection)
	publish(channel, queue, "kept")
	_, err = channel.QueueDelete(queue, false, true, false)
	closedWith(err, 406, "PRECONDITION_FAILED", "not empty")
	channel = openChannel(connection)
	exchange := autoDeleteExchange(channel, "direct", nil)
	check(channel.QueueBind(queue, "key", exchange, false, nil))
	closedWith(channel.ExchangeDelete(exchange, true, false), 406, "PRECONDITION_FAILED", "in use")
	channel = openChannel(connection)
	equal(must(channel.QueueDelete(queue, false, false, false)), 1, "messages deleted")
	equal(must(channel.QueueDelete(queue, false, false, false)), 0, "deleted once more")
}

func redeclareMismatch(c *client) {
	connection := c.connection()
	channel := openChannel(connection)
	queue, exchange := nameFor("queue"), nameFor("exchange")
	declare := func(ttl int) error {
		arguments := amqp.Table{"x-message-ttl": ttl}
		_, err := channel.QueueDeclare(queue, false, false, true, false, arguments)
		return err
	}
	for i := 0; i < 2; i++ {
		check(declare(10000))
		check(channel.ExchangeDeclare(exchange, "direct", false, true, false, false, nil))
	}
	equal(ready(channel, queue), 0, "declared twice")
	otherTTL := "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'"
	closedWith(declare(20000), 406, otherTTL, queue)
	channel = openChannel(connection)
	err := channel.ExchangeDeclare(exchange, "fanout", false, true, false, false, nil)
	closedWith(err, 406, "PRECONDITION_FAILED - inequivalent arg 'type'", exchange)
	check(openChannel(connection).ExchangeDelete(exchange, false, false))
}

var topology = []scenario{
	{"exchange-types", exchangeTypes},
	{"exchange-bind", exchangeBind},
	{"alternate-exchange", alternateExchange},
	{"passive", passive},
	{"server-named", serverNamed},
	{"delete-conditions", deleteConditions},
	{"redeclare-mismatch", redeclareMismatch},
}
