"""What is measured: one row per kind of load, with the figures taken from its report.

Owns the arguments of `leveret perf` for each row; never starts anything.
"""

MIB = 1024


class Figure:
    """One number of a report."""

    def __init__(self, name, unit, read, digits=0, more_is_better=True):
        self.name = name
        self.unit = unit
        self.read = read
        self.digits = digits
        self.more_is_better = more_is_better


class Row:
    """One kind of load."""

    def __init__(self, name, title, arguments, figures, by_default=True):
        self.name = name
        self.title = title
        self.arguments = arguments
        self.figures = figures
        self.by_default = by_default

    def command(self, broker, seconds):
        """Arguments of `leveret perf` for one broker, without its address."""
        words = self.arguments(broker, seconds)
        return [str(word) for word in words]


def rate(name="rate", path=("delivered", "per_second")):
    return Figure(name, "msg/s", lambda report: dig(report, path))


def cpu(path=("broker", "cpu_ns_per_message")):
    return Figure("broker CPU", "ns/msg", lambda report: dig(report, path), more_is_better=False)


def growth():
    return Figure(
        "RSS growth", "MiB", lambda report: report["grown_kib"] / MIB, 1, more_is_better=False
    )


def memory():
    return Figure(
        "RSS", "KiB/connection", lambda report: report["kib_per_connection"], 2, more_is_better=False
    )


def written():
    path = ("broker", "written_bytes_per_message")
    return Figure("written", "B/msg", lambda report: dig(report, path), 1, more_is_better=False)


def latency(name, path):
    return Figure(name, "µs", lambda report: dig(report, path), 1, more_is_better=False)


def dig(report, path):
    for key in path:
        report = report[key]
    return report


def load(*arguments):
    """A timed load on queues whose names have nine bytes, after a second of warm-up."""
    base = ("--queue-name", "perf-te-%d", "--warmup", 1)
    return lambda broker, seconds: (*base, "--duration", seconds, *arguments)


# RabbitMQ needs so much more memory per connection that ten times fewer tell the same.
IDLE_CONNECTIONS = {"leveret": 10_000, "rabbitmq": 1_000}

ROWS = [
    Row(
        "small",
        "16 B, transient, no-ack, 1 publisher, 1 queue, 1 consumer",
        load("--size", 16),
        [rate(), cpu()],
    ),
    Row(
        "idle",
        "idle connections with a channel each (10,000 for Leveret, 1,000 for RabbitMQ)",
        lambda broker, seconds: ("--idle", "--connections", IDLE_CONNECTIONS[broker]),
        [memory(), Figure("connects", "1/s", lambda report: report["connects_per_second"])],
    ),
    Row(
        "slow-reader",
        "1 MiB messages to a consumer that reads 4 MiB/s, a queue of at most 16",
        lambda broker, seconds: ("--slow-reader", "--duration", seconds),
        [growth(), latency("p99 of a fast pair beside it", ("bystander_latency_us", "p99"))],
    ),
    Row(
        "same-connection",
        "publish 500,000 of 16 B, drain them, then both at once, all on one connection",
        lambda broker, seconds: ("--same-connection", "--messages", 500_000),
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
        load("--size", 1024),
        [rate(), cpu()],
    ),
    Row(
        "4x4x4",
        "16 B, transient, no-ack, 4 publishers, 4 queues, 4 consumers",
        load("--size", 16, "--publishers", 4, "--queues", 4, "--consumers", 4),
        [rate(), cpu()],
    ),
    Row(
        "durable",
        "16 B, durable queue, persistent, confirm window 1,000, ack every 100, prefetch 2,000",
        load(
            *("--size", 16, "--durable", "--persistent", "--confirm", 1000),
            *("--ack", 100, "--prefetch", 2000),
        ),
        [rate("confirmed", ("published", "per_second")), cpu(), written()],
        by_default=False,
    ),
    Row(
        "latency",
        "16 B, 10,000 msg/s, end to end from the moment a message was due",
        load("--size", 16, "--rate", 10_000, "--latency"),
        [
            latency("p50", ("latency_us", "p50")),
            latency("p99", ("latency_us", "p99")),
            latency("p99.9", ("latency_us", "p99_9")),
        ],
        by_default=False,
    ),
]


def chosen(names):
    """The rows of a comma-separated list; all of them for `all`, the usual ones for nothing."""
    if not names:
        return [row for row in ROWS if row.by_default]
    if names == "all":
        return ROWS
    known = {row.name: row for row in ROWS}
    unknown = [name for name in names.split(",") if name not in known]
    if unknown:
        raise ValueError(f"no row {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names.split(",")]
