"""The idempotent consumer: how each stage takes a message, works, and settles.

Owns the order of steps that makes at-least-once delivery safe. Never knows what the work is: each
stage's module says that in `work`.

    delivery ─> parse ─────────────── cannot ──> reject: to the dead letters, at once
                  │
                  ├─ seen this message id ─────> note the duplicate, ack
                  │
                 work ─── TransientFailure ────> publish to a retry queue, confirm, ack
                  │              └─ attempts used up ──> reject: to the dead letters
                  │
               publish what happened ─> confirm ─> ack

The ack comes last. A crash at any point before it makes the broker deliver the message again, and
the second delivery finds either no work done or the message id in the books.
"""

from __future__ import annotations

from shop import topology
from shop.connection import PREFETCH, Connection
from shop.faults import Faults, TransientFailure
from shop.journal import Journal
from shop.message import Delivery, Malformed, Order, Publication, event
from shop.plan import Plan

LAST_ATTEMPT = len(topology.RETRY_DELAYS_MS) + 1


class Stage:
    """One process of the shop. A subclass names itself and implements `work`."""

    name: str
    prefetch = PREFETCH

    def __init__(self, uri: str, plan: Plan, journal: Journal) -> None:
        self.connection = Connection(uri, self.name, self.prefetch)
        self.faults = Faults(plan, self.name)
        self.journal = journal
        # The idempotency table. A shop keeps it in the database, in the transaction of the work,
        # and forgets ids after some days; here it lasts as long as the process.
        self._finished: set[str] = set()
        self._unconfirmed: dict[str, list[Delivery]] = {}
        self.connection.consume(topology.work_queue(self.name), self._on_delivery)

    def work(self, fact: str, order: Order) -> Publication:
        """Does this stage's work for the fact; returns what to publish about it."""
        raise NotImplementedError

    def on_ready(self, callback) -> None:
        """Calls back when this process can do its part."""
        self.connection.on_ready(callback)

    def closing_figures(self) -> dict:
        """What the accounting wants to know besides the deeds."""
        return {"losses": self.connection.losses}

    def _on_delivery(self, delivery: Delivery) -> None:
        message_id = delivery.properties.message_id
        try:
            order = Order.from_bytes(delivery.body)
        except Malformed:
            delivery.reject()
            return
        if message_id in self._finished:
            self._note_duplicate(delivery, order)
        elif message_id in self._unconfirmed:
            self._unconfirmed[message_id].append(delivery)
        else:
            self._attempt(delivery, order)

    def _attempt(self, delivery: Delivery, order: Order) -> None:
        if delivery.attempt > 1:
            waited = round(delivery.age_ms, 1)
            self.journal.write(order.id, "retried", level=delivery.attempt - 1, waited_ms=waited)
        try:
            self.faults.strike(order.id, delivery.attempt)
            follow_up = self.work(delivery.properties.type, order)
        except TransientFailure:
            self._retry(delivery)
            return
        message_id = delivery.properties.message_id
        self._unconfirmed[message_id] = [delivery]
        self.connection.publish(follow_up, lambda: self._finish(message_id, order))

    def _retry(self, delivery: Delivery) -> None:
        if delivery.attempt == LAST_ATTEMPT:
            delivery.reject()
        else:
            self.connection.publish(delivery.next_attempt(self.name), delivery.ack)

    def _finish(self, message_id: str, order: Order) -> None:
        """The broker has the follow-up: from here on this message is done."""
        delivery, *duplicates = self._unconfirmed.pop(message_id)
        self._finished.add(message_id)
        if self.faults.loses_ack(order.id):
            delivery.requeue()
        else:
            delivery.ack()
        for duplicate in duplicates:
            self._note_duplicate(duplicate, order)

    def _note_duplicate(self, delivery: Delivery, order: Order) -> None:
        self.journal.write(order.id, "duplicate")
        self.connection.publish(event(f"duplicate.{self.name}", order), delivery.ack)
