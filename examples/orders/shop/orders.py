"""The order service: takes orders, places them, and cancels those that cannot be paid.

Owns the list of open orders. It is the first step of the saga and, when the payment is declined,
the last step of its compensation.
"""

from __future__ import annotations

from dataclasses import replace

from shop import process, topology
from shop.journal import Journal
from shop.message import Delivery, Order, Publication, clock_us, event
from shop.plan import Plan
from shop.stage import Stage
from shop.stock_client import StockClient


class Orders(Stage):
    """Customers ─> order.placed; stock.released ─> order.cancelled."""

    name = topology.ORDERS

    def __init__(self, uri: str, plan: Plan, journal: Journal, open_orders: int) -> None:
        super().__init__(uri, plan, journal)
        self._plan = plan
        self._customers = iter(plan.ids())
        self._rush = min(open_orders, plan.orders)
        self._is_open = False
        self._placed = 0
        self._ended: set[int] = set()
        self._on_rush_placed = lambda: None
        self._stock = StockClient(self.connection)
        self.connection.consume(topology.ORDERS_ENDED, self._on_ended)
        self.connection.on_ready(self._open_the_shop)

    def on_ready(self, callback) -> None:
        """Ready means here: the opening rush is placed, the shop is full."""
        self._on_rush_placed = callback

    def work(self, fact: str, order: Order) -> Publication:
        self.journal.write(order.id, "cancelled")
        return event("order.cancelled", order)

    def _open_the_shop(self) -> None:
        if not self._is_open:  # a reconnection finds it open
            self._is_open = True
            for _ in range(self._rush):
                self._take_next()

    def _take_next(self) -> None:
        order_id = next(self._customers, None)
        if order_id is not None:
            sku, quantity, express = self._plan.basket(order_id)
            self._stock.reserve(Order(order_id, sku, quantity, express, clock_us()), self._place)

    def _place(self, order: Order, is_reserved: bool) -> None:
        if not is_reserved:
            raise RuntimeError(f"order {order.id}: no stock, though the plan stocked enough")
        placed = event("order.placed", order)
        placed = replace(placed, body=self.faults.spoil(order.id, placed.body))
        self.connection.publish(placed, lambda: self._on_placed(order))
        if self.faults.sends_twice(order.id):
            self.connection.publish(placed)

    def _on_placed(self, order: Order) -> None:
        self.journal.write(order.id, "placed")
        self._placed += 1
        if self._placed == self._rush:
            self._on_rush_placed()

    def _on_ended(self, delivery: Delivery) -> None:
        """An order was shipped, cancelled or dead-lettered: there is room for another."""
        if delivery.order_id not in self._ended:
            self._ended.add(delivery.order_id)
            self._take_next()
        delivery.ack()


if __name__ == "__main__":
    process.serve(Orders, takes_open_orders=True)
