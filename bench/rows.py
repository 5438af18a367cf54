"""What is measured: one row per kind of load, with the figures taken from its report.

Owns which load a row is and what its figures are called, and which rows a name chooses; those with
many queues or clients are in crowds.py, how a run goes is in scenarios.py. Never starts anything.
"""

import crowds
import disk
import scenarios
from figures import (
    Figure,
    Row,
    confirmed,
    cpu,
    dig,
    memory,
    mib,
    micros,
    rate,
    seconds,
    sync,
)
from scenarios import ACKED, DURABLE, alone, beside_syncs, timed


def above_sync(report):
    """What a confirm takes beyond a tenth more than a sync."""
    return report["confirm_latency_us"]["p50"] - 1.1 * report["sync_us"]["p50"]


PUBLISHERS = 100


def by_syncs(report):
    """What as many publishers would reach if each of them waited for a sync of its own."""
    return disk.per_second(PUBLISHERS, report["sync_us"]["p50"])


def share_of_syncs(report):
    return report["published"]["per_second"] / by_syncs(report)


def drain_to_live(report):
    return report["drained"]["delivered"]["per_second"] / report["live"]["delivered"]["per_second"]


# RabbitMQ needs so much more memory per connection that ten times fewer tell the same.
IDLE_CONNECTIONS = {"leveret": 10_000, "rabbitmq": 1_000}

