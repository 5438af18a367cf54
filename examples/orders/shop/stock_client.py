"""Request/reply for stock over direct reply-to: the asking side.

Owns the open questions. There is no reply queue: the requester consumes from the pseudo-queue
`amq.rabbitmq.reply-to` without acknowledgements, puts that name into `reply_to`, and the broker
replaces it by an address that leads straight to this channel. Requests and replies are not
persistent, so a question whose answer does not come is asked again; asking twice is harmless
because the inventory reserves once per order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pika

from shop import topology
from shop.connection import Connection
from shop.message import TRANSIENT, Delivery, Order, Publication

PATIENCE_S = 15
CHECK_S = 1


@dataclass
class Question:
    """A request without a reply so far."""

    order: Order
    answered: Callable[[Order, bool], None]
    asked_at: float


class StockClient:
    """Asks the inventory to reserve stock."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._open: dict[str, Question] = {}
        connection.consume(topology.DIRECT_REPLY_TO, self._on_reply, auto_ack=True)
        # A new connection has a new reply address: nobody will answer at the old one.
        connection.on_ready(lambda: self._ask_again(older_than_s=0))
        connection.loop.call_later(CHECK_S, self._check)

    def reserve(self, order: Order, answered: Callable[[Order, bool], None]) -> None:
        """Asks; calls `answered` with the order and whether its stock is reserved."""
        self._open[str(order.id)] = Question(order, answered, time.monotonic())
        self._send(order)

    def _send(self, order: Order) -> None:
        properties = pika.BasicProperties(
            reply_to=topology.DIRECT_REPLY_TO,
            correlation_id=str(order.id),
            expiration=str(PATIENCE_S * 1000),  # an answer after that would be to nobody
            delivery_mode=TRANSIENT,
        )
        request = Publication("", topology.STOCK_REQUESTS, order.to_bytes(), properties)
        self._connection.publish(request)

    def _on_reply(self, delivery: Delivery) -> None:
        question = self._open.pop(delivery.properties.correlation_id, None)
        if question is not None:  # else it was asked twice and this is the second answer
            question.answered(question.order, delivery.body == b"reserved")

    def _check(self) -> None:
        self._ask_again(older_than_s=PATIENCE_S)
        self._connection.loop.call_later(CHECK_S, self._check)

    def _ask_again(self, older_than_s: float) -> None:
        now = time.monotonic()
        for question in self._open.values():
            if now - question.asked_at >= older_than_s:
                question.asked_at = now
                self._send(question.order)
