"""The worker processes of a run, one per stage.

Owns their start and stop order. Never talks AMQP.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from shop import process, topology
from shop.child import STOP_S, Child, ChildFailed
from shop.plan import Plan

READY_S = 60


class Workers:
    """Starts all stages; stops all of them, whatever happens, when the `with` block ends."""

    def __init__(self, uri: str, plan: Plan, open_orders: int, directory: Path) -> None:
        self._uri = uri
        self._plan = plan
        self._open_orders = open_orders
        self._directory = directory
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_exception) -> None:
        self._end()

    def start(self) -> None:
        """Consumers first, payment last.

        `orders` is ready when the opening rush waits in the payment queue, so the first messages
        payment gets show whether the queue hands out express orders first.
        """
        first = (topology.NOTIFICATION, topology.SHIPPING, topology.INVENTORY)
        for stages in (first, (topology.ORDERS,), (topology.PAYMENT,)):
            for stage in stages:
                self._children[stage] = self._start_stage(stage)
            for stage in stages:
                self._await_ready(stage)

    def check(self) -> None:
        """ChildFailed if one has ended."""
        for child in self._children.values():
            child.check()

    def stop(self) -> None:
        """Ends all of them in good order; ChildFailed if one could not."""
        for name, status in self._end().items():
            if status != 0:
                raise ChildFailed(f"{name} ended with status {status} when told to stop")

    def journal(self, stage: str) -> Path:
        """The file in which a stage writes what it did."""
        return self._directory / f"{stage}.journal"

    def _start_stage(self, stage: str) -> Child:
        command = [sys.executable, "-m", f"shop.{stage}", "--journal", str(self.journal(stage))]
        command += ["--seed", str(self._plan.seed), "--orders", str(self._plan.orders)]
        if stage == topology.ORDERS:
            command += ["--open-orders", str(self._open_orders)]
        log = self._directory / f"{stage}.log"
        return Child(stage, command, log, {"AMQP_URI": self._uri})

    def _await_ready(self, stage: str) -> None:
        line = self._children[stage].first_line(READY_S)
        if line != process.READY:
            raise ChildFailed(f"{stage} said {line!r} instead of {process.READY!r}")

    def _end(self) -> dict[str, int]:
        children, self._children = self._children, {}
        for child in children.values():
            child.terminate()
        ends_at = time.monotonic() + STOP_S
        return {
            name: child.wait(within_s=max(0, ends_at - time.monotonic()))
            for name, child in children.items()
        }
