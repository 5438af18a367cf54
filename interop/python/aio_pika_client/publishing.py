"""Publishing, confirms, returns, transactions and bodies with aio-pika."""

import asyncio

from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import DeliveryError, PublishError

from aio_pika_client.client import consume, drain, publish, ready, recover
from common.facts import FRAME_OVERHEAD, HEADERS, LARGE, PRIORITIES, Mismatch, equal

# aio-pika writes floats as single precision and bytes only from a bytearray.
OWN_HEADERS = HEADERS | {"bytes": bytearray(HEADERS["bytes"]), "float": 0.25, "unsigned": 65_535}


async def confirm(c):
    channel = await c.channel()
    queue = await c.shared_queue(channel)
    bodies = [str(number).encode() for number in range(200)]
    publishes = [
        publish(channel, queue, body, delivery_mode=DeliveryMode.PERSISTENT) for body in bodies
    ]
    await asyncio.gather(*publishes)
    equal(sorted(await drain(queue)), sorted(bodies), "confirmed messages")
    await queue.delete()


async def confirm_nack(c):
    channel = await c.channel()
    queue = await c.queue(channel, x_max_length=1, x_overflow="reject-publish")
    await publish(channel, queue, b"fits")
    try:
        await publish(channel, queue, b"does not")
    except DeliveryError as error:
        equal(error.frame.name, "Basic.Nack", "the answer")
        equal(await drain(queue), [b"fits"], "the queue's messages")
    else:
        raise Mismatch("the second publish was not nacked")


async def return_before_confirm(c):
    """aio-pika raises PublishError only if the return came before the ack."""
    channel = await c.channel(on_return_raises=True)
    exchange = await channel.get_exchange("amq.direct")
    message = Message(b"back", message_id="m1", headers={"n": 1})
    try:
        await exchange.publish(message, "nobody.home", mandatory=True)
    except PublishError as error:
        back = error.message
    else:
        raise Mismatch("the message was not returned before its confirm")
    returned, properties = back.delivery, back.header.properties
    equal((returned.reply_code, returned.reply_text), (312, "NO_ROUTE"), "basic.return")
    equal((returned.exchange, returned.routing_key), ("amq.direct", "nobody.home"), "route")
    equal((back.body, properties.message_id), (b"back", "m1"), "returned content")
    equal(properties.headers, {"n": 1}, "returned headers")
    await publish(channel, await c.queue(channel), b"routable")


async def tx_commit(c):
    channel = await c.channel(publisher_confirms=False)
    queue = await c.queue(channel)
    async with channel.transaction():
        await publish(channel, queue, b"1", b"2")
        equal(await ready(channel, queue), 0, "ready before commit")
    equal(await ready(channel, queue), 2, "ready after commit")
    async with channel.transaction():
        await (await queue.get()).ack()
    await recover(channel)
    equal(await drain(queue), [b"2"], "left after a committed ack")


async def tx_rollback(c):
    connection = await c.connect()
    channel = await connection.channel(publisher_confirms=False)
    queue = await c.queue(channel)
    async with channel.transaction():
        await publish(channel, queue, b"kept")
    transaction = channel.transaction()
    await transaction.select()
    await (await queue.get()).ack()
    await publish(channel, queue, b"dropped")
    await transaction.rollback()
    equal(await ready(channel, queue), 0, "ready after rollback")
    await channel.close()
    again = await (await connection.channel()).get_queue(queue.name)
    back = await (await consume(again)).one()
    equal((back.body, back.redelivered), (b"kept", True), "the message whose ack was undone")


async def priorities(c):
    channel = await c.channel()
    queue = await c.queue(channel, x_max_priority=10)
    for number, priority in enumerate(PRIORITIES):
        await publish(channel, queue, f"{priority}:{number}".encode(), priority=priority)
    order = sorted(range(len(PRIORITIES)), key=lambda number: -PRIORITIES[number])
    expected = [f"{PRIORITIES[number]}:{number}".encode() for number in order]
    equal(await drain(queue), expected, "order by priority")


async def large_message(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    frame_max = (await channel.get_underlay_channel()).connection.connection_tune.frame_max
    edge = frame_max - FRAME_OVERHEAD
    bodies = [LARGE, LARGE[:edge - 1], LARGE[:edge], LARGE[:edge + 1]]
    await publish(channel, queue, *bodies)
    inbox = await consume(queue, no_ack=True)
    for body, message in zip(bodies, await inbox.take(len(bodies))):
        equal(len(message.body), len(body), "length of a large body")
        equal(message.body == body, True, "content of a large body is unchanged")


async def empty_message(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"", message_id="empty", content_type="text/plain")
    await publish(channel, queue, b"next")
    empty, following = await (await consume(queue, no_ack=True)).take(2)
    equal((empty.body, empty.message_id), (b"", "empty"), "the empty message")
    equal(empty.content_type, "text/plain", "its content type")
    equal(following.body, b"next", "the message after it")


async def header_tables(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"", headers=OWN_HEADERS)
    back = (await (await consume(queue, no_ack=True)).one()).headers
    for name, value in OWN_HEADERS.items():
        equal(back.get(name), value, f"header {name}")
    equal(set(back), set(OWN_HEADERS), "names of the headers")


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
