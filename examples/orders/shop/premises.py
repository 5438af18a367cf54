"""The topology's presence on a broker: locked, declared, emptied, removed.

Owns the blocking connection that holds the lock. Never consumes while a run is going on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from shop import topology

RESOURCE_LOCKED = 405


class ShopInUse(Exception):
    """Another run uses the shop on this vhost."""


class BrokerUnusable(Exception):
    """Something answers, but not as a broker that lets us in."""


@dataclass(frozen=True)
class DeadLetter:
    """A message from the dead-letter queue, with the broker's word on how it got there."""

    order_id: int
    queue: str
    reason: str


@contextlib.contextmanager
def open_shop(uri: str) -> Iterator[None]:
    """Declares the topology for the time of a `with` block.

    The lock is an exclusive queue: a second connection may not even declare it, and the broker
    deletes it with the connection that holds it, however that ends.
    """
    connection = _connect(uri)
    channel = connection.channel()
    _lock(channel)
    topology.remove(channel)  # what a run that was killed may have left
    topology.declare(channel)
    try:
        yield
    finally:
        with contextlib.suppress(
            AMQPError, BrokerUnusable
        ):  # a broker that is gone needs no clearing up
            if connection.is_closed:
                connection = _connect(uri)
                channel = connection.channel()
            topology.remove(channel)
            connection.close()


def drain_dead_letters(uri: str) -> list[DeadLetter]:
    """Takes all messages out of the dead-letter queue, as an operator's tool would."""
    with _connect(uri) as connection:
        channel = connection.channel()
        letters = []
        while True:
            method, properties, _ = channel.basic_get(topology.DEAD_LETTERS, auto_ack=True)
            if method is None:
                return letters
            # x-death lists the deaths of a message, the latest first.
            death = properties.headers["x-death"][0]
            order_id = int(properties.correlation_id)
            letters.append(DeadLetter(order_id, death["queue"], death["reason"]))


def _connect(uri: str) -> pika.BlockingConnection:
    parameters = pika.URLParameters(uri)
    parameters.client_properties = {"connection_name": "orders example: run"}
    parameters.heartbeat = 0  # nothing reads this connection while the audit runs
    try:
        return pika.BlockingConnection(parameters)
    except (AMQPError, AMQPConnectorException) as error:
        raise BrokerUnusable(f"no connection to the broker: {error!r}") from error


def _lock(channel) -> None:
    try:
        channel.queue_declare(topology.LOCK, exclusive=True)
    except ChannelClosedByBroker as closed:
        if closed.reply_code == RESOURCE_LOCKED:
            raise ShopInUse("another run of this example uses this vhost") from closed
        raise
