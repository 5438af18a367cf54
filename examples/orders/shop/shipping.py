"""The shipping stage: hands the parcel to the carrier."""

from __future__ import annotations

from shop import process, topology
from shop.faults import simulate_work
from shop.message import Order, Publication, event
from shop.stage import Stage


class Shipping(Stage):
    """stock.picked ─> order.shipped, which the topic exchange passes on to the fanout exchange."""

    name = topology.SHIPPING

    def work(self, fact: str, order: Order) -> Publication:
        simulate_work(microseconds=100)
        self.journal.write(order.id, "shipped")
        return event("order.shipped", order)


if __name__ == "__main__":
    process.serve(Shipping)
