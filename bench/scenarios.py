"""How one run of a row goes: which brokers it starts, what it lets `leveret perf` do to them, and what
else it looks at.

A scenario gets a `Run` and returns the report that the row's figures are read from. Nothing here
judges a figure.
"""

import contextlib
import json
import signal
import subprocess

import disk
import processes

# Beyond its own length a run declares, warms up, drains and closes.
RUN_EXTRA_S = 180
# A run that ends with a count takes what it takes.
COUNTED_TIMEOUT_S = 900

# Queues whose names have nine bytes.
NAMED = ("--queue-name", "perf-te-%d")
DURABLE = ("--durable", "--persistent")
ACKED = ("--ack", 100, "--prefetch", 2000)


class RunError(Exception):
    """A load run that failed, with what it said."""


class Run:
    """One run of a row against one broker."""

    def __init__(self, broker, binary, seconds, scale=1.0):
        self.broker = broker
        self.binary = binary
        self.seconds = seconds
        # By what all numbers of messages, queues and connections are multiplied, for trials.
        self.scale = scale
        # What was called, without addresses.
        self.commands = []

    def perf(self, node, *arguments, timeout_s=None):
        """Runs `leveret perf` against a started broker and returns its report."""
        limit_s = timeout_s or self.seconds + RUN_EXTRA_S
        process = self.start_perf(node, *arguments)
        return report_of(process, limit_s)

    def perf_counted(self, node, *arguments):
        """As `perf`, for a run that ends with a count instead of a time."""
        limits = ("--duration", COUNTED_TIMEOUT_S)
        return self.perf(node, *arguments, *limits, timeout_s=COUNTED_TIMEOUT_S + RUN_EXTRA_S)

    @contextlib.contextmanager
    def background(self, node, *arguments):
        """Runs `leveret perf` beside whatever happens in a `with`; gives a place where its report
        will be. Ends it by its signal when it has not ended by itself."""
        process = self.start_perf(node, *arguments)
        other = {}
        try:
            yield other
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            other.update(report_of(process, RUN_EXTRA_S))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def start_perf(self, node, *arguments):
        words = [str(word) for word in arguments]
        self.commands.append(" ".join(["leveret perf", *words]))
        target = ["--uri", node.uri, "--json"]
        if node.pid is not None:
            target += ["--pid", str(node.pid)]
        return subprocess.Popen(
            [self.binary, "perf", *target, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def amount(self, amounts):
        """RabbitMQ, and who is measured beside it, gets fewer where the same number would take it
        very long."""
        return self.count(amounts.get(self.broker.name, amounts["rabbitmq"]))

    def count(self, number):
        """A number of something, fewer in a trial."""
        return max(1, round(number * self.scale))


def report_of(process, limit_s):
    """The report of a `leveret perf` that was started, when it ends in time."""
    try:
        output, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as expired:
        raise RunError(f"no end after {limit_s} s") from expired
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise RunError(errors.strip() or f"exit code {process.returncode}")
    return json.loads(output)


def alone(arguments):
    """One `leveret perf` against a fresh broker; `arguments` may depend on the run."""

    def scenario(run):
        with run.broker.start() as node:
            return run.perf(node, *arguments(run))

    return scenario


def timed(*arguments):
    """Arguments of a timed load, after a second of warm-up."""
    return lambda run: (*NAMED, "--warmup", 1, "--duration", run.seconds, *arguments)


def beside_syncs(*arguments):
    """A timed load, and how long a sync takes on the broker's file system before and after it."""

    def scenario(run):
        with run.broker.start() as node:
            times = disk.sync_times_us(node.folder)
            report = run.perf(node, *timed(*arguments)(run))
            times += disk.sync_times_us(node.folder)
        report["sync_us"] = disk.sync_summary(times)
        return report

    return scenario


DECLARES_ONE = {"leveret": 5_000, "rabbitmq": 1_000}
DECLARES_MANY = {"leveret": 50_000, "rabbitmq": 5_000}


def declare(run):
    """Durable queues on one connection, then on a hundred at once."""
    options = ("--declare", "--durable", "--connections")
    with run.broker.start() as node:
        one = run.perf_counted(node, *options, 1, "--messages", run.amount(DECLARES_ONE))
        many = run.perf_counted(node, *options, 100, "--messages", run.amount(DECLARES_MANY))
    return {"one": one, "many": many}


BACKLOG = {"leveret": 10_000_000, "rabbitmq": 1_000_000}


def backlog(run):
    """A durable queue without consumers is filled, outlives a crash and a clean stop, and is drained.
    The live rate to compare with is that of a broker without a past."""
    messages = run.amount(BACKLOG)
    with run.broker.start() as node:
        live = run.perf(node, *timed("--size", 16, *DURABLE, "--confirm", 1000, *ACKED)(run))
    with run.broker.start() as node:
        empty = processes.memory_kib(node.pid)
        load = ("--size", 16, *DURABLE, "--confirm", 1000, "--consumers", 0, "--keep")
        filled = run.perf_counted(node, *NAMED, *load, "--messages", messages)
        processes.wait_until_quiet(node.pid)
        full = processes.memory_kib(node.pid)
        node.kill()
        after_kill_s = restart(node)
        node.stop()
        after_stop_s = restart(node)
        drained = run.perf_counted(node, *NAMED, "--drain", messages, *ACKED)
        emptied = processes.memory_kib(node.pid)
    return {
        "messages": messages,
        "live": live,
        "filled": filled,
        "grown_kib": full["rss_kib"] - empty["rss_kib"],
        "grown_max_kib": full["rss_max_kib"] - empty["rss_kib"],
        "start_after_kill_s": after_kill_s,
        "start_after_stop_s": after_stop_s,
        "drained": drained,
        "drain_rss_max_kib": emptied["rss_max_kib"] - empty["rss_kib"],
    }


def restart(node):
    """How long a start takes; what the broker goes on doing after it is waited for."""
    node.start()
    processes.wait_until_quiet(node.pid)
    return node.start_s


QUEUES = {"leveret": 100_000, "rabbitmq": 10_000}


def starts(run):
    """An empty folder, then one with many durable queues after a clean stop."""
    queues = run.amount(QUEUES)
    with run.broker.start() as node:
        empty_s = node.start_s
        options = ("--declare", "--durable", "--keep", "--connections", 10)
        run.perf_counted(node, *options, "--messages", queues)
        processes.wait_until_quiet(node.pid)
        node.stop()
        many_s = restart(node)
    return {"queues": queues, "empty_s": empty_s, "many_s": many_s}


WRITTEN_BODY_BYTES = 1024
WRITTEN = {"leveret": 500_000, "rabbitmq": 100_000}


def written(run):
    """Messages that are settled at once, and what the device was given to write meanwhile."""
    messages = run.amount(WRITTEN)
    load = ("--size", WRITTEN_BODY_BYTES, *DURABLE, "--confirm", 1000, *ACKED)
    with run.broker.start() as node:
        before = disk.written_bytes(node.folder)
        report = run.perf_counted(node, *NAMED, *load, "--messages", messages)
        after = disk.written_bytes(node.folder)
    payload = messages * WRITTEN_BODY_BYTES
    report["device_bytes_per_payload_byte"] = (
        None if before is None or after is None else (after - before) / payload
    )
    return report
