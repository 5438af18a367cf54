"""A scenario's connections, channels and consumers with aio-pika."""

import asyncio
import os
from contextlib import contextmanager

import aio_pika
from aio_pika import ExchangeType, Message
from aiormq import exceptions

from common import facts

CODES = {
    exceptions.ChannelAccessRefused: 403,
    exceptions.ChannelNotFoundEntity: 404,
    exceptions.ChannelLockedResource: 405,
    exceptions.ChannelPreconditionFailed: 406,
}


class Client:
    """Opens connections for one scenario and closes what is left of them."""

    def __init__(self, board):
        self.board = board
        self.uri = facts.with_vhost(os.environ["AMQP_URI"])
        self._open = []

    async def connect(self, **parts):
        connection = await aio_pika.connect(facts.with_parts(self.uri, **parts))
        self._open.append(connection)
        return connection

    async def channel(self, **settings):
        """A channel of a connection of its own; aio-pika's are in confirm mode by default."""
        return await (await self.connect()).channel(**settings)

    async def queue(self, channel, **arguments):
        """An exclusive queue with a name of its own."""
        return await channel.declare_queue(
            self.board.name("queue"), exclusive=True, arguments=dashed(arguments))

    async def shared_queue(self, channel):
        """A durable queue other connections may use; it expires by itself."""
        return await channel.declare_queue(
            self.board.name("shared"), durable=True, arguments={"x-expires": 60_000})

    async def exchange(self, channel, kind, **arguments):
        """An auto-delete exchange with a name of its own."""
        return await channel.declare_exchange(
            self.board.name(kind), ExchangeType(kind), auto_delete=True,
            arguments=dashed(arguments))

    async def close(self):
        for connection in self._open:
            if not connection.is_closed:
                await connection.close()


class Inbox:
    """A consumer's deliveries in order of arrival."""

    def __init__(self):
        self._arrived = asyncio.Queue()
        self.tag = None

    async def one(self):
        return await self._arrived.get()

    async def take(self, count):
        return [await self.one() for _ in range(count)]

    def empty(self):
        return self._arrived.empty()

    async def start(self, queue, **flags):
        self.tag = await queue.consume(self._arrived.put, **flags)
        return self


async def consume(queue, **flags):
    """A consumer of the queue."""
    return await Inbox().start(queue, **flags)


async def publish(channel, queue, *bodies, **properties):
    """Publishes to a queue by way of the default exchange, and waits for each confirm."""
    for body in bodies:
        await channel.default_exchange.publish(
            Message(body, **properties), routing_key=str(queue), mandatory=False)


async def drain(queue):
    """The bodies of all ready messages."""
    bodies = []
    while message := await queue.get(no_ack=True, fail=False):
        bodies.append(message.body)
    return bodies


async def ready(channel, queue):
    """The number of ready messages."""
    found = await channel.declare_queue(str(queue), passive=True)
    return found.declaration_result.message_count


async def recover(channel):
    """basic.recover with requeue, which aio-pika leaves to the library below."""
    await (await channel.get_underlay_channel()).basic_recover(requeue=True)


@contextmanager
def channel_closed(code, *texts):
    """The block ends with channel.close of this code, with these texts in its reason."""
    try:
        yield
    except exceptions.AMQPChannelError as closed:
        facts.equal(CODES.get(type(closed), repr(closed)), code, "code of channel.close")
        facts.contains(closed, *texts)
    else:
        raise facts.Mismatch(f"the channel was not closed with {code}")


def dashed(arguments):
    """x_max_length=1 as {"x-max-length": 1}."""
    return {name.replace("_", "-"): value for name, value in arguments.items()} or None
