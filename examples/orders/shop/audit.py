"""The independent observer: learns from messages alone how each order ended.

Owns the facts heard about each order. Never trusts a worker's journal and never knows the plan
beyond what it must wait for; comparing is the work of `accounting`.
"""

from __future__ import annotations

from collections import Counter

from shop import topology
from shop.connection import Connection
from shop.message import SENT_AT, Delivery, Order
from shop.plan import Ending, Plan

PREFETCH = 500
DEAD = "dead"
NOTIFIED = "customer.notified"
ENDINGS = {
    frozenset({"order.shipped", NOTIFIED}): Ending.SHIPPED,
    frozenset({"order.cancelled", NOTIFIED}): Ending.CANCELLED,
    frozenset({DEAD}): Ending.DEAD,
}


class Audit:
    """Consumes the audit queue until every order has ended and every duplicate was noticed."""

    def __init__(self, uri: str, plan: Plan) -> None:
        self.connection = Connection(uri, "audit", PREFETCH)
        self.connection.consume(topology.AUDIT, self._on_delivery)
        self.facts: dict[int, set[str]] = {order_id: set() for order_id in plan.ids()}
        self.duplicates: Counter = Counter()  # (order, stage)
        self.latencies_ms: dict[bool, list[float]] = {True: [], False: []}  # by express
        self.ended: set[int] = set()
        self._awaited_duplicates = _predicted_duplicates(plan)

    def ending(self, order_id: int) -> Ending | None:
        """How the order ended; None while it has not, or when the facts contradict each other."""
        return ENDINGS.get(frozenset(self.facts[order_id]))

    def missing(self) -> dict[str, list[int]]:
        """What is still awaited, in words, and of which orders."""
        return {
            "no clear ending": sorted(set(self.facts) - self.ended),
            "no duplicate noticed": sorted(order_id for order_id, _ in self._awaited_duplicates),
        }

    def _on_delivery(self, delivery: Delivery) -> None:
        order_id = delivery.order_id
        if delivery.exchange == topology.DEAD:
            self._note(order_id, DEAD)
        elif delivery.properties.type.startswith("duplicate."):
            self._note_duplicate(order_id, delivery.properties.type.split(".")[1])
        else:
            if delivery.properties.type == NOTIFIED and NOTIFIED not in self.facts[order_id]:
                self._note_latency(delivery)
            self._note(order_id, delivery.properties.type)
        delivery.ack()
        if len(self.ended) == len(self.facts) and not self._awaited_duplicates:
            self.connection.stop()

    def _note(self, order_id: int, fact: str) -> None:
        self.facts[order_id].add(fact)
        if self.ending(order_id) is not None:
            self.ended.add(order_id)

    def _note_duplicate(self, order_id: int, stage: str) -> None:
        self.duplicates[order_id, stage] += 1
        self._awaited_duplicates.discard((order_id, stage))

    def _note_latency(self, delivery: Delivery) -> None:
        order = Order.from_bytes(delivery.body)
        told_at_us = delivery.properties.headers[SENT_AT]
        self.latencies_ms[order.express].append((told_at_us - order.taken_at_us) / 1000)


def _predicted_duplicates(plan: Plan) -> set[tuple[int, str]]:
    predictions = ((order_id, plan.prediction(order_id)) for order_id in plan.ids())
    return {(order_id, told.duplicate_at) for order_id, told in predictions if told.duplicate_at}
