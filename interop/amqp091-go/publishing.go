package main

// Publishing, confirms, returns, transactions and bodies with amqp091-go.

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func confirm(c *client) {
	channel := c.channel()
	queue := sharedQueue(channel)
	confirms := make([]*amqp.DeferredConfirmation, 200)
	expected := make([]string, len(confirms))
	for i := range confirms {
		expected[i] = strconv.Itoa(i)
		message := amqp.Publishing{Body: []byte(expected[i]), DeliveryMode: amqp.Persistent}
		confirms[i] = must(channel.PublishWithDeferredConfirm("", queue, false, false, message))
	}
	for _, confirm := range confirms {
		equal(confirm.Wait(), true, "the publish is acked")
	}
	equal(drain(channel, queue), expected, "confirmed messages")
	must(channel.QueueDelete(queue, false, false, false))
}

func confirmNack(c *client) {
	channel := c.channel()
	arguments := amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"}
	queue := exclusiveQueue(channel, arguments)
	publish(channel, queue, "fits")
	acked := publishTo(channel, "", queue, false, amqp.Publishing{Body: []byte("does not")})
	equal(acked, false, "the second publish is acked")
	equal(drain(channel, queue), []string{"fits"}, "the queue's messages")
}

// returnBeforeConfirm relies on the library handing out returns and confirms in their order: the
// return is in its buffer when the confirm is seen.
func returnBeforeConfirm(c *client) {
	channel := c.channel()
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	message := amqp.Publishing{
		Body: []byte("back"), MessageId: "m1", Headers: amqp.Table{"n": int32(1)},
	}
	acked := publishTo(channel, "amq.direct", "nobody.home", true, message)
	equal(acked, true, "the unroutable publish is acked")
	equal(len(returns), 1, "messages returned before the confirm")
	back := <-returns
	equal(fmt.Sprintf("%d %s", back.ReplyCode, back.ReplyText), "312 NO_ROUTE", "basic.return")
	equal(back.Exchange+" "+back.RoutingKey, "amq.direct nobody.home", "route")
	equal(string(back.Body)+" "+back.MessageId, "back m1", "returned content")
	equal(back.Headers, message.Headers, "returned headers")
	equal(publishTo(channel, "", exclusiveQueue(channel, nil), true, message), true, "routable")
	equal(len(returns), 0, "routable messages returned")
}

func txCommit(c *client) {
	channel := must(c.connection().Channel())
	queue := exclusiveQueue(channel, nil)
	check(channel.Tx())
	publish(channel, queue, "1", "2")
	equal(ready(channel, queue), 0, "ready before commit")
	check(channel.TxCommit())
	equal(ready(channel, queue), 2, "ready after commit")
	message, _, err := channel.Get(queue, false)
	check(err)
	check(message.Ack(false))
	check(channel.TxCommit())
	check(channel.Recover(true))
	equal(drain(channel, queue), []string{"2"}, "left after a committed ack")
}

func txRollback(c *client) {
	connection := c.connection()
	channel := must(connection.Channel())
	queue := exclusiveQueue(channel, nil)
	check(channel.Tx())
	publish(channel, queue, "kept")
	check(channel.TxCommit())
	message, _, err := channel.Get(queue, false)
	check(err)
	check(message.Ack(false))
	publish(channel, queue, "dropped")
	check(channel.TxRollback())
	equal(ready(channel, queue), 0, "ready after rollback")
	check(channel.Close())
	back := one(consume(openChannel(connection), queue, ""))
	equal(seen(back), "kept true", "the message whose ack was undone")
}

func priorityOrder(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, amqp.Table{"x-max-priority": 10})
	expected := make([]string, len(priorities))
	for number, priority := range priorities {
		expected[number] = fmt.Sprintf("%d:%d", priority, number)
		body := []byte(expected[number])
		publishMessage(channel, queue, amqp.Publishing{Body: body, Priority: priority})
	}
	sort.SliceStable(expected, func(i, j int) bool { return expected[i][0] > expected[j][0] })
	equal(drain(channel, queue), expected, "order by priority")
}

func largeMessage(c *client) {
	connection := c.connection()
	channel := openChannel(connection)
	queue := exclusiveQueue(channel, nil)
	edge := connection.Config.FrameSize - frameOverhead
	sizes := []int{len(large), edge - 1, edge, edge + 1}
	for _, size := range sizes {
		publishMessage(channel, queue, amqp.Publishing{Body: large[:size]})
	}
	for i, delivery := range take(consumeNoAck(channel, queue), len(sizes)) {
		equal(len(delivery.Body), sizes[i], "length of a large body")
		equal(bytes.Equal(delivery.Body, large[:sizes[i]]), true, "content is unchanged")
	}
}

func emptyMessage(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	message := amqp.Publishing{MessageId: "empty", ContentType: "text/plain"}
	publishMessage(channel, queue, message)
	publish(channel, queue, "next")
	taken := take(consumeNoAck(channel, queue), 2)
	equal(len(taken[0].Body), 0, "length of the empty message")
	equal(taken[0].MessageId+" "+taken[0].ContentType, "empty text/plain", "its properties")
	equal(string(taken[1].Body), "next", "the message after it")
}

func headerTables(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	publishMessage(channel, queue, amqp.Publishing{Headers: headers})
	back := one(consumeNoAck(channel, queue)).Headers
	for name, value := range headers {
		actual, sent := back[name]
		if moment, isTime := actual.(time.Time); isTime {
			actual = time.Unix(moment.Unix(), 0)
		}
		equal(sent, true, "header "+name+" came")
		equal(actual, value, "header "+name)
	}
	equal(len(back), len(headers), "number of headers")
}

var publishingScenarios = []scenario{
	{"confirm", confirm},
	{"confirm-nack", confirmNack},
	{"return-before-confirm", returnBeforeConfirm},
	{"tx-commit", txCommit},
	{"tx-rollback", txRollback},
	{"priorities", priorityOrder},
	{"large-message", largeMessage},
	{"empty-message", emptyMessage},
	{"header-tables", headerTables},
}
