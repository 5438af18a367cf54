"""What a scenario works with, whichever adapter is below: connections, channels, consumers.

An adapter supplies `connect(parameters)` and channels with `until(condition)`, `consume`,
`fetch`, `publish` and pika's own methods that have an answer, each to be awaited.
"""

import os
from collections import namedtuple
from contextlib import contextmanager

import pika
from pika import exceptions

from common import facts

Delivery = namedtuple("Delivery", "method properties body")

# Methods with an -ok answer; what is not here (basic_ack …) is sent and not waited for.
ANSWERED = frozenset((
    "exchange_declare", "exchange_delete", "exchange_bind", "exchange_unbind",
    "queue_declare", "queue_delete", "queue_bind", "queue_unbind", "queue_purge",
    "basic_qos", "basic_recover", "basic_cancel", "tx_select", "tx_commit", "tx_rollback",
))


class Nacked(Exception):
    """The broker answered a publish with basic.nack."""


class Returned(Exception):
    """The broker returned a message, and confirmed it only then; the delivery is in args[0]."""


class Client:
    """Opens connections for one scenario and closes what is left of them."""

    def __init__(self, board, adapter):
        self.board = board
        self.adapter = adapter
        self.uri = facts.with_vhost(os.environ["AMQP_URI"])
        self._open = []

    async def connect(self, heartbeat=None, **parts):
        parameters = pika.URLParameters(facts.with_parts(self.uri, **parts))
        parameters.heartbeat = heartbeat
        connection = await self.adapter.connect(parameters)
        self._open.append(connection)
        return connection

    async def channel(self, confirm=True):
        """A channel of a connection of its own, in confirm mode unless told otherwise."""
        connection = await self.connect()
        return await connection.channel(confirm)

    async def queue(self, channel, **arguments):
        """An exclusive queue with a name of its own."""
        name = self.board.name("queue")
        await channel.queue_declare(name, exclusive=True, arguments=dashed(arguments))
        return name

    async def shared_queue(self, channel):
        """A durable queue other connections may use; it expires by itself."""
        name = self.board.name("shared")
        await channel.queue_declare(name, durable=True, arguments={"x-expires": 60_000})
        return name

    async def exchange(self, channel, kind, **arguments):
        """An auto-delete exchange with a name of its own."""
        name = self.board.name(kind)
        await channel.exchange_declare(name, kind, auto_delete=True, arguments=dashed(arguments))
        return name

    async def close(self):
        for connection in self._open:
            if connection.is_open:
                await connection.close()


class Inbox:
    """A consumer's deliveries in order of arrival, and the wait for more of them."""

    def __init__(self, channel):
        self.channel = channel
        self.arrived = []
        self.tag = None

    def put(self, _channel, method, properties, body):
        """pika's on_message_callback."""
        self.arrived.append(Delivery(method, properties, body))

    async def take(self, count=1):
        """The next `count` deliveries."""
        await self.channel.until(lambda: len(self.arrived) >= count)
        taken, self.arrived = self.arrived[:count], self.arrived[count:]
        return taken

    async def one(self):
        return (await self.take(1))[0]


async def publish(channel, queue, *bodies, **properties):
    """Publishes to a queue by way of the default exchange."""
    await channel.publish("", queue, *bodies, **properties)


async def anonymous(channel):
    """An exclusive queue that the broker names."""
    return (await channel.queue_declare("", exclusive=True)).queue


async def drain(channel, queue):
    """The bodies of all ready messages."""
    bodies = []
    while delivery := await channel.fetch(queue, auto_ack=True):
        bodies.append(delivery.body)
    return bodies


async def ready(channel, queue):
    """The number of ready messages."""
    return (await channel.queue_declare(queue, passive=True)).message_count


@contextmanager
def channel_closed(code, *texts):
    """The block ends with channel.close of this code, with these texts in its reason."""
    try:
        yield
    except exceptions.ChannelClosedByBroker as closed:
        facts.equal(closed.reply_code, code, "code of channel.close")
        facts.contains(closed.reply_text, *texts)
    else:
        raise facts.Mismatch(f"the channel was not closed with {code}")


def dashed(arguments):
    """x_max_length=1 as {"x-max-length": 1}."""
    return {name.replace("_", "-"): value for name, value in arguments.items()} or None
