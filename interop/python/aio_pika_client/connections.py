"""Connections, channels and the scope of errors with aio-pika."""

import asyncio

from aio_pika import Message
from aiormq import exceptions

from aio_pika_client.client import channel_closed, consume, drain, publish
from common.facts import WRONG_PASSWORD_TEXT, Mismatch, contains, equal, true

IDLE_SECONDS = 4


async def exclusive_queue(c):
    owner, other = await c.channel(), await c.connect()
    queue = await c.queue(owner)
    text = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}'"
    with channel_closed(405, text):
        await (await other.channel()).declare_queue(queue.name, passive=True)
    with channel_closed(405, text):
        await consume(await (await other.channel()).get_queue(queue.name, ensure=False))
    await publish(owner, queue, b"still mine")
    equal(await drain(queue), [b"still mine"], "the owner's queue")


async def error_closes_channel(c):
    connection = await c.connect()
    failing, steady = await connection.channel(), await connection.channel()
    missing = c.board.name("missing")
    exchange = await failing.get_exchange(missing, ensure=False)
    with channel_closed(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'"):
        await exchange.publish(Message(b"lost"), "", mandatory=False)
    queue = await c.queue(steady)
    await publish(steady, queue, b"goes on")
    equal(await drain(queue), [b"goes on"], "the other channel")
    again = await connection.channel()
    with channel_closed(406, "PRECONDITION_FAILED - unknown delivery tag 77"):
        await (await again.get_underlay_channel()).basic_ack(77)
        await again.get_queue(queue.name)
    true(not connection.is_closed and not steady.is_closed, "connection and other channel are open")


async def error_closes_connection(c):
    connection = await c.connect()
    channel = await connection.channel()
    closed = asyncio.get_running_loop().create_future()
    connection.close_callbacks.add(lambda _connection, reason: closed.set_result(reason))
    try:
        await channel.set_qos(prefetch_size=10)
    except exceptions.AMQPError:
        pass
    else:
        raise Mismatch("prefetch_size was accepted")
    reason = await closed
    true(isinstance(reason, exceptions.ConnectionNotImplemented), f"540 and not {reason!r}")
    contains(reason, "NOT_IMPLEMENTED - prefetch_size!=0")


async def many_channels(c):
    connection = await c.connect()
    channels = [await connection.channel() for _ in range(200)]
    queues = [await channel.declare_queue(exclusive=True) for channel in channels]
    await asyncio.gather(*[
        publish(channel, queue, queue.name.encode()) for channel, queue in zip(channels, queues)
    ])
    for queue in reversed(queues):
        equal(await drain(queue), [queue.name.encode()], f"queue {queue}")


async def reconnect(c):
    name = c.board.name("again")
    for _ in range(5):
        connection = await c.connect()
        channel = await connection.channel()
        declared = await channel.declare_queue(name, exclusive=True)
        equal(declared.declaration_result.message_count, 0, "messages of the new queue")
        await publish(channel, name, b"dies with its queue")
        await connection.close()


async def heartbeat(c):
    """The wait is a message that expires later: nothing else moves on the connection."""
    connection = await c.connect(query="heartbeat=1")
    channel = await connection.channel()
    target = await c.queue(channel)
    waiting = await c.queue(
        channel, x_dead_letter_exchange="", x_dead_letter_routing_key=target.name)
    inbox = await consume(target, no_ack=True)
    await publish(channel, waiting, b"after the idle time", expiration=IDLE_SECONDS)
    late = await inbox.one()
    equal(late.body, b"after the idle time", "delivered on the idle connection")
    true(not connection.is_closed, "the connection is open")


async def wrong_password(c):
    try:
        await c.connect(password="wrong")
    except exceptions.ProbableAuthenticationError as error:
        contains(error, WRONG_PASSWORD_TEXT)
    else:
        raise Mismatch("a wrong password was accepted")


async def unknown_vhost(c):
    """All that aiormq tells is that connection.close came where open-ok must; not code and text."""
    try:
        await c.connect(vhost=c.board.name("vhost"))
    except exceptions.InvalidFrameError as error:
        contains(error, "Connection.OpenOk", "Connection.Close")
    else:
        raise Mismatch("an unknown vhost was opened")


SCENARIOS = [
    ("exclusive-queue", exclusive_queue),
    ("error-closes-channel", error_closes_channel),
    ("error-closes-connection", error_closes_connection),
    ("many-channels", many_channels),
    ("reconnect", reconnect),
    ("heartbeat", heartbeat),
    ("wrong-password", wrong_password),
    ("unknown-vhost", unknown_vhost),
]
