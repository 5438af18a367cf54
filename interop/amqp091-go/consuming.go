package main

// Consuming, settling, prefetch, get and dead letters with amqp091-go.

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// seen gives a delivery's body and whether it was delivered before.
func seen(delivery amqp.Delivery) string {
	return fmt.Sprintf("%s %t", delivery.Body, delivery.Redelivered)
}

// numbers gives "0", "1" and so on.
func numbers(count int) []string {
	texts := make([]string, count)
	for i := range texts {
		texts[i] = strconv.Itoa(i)
	}
	return texts
}

func consumeOrder(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	publish(channel, queue, numbers(10)...)
	for i, delivery := range take(consume(channel, queue, "mine"), 10) {
		equal(seen(delivery), strconv.Itoa(i)+" false", "order, none redelivered")
		equal(delivery.DeliveryTag, uint64(i+1), "delivery tag")
		fields := [3]string{delivery.ConsumerTag, delivery.Exchange, delivery.RoutingKey}
		equal(fields, [3]string{"mine", "", queue}, "fields of the delivery")
		check(delivery.Ack(false))
	}
	equal(settledCount(channel, queue, "mine"), 0, "left after the acks")
}

// settledCount gives what is ready once the consumer is gone and all unacked messages are back.
func settledCount(channel *amqp.Channel, queue, tag string) int {
	check(channel.Cancel(tag, false))
	check(channel.Recover(true))
	return ready(channel, queue)
}

func requeue(c *client) {
	connection := c.connection()
	channel := openChannel(connection)
	queue := exclusiveQueue(channel, nil)
	publish(channel, queue, "a", "b")
	check(channel.Qos(1, 0, false))
	deliveries := consume(channel, queue, "")
	first := one(deliveries)
	equal(seen(first), "a false", "the first delivery")
	check(first.Nack(false, true))
	again := one(deliveries)
	equal(seen(again), "a true", "after the nack")
	check(again.Ack(false))
	equal(seen(one(deliveries)), "b false", "the second message")
	check(channel.Close())
	back := one(consume(openChannel(connection), queue, ""))
	equal(seen(back), "b true", "after its channel closed")
}

func ackMultiple(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	publish(channel, queue, numbers(7)...)
	taken := take(consume(channel, queue, "mine"), 7)
	check(taken[2].Ack(true))
	check(taken[4].Nack(true, false))
	check(taken[5].Ack(false))
	equal(settledCount(channel, queue, "mine"), 1, "left unsettled")
	equal(drain(channel, queue), []string{"6"}, "the unsettled message")
}

func reject(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	publish(channel, queue, "gone", "back")
	deliveries := consume(channel, queue, "mine")
	taken := take(deliveries, 2)
	check(taken[0].Reject(false))
	check(taken[1].Reject(true))
	again := one(deliveries)
	equal(seen(again), "back true", "the requeued message")
	check(again.Ack(false))
	equal(settledCount(channel, queue, "mine"), 0, "left")
}

func prefetch(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	publish(channel, queue, numbers(10)...)
	check(channel.Qos(3, 0, false))
	deliveries := consume(channel, queue, "")
	taken := take(deliveries, 3)
	equal(ready(channel, queue), 7, "ready while three are out")
	check(taken[0].Ack(false))
	fourth := one(deliveries)
	equal(seen(fourth), "3 false", "let through by one ack")
	equal(ready(channel, queue), 6, "ready after one ack")
	check(fourth.Ack(true))
	take(deliveries, 3)
	equal(ready(channel, queue), 3, "ready after acking all")
	equal(len(deliveries), 0, "deliveries beyond the prefetch count")
}

