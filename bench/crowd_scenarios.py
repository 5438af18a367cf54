"""How runs with many queues or clients go, and those in which one load stands beside another.

A scenario gets a `Run` and returns the report that the row's figures are read from. Nothing here
judges a figure.
"""

import disk
import processes
from scenarios import ACKED, DURABLE, NAMED, timed

# Longer than any run that a background load stands beside; it is ended with it.
ALL_THE_TIME = ("--warmup", 0, "--duration", 3600)
OTHER = ("--queue-name", "other-%d")
BODY_BYTES = 1024


def fanout(run, queues):
    """An exchange of the run's own with so many queues."""
    kind = ("--exchange", "perf-fanout", "--exchange-type", "fanout")
    return (*kind, "--queues", queues, "--consumers", queues, "--size", BODY_BYTES)


def fanout_100(run):
    with run.broker.start() as node:
        return run.perf(node, *timed(*fanout(run, run.count(100)))(run))


STOPPED_MESSAGES = 10_000


def stopped_100(run):
    """Consumers that read nothing, transient and persistent, in a broker of its own each."""
    messages = run.count(STOPPED_MESSAGES)
    load = (*fanout(run, run.count(100)), "--stopped", "--messages", messages)
    with run.broker.start() as node:
        transient = run.perf_counted(node, *load)
    with run.broker.start() as node:
        before = disk.folder_bytes(node.folder)
        persistent = run.perf_counted(node, *load, *DURABLE, "--confirm", 1000, "--keep")
        after = disk.folder_bytes(node.folder)
    return {
        "transient": grown_kib(transient),
        "persistent": grown_kib(persistent),
        "disk_kib": None if before is None else (after - before) / 1024,
    }


def grown_kib(report):
    """By how much the broker's memory has grown."""
    broker = report["broker"]
    return broker and broker["rss_after_kib"] - broker["rss_before_kib"]


QUEUES = {"leveret": 100_000, "rabbitmq": 10_000}


def queues(run):
    load = ("--declare", "--exchange", "amq.direct", "--connections", 10)
    with run.broker.start() as node:
        return run.perf_counted(node, *load, "--messages", run.amount(QUEUES))


BACKLOG = {"leveret": 10_000_000, "rabbitmq": 1_000_000}


def backlog_drain(run):
    """A backlog is drained while somebody goes on publishing to the same queue."""
    messages = run.amount(BACKLOG)
    publishing = (*NAMED, "--size", 16, *DURABLE, "--confirm", 1000, "--consumers", 0)
    with run.broker.start() as node:
        empty = node.pid and processes.memory_kib(node.pid)
        filled = run.perf_counted(node, *publishing, "--messages", messages, "--keep")
        full = node.pid and processes.memory_kib(node.pid)
        with run.background(node, *publishing, "--existing", *ALL_THE_TIME) as published:
            drained = run.perf_counted(node, *NAMED, "--drain", messages, *ACKED)
    return {
        "filled": filled,
        "grown_kib": empty and full["rss_kib"] - empty["rss_kib"],
        "drained": drained,
        "beside": published,
    }


def slow_consumer(run):
    """Three fast consumers of a queue, alone and beside one that takes ten messages a second."""
    fast = ("--existing", "--consumers", 3, "--ack", 1, "--prefetch", 100)
    slow = (*NAMED, "--existing", "--publishers", 0, "--consume-rate", 10)
    with run.broker.start() as node:
        run.perf_counted(node, *NAMED, "--messages", 1, "--keep")
        alone = run.perf(node, *timed(*fast)(run))
        with run.background(node, *slow, "--ack", 1, "--prefetch", 10, *ALL_THE_TIME):
            beside = run.perf(node, *timed(*fast)(run))
    return {"alone": alone, "beside": beside}


def churn(run):
    """Temporary queues come and go, 2,000 a second, beside a saturating load."""
    load = ("--churn", "--rate", 2000, "--connections", 4, "--duration", run.seconds + 2)
    with run.broker.start() as node:
        alone = run.perf(node, *timed("--size", 16)(run))
        with run.background(node, *load) as churned:
            beside = run.perf(node, *timed("--size", 16)(run))
    return {"alone": alone, "beside": beside, "churn": churned}


def topic(run, routing_key, keys):
    """Ten queues behind a topic exchange with 10,000 bindings."""
    bindings = ("--bindings", run.count(10_000), "--binding-key", "k.%d.*")
    exchange = ("--exchange", "perf-topic", "--exchange-type", "topic")
    load = (*exchange, *bindings, "--routing-key", routing_key, "--routing-keys", keys)
    with run.broker.start() as node:
        return run.perf(node, *timed("--queues", 10, "--consumers", 10, *load)(run))


def topic_cached(run):
    return topic(run, "k.%d.x", run.count(1000))


def topic_new(run):
    return topic(run, "k.0000000001.%d", 0)


def crowd(run):
    many = run.count(1000)
    load = ("--publishers", many, "--queues", many, "--consumers", many, "--rate", 20)
    acked = ("--prefetch", 20, "--ack", 1)
    with run.broker.start() as node:
        return run.perf(node, *timed(*load, *acked, "--size", BODY_BYTES)(run))


def fairness(run):
    many = run.count(200)
    load = ("--publishers", many, "--consumers", many, "--ack", 1, "--prefetch", 100)
    with run.broker.start() as node:
        return run.perf(node, *timed(*load, "--size", 16)(run))


def reply_to(run):
    load = ("--request-reply", "--connections", run.count(500))
    with run.broker.start() as node:
        return run.perf(node, *load, "--warmup", 1, "--duration", run.seconds)


def latency_beside(run):
    """A light client, alone and beside a load that takes all there is."""
    light = timed("--size", 16, "--rate", 1000, "--latency")(run)
    with run.broker.start() as node:
        alone = run.perf(node, *light)
        with run.background(node, *OTHER, "--size", 16, *ALL_THE_TIME):
            beside = run.perf(node, *light)
    return {"alone": alone, "beside": beside}


def many_publishers(run):
    """Hundreds of publishers to one queue in a broker with more threads than cores, and an unrelated
    pair."""
    light = timed("--size", 16, "--rate", 1000, "--latency")(run)
    crowd = (*OTHER, "--size", 16, "--publishers", run.count(500))
    with run.broker.start(threads=16) as node:
        with run.background(node, *crowd, *ALL_THE_TIME) as other:
            beside = run.perf(node, *light)
    return {"beside": beside, "crowd": other}
