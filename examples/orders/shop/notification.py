"""The notification stage: tells the customer how the order ended."""

from __future__ import annotations

from shop import process, topology
from shop.faults import simulate_work
from shop.message import Order, Publication, event
from shop.stage import Stage


class Notification(Stage):
    """order.shipped or order.cancelled, from the fanout exchange ─> customer.notified."""

    name = topology.NOTIFICATION

    def work(self, fact: str, order: Order) -> Publication:
        simulate_work(microseconds=50)
        self.journal.write(order.id, "notified", of=fact)
        return event("customer.notified", order)


if __name__ == "__main__":
    process.serve(Notification)
