"""The payment stage: charges the customer, or hears that the bank declines.

A declined payment is not a failure of this process. It is a fact, published like any other, and the
stages that hold something for the order act on it: that is the saga.
"""

from __future__ import annotations

from shop import process, topology
from shop.faults import simulate_work
from shop.message import Order, Publication, event
from shop.stage import Stage


class Payment(Stage):
    """order.placed ─> payment.accepted or payment.declined."""

    name = topology.PAYMENT
    # Small, because messages that were already delivered are out of the priority queue's reach:
    # an express order can overtake the queue, not the prefetch.
    prefetch = 20

    def work(self, fact: str, order: Order) -> Publication:
        simulate_work(microseconds=200)
        if self.faults.bank_declines(order.id):
            self.journal.write(order.id, "declined")
            return event("payment.declined", order)
        self.journal.write(order.id, "charged")
        return event("payment.accepted", order)


if __name__ == "__main__":
    process.serve(Payment)
