"""Runs rows: builds the binary, finds the brokers, and lets them take turns.

Owns the order of runs and what is said while they happen; what a row is stands in rows.py, what is
made of the reports in tables.py and report.py.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys

import brokers
import depth
import scenarios
import tables


def rabbitmq():
    found = brokers.find_rabbitmq()
    if found is None:
        say("RabbitMQ is not installed: going without it (Debian: apt-get install rabbitmq-server)")
        return []
    return [found]


def build():
    """Builds the release binary and returns its path, wherever cargo puts it."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    say("building the release binary")
    command = ["cargo", "build", "--release", "--bin", "leveret"]
    command.append("--message-format=json-render-diagnostics")
    built = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("bench: the build failed")
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    binaries = [message["executable"] for message in messages if message.get("executable")]
    if not binaries:
        sys.exit("bench: cargo names no binary")
    return binaries[-1]


def measure(row, contestants, binary, options):
    """All runs of one row. The brokers take turns, and which one begins changes too. A row that needs
    a broker of its own leaves out those that run already."""
    if row.own_only:
        contestants = [broker for broker in contestants if broker.is_own]
    reports = {broker.name: [] for broker in contestants}
    failures = {broker.name: [] for broker in contestants}
    commands = {}
    for run in range(1, options.runs + 1):
        order = contestants if run % 2 else contestants[::-1]
        for broker in order:
            one = scenarios.Run(broker, binary, options.seconds, options.scale)
            commands[broker.name] = one.commands
            try:
                report = row.scenario(one)
            except (brokers.BrokerError, scenarios.RunError) as error:
                say(f"{row.name} {broker.name} {run}/{options.runs}: FAILED: {error}")
                failures[broker.name].append({"run": run, "error": str(error)})
                continue
            reports[broker.name].append(report)
            say(f"{row.name} {broker.name} {run}/{options.runs}: {digest(row, report)}")
    return {
        "row": row.name,
        "title": row.title,
        "commands": commands,
        "figures": tables.figures(row, reports),
        "depth": {name: depth.summary(found) for name, found in reports.items()},
        "failures": failures,
    }


def digest(row, report):
    values = [(figure, figure.read(report)) for figure in row.figures]
    return ", ".join(
        f"{figure.name} {value:,.{figure.digits}f} {figure.unit}".rstrip()
        for figure, value in values
        if value is not None
    )


def machine():
    """What the figures were taken on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in lines("/proc/cpuinfo") if "model name" in line),
        platform.machine(),
    )
    memory = next((line.split()[1] for line in lines("/proc/meminfo") if "MemTotal" in line), "0")
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    if load > cores / 2:
        say(f"the load of this machine is {load:.1f}: the figures will be low and scattered")
    return {
        "cpu": model,
        "cores": cores,
        "memory_mib": int(memory) // 1024,
        "kernel": platform.release(),
        "load_before": load,
    }


def lines(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def raise_open_files():
    """Brokers and load generators inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)