func get(c *client) {
	channel := c.channel()
	queue := exclusiveQueue(channel, nil)
	sent := amqp.Publishing{
		MessageId: "m", ContentType: "text/plain", Priority: 3, CorrelationId: "c", Type: "t",
		AppId: "a", Timestamp: time.Unix(1700000000, 0), Body: []byte("1"),
	}
	publishMessage(channel, queue, sent)
	publish(channel, queue, "2")
	first, found, err := channel.Get(queue, false)
	check(err)
	equal(found, true, "a message is found")
	equal(first.Exchange+" "+first.RoutingKey, " "+queue, "route in get-ok")
	equal(fmt.Sprint(first.MessageCount, first.DeliveryTag), "1 1", "count and tag in get-ok")
	equal(seen(first), "1 false", "body and redelivered")
	back := amqp.Publishing{
		MessageId: first.MessageId, ContentType: first.ContentType, Priority: first.Priority,
		CorrelationId: first.CorrelationId, Type: first.Type, AppId: first.AppId,
		Timestamp: time.Unix(first.Timestamp.Unix(), 0), Body: first.Body,
	}
	equal(back, sent, "properties")
	check(first.Ack(false))
	last, _, err := channel.Get(queue, true)
	check(err)
	equal(fmt.Sprint(last.MessageCount, last.DeliveryTag), "0 2", "the second get-ok")
	_, found, err = channel.Get(queue, false)
	check(err)
	equal(found, false, "a third message is found")
}

func ttlDeadLetter(c *client) {
	channel := c.channel()
	target, exchange := exclusiveQueue(channel, nil), autoDeleteExchange(channel, "direct", nil)
	check(channel.QueueBind(target, "dead", exchange, false, nil))
	source := exclusiveQueue(channel, amqp.Table{
		"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": "dead",
	})
	deliveries := consume(channel, target, "")
	late := amqp.Publishing{Expiration: "50", Headers: amqp.Table{"mine": int32(1)}}
	publishMessage(channel, source, late)
	expired := one(deliveries)
	death := singleDeath(expired.Headers, source, "expired", "", source)
	equal(death["original-expiration"], "50", "original-expiration")
	equal(expired.Exchange+" "+expired.RoutingKey, exchange+" dead", "new route")
	equal(expired.Expiration, "", "expiration")
	equal(expired.Headers["mine"], int32(1), "own header")
	publish(channel, source, "bad")
	bad, _, err := channel.Get(source, false)
	check(err)
	check(bad.Reject(false))
	singleDeath(one(deliveries).Headers, source, "rejected", "", source)
}

func directReplyTo(c *client) {
	asking, answering := c.channel(), c.channel()
	requests := sharedQueue(answering)
	server := consumeNoAck(answering, requests)
	answers := consumeNoAck(asking, "amq.rabbitmq.reply-to")
	publishMessage(asking, requests, amqp.Publishing{
		ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: "7", Body: []byte("question"),
	})
	replyTo := one(server).ReplyTo
	equal(strings.HasPrefix(replyTo, "amq.rabbitmq.reply-to."), true, "reply-to is rewritten")
	answer := amqp.Publishing{CorrelationId: "7", Body: []byte("answer")}
	publishMessage(answering, replyTo, answer)
	back := one(answers)
	equal(string(back.Body)+" "+back.CorrelationId, "answer 7", "the answer")
	must(answering.QueueDelete(requests, false, false, false))
}

func consumerCancelNotify(c *client) {
	channel, other := c.channel(), c.channel()
	queue := sharedQueue(channel)
	cancelled := channel.NotifyCancel(make(chan string, 1))
	deliveries := consume(channel, queue, "mine")
	must(other.QueueDelete(queue, false, false, false))
	equal(<-cancelled, "mine", "the cancelled consumer")
	_, open := <-deliveries
	equal(open, false, "the consumer goes on")
	publish(channel, exclusiveQueue(channel, nil), "the channel goes on")
}

var consuming = []scenario{
	{"consume-order", consumeOrder},
	{"requeue", requeue},
	{"ack-multiple", ackMultiple},
	{"reject", reject},
	{"prefetch", prefetch},
	{"get", get},
	{"ttl-dead-letter", ttlDeadLetter},
	{"direct-reply-to", directReplyTo},
	{"consumer-cancel-notify", consumerCancelNotify},
}
