"""Makes the plan's failures happen.

Owns nothing but the plan; the stages call it at the points where a real shop fails: a service that
is unreachable, a bank that says no, an acknowledgement that never arrives. Take these calls away
and the workers are what they would be in production.
"""

from __future__ import annotations

import time

from shop.plan import Plan, Story


class TransientFailure(Exception):
    """Something that may well succeed later: a timeout, a lock, a service that restarts."""


class Faults:
    """The deliberate failures of one stage."""

    def __init__(self, plan: Plan, stage: str) -> None:
        self._plan = plan
        self._stage = stage
        self._acks_lost: set[int] = set()

    def strike(self, order_id: int, attempt: int) -> None:
        """Raises TransientFailure when the plan wants this attempt (1, 2, …) to fail."""
        fate = self._plan.fate(order_id)
        if fate.stage == self._stage and attempt <= fate.failures:
            raise TransientFailure(f"attempt {attempt} at {self._stage}")

    def loses_ack(self, order_id: int) -> bool:
        """Whether the acknowledgement of this finished work is to be lost; true once per order."""
        fate = self._plan.fate(order_id)
        if fate.story is not Story.ACK_LOST or fate.stage != self._stage:
            return False
        if order_id in self._acks_lost:
            return False
        self._acks_lost.add(order_id)
        return True

    def bank_declines(self, order_id: int) -> bool:
        """Whether the bank refuses to pay this order."""
        return self._plan.fate(order_id).story is Story.DECLINED

    def sends_twice(self, order_id: int) -> bool:
        """Whether the shop publishes this order a second time."""
        return self._plan.fate(order_id).story is Story.SENT_TWICE

    def spoil(self, order_id: int, body: bytes) -> bytes:
        """The body as it is sent: cut in half when the plan wants a malformed message."""
        if self._plan.fate(order_id).story is Story.MALFORMED:
            return body[: len(body) // 2]
        return body


def simulate_work(microseconds: int) -> None:
    """Stands for the work that a real stage would do."""
    time.sleep(microseconds / 1_000_000)
