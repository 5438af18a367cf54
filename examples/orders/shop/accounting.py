"""Compares what happened with what the plan predicted.

Owns the judgement, nothing else: `judge` is a pure function from evidence to a list of findings,
and no findings means that every order is accounted for. Three witnesses who do not know each other
must agree: the messages the audit heard, the journals of the workers, the dead-letter queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shop import topology
from shop.journal import read_journal
from shop.plan import SKUS, Ending, Plan, Story
from shop.premises import DeadLetter

CLOCK_SLACK_MS = 2  # brokers count message ages in whole milliseconds


@dataclass
class Evidence:
    """All that is known about a run after it has ended."""

    endings: dict[int, Ending | None]
    dead_letters: list[DeadLetter]
    duplicates: Counter = field(default_factory=Counter)  # (order, stage), heard by the audit
    effects: Counter = field(default_factory=Counter)  # (order, service, deed)
    retries: Counter = field(default_factory=Counter)  # (order, level)
    noted_duplicates: Counter = field(default_factory=Counter)  # (order, stage), from the journals
    waits_ms: list[tuple[int, float]] = field(default_factory=list)  # (level, waited)
    payments: list[int] = field(default_factory=list)  # order ids as payment worked on them
    stock: dict[str, dict[str, int]] = field(default_factory=dict)
    losses: int = 0  # connections lost: redeliveries the plan could not foresee

    def read(self, stage: str, journal: Path) -> None:
        """Takes in the journal of one worker."""
        for line in read_journal(journal):
            if "closing" in line:
                self._read_closing(line["closing"])
            elif line["did"] == "retried":
                self.retries[line["order"], line["level"]] += 1
                self.waits_ms.append((line["level"], line["waited_ms"]))
            elif line["did"] == "duplicate":
                self.noted_duplicates[line["order"], stage] += 1
            else:
                self.effects[line["order"], stage, line["did"]] += 1
                if stage == topology.PAYMENT:
                    self.payments.append(line["order"])

    def _read_closing(self, figures: dict) -> None:
        self.losses += figures["losses"]
        if "on_hand" in figures:
            self.stock = {"on_hand": figures["on_hand"], "reserved": figures["reserved"]}


def judge(plan: Plan, evidence: Evidence, rush: int) -> list[str]:
    """Every deviation from the plan, in words; empty when all is as predicted."""
    checks = (
        _endings(plan, evidence),
        _effects(plan, evidence),
        _dead_letters(plan, evidence),
        _retries(plan, evidence),
        _duplicates(plan, evidence),
        _stock(plan, evidence),
        _priorities(plan, evidence, rush),
    )
    return [finding for check in checks for finding in check]


def _endings(plan: Plan, evidence: Evidence) -> Iterator[str]:
    for order_id in plan.ids():
        due, seen = plan.prediction(order_id).ending, evidence.endings.get(order_id)
        if seen is not due:
            ended = seen.value if seen else "without a clear ending"
            yield f"order {order_id}: predicted {due.value}, found {ended}"


def _effects(plan: Plan, evidence: Evidence) -> Iterator[str]:
    """Each deed exactly once, whatever was delivered twice."""
    due = Counter(
        (order_id, service, did)
        for order_id in plan.ids()
        for service, did in plan.prediction(order_id).effects
    )
    for order_id, service, did in sorted(due.keys() | evidence.effects.keys()):
        wanted, found = due[order_id, service, did], evidence.effects[order_id, service, did]
        if wanted != found:
            yield f"order {order_id}: {service} {did} {found} times, predicted {wanted}"


def _dead_letters(plan: Plan, evidence: Evidence) -> Iterator[str]:
    due = Counter()
    for order_id in plan.ids():
        died_at = plan.prediction(order_id).died_at
        if died_at:
            due[DeadLetter(order_id, topology.work_queue(died_at), "rejected")] += 1
    yield from _compare("dead letter", due, Counter(evidence.dead_letters), evidence.losses)


def _retries(plan: Plan, evidence: Evidence) -> Iterator[str]:
    due = Counter(
        (order_id, level)
        for order_id in plan.ids()
        for level in range(1, plan.prediction(order_id).retries + 1)
    )
    yield from _compare("retry (order, level)", due, evidence.retries, evidence.losses)
    for level, waited_ms in evidence.waits_ms:
        delay_ms = topology.RETRY_DELAYS_MS[level - 1]
        if waited_ms < delay_ms - CLOCK_SLACK_MS:
            yield f"a retry of level {level} came back after {waited_ms} ms, before its {delay_ms}"


def _duplicates(plan: Plan, evidence: Evidence) -> Iterator[str]:
    due = Counter()
    for order_id in plan.ids():
        stage = plan.prediction(order_id).duplicate_at
        if stage:
            due[order_id, stage] += 1
    yield from _compare("duplicate", due, evidence.noted_duplicates, evidence.losses)
    if not evidence.losses and evidence.duplicates != evidence.noted_duplicates:
        yield "the duplicates in the journals are not the duplicates the audit heard of"


def _stock(plan: Plan, evidence: Evidence) -> Iterator[str]:
    """Released stock is on hand again, dead-lettered orders before picking still hold theirs."""
    on_hand, reserved = dict.fromkeys(SKUS, 0), dict.fromkeys(SKUS, 0)
    for order_id in plan.ids():
        sku, quantity, _ = plan.basket(order_id)
        deeds = {did for _, did in plan.prediction(order_id).effects}
        if "released" in deeds:
            on_hand[sku] += quantity
        elif "picked" not in deeds:
            reserved[sku] += quantity
    for what, due in (("on_hand", on_hand), ("reserved", reserved)):
        found = evidence.stock.get(what, {})
        for sku in SKUS:
            if found.get(sku) != due[sku]:
                yield f"stock of {sku}, {what}: predicted {due[sku]}, found {found.get(sku)}"


def _priorities(plan: Plan, evidence: Evidence, rush: int) -> Iterator[str]:
    """Of the rush that waited in the queue, payment got the express orders first."""
    fails_there = (Story.FLAKY, Story.CURSED)
    first_standard = None
    for order_id in dict.fromkeys(evidence.payments):
        fate = plan.fate(order_id)
        if order_id > rush or (fate.story in fails_there and fate.stage == topology.PAYMENT):
            continue
        _, _, is_express = plan.basket(order_id)
        if is_express and first_standard is not None:
            yield f"express order {order_id} was paid after standard order {first_standard}"
        elif not is_express and first_standard is None:
            first_standard = order_id


def _compare(what: str, due: Counter, found: Counter, losses: int) -> Iterator[str]:
    """Equal; or, after a lost connection, nothing missing and nothing the plan does not know."""
    for key in sorted(due.keys() | found.keys(), key=str):
        is_right = found[key] == due[key]
        if losses:
            is_right = found[key] >= due[key]
        if not is_right:
            yield f"{what} {key}: found {found[key]} times, predicted {due[key]}"
