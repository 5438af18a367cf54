"""What a row is and how its figures are read from a report.

Owns the words of a row's description; which rows there are is in rows.py and crowds.py. Never
starts anything.
"""

KIB_PER_MIB = 1024


class Figure:
    """One number of a report; `read` may find none."""

    def __init__(self, name, unit, read, digits=0, more_is_better=True, compared=True):
        self.name = name
        self.unit = unit
        self.read = read
        self.digits = digits
        self.more_is_better = more_is_better
        # Whether one broker's figure over the other's means something.
        self.compared = compared


class Row:
    """One kind of load."""

    def __init__(self, name, title, scenario, figures, by_default=True, own_only=False):
        self.name = name
        self.title = title
        self.scenario = scenario
        self.figures = figures
        self.by_default = by_default
        # Whether it needs a broker that was started here: its process, its folder, or that queues
        # which are left behind go with it.
        self.own_only = own_only


def rate(name="rate", path=("delivered", "per_second"), unit="msg/s"):
    return Figure(name, unit, lambda report: dig(report, path))


def confirmed():
    return rate("confirmed", ("published", "per_second"))


def cpu(path=("broker", "cpu_ns_per_message")):
    return Figure("broker CPU", "ns/msg", lambda report: dig(report, path), more_is_better=False)


def mib(name, path):
    """A figure in MiB from one in KiB."""
    return Figure(name, "MiB", lambda report: in_mib(dig(report, path)), 1, more_is_better=False)


def in_mib(kib):
    return None if kib is None else kib / KIB_PER_MIB


def memory():
    return Figure(
        "RSS", "KiB/connection", lambda report: report["kib_per_connection"], 2, more_is_better=False
    )


def micros(name, path, compared=True):
    read = lambda report: dig(report, path)
    return Figure(name, "µs", read, 1, more_is_better=False, compared=compared)


def seconds(name, path):
    return Figure(name, "s", lambda report: dig(report, path), 3, more_is_better=False)


def sync(name, path):
    """What the machine itself does, measured beside the broker."""
    return micros(name, ("sync_us", *path), compared=False)


def dig(report, path):
    """What lies there; none where a part of it could not be measured."""
    for key in path:
        if report is None:
            return None
        report = report[key]
    return report
