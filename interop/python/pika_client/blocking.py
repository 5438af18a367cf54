"""BlockingConnection below the scenarios: each call has its answer when it returns."""

import functools

import pika
from pika import exceptions

from common.facts import Mismatch
from pika_client.client import ANSWERED, Delivery, Inbox, Nacked, Returned

SERVE_SECONDS = 15


class Blocking:
    """The adapter: connects, and runs a scenario to its end."""

    def run(self, scenario):
        try:
            scenario.send(None)
        except StopIteration:
            return
        raise Mismatch("a blocking scenario suspended")

    async def connect(self, parameters):
        return Connection(pika.BlockingConnection(parameters))


class Connection:
    """A BlockingConnection."""

    def __init__(self, raw):
        self.raw = raw
        self.frame_max = raw._impl.params.frame_max

    @property
    def is_open(self):
        return self.raw.is_open

    async def channel(self, confirm=False):
        channel = Channel(self, self.raw.channel())
        if confirm:
            channel.raw.confirm_delivery()
        return channel

    async def close(self):
        self.raw.close()


class Channel:
    """A BlockingChannel. What is not defined here is pika's own method."""

    def __init__(self, connection, raw):
        self.connection = connection
        self.raw = raw
        self.cancelled = []
        raw.add_on_cancel_callback(lambda frame: self.cancelled.append(frame.method.consumer_tag))

    def __getattr__(self, name):
        method = getattr(self.raw, name)
        if name not in ANSWERED:
            return method

        @functools.wraps(method)
        async def answered(*args, **kwargs):
            return getattr(method(*args, **kwargs), "method", None)

        return answered

    async def close(self):
        self.raw.close()

    async def until(self, condition):
        """Serves the connection until the condition holds; the board's deadline ends it."""
        while not condition():
            self.connection.raw.process_data_events(time_limit=SERVE_SECONDS)

    async def consume(self, queue, **flags):
        inbox = Inbox(self)
        inbox.tag = self.raw.basic_consume(queue, inbox.put, **flags)
        return inbox

    async def fetch(self, queue, auto_ack=False):
        """basic.get: a delivery, or None when the queue is empty."""
        method, properties, body = self.raw.basic_get(queue, auto_ack)
        return None if method is None else Delivery(method, properties, body)

    async def publish(self, exchange, key, *bodies, mandatory=False, **properties):
        """pika raises UnroutableError only if the return came before the ack."""
        try:
            for body in bodies:
                self.raw.basic_publish(
                    exchange, key, body, pika.BasicProperties(**properties), mandatory)
        except exceptions.UnroutableError as error:
            (back,) = error.messages
            raise Returned(Delivery(back.method, back.properties, back.body)) from error
        except exceptions.NackError as error:
            raise Nacked() from error
