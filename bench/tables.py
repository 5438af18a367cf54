"""Medians, ratios and how they are shown.

Owns the arithmetic over repeated runs and the two output forms; never runs anything.
"""

import statistics

# In how many places a ratio is worth reading.
RATIO_DIGITS = 3


def summary(values):
    """Median, extremes and all values of one figure; None without a value."""
    if not values:
        return None
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "runs": values,
    }


def figures(row, reports):
    """All figures of a row for all brokers: `reports` maps a broker to its runs' reports."""
    return [one_figure(figure, reports) for figure in row.figures]


def one_figure(figure, reports):
    entry = {
        "figure": figure.name,
        "unit": figure.unit,
        "digits": figure.digits,
        "more_is_better": figure.more_is_better,
    }
    for broker, runs in reports.items():
        values = [figure.read(report) for report in runs]
        entry[broker] = summary([value for value in values if value is not None])
    compared = figure.compared and ratio(entry.get("leveret"), entry.get("rabbitmq"))
    entry["leveret_to_rabbitmq"] = compared or None
    return entry


def ratio(ours, theirs):
    """Ours over theirs, of medians; none where one of them is no quantity: memory that shrank."""
    if not ours or not theirs or theirs["median"] <= 0 or ours["median"] < 0:
        return None
    return ours["median"] / theirs["median"]


def table(result):
    """The whole result as text."""
    brokers = list(result["versions"])
    head = ["row", "figure", *brokers]
    with_ratio = {"leveret", "rabbitmq"} <= set(brokers)
    if with_ratio:
        head.append("leveret / rabbitmq")
    lines = [head]
    for row in result["rows"]:
        for index, entry in enumerate(row["figures"]):
            cells = [row["row"] if index == 0 else "", named(entry)]
            cells += [shown(entry.get(broker), entry["digits"]) for broker in brokers]
            if with_ratio:
                cells.append(shown_ratio(entry["leveret_to_rabbitmq"]))
            lines.append(cells)
    notes = [f"{row['row']}: {row['title']}" for row in result["rows"]]
    failures = [
        f"FAILED {row['row']} {broker} run {failure['run']}: {failure['error']}"
        for row in result["rows"]
        for broker, failed in row["failures"].items()
        for failure in failed
    ]
    return "\n".join(aligned(lines) + [""] + notes + failures)


def named(entry):
    return f"{entry['figure']}, {entry['unit']}" if entry["unit"] else entry["figure"]


def aligned(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        left = [cell.ljust(width) for cell, width in zip(line[:2], widths)]
        right = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:])]
        text.append("  ".join(left + right).rstrip())
    text.insert(1, "-" * max(len(line) for line in text))
    return text


def shown(value, digits):
    if value is None:
        return "–"
    median, low, high = (f"{value[key]:,.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} [{low}..{high}]"


def shown_ratio(value):
    return "–" if value is None else f"{value:.{RATIO_DIGITS}g}"
