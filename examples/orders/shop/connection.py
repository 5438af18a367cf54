"""The connection of one process to the broker: open, consume, lose, open again.

Owns one AMQP connection with one channel, and the loop that drives them. Never knows what a message
means. Losing the broker is not an error here: the connection comes back, the consumers start
again, and the publisher repeats what was not confirmed. A broker that *refuses* is an error.

    connecting ──> channel, qos, confirm.select, consumers ──> ready ──> closed on stop()
        ^                                                        │
        └──────────────── RECONNECT_S after a loss ──────────────┘
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pika
from pika.adapters.select_connection import IOLoop
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from shop.message import Delivery, Publication
from shop.publisher import Confirmed, ConfirmingPublisher

PREFETCH = 100  # deliveries this process may hold unacked
RECONNECT_S = 0.2
CONNECTION_FORCED = 320  # the reply code of a broker that shuts down in good order
REFUSALS = (ProbableAuthenticationError, ProbableAccessDeniedError)


class BrokerRefused(Exception):
    """The broker said no to something this program did; trying again would not help."""


class Connection:
    """One connection, one channel, confirms on, manual acknowledgements."""

    def __init__(self, uri: str, name: str, prefetch: int = PREFETCH) -> None:
        self.loop = IOLoop()
        self.losses = 0
        self._parameters = pika.URLParameters(uri)
        self._parameters.client_properties = {"connection_name": f"orders example: {name}"}
        self._prefetch = prefetch
        self._consumers: list[tuple[str, Callable[[Delivery], None], bool]] = []
        self._ready_callbacks: list[Callable[[], None]] = []
        self._publisher = ConfirmingPublisher(self._close_if_stopping, self.loop.call_later)
        self._connection = None
        self._channel = None
        self._is_stopping = False
        self._error: Exception | None = None
        self._last_complaint = ""

    def consume(self, queue: str, deliver: Callable[[Delivery], None], auto_ack=False) -> None:
        """Calls `deliver` for each message of the queue, on this and all later connections."""
        self._consumers.append((queue, deliver, auto_ack))

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Calls back each time the connection is open and all consumers are registered."""
        self._ready_callbacks.append(callback)

    def publish(self, publication: Publication, confirmed: Confirmed = None) -> None:
        """Publishes; calls `confirmed` when the broker has taken responsibility."""
        self._publisher.publish(publication, confirmed)

    def run(self) -> None:
        """Serves until stop(); raises BrokerRefused, or what a callback raised."""
        self._connect()
        self.loop.start()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Takes no further deliveries, waits for the open confirms, closes, and ends run()."""
        if self._is_stopping:
            return
        self._is_stopping = True
        if self._channel is None:
            self.loop.stop()
            return
        for tag in self._channel.consumer_tags:
            self._channel.basic_cancel(tag)
        self._close_if_stopping()

    def _connect(self) -> None:
        self._connection = pika.SelectConnection(
            self._parameters,
            on_open_callback=self._on_connection_open,
            on_open_error_callback=self._on_connect_failed,
            on_close_callback=self._on_connection_closed,
            custom_ioloop=self.loop,
        )

    def _on_connection_open(self, connection) -> None:
        connection.channel(on_open_callback=self._on_channel_open)

    def _on_channel_open(self, channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(self._on_consumer_cancelled)
        channel.add_on_return_callback(self._on_returned)
        channel.basic_qos(prefetch_count=self._prefetch)
        channel.confirm_delivery(
            self._guarded(self._publisher.on_confirm),
            callback=lambda _frame: self._start_consumers(channel),
        )

    def _start_consumers(self, channel) -> None:
        missing = len(self._consumers)

        def on_consume_ok(_frame) -> None:
            nonlocal missing
            missing -= 1
            if missing == 0:
                self._guarded(self._become_ready)(channel)

        for queue, deliver, auto_ack in self._consumers:
            on_message = self._guarded(_delivering_to(deliver))
            channel.basic_consume(queue, on_message, auto_ack, callback=on_consume_ok)

    def _become_ready(self, channel) -> None:
        self._channel = channel
        self._publisher.attach(channel)
        for callback in self._ready_callbacks:
            callback()

    def _on_channel_closed(self, channel, reason) -> None:
        self._channel = None
        self._publisher.detach()
        if isinstance(reason, ChannelClosedByBroker):
            self._refuse(f"channel closed: {reason.reply_code} {reason.reply_text}")

    def _on_connection_closed(self, _connection, reason) -> None:
        self._channel = None
        self._publisher.detach()
        if not self._is_stopping:
            self.losses += 1
        self._reconnect(reason)

    def _on_connect_failed(self, _connection, reason) -> None:
        self._reconnect(reason)

    def _reconnect(self, reason) -> None:
        if self._is_stopping:
            self.loop.stop()
        elif _is_refusal(reason):
            self._refuse(f"connection refused: {reason!r}")
        else:
            self._complain(f"no connection: {reason!r}")
            self.loop.call_later(RECONNECT_S, self._connect)

    def _complain(self, complaint: str) -> None:
        """Says it once, not at every attempt."""
        if complaint != self._last_complaint:
            self._last_complaint = complaint
            print(complaint, file=sys.stderr, flush=True)

    def _on_consumer_cancelled(self, frame) -> None:
        self._refuse(f"consumer {frame.method.consumer_tag} cancelled: its queue is gone")

    def _on_returned(self, _channel, method, _properties, _body) -> None:
        self._refuse(f"no queue takes {method.routing_key} from exchange {method.exchange!r}")

    def _refuse(self, refusal: str) -> None:
        self._fail(BrokerRefused(refusal))

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.loop.stop()

    def _guarded(self, callback: Callable) -> Callable:
        """pika takes an exception in a callback for a lost connection; this one ends run()."""

        def guarded(*arguments) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                self._fail(error)

        return guarded

    def _close_if_stopping(self) -> None:
        if self._is_stopping and self._publisher.is_quiet and self._connection.is_open:
            self._connection.close()


def _delivering_to(deliver: Callable[[Delivery], None]) -> Callable:
    def on_message(channel, method, properties, body) -> None:
        deliver(Delivery(channel, method.delivery_tag, method.exchange, properties, body))

    return on_message


def _is_refusal(reason) -> bool:
    if isinstance(reason, ConnectionClosedByBroker):
        return reason.reply_code != CONNECTION_FORCED
    return isinstance(reason, REFUSALS)
