"""The inventory: answers stock requests, picks what was paid, releases what was not.

Owns the stock. Each piece is on hand, or reserved for an order, or gone with a shipment; the
accounting adds them up.
"""

from __future__ import annotations

import pika

from shop import process, topology
from shop.faults import simulate_work
from shop.journal import Journal
from shop.message import TRANSIENT, Delivery, Malformed, Order, Publication, event
from shop.plan import Plan
from shop.stage import Stage


class Inventory(Stage):
    """payment.accepted ─> stock.picked; payment.declined ─> stock.released; replies to requests."""

    name = topology.INVENTORY

    def __init__(self, uri: str, plan: Plan, journal: Journal) -> None:
        super().__init__(uri, plan, journal)
        self._on_hand = plan.initial_stock()
        self._reserved: dict[int, tuple[str, int]] = {}
        self._answers: dict[int, bool] = {}
        self.connection.consume(topology.STOCK_REQUESTS, self._on_stock_request)

    def work(self, fact: str, order: Order) -> Publication:
        simulate_work(microseconds=50)
        sku, quantity = self._reserved.pop(order.id)
        if fact == "payment.declined":
            # Compensation: a saga has no rollback, each step has a counter-step.
            self._on_hand[sku] += quantity
            self.journal.write(order.id, "released")
            return event("stock.released", order)
        self.journal.write(order.id, "picked")
        return event("stock.picked", order)

    def closing_figures(self) -> dict:
        reserved = dict.fromkeys(self._on_hand, 0)
        for sku, quantity in self._reserved.values():
            reserved[sku] += quantity
        return {**super().closing_figures(), "on_hand": self._on_hand, "reserved": reserved}

    def _on_stock_request(self, delivery: Delivery) -> None:
        """The answering side of request/reply: to where the request says, with its id."""
        try:
            order = Order.from_bytes(delivery.body)
        except Malformed:
            delivery.reject()
            return
        reply = Publication(
            exchange="",
            routing_key=delivery.properties.reply_to,
            body=b"reserved" if self._reserve(order) else b"out of stock",
            properties=pika.BasicProperties(
                correlation_id=delivery.properties.correlation_id, delivery_mode=TRANSIENT
            ),
            mandatory=False,  # a requester that has gone away is no concern of ours
        )
        self.connection.publish(reply, delivery.ack)

    def _reserve(self, order: Order) -> bool:
        """Reserves once per order; a request that is repeated gets the first answer again."""
        if order.id in self._answers:
            return self._answers[order.id]
        has_enough = self._on_hand[order.sku] >= order.quantity
        if has_enough:
            self._on_hand[order.sku] -= order.quantity
            self._reserved[order.id] = (order.sku, order.quantity)
            self.journal.write(order.id, "reserved")
        self._answers[order.id] = has_enough
        return has_enough


if __name__ == "__main__":
    process.serve(Inventory)
