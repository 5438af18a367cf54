"""Publishing, confirms, returns, transactions and bodies with pika."""

from common.facts import FRAME_OVERHEAD, HEADERS, LARGE, PRIORITIES, Mismatch, equal
from pika_client.client import Nacked, Returned, drain, publish, ready


async def confirm(c):
    channel = await c.channel()
    queue = await c.shared_queue(channel)
    bodies = [str(number).encode() for number in range(200)]
    await publish(channel, queue, *bodies, delivery_mode=2)
    equal(await drain(channel, queue), bodies, "confirmed messages")
    await channel.queue_delete(queue)


async def confirm_nack(c):
    channel = await c.channel()
    queue = await c.queue(channel, x_max_length=1, x_overflow="reject-publish")
    await publish(channel, queue, b"fits")
    try:
        await publish(channel, queue, b"does not")
    except Nacked:
        equal(await drain(channel, queue), [b"fits"], "the queue's messages")
    else:
        raise Mismatch("the second publish was not nacked")


async def return_before_confirm(c):
    channel = await c.channel()
    try:
        await channel.publish(
            "amq.direct", "nobody.home", b"back", mandatory=True, message_id="m1", headers={"n": 1})
    except Returned as returned:
        (back,) = returned.args
    else:
        raise Mismatch("the message was not returned before its confirm")
    equal((back.method.reply_code, back.method.reply_text), (312, "NO_ROUTE"), "basic.return")
    equal((back.method.exchange, back.method.routing_key), ("amq.direct", "nobody.home"), "route")
    equal((back.body, back.properties.message_id), (b"back", "m1"), "returned content")
    equal(back.properties.headers, {"n": 1}, "returned headers")
    await publish(channel, await c.queue(channel), b"routable")


async def tx_commit(c):
    channel = await c.channel(confirm=False)
    queue = await c.queue(channel)
    await channel.tx_select()
    await publish(channel, queue, b"1", b"2")
    equal(await ready(channel, queue), 0, "ready before commit")
    await channel.tx_commit()
    equal(await ready(channel, queue), 2, "ready after commit")
    channel.basic_ack((await channel.fetch(queue)).method.delivery_tag)
    await channel.tx_commit()
    await channel.basic_recover(requeue=True)
    equal(await drain(channel, queue), [b"2"], "left after a committed ack")


async def tx_rollback(c):
    channel = await c.channel(confirm=False)
    queue = await c.queue(channel)
    await channel.tx_select()
    await publish(channel, queue, b"kept")
    await channel.tx_commit()
    channel.basic_ack((await channel.fetch(queue)).method.delivery_tag)
    await publish(channel, queue, b"dropped")
    await channel.tx_rollback()
    equal(await ready(channel, queue), 0, "ready after rollback")
    await channel.close()
    back = await (await (await channel.connection.channel()).consume(queue)).one()
    equal((back.body, back.method.redelivered), (b"kept", True), "the message whose ack was undone")


async def priorities(c):
    channel = await c.channel()
    queue = await c.queue(channel, x_max_priority=10)
    for number, priority in enumerate(PRIORITIES):
        await publish(channel, queue, f"{priority}:{number}", priority=priority)
    order = sorted(range(len(PRIORITIES)), key=lambda number: -PRIORITIES[number])
    expected = [f"{PRIORITIES[number]}:{number}".encode() for number in order]
    equal(await drain(channel, queue), expected, "order by priority")


async def large_message(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    edge = channel.connection.frame_max - FRAME_OVERHEAD
    bodies = [LARGE, LARGE[:edge - 1], LARGE[:edge], LARGE[:edge + 1]]
    await publish(channel, queue, *bodies)
    inbox = await channel.consume(queue, auto_ack=True)
    for body, delivery in zip(bodies, await inbox.take(len(bodies))):
        equal(len(delivery.body), len(body), "length of a large body")
        equal(delivery.body == body, True, "content of a large body is unchanged")


async def empty_message(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"", message_id="empty", content_type="text/plain")
    await publish(channel, queue, b"next")
    empty, following = await (await channel.consume(queue, auto_ack=True)).take(2)
    equal((empty.body, empty.properties.message_id), (b"", "empty"), "the empty message")
    equal(empty.properties.content_type, "text/plain", "its content type")
    equal(following.body, b"next", "the message after it")


async def header_tables(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"", headers=HEADERS)
    inbox = await channel.consume(queue, auto_ack=True)
    back = (await inbox.one()).properties.headers
    for name, value in HEADERS.items():
        equal(back.get(name), value, f"header {name}")
    equal(set(back), set(HEADERS), "names of the headers")


SCENARIOS = [
    ("confirm", confirm),
    ("confirm-nack", confirm_nack),
    ("return-before-confirm", return_before_confirm),
    ("tx-commit", tx_commit),
    ("tx-rollback", tx_rollback),
    ("priorities", priorities),
    ("large-message", large_message),
    ("empty-message", empty_message),
    ("header-tables", header_tables),
]