ROWS = [
    Row(
        "small",
        "16 B, transient, no-ack, 1 publisher, 1 queue, 1 consumer",
        alone(timed("--size", 16)),
        [rate(), cpu()],
    ),
    Row(
        "idle",
        "idle connections with a channel each (10,000 for Leveret, 1,000 for RabbitMQ)",
        alone(lambda run: ("--idle", "--connections", run.amount(IDLE_CONNECTIONS))),
        [memory(), crowds.kept(), Figure("connects", "1/s", lambda report: report["connects_per_second"])],
    ),
    Row(
        "slow-reader",
        "1 MiB messages to a consumer that reads 4 MiB/s, a queue of at most 16",
        alone(lambda run: ("--slow-reader", "--duration", run.seconds)),
        [
            mib("RSS growth", ("grown_kib",)),
            micros("p99 of a fast pair beside it", ("bystander_latency_us", "p99")),
        ],
    ),
    Row(
        "same-connection",
        "publish 500,000 of 16 B, drain them, then both at once, all on one connection",
        alone(lambda run: ("--same-connection", "--messages", 500_000)),
        [
            rate("publish", ("publish", "per_second")),
            rate("drain", ("drain", "per_second")),
            rate("both at once", ("both", "per_second")),
            cpu(("both", "broker", "cpu_ns_per_message")),
        ],
    ),
    Row(
        "1k",
        "1 KiB, transient, no-ack, 1 publisher, 1 queue, 1 consumer",
        alone(timed("--size", 1024)),
        [rate(), cpu()],
    ),
    Row(
        "4x4x4",
        "16 B, transient, no-ack, 4 publishers, 4 queues, 4 consumers",
        alone(timed("--size", 16, "--publishers", 4, "--queues", 4, "--consumers", 4)),
        [rate(), cpu()],
    ),
    Row(
        "latency",
        "16 B, 10,000 msg/s, end to end from the moment a message was due",
        alone(timed("--size", 16, "--rate", 10_000, "--latency")),
        [
            micros("p50", ("latency_us", "p50")),
            micros("p99", ("latency_us", "p99")),
            micros("p99.9", ("latency_us", "p99_9")),
        ],
        by_default=False,
    ),
    Row(
        "durable",
        "16 B, durable queue, persistent, confirm window 1,000, ack every 100, prefetch 2,000",
        alone(timed("--size", 16, *DURABLE, "--confirm", 1000, *ACKED)),
        [confirmed(), cpu()],
    ),
    Row(
        "durable-1k",
        "as durable with 1 KiB",
        alone(timed("--size", 1024, *DURABLE, "--confirm", 1000, *ACKED)),
        [confirmed(), cpu()],
    ),
    Row(
        "confirm-latency",
        "16 B, durable queue, persistent, one publish open at a time, no consumer",
        beside_syncs(
            *("--size", 16, *DURABLE, "--confirm", 1, "--confirm-latency", "--consumers", 0)
        ),
        [
            micros("publish to confirm, p50", ("confirm_latency_us", "p50")),
            micros("publish to confirm, p99", ("confirm_latency_us", "p99")),
            sync("4 KiB + fdatasync, p50", ("p50",)),
            sync("4 KiB + fdatasync, p99", ("p99",)),
            Figure("p50 above 1.1 syncs", "µs", above_sync, 1, False, compared=False),
        ],
        own_only=True,
    ),
    Row(
        "confirm-100",
        "as confirm-latency with 100 publishers",
        beside_syncs(
            *("--size", 16, *DURABLE, "--confirm", 1, "--consumers", 0, "--publishers", PUBLISHERS)
        ),
        [
            confirmed(),
            Figure("100 ÷ (4 KiB + fdatasync)", "1/s", by_syncs, compared=False),
            Figure("confirmed, share of that", "", share_of_syncs, 3, compared=False),
            cpu(),
            Figure(
                "load generator CPU",
                "ns/msg",
                lambda report: dig(report, ("published", "client_cpu_ns_per_message")),
                compared=False,
            ),
        ],
        own_only=True,
    ),
    Row(
        "declare",
        "durable queues of new names (5,000 and 50,000 for Leveret, 1,000 and 5,000 for RabbitMQ)",
        scenarios.declare,
        [
            rate("one connection", ("one", "declared", "per_second"), "1/s"),
            rate("100 connections", ("many", "declared", "per_second"), "1/s"),
        ],
        by_default=False,
    ),
    Row(
        "backlog",
        "16 B, durable, persistent, no consumer (10,000,000 for Leveret, 1,000,000 for RabbitMQ)",
        scenarios.backlog,
        [
            rate("filled", ("filled", "published", "per_second")),
            mib("RSS over the empty broker", ("grown_kib",)),
            mib("RSS over it at most", ("grown_max_kib",)),
            seconds("start after kill -9", ("start_after_kill_s",)),
            seconds("start after a clean stop", ("start_after_stop_s",)),
            rate("drained", ("drained", "delivered", "per_second")),
            cpu(("drained", "broker", "cpu_ns_per_message")),
            mib("RSS while drained, at most", ("drain_rss_max_kib",)),
            rate("live", ("live", "delivered", "per_second")),
            Figure("drained to live", "", drain_to_live, 3, compared=False),
        ],
        by_default=False,
        own_only=True,
    ),
    Row(
        "starts",
        "process start to ready (100,000 durable queues for Leveret, 10,000 for RabbitMQ)",
        scenarios.starts,
        [
            seconds("empty folder", ("empty_s",)),
            seconds("durable queues, after a clean stop", ("many_s",)),
        ],
        by_default=False,
        own_only=True,
    ),
    Row(
        "written",
        "as durable-1k until 500,000 are settled (100,000 for RabbitMQ)",
        scenarios.written,
        [
            Figure(
                "device, all writers",
                "B per B of payload",
                lambda report: report["device_bytes_per_payload_byte"],
                3,
                more_is_better=False,
            )
        ],
        by_default=False,
        own_only=True,
    ),
    *crowds.ROWS,
]

GROUPS = {
    "crowds": tuple(row.name for row in crowds.ROWS),
    "store": (
        *("durable", "durable-1k", "confirm-latency", "confirm-100"),
        *("declare", "backlog", "starts", "written"),
    )
}


def chosen(names):
    """The rows of a comma-separated list of rows and groups, each once; all of them for `all`, the
    usual ones for nothing."""
    if not names:
        return [row for row in ROWS if row.by_default]
    if names == "all":
        return ROWS
    known = {row.name: row for row in ROWS}
    wanted = [row for name in names.split(",") for row in GROUPS.get(name, (name,))]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are {', '.join([*known, *GROUPS])}")
    return [known[name] for name in dict.fromkeys(wanted)]
