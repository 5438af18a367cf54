"""The report of a comparison, as Markdown with plots.

Owns its words and its order; never measures. Everything in it comes from the result, which is
written beside it as JSON.
"""

import os

import plots
import quoted
import tables

METHOD = """Every run gets a fresh broker with an empty folder; the brokers take turns, and the one that begins
changes from run to run. The load generator shares the cores with the broker, so compare within one row
only; broker CPU per message depends least on that. Values are medians, with the least and the most of all
runs behind them. *Ready at most* is the largest number of ready messages that was seen; a run in which it
grew is no steady state, and is counted. bench/README.md has the rows and the method in full."""


def write(result, path, plot_folder):
    """Writes the report to `path` and its plots beside it; links are relative."""
    os.makedirs(plot_folder, exist_ok=True)
    links = {row["row"]: plot(row, path, plot_folder) for row in result["rows"]}
    with open(path, "w", encoding="utf-8") as file:
        file.write(markdown(result, links))


def plot(row, path, folder):
    """Draws the row's first figure; None when nobody has a value for it."""
    first = row["figures"][0]
    values = {name: first[name] for name in row["failures"] if first.get(name)}
    if not values:
        return None
    file = os.path.join(folder, f"{row['row']}.svg")
    title = f"{row['row']}: {first['figure']}"
    with open(file, "w", encoding="utf-8") as out:
        out.write(plots.bars(title, first["unit"], first["digits"], values))
    return os.path.relpath(file, os.path.dirname(path) or ".")


def markdown(result, links):
    machine = result["machine"]
    versions = ", ".join(f"{name}: {version}" for name, version in result["versions"].items())
    parts = [
        "# Performance",
        "",
        f"Measured on {result['date']} by `{result['command']}`: {result['runs']} runs of "
        f"{result['seconds']} s each.",
        "",
        f"* Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']:,} MiB, Linux "
        f"{machine['kernel']}; load before the first run {machine['load_before']:.2f}",
        f"* Versions: {versions}",
        "",
    ]
    if result["scale"] != 1:
        parts += [f"**A trial: all numbers multiplied by {result['scale']}.**", ""]
    parts += [METHOD, ""]
    for row in result["rows"]:
        parts += section(row, list(result["versions"]), links.get(row["row"]))
    parts += [quoted.markdown(), ""]
    return "\n".join(parts)


def section(row, brokers, link):
    with_ratio = {"leveret", "rabbitmq"} <= set(brokers)
    head = ["figure", *brokers] + (["leveret / rabbitmq"] if with_ratio else [])
    lines = [f"## {row['row']}", "", f"{row['title']}.", ""]
    lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for entry in row["figures"]:
        cells = [tables.named(entry)]
        cells += [tables.shown(entry.get(broker), entry["digits"]) for broker in brokers]
        if with_ratio:
            cells.append(tables.shown_ratio(entry["leveret_to_rabbitmq"]))
        lines.append("| " + " | ".join(cells) + " |")
    lines += depth_line(row, brokers, with_ratio)
    lines += ["", *commands(row)]
    for broker, failed in row["failures"].items():
        lines += [f"**{broker}, run {failure['run']} failed: {failure['error']}**" for failure in failed]
    if link:
        lines += ["", f"![{row['row']}]({link})"]
    return [*lines, ""]


def depth_line(row, brokers, with_ratio):
    depths = [row["depth"].get(broker) for broker in brokers]
    if not any(depths):
        return []
    cells = ["ready at most", *map(shown_depth, depths)] + ([""] if with_ratio else [])
    return ["| " + " | ".join(cells) + " |"]


def shown_depth(depth):
    if depth is None:
        return "–"
    growing = depth["growing_runs"]
    note = f" (no steady state in {growing} runs)" if growing else ""
    return f"{depth['max_ready']:,}{note}"


def commands(row):
    """What was called; once when it was the same for all."""
    called = {name: " && ".join(lines) for name, lines in row["commands"].items()}
    if len(set(called.values())) == 1:
        return [f"`{next(iter(called.values()))}`", ""]
    return [f"* {name}: `{command}`" for name, command in called.items()]
