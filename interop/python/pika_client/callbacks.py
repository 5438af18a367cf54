"""SelectConnection and AsyncioConnection below the scenarios.

pika's callbacks only write down what came and call `Loop.changed`; the scenario's coroutine
waits for one condition at a time and is resumed on the loop when that condition holds.
"""

import asyncio
import functools

import pika
from pika import spec
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.select_connection import IOLoop

from common.facts import Mismatch
from pika_client.client import ANSWERED, Delivery, Inbox, Nacked, Returned


class Until:
    """Awaited by a coroutine that goes on when the condition holds, or raises what it raises."""

    def __init__(self, condition):
        self.condition = condition

    def __await__(self):
        yield self.condition


class Loop:
    """One scenario on one I/O loop of pika's."""

    def __init__(self):
        self._scenario = None
        self._condition = None
        self._error = None

    def run(self, scenario):
        self._scenario = scenario
        self.io = self.new_io()
        self.soon(self._resume)
        self.serve()
        if self._error is not None:
            raise self._error

    def changed(self):
        """Something came: has the scenario what it waits for?"""
        if self._condition is None:
            return
        try:
            if not self._condition():
                return
            step = self._resume
        except Exception as error:
            step = functools.partial(self._resume, error)
        self._condition = None
        self.soon(step)

    def _resume(self, error=None):
        try:
            scenario = self._scenario
            self._condition = scenario.throw(error) if error else scenario.send(None)
        except BaseException as end:  # a finished coroutine raises StopIteration, a failed one more
            self._error = None if isinstance(end, StopIteration) else end
            self.io.stop()
            return
        self.changed()

    async def connect(self, parameters):
        opened, failed = [], []
        connection = Connection(self)
        connection.raw = self.connection_class(
            parameters,
            on_open_callback=self._noting(opened),
            on_open_error_callback=self._noting(failed),
            on_close_callback=self._noting(connection.close_reasons),
            custom_ioloop=self.io,
        )
        await Until(lambda: opened or failed)
        if failed:
            raise failed[0][1]
        return connection

    def _noting(self, notes):
        """A callback that keeps its arguments."""

        def note(*args):
            notes.append(args)
            self.changed()

        return note


class SelectLoop(Loop):
    """SelectConnection on pika's own loop."""

    connection_class = pika.SelectConnection
    new_io = IOLoop

    def soon(self, step):
        self.io.add_callback_threadsafe(step)

    def serve(self):
        self.io.start()
        self.io.close()


class AsyncioLoop(Loop):
    """AsyncioConnection on an asyncio loop."""

    connection_class = AsyncioConnection
    new_io = staticmethod(asyncio.new_event_loop)

    def soon(self, step):
        self.io.call_soon(step)

    def serve(self):
        self.io.run_forever()
        self.io.close()


class Connection:
    """A connection of either adapter."""

    def __init__(self, loop):
        self.loop = loop
        self.raw = None
        self.close_reasons = []

    @property
    def is_open(self):
        return self.raw.is_open

    @property
    def frame_max(self):
        return self.raw.params.frame_max

    async def channel(self, confirm=False):
        opened = []
        channel = Channel(self, self.raw.channel(on_open_callback=self.loop._noting(opened)))
        await channel.until(lambda: opened)
        if confirm:
            await channel.confirm_delivery()
        return channel

    async def close(self):
        self.raw.close()
        await Until(lambda: self.close_reasons)


class Channel:
    """A pika.channel.Channel. What is not defined here is pika's own method."""

    def __init__(self, connection, raw):
        self.connection = connection
        self.raw = raw
        self.cancelled = []
        self._note = connection.loop._noting
        self._close_reasons, self._returns, self._refused = [], [], []
        self._unconfirmed = None
        self._published = 0
        raw.add_on_close_callback(self._note(self._close_reasons))
        raw.add_on_cancel_callback(self._on_cancel)
        raw.add_on_return_callback(lambda *back: self._returns.append(back))

    def __getattr__(self, name):
        method = getattr(self.raw, name)
        if name not in ANSWERED:
            return method

        @functools.wraps(method)
        async def answered(*args, **kwargs):
            answers = []
            method(*args, callback=self._note(answers), **kwargs)
            await self.until(lambda: answers)
            return answers[0][0].method

        return answered

    async def until(self, condition):
        """Waits until the condition holds; a channel that closes meanwhile ends the wait."""

        def or_closed():
            if condition():
                return True
            if self._close_reasons:
                raise self._close_reasons[0][1]
            return False

        await Until(or_closed)

    async def close(self):
        self.raw.close()
        await Until(lambda: self._close_reasons)

    async def confirm_delivery(self):
        self._unconfirmed, selected = set(), []
        self.raw.confirm_delivery(self._on_confirm, self._note(selected))
        await self.until(lambda: selected)

    async def consume(self, queue, **flags):
        inbox, started = Inbox(self), []

        def on_message(*message):
            inbox.put(*message)
            self.connection.loop.changed()

        inbox.tag = self.raw.basic_consume(
            queue, on_message, callback=self._note(started), **flags)
        await self.until(lambda: started)
        return inbox

    async def fetch(self, queue, auto_ack=False):
        """basic.get: a delivery, or None when the queue is empty."""
        found, empty = [], []
        note_empty = self._note(empty)
        self.raw.add_callback(note_empty, [spec.Basic.GetEmpty])
        self.raw.basic_get(queue, self._note(found), auto_ack)
        await self.until(lambda: found or empty)
        self.raw.callbacks.remove(self.raw.channel_number, spec.Basic.GetEmpty, note_empty)
        return Delivery(*found[0][1:]) if found else None

    async def publish(self, exchange, key, *bodies, mandatory=False, **properties):
        """Publishes all, and in confirm mode waits for all answers."""
        for body in bodies:
            self.raw.basic_publish(
                exchange, key, body, pika.BasicProperties(**properties), mandatory)
            self._published += 1
            if self._unconfirmed is not None:
                self._unconfirmed.add(self._published)
        await self.until(lambda: not self._unconfirmed)
        if self._refused:
            raise self._refused.pop()

    def _on_confirm(self, frame):
        """Settles one tag or all up to it. A return counts only if it came before this answer."""
        tag = frame.method.delivery_tag
        settled = {other for other in self._unconfirmed
                   if other == tag or frame.method.multiple and other <= tag}
        self._unconfirmed -= settled
        if not settled:
            self._refused.append(Mismatch(f"a confirm for {tag}, which is not outstanding"))
        if isinstance(frame.method, spec.Basic.Nack):
            self._refused.append(Nacked())
        elif self._returns:
            self._refused.append(Returned(Delivery(*self._returns.pop()[1:])))
        self.connection.loop.changed()

    def _on_cancel(self, frame):
        self.cancelled.append(frame.method.consumer_tag)
        self.connection.loop.changed()
