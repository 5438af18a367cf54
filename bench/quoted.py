"""Figures of brokers that cannot be measured here, as their makers published them.

Owns what is quoted, with source and date; nothing here was measured beside anything else.
"""

LAVINMQ = {
    "name": "LavinMQ 2.9.0",
    "source": "https://github.com/cloudamqp/lavinmq-benchmark, results/v2.9.0/throughput.md and "
    "latency_P99.md, commit 701210b",
    "read": "2026-11-22",
    "conditions": "Broker and load generator on separate EC2 instances of the same type; "
    "`lavinmqperf throughput -z 60 -x 1 -y 1 -s SIZE`: one publisher, one consumer, transient messages, "
    "no acknowledgements, no confirms. The load generator takes nothing from the broker's cores, so these "
    "rates compare with rows `small` and `1k` only with that in mind.",
    "rates": [
        # instance, cores, 16 B, 1 KiB; messages per second
        ("c7a.large, 2 vCPU, AMD EPYC 4th generation", 709_870, 336_300),
        ("i7i.large, 2 vCPU, Intel Xeon 5th generation", 687_107, 358_352),
        ("c8g.large, 2 vCPU, Graviton4", 983_119, 412_307),
        ("i8g.large, 2 vCPU, Graviton4", 1_012_726, 398_683),
    ],
    "latencies": [
        # messages of 16 B per second, p99 in milliseconds on c7a.large and c8g.large
        (10_000, 0.25, 0.31),
        (100_000, 1.58, 0.52),
    ],
}


def markdown(quoted=LAVINMQ):
    """A section of a report."""
    lines = [
        f"## {quoted['name']}, quoted",
        "",
        f"Not measured here: published by its makers. Source: {quoted['source']}, read on "
        f"{quoted['read']}. {quoted['conditions']}",
        "",
        "| instance | 16 B, consumed msg/s | 1 KiB, consumed msg/s |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {small:,} | {large:,} |" for name, small, large in quoted["rates"]]
    lines += ["", "| 16 B, msg/s | p99 on c7a.large, ms | p99 on c8g.large, ms |", "|---:|---:|---:|"]
    lines += [f"| {rate:,} | {amd} | {arm} |" for rate, amd, arm in quoted["latencies"]]
    return "\n".join(lines)
