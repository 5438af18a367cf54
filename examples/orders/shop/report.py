"""Prints the figures of a run. Owns the wording; never decides whether the run passed."""

from __future__ import annotations

from collections import Counter

from shop import topology
from shop.accounting import Evidence
from shop.plan import Ending, Plan, Story

FINDINGS_SHOWN = 50


def print_figures(plan: Plan, evidence: Evidence, latencies_ms: dict, seconds: float) -> None:
    """The table at the end of a run."""
    express, standard = latencies_ms[True], latencies_ms[False]
    released = sum(count for (_, _, did), count in evidence.effects.items() if did == "released")
    rows = {
        "throughput": f"{plan.orders / seconds:,.0f} orders/s ({plan.orders:,} in {seconds:.1f} s)",
        "latency": f"{_percentiles(express + standard)}, from stock request to notification",
        "  express": _percentiles(express),
        "  standard": _percentiles(standard),
        "retries": _retries(evidence),
        "dead letters": _dead_letters(plan, evidence),
        "duplicates": f"{evidence.noted_duplicates.total():,}, recognised by message id",
        "compensations": f"{released:,}, stock released and order cancelled",
        "connections": f"{evidence.losses} lost",
    }
    for name, value in rows.items():
        print(f"{name:<14} {value}")


def print_verdict(evidence: Evidence, findings: list[str]) -> None:
    """PASSED, or the findings."""
    for finding in findings[:FINDINGS_SHOWN]:
        print(f"  {finding}")
    if len(findings) > FINDINGS_SHOWN:
        print(f"  and {len(findings) - FINDINGS_SHOWN:,} more")
    if findings:
        print(f"FAILED: deviations from the plan: {len(findings):,}")
        return
    endings = Counter(evidence.endings.values())
    counts = ", ".join(f"{endings[ending]:,} {ending.value}" for ending in Ending)
    print(f"PASSED: every order is accounted for: {counts}")


def missing_orders(missing: dict[str, list[int]]) -> str:
    """All ids, by what is missing."""
    return "".join(
        f"\n  {what}: {len(ids):,} orders: {_ids(ids)}" for what, ids in missing.items() if ids
    )


def _ids(ids: list[int]) -> str:
    """All ids, neighbours joined: 3, 7-9."""
    runs: list[list[int]] = []
    for order_id in ids:
        if runs and order_id == runs[-1][-1] + 1:
            runs[-1][1:] = [order_id]
        else:
            runs.append([order_id])
    return ", ".join("-".join(str(end) for end in run) for run in runs)


def _percentiles(values: list[float]) -> str:
    if not values:
        return "no orders"
    ordered = sorted(values)
    p50, p95 = (ordered[int((len(ordered) - 1) * share)] for share in (0.50, 0.95))
    return f"p50 {p50:,.0f} ms, p95 {p95:,.0f} ms"


def _retries(evidence: Evidence) -> str:
    per_level = Counter()
    for (_, level), count in evidence.retries.items():
        per_level[level] += count
    delays = enumerate(topology.RETRY_DELAYS_MS, start=1)
    detail = ", ".join(f"{per_level[level]:,} after {delay} ms" for level, delay in delays)
    return f"{per_level.total():,}: {detail}"


def _dead_letters(plan: Plan, evidence: Evidence) -> str:
    stories = Counter(plan.fate(letter.order_id).story for letter in evidence.dead_letters)
    malformed, cursed = stories[Story.MALFORMED], stories[Story.CURSED]
    return f"{stories.total():,}: {malformed:,} malformed, {cursed:,} out of attempts"
