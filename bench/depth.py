"""Whether the loads of a run were steady states.

Owns what growing queues mean: a rate at which messages pile up is one that nobody could have gone on
with. Never measures.
"""

# A queue may gain so many messages, or this share of what was published, without having grown.
GAIN_MESSAGES = 10_000
GAIN_SHARE = 0.05


def loads(report):
    """All reports of timed loads in what a scenario returned, which may nest them."""
    if not isinstance(report, dict):
        return []
    if "max_ready" in report:
        is_timed = report["mode"] == "load" and report["config"]["messages"] is None
        has_readers = report["config"]["consumers"] > 0
        return [report] if is_timed and has_readers and not report["interrupted"] else []
    return [load for part in report.values() for load in loads(part)]


def gain(load):
    """How many messages more were ready at the end of the measurement than at its beginning."""
    return load["ready_after"] - load["ready_before"]


def grows(load):
    return gain(load) > max(GAIN_MESSAGES, GAIN_SHARE * load["published"]["messages"])


def summary(reports):
    """The deepest queues over all runs of a broker, and how many of the runs were no steady state;
    none for rows without a timed load."""
    found = [loads(report) for report in reports]
    if not any(found):
        return None
    return {
        "max_ready": max(load["max_ready"] for run in found for load in run),
        "growing_runs": sum(any(grows(load) for load in run) for run in found),
    }
