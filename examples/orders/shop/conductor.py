"""One run from its first process to its verdict.

Owns the order of things: broker, topology, workers, audit, accounts, and the same backwards. Never
talks AMQP itself. Whatever ends the run, an exception included, every `with` block it opened ends.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shop import report, topology
from shop.accounting import Evidence, judge
from shop.audit import Audit
from shop.broker import OwnBroker, is_answering
from shop.plan import Plan
from shop.premises import drain_dead_letters, open_shop
from shop.progress import ProgressBar
from shop.workers import Workers

TICK_S = 0.2
GRACE_S = 30  # for what comes before and after the orders, and for clearing up


class RunFailed(Exception):
    """The run could not come to its accounts."""


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    uri: str
    orders: int
    seed: int
    open_orders: int
    deadline_s: float
    kills_broker: bool
    keep: Path | None


def conduct(options: Options) -> bool:
    """Runs the shop; whether every order is accounted for."""
    plan = Plan(options.seed, options.orders)
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(_directory(options.keep))
        own_broker = stack.enter_context(_own_broker_if_needed(options, directory))
        uri = own_broker.uri if own_broker else options.uri
        stack.enter_context(_time_limit(options.deadline_s + GRACE_S))
        stack.enter_context(open_shop(uri))
        workers = stack.enter_context(Workers(uri, plan, options.open_orders, directory))
        audit = Audit(uri, plan)
        started_at = time.monotonic()
        workers.start()
        Watch(audit, workers, own_broker, options).run()
        seconds = time.monotonic() - started_at
        workers.stop()
        evidence = _collect(plan, audit, workers, uri)
    findings = judge(plan, evidence, rush=min(options.open_orders, options.orders))
    report.print_figures(plan, evidence, audit.latencies_ms, seconds)
    report.print_verdict(evidence, findings)
    return not findings


class Watch:
    """Looks at everything a few times a second while the audit consumes."""

    def __init__(self, audit: Audit, workers: Workers, own_broker, options: Options) -> None:
        self._audit = audit
        self._workers = workers
        self._own_broker = own_broker
        self._bar = ProgressBar(options.orders)
        self._deadline = time.monotonic() + options.deadline_s
        self._deadline_s = options.deadline_s
        thirds = (options.orders // 3, options.orders * 2 // 3)
        self._kill_at = list(thirds) if options.kills_broker else []

    def run(self) -> None:
        """Returns when the audit is complete; raises when it cannot be."""
        self._tick()
        try:
            self._audit.connection.run()
            self._bar.show(len(self._audit.ended))
        finally:
            self._bar.end()
        if self._kill_at:
            raise RunFailed("all orders ended before the broker could be killed: send more")

    def _tick(self) -> None:
        ended = len(self._audit.ended)
        self._bar.show(ended)
        self._workers.check()
        if self._own_broker:
            self._own_broker.check()
        if self._kill_at and ended >= self._kill_at[0]:
            self._kill_at.pop(0)
            self._own_broker.kill_and_restart()
        if time.monotonic() > self._deadline:
            missing = report.missing_orders(self._audit.missing())
            raise RunFailed(f"not everything has happened after {self._deadline_s:.0f} s{missing}")
        self._audit.connection.loop.call_later(TICK_S, self._tick)


def _collect(plan: Plan, audit: Audit, workers: Workers, uri: str) -> Evidence:
    endings = {order_id: audit.ending(order_id) for order_id in plan.ids()}
    evidence = Evidence(endings, drain_dead_letters(uri), audit.duplicates)
    evidence.losses = audit.connection.losses
    for stage in topology.STAGES:
        evidence.read(stage, workers.journal(stage))
    return evidence


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Ends the block by an exception, even in a call that waits for a broker which has gone silent.

    It expires again every GRACE_S, in case the clearing up meets the same silence.
    """

    def expire(_signal, _frame) -> None:
        raise RunFailed(f"the time limit of {seconds:.0f} s has passed: does the broker hang?")

    signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, GRACE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """Where journals and logs go: a new folder below `keep`, or one that ends with the run."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="orders-example-") as directory:
            yield Path(directory)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        directory = tempfile.mkdtemp(prefix="run-", dir=keep)
        print(f"journals and logs: {directory}")
        yield Path(directory)


@contextlib.contextmanager
def _own_broker_if_needed(options: Options, directory: Path) -> Iterator[OwnBroker | None]:
    """A broker of our own where none answers, and always when it is going to be killed."""
    if not options.kills_broker and is_answering(options.uri):
        print("using the broker that answers")
        yield None
        return
    broker = OwnBroker(directory)
    print(f"started leveret, stored in {directory}")
    try:
        yield broker
    finally:
        broker.stop()
