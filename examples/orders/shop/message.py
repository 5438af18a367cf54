"""What travels: the order, its messages on the way out, its deliveries on the way in.

Owns the JSON body and the use of the AMQP properties. Never talks to the broker, except that a
delivery knows how to settle itself.
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass

import pika

from shop import topology

ATTEMPT = "x-attempt"
SENT_AT = "x-sent-at-us"
PERSISTENT, TRANSIENT = 2, 1


class Malformed(Exception):
    """A body that is not an order and will not become one by trying again."""


@dataclass(frozen=True)
class Order:
    """One order, as every event about it carries it."""

    id: int
    sku: str
    quantity: int
    express: bool
    taken_at_us: int

    def to_bytes(self) -> bytes:
        """The order as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Order:
        """The order in a body, or Malformed."""
        try:
            return cls(**json.loads(body))
        except (ValueError, TypeError) as error:
            raise Malformed(str(error)) from error


@dataclass(frozen=True)
class Publication:
    """One message on its way out."""

    exchange: str
    routing_key: str
    body: bytes
    properties: pika.BasicProperties
    mandatory: bool = True  # returned, instead of dropped, when no queue takes it


def clock_us() -> int:
    """Microseconds on the clock that all processes of one machine share and nobody can set."""
    return time.monotonic_ns() // 1000


def event(name: str, order: Order) -> Publication:
    """The message that says `name` happened to the order.

    The message id is the same whenever the same fact is published again: it is what a consumer
    recognises a duplicate by.
    """
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=PERSISTENT,
        priority=topology.EXPRESS if order.express else topology.STANDARD,
        message_id=f"{name}/{order.id}",
        correlation_id=str(order.id),
        type=name,
        headers={ATTEMPT: 1, SENT_AT: clock_us()},
    )
    return Publication(topology.EVENTS, name, order.to_bytes(), properties)


@dataclass(frozen=True)
class Delivery:
    """One message that arrived, and the one place where it can be settled.

    A delivery tag means something on its own channel only. When that channel is gone, the broker
    has already put the message back, so settling it is nothing to do.
    """

    channel: object
    tag: int
    exchange: str
    properties: pika.BasicProperties
    body: bytes

    @property
    def order_id(self) -> int:
        """The order this message is about, readable even when the body is not."""
        return int(self.properties.correlation_id)

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self.properties.headers[ATTEMPT]

    @property
    def age_ms(self) -> float:
        """Milliseconds since it was published."""
        return (clock_us() - self.properties.headers[SENT_AT]) / 1000

    def ack(self) -> None:
        """Done: the broker may forget the message."""
        if self.channel.is_open:
            self.channel.basic_ack(self.tag)

    def reject(self) -> None:
        """Hopeless: the broker moves the message to the queue's dead-letter exchange."""
        if self.channel.is_open:
            self.channel.basic_reject(self.tag, requeue=False)

    def requeue(self) -> None:
        """Not settled: the broker delivers the message again."""
        if self.channel.is_open:
            self.channel.basic_nack(self.tag, requeue=True)

    def next_attempt(self, stage: str) -> Publication:
        """The same message, one attempt later, by way of the retry queue for this attempt."""
        properties = with_headers(self.properties, {ATTEMPT: self.attempt + 1, SENT_AT: clock_us()})
        key = topology.retry_key(self.attempt, stage)
        return Publication(topology.RETRY, key, self.body, properties)


def with_headers(properties: pika.BasicProperties, headers: dict) -> pika.BasicProperties:
    """A copy of the properties with some headers set anew and the rest kept."""
    changed = copy.copy(properties)
    changed.headers = {**properties.headers, **headers}
    return changed
