"""Connections, channels and the scope of errors with pika."""

from pika import exceptions

from common.facts import WRONG_PASSWORD_TEXT, Mismatch, contains, equal, true
from pika_client.client import anonymous, channel_closed, drain, publish

IDLE_MS = "8000"


async def exclusive_queue(c):
    owner, other = await c.channel(), await c.connect()
    queue = await c.queue(owner)
    text = f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}'"
    with channel_closed(405, text):
        await (await other.channel()).queue_declare(queue, passive=True)
    with channel_closed(405, text):
        await (await other.channel()).consume(queue)
    await publish(owner, queue, b"still mine")
    equal(await drain(owner, queue), [b"still mine"], "the owner's queue")


async def error_closes_channel(c):
    connection = await c.connect()
    failing, steady = await connection.channel(confirm=True), await connection.channel()
    missing = c.board.name("missing")
    with channel_closed(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'"):
        await failing.publish(missing, "", b"lost")
    queue = await c.queue(steady)
    await publish(steady, queue, b"goes on")
    equal(await drain(steady, queue), [b"goes on"], "the other channel")
    with channel_closed(406, "PRECONDITION_FAILED - unknown delivery tag 77"):
        again = await connection.channel()
        again.basic_ack(77)
        await drain(again, queue)
    true(connection.is_open and steady.raw.is_open, "connection and other channel are open")


async def error_closes_connection(c):
    connection = await c.connect()
    try:
        await (await connection.channel()).basic_qos(prefetch_size=10)
    except exceptions.ConnectionClosedByBroker as closed:
        equal(closed.reply_code, 540, "code of connection.close")
        contains(closed.reply_text, "NOT_IMPLEMENTED - prefetch_size!=0")
    else:
        raise Mismatch("the connection was not closed")
    true(not connection.is_open, "the connection is closed")


async def many_channels(c):
    connection = await c.connect()
    channels = [await connection.channel(confirm=True) for _ in range(200)]
    queues = [await anonymous(channel) for channel in channels]
    for channel, queue in zip(channels, queues):
        await publish(channel, queue, queue)
    for channel, queue in zip(reversed(channels), reversed(queues)):
        equal(await drain(channel, queue), [queue.encode()], f"queue {queue}")


async def reconnect(c):
    name = c.board.name("again")
    for _ in range(5):
        connection = await c.connect()
        channel = await connection.channel()
        declared = await channel.queue_declare(name, exclusive=True)
        equal(declared.message_count, 0, "messages of the new queue")
        await publish(channel, name, b"dies with its queue")
        await connection.close()


async def heartbeat(c):
    """pika looks for silence every interval + 5 s; the wait is a message that expires later."""
    connection = await c.connect(heartbeat=1)
    channel = await connection.channel()
    target = await c.queue(channel)
    waiting = await c.queue(channel, x_dead_letter_exchange="", x_dead_letter_routing_key=target)
    inbox = await channel.consume(target, auto_ack=True)
    await publish(channel, waiting, b"after the idle time", expiration=IDLE_MS)
    late = await inbox.one()
    equal(late.body, b"after the idle time", "delivered on the idle connection")
    true(connection.is_open, "the connection is open")


async def wrong_password(c):
    try:
        await c.connect(password="wrong")
    except exceptions.ProbableAuthenticationError as error:
        contains(error, "403", WRONG_PASSWORD_TEXT)
    else:
        raise Mismatch("a wrong password was accepted")


async def unknown_vhost(c):
    name = c.board.name("vhost")
    try:
        await c.connect(vhost=name)
    except exceptions.ProbableAccessDeniedError as error:
        contains(error, "530", f"NOT_ALLOWED - vhost {name} not found")
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
