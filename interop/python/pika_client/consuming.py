"""Consuming, settling, prefetch, get and dead letters with pika."""

from common.facts import check_expired, equal, single_death, true
from pika_client.client import drain, publish, ready


async def consume_order(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    bodies = [str(number).encode() for number in range(10)]
    await publish(channel, queue, *bodies)
    inbox = await channel.consume(queue, consumer_tag="mine")
    taken = await inbox.take(10)
    equal([delivery.body for delivery in taken], bodies, "order")
    equal([delivery.method.delivery_tag for delivery in taken], list(range(1, 11)), "tags")
    first = taken[0].method
    equal((first.consumer_tag, first.exchange, first.routing_key), ("mine", "", queue), "deliver")
    true(not any(delivery.method.redelivered for delivery in taken), "none redelivered")
    for delivery in taken:
        channel.basic_ack(delivery.method.delivery_tag)
    equal(await settled_count(inbox, queue), 0, "left after the acks")


async def settled_count(inbox, queue):
    """What is ready once the consumer is gone and all unacked messages are back."""
    await inbox.channel.basic_cancel(inbox.tag)
    await inbox.channel.basic_recover(requeue=True)
    return await ready(inbox.channel, queue)


async def requeue(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"a", b"b")
    await channel.basic_qos(prefetch_count=1)
    inbox = await channel.consume(queue)
    first = await inbox.one()
    equal((first.body, first.method.redelivered), (b"a", False), "the first delivery")
    channel.basic_nack(first.method.delivery_tag, requeue=True)
    again = await inbox.one()
    equal((again.body, again.method.redelivered), (b"a", True), "after the nack")
    channel.basic_ack(again.method.delivery_tag)
    second = await inbox.one()
    equal((second.body, second.method.redelivered), (b"b", False), "the second message")
    await channel.close()
    back = await (await (await channel.connection.channel()).consume(queue)).one()
    equal((back.body, back.method.redelivered), (b"b", True), "after its channel closed")


async def ack_multiple(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, *[str(number) for number in range(1, 8)])
    inbox = await channel.consume(queue)
    await inbox.take(7)
    channel.basic_ack(3, multiple=True)
    channel.basic_nack(5, multiple=True, requeue=False)
    channel.basic_ack(6)
    equal(await settled_count(inbox, queue), 1, "left unsettled")
    equal(await drain(channel, queue), [b"7"], "the unsettled message")


async def reject(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"gone", b"back")
    inbox = await channel.consume(queue)
    gone, back = await inbox.take(2)
    channel.basic_reject(gone.method.delivery_tag, requeue=False)
    channel.basic_reject(back.method.delivery_tag, requeue=True)
    again = await inbox.one()
    equal((again.body, again.method.redelivered), (b"back", True), "the requeued message")
    channel.basic_ack(again.method.delivery_tag)
    equal(await settled_count(inbox, queue), 0, "left")


async def prefetch(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, *[str(number) for number in range(10)])
    await channel.basic_qos(prefetch_count=3)
    inbox = await channel.consume(queue)
    taken = await inbox.take(3)
    equal(await ready(channel, queue), 7, "ready while three are out")
    channel.basic_ack(taken[0].method.delivery_tag)
    equal((await inbox.one()).body, b"3", "let through by one ack")
    equal(await ready(channel, queue), 6, "ready after one ack")
    channel.basic_ack(4, multiple=True)
    await inbox.take(3)
    equal((await ready(channel, queue), inbox.arrived), (3, []), "after acking all")


async def get(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(
        channel, queue, b"1", b"2", message_id="m", content_type="text/plain", priority=3,
        correlation_id="c", type="t", app_id="a", timestamp=1_700_000_000)
    method, properties, body = await channel.fetch(queue)
    equal((method.exchange, method.routing_key, method.message_count, method.redelivered),
          ("", queue, 1, False), "get-ok")
    equal((properties.message_id, properties.content_type, properties.priority),
          ("m", "text/plain", 3), "properties")
    equal((properties.correlation_id, properties.type, properties.app_id, properties.timestamp),
          ("c", "t", "a", 1_700_000_000), "more properties")
    equal(body, b"1", "body")
    channel.basic_ack(method.delivery_tag)
    last = (await channel.fetch(queue, auto_ack=True)).method
    equal((last.message_count, last.delivery_tag), (0, 2), "the second get-ok")
    equal(await channel.fetch(queue), None, "get-empty")


async def ttl_dead_letter(c):
    channel = await c.channel()
    target, exchange = await c.queue(channel), await c.exchange(channel, "direct")
    await channel.queue_bind(target, exchange, "dead")
    source = await c.queue(
        channel, x_dead_letter_exchange=exchange, x_dead_letter_routing_key="dead")
    inbox = await channel.consume(target)
    await publish(channel, source, b"late", expiration="50", headers={"mine": 1})
    expired = await inbox.one()
    check_expired(expired.properties.headers, source, "", source, "50")
    equal((expired.method.exchange, expired.method.routing_key), (exchange, "dead"), "new route")
    equal((expired.properties.expiration, expired.properties.headers["mine"]), (None, 1), "rest")
    await publish(channel, source, b"bad")
    channel.basic_reject((await channel.fetch(source)).method.delivery_tag, requeue=False)
    single_death((await inbox.one()).properties.headers, source, "rejected", "", source)


async def direct_reply_to(c):
    asking, answering = await c.channel(), await c.channel()
    requests = await c.shared_queue(answering)
    server = await answering.consume(requests, auto_ack=True)
    answers = await asking.consume("amq.rabbitmq.reply-to", auto_ack=True)
    await publish(
        asking, requests, b"question", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    request = await server.one()
    true(request.properties.reply_to.startswith("amq.rabbitmq.reply-to."), "reply-to is rewritten")
    await publish(answering, request.properties.reply_to, b"answer", correlation_id="7")
    answer = await answers.one()
    equal((answer.body, answer.properties.correlation_id), (b"answer", "7"), "the answer")
    await answering.queue_delete(requests)


async def consumer_cancel_notify(c):
    channel, other = await c.channel(), await c.channel()
    queue = await c.shared_queue(channel)
    inbox = await channel.consume(queue)
    await other.queue_delete(queue)
    await channel.until(lambda: channel.cancelled)
    equal(channel.cancelled, [inbox.tag], "cancelled consumers")
    await publish(channel, await c.queue(channel), b"the channel goes on")


SCENARIOS = [
    ("consume-order", consume_order),
    ("requeue", requeue),
    ("ack-multiple", ack_multiple),
    ("reject", reject),
    ("prefetch", prefetch),
    ("get", get),
    ("ttl-dead-letter", ttl_dead_letter),
    ("direct-reply-to", direct_reply_to),
    ("consumer-cancel-notify", consumer_cancel_notify),
]
