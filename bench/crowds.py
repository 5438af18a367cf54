"""The rows with many queues or clients, and with one load beside another.

Owns which load each of them is and what its figures are called; how a run goes is in
crowd_scenarios.py. Never starts anything.
"""

import crowd_scenarios
from figures import Figure, Row, cpu, dig, mib, micros, rate
from scenarios import alone, timed


def kept():
    read = lambda report: report["kib_kept_per_connection"]
    return Figure("RSS when they are gone", "KiB/connection", read, 2, more_is_better=False)


def times(name, path):
    """One figure over another, of the same broker."""
    over = lambda report: share(dig(report, path[0]), dig(report, path[1]))
    return Figure(name, "", over, 3, compared=False)


def share(part, whole):
    return part / whole if part is not None and whole else None


RATE = ("delivered", "per_second")

ROWS = [
    Row(
        "latency-100k",
        "16 B, 100,000 msg/s, end to end from the moment a message was due",
        alone(timed("--size", 16, "--rate", 100_000, "--latency")),
        [
            micros("p50", ("latency_us", "p50")),
            micros("p99", ("latency_us", "p99")),
            micros("p99.9", ("latency_us", "p99_9")),
            rate(),
        ],
        by_default=False,
    ),
    Row(
        "latency-beside",
        "16 B, 1,000 msg/s, alone and beside a saturating load of 16 B on another queue",
        crowd_scenarios.latency_beside,
        [
            micros("p99 alone", ("alone", "latency_us", "p99")),
            micros("p99 beside the load", ("beside", "latency_us", "p99")),
        ],
        by_default=False,
    ),
    Row(
        "fanout-100",
        "1 KiB, transient, 1 publisher, fanout to 100 queues with a consumer each",
        crowd_scenarios.fanout_100,
        [rate("deliveries"), cpu()],
        by_default=False,
    ),
    Row(
        "stopped-100",
        "10,000 × 1 KiB, fanout to 100 consumers that read nothing",
        crowd_scenarios.stopped_100,
        [
            mib("RSS growth, transient", ("transient",)),
            mib("RSS growth, persistent", ("persistent",)),
            mib("disk growth, persistent", ("disk_kib",)),
        ],
        by_default=False,
        own_only=True,
    ),
    Row(
        "queues-100k",
        "queues with a binding each (100,000 for Leveret, 10,000 for RabbitMQ)",
        crowd_scenarios.queues,
        [
            Figure("RSS", "KiB/queue", lambda r: r["kib_per_queue"], 2, more_is_better=False),
            rate("declared and bound", ("declared", "per_second"), "1/s"),
            rate("deleted", ("deleted", "per_second"), "1/s"),
        ],
        by_default=False,
    ),
    Row(
        "backlog-drain",
        "16 B, durable, persistent (10,000,000 for Leveret, 1,000,000 for RabbitMQ), drained while a "
        "publisher goes on",
        crowd_scenarios.backlog_drain,
        [
            rate("filled", ("filled", "published", "per_second")),
            mib("RSS over the empty broker", ("grown_kib",)),
            rate("drained", ("drained", *RATE)),
            rate("published meanwhile", ("beside", "published", "per_second")),
        ],
        by_default=False,
        own_only=True,
    ),
    Row(
        "slow-consumer",
        "16 B, 3 consumers with acks, alone and beside a fourth that takes 10 msg/s",
        crowd_scenarios.slow_consumer,
        [
            rate("alone", ("alone", *RATE)),
            rate("beside the slow one", ("beside", *RATE)),
            times("beside to alone", (("beside", *RATE), ("alone", *RATE))),
        ],
        by_default=False,
        own_only=True,
    ),
    Row(
        "churn",
        "2,000 temporary queues a second declared, bound, deleted, beside row small",
        crowd_scenarios.churn,
        [
            rate("alone", ("alone", *RATE)),
            rate("beside the churn", ("beside", *RATE)),
            rate("temporary queues", ("churn", "per_second"), "1/s"),
            micros("p99 of their cycle", ("churn", "latency_us", "p99")),
        ],
        by_default=False,
    ),
    Row(
        "topic-cached",
        "16 B, topic exchange with 10,000 bindings, 1,000 routing keys in turn",
        crowd_scenarios.topic_cached,
        [rate(), cpu()],
        by_default=False,
    ),
    Row(
        "topic-new",
        "16 B, topic exchange with 10,000 bindings, every routing key new",
        crowd_scenarios.topic_new,
        [rate(), cpu()],
        by_default=False,
    ),
    Row(
        "crowd",
        "1 KiB, 1,000 publishers, queues and consumers at 20 msg/s each, prefetch 20, ack each",
        crowd_scenarios.crowd,
        [rate(), cpu()],
        by_default=False,
    ),
    Row(
        "fairness",
        "16 B, 200 publishers, 1 queue, 200 consumers with acks",
        crowd_scenarios.fairness,
        [
            rate(),
            Figure(
                "slowest consumer to their mean",
                "",
                lambda report: dig(report, ("delivered", "shares", "slowest_to_mean")),
                3,
                compared=False,
            ),
        ],
        by_default=False,
    ),
    Row(
        "acked",
        "16 B, transient, manual ack of each, prefetch 200, 1 publisher, 1 queue, 1 consumer",
        alone(timed("--size", 16, "--ack", 1, "--prefetch", 200)),
        [rate(), cpu()],
        by_default=False,
    ),
    Row(
        "reply-to",
        "16 B, direct reply-to, 500 clients with a request at a time each, 1 server",
        crowd_scenarios.reply_to,
        [
            rate("requests", ("per_second",), "1/s"),
            micros("p99", ("latency_us", "p99")),
            cpu(),
        ],
        by_default=False,
    ),
    Row(
        "many-publishers",
        "500 publishers of 16 B to one queue, broker with 16 worker threads; an unrelated pair at "
        "1,000 msg/s",
        crowd_scenarios.many_publishers,
        [
            micros("p99 of the unrelated pair", ("beside", "latency_us", "p99")),
            rate("crowd", ("crowd", "published", "per_second")),
        ],
        by_default=False,
        own_only=True,
    ),
]
