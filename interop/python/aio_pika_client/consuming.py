"""Consuming, settling, prefetch, get and dead letters with aio-pika."""

import asyncio

from aio_pika_client.client import consume, drain, publish, ready, recover
from common.facts import check_expired, equal, single_death, true


async def consume_order(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    bodies = [str(number).encode() for number in range(10)]
    await publish(channel, queue, *bodies)
    inbox = await consume(queue, consumer_tag="mine")
    taken = await inbox.take(10)
    equal([message.body for message in taken], bodies, "order")
    equal([message.delivery_tag for message in taken], list(range(1, 11)), "tags")
    first = taken[0]
    equal((first.consumer_tag, first.exchange, first.routing_key), ("mine", "", queue.name),
          "deliver")
    true(not any(message.redelivered for message in taken), "none redelivered")
    for message in taken:
        await message.ack()
    equal(await settled_count(channel, queue, inbox), 0, "left after the acks")


async def settled_count(channel, queue, inbox):
    """What is ready once the consumer is gone and all unacked messages are back."""
    await queue.cancel(inbox.tag)
    await recover(channel)
    return await ready(channel, queue)


async def requeue(c):
    connection = await c.connect()
    channel = await connection.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"a", b"b")
    await channel.set_qos(prefetch_count=1)
    inbox = await consume(queue)
    first = await inbox.one()
    equal((first.body, first.redelivered), (b"a", False), "the first delivery")
    await first.nack(requeue=True)
    again = await inbox.one()
    equal((again.body, again.redelivered), (b"a", True), "after the nack")
    await again.ack()
    second = await inbox.one()
    equal((second.body, second.redelivered), (b"b", False), "the second message")
    await channel.close()
    queue = await (await connection.channel()).get_queue(queue.name)
    back = await (await consume(queue)).one()
    equal((back.body, back.redelivered), (b"b", True), "after its channel closed")


async def ack_multiple(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, *[b"%d" % number for number in range(1, 8)])
    inbox = await consume(queue)
    taken = await inbox.take(7)
    await taken[2].ack(multiple=True)
    await taken[4].nack(multiple=True, requeue=False)
    await taken[5].ack()
    equal(await settled_count(channel, queue, inbox), 1, "left unsettled")
    equal(await drain(queue), [b"7"], "the unsettled message")


async def reject(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"gone", b"back")
    inbox = await consume(queue)
    gone, back = await inbox.take(2)
    await gone.reject(requeue=False)
    await back.reject(requeue=True)
    again = await inbox.one()
    equal((again.body, again.redelivered), (b"back", True), "the requeued message")
    await again.ack()
    equal(await settled_count(channel, queue, inbox), 0, "left")


async def prefetch(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, *[b"%d" % number for number in range(10)])
    await channel.set_qos(prefetch_count=3)
    inbox = await consume(queue)
    taken = await inbox.take(3)
    equal(await ready(channel, queue), 7, "ready while three are out")
    await taken[0].ack()
    fourth = await inbox.one()
    equal(fourth.body, b"3", "let through by one ack")
    equal(await ready(channel, queue), 6, "ready after one ack")
    await fourth.ack(multiple=True)
    await inbox.take(3)
    equal((await ready(channel, queue), inbox.empty()), (3, True), "after acking all")


async def get(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(
        channel, queue, b"1", b"2", message_id="m", content_type="text/plain", priority=3,
        correlation_id="c", type="t", app_id="a", timestamp=1_700_000_000)
    message = await queue.get()
    equal((message.exchange, message.routing_key, message.message_count, message.redelivered),
          ("", queue.name, 1, False), "get-ok")
    equal((message.message_id, message.content_type, message.priority), ("m", "text/plain", 3),
          "properties")
    equal((message.correlation_id, message.type, message.app_id, message.timestamp.timestamp()),
          ("c", "t", "a", 1_700_000_000), "more properties")
    equal(message.body, b"1", "body")
    await message.ack()
    last = await queue.get(no_ack=True)
    equal((last.message_count, last.delivery_tag), (0, 2), "the second get-ok")
    equal(await queue.get(fail=False), None, "get-empty")


async def ttl_dead_letter(c):
    channel = await c.channel()
    target, exchange = await c.queue(channel), await c.exchange(channel, "direct")
    await target.bind(exchange, "dead")
    source = await c.queue(
        channel, x_dead_letter_exchange=exchange.name, x_dead_letter_routing_key="dead")
    inbox = await consume(target)
    await publish(channel, source, b"late", expiration=0.05, headers={"mine": 1})
    expired = await inbox.one()
    check_expired(expired.headers, source.name, "", source.name, "50")
    equal((expired.exchange, expired.routing_key), (exchange.name, "dead"), "new route")
    equal((expired.expiration, expired.headers["mine"]), (None, 1), "rest")
    await publish(channel, source, b"bad")
    await (await source.get()).reject(requeue=False)
    single_death((await inbox.one()).headers, source.name, "rejected", "", source.name)


async def direct_reply_to(c):
    asking, answering = await c.channel(), await c.channel()
    requests = await c.shared_queue(answering)
    server = await consume(requests, no_ack=True)
    pseudo_queue = await asking.get_queue("amq.rabbitmq.reply-to", ensure=False)
    answers = await consume(pseudo_queue, no_ack=True)
    await publish(
        asking, requests, b"question", reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    request = await server.one()
    true(request.reply_to.startswith("amq.rabbitmq.reply-to."), "reply-to is rewritten")
    await publish(answering, request.reply_to, b"answer", correlation_id="7")
    answer = await answers.one()
    equal((answer.body, answer.correlation_id), (b"answer", "7"), "the answer")
    await answering.queue_delete(requests.name)


async def consumer_cancel_notify(c):
    """aio-pika leaves the notice to the library below it."""
    channel, other = await c.channel(), await c.channel()
    queue = await c.shared_queue(channel)
    cancelled = asyncio.Queue()
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(cancelled.put)
    inbox = await consume(queue)
    await other.queue_delete(queue.name)
    equal((await cancelled.get()).consumer_tag, inbox.tag, "the cancelled consumer")
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
