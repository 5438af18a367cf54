#!/usr/bin/env python3
"""Tests of what a comparison computes, chooses and writes: `bench/compare_tests.py`. They start no
broker and judge no figure of this machine."""

import argparse
import contextlib
import importlib.machinery
import os
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True

import brokers
import crowds
import depth
import disk
import plots
import quoted
import report
import scenarios
import tables


class Nowhere:
    """A node that nobody runs."""

    uri, pid, folder = "amqp://nobody", None, None


class Nobody:
    """A broker that only has a name and notes how it was started."""

    def __init__(self, name="leveret"):
        self.name = name
        self.threads = []

    @contextlib.contextmanager
    def start(self, threads=None):
        self.threads.append(threads)
        yield Nowhere


def load(**changed):
    """The part of a load's report that is looked at."""
    report = {
        "mode": "load",
        "interrupted": False,
        "config": {"messages": None, "consumers": 1},
        "published": {"messages": 1_000_000, "per_second": 100.0},
        "delivered": {"per_second": 100.0, "shares": {"slowest_to_mean": 0.9}},
        "max_ready": 700,
        "ready_before": 0,
        "ready_after": 500,
        "broker": {"cpu_ns_per_message": 150.0, "rss_before_kib": 1024, "rss_after_kib": 3072},
        "latency_us": {"p50": 1.0, "p99": 2.0, "p99_9": 3.0},
        "kib_per_queue": 1.5,
        "declared": {"per_second": 10.0},
        "deleted": {"per_second": 20.0},
        "per_second": 30.0,
    }
    return report | changed


class Recorder(scenarios.Run):
    """Runs nothing and notes what would have been called."""

    def __init__(self, broker, scale=1.0):
        super().__init__(broker, "leveret", 7, scale)
        self.calls = []

    def perf(self, node, *words, timeout_s=None):
        self.calls.append([str(word) for word in words])
        return load()

    @contextlib.contextmanager
    def background(self, node, *words):
        self.calls.append(["beside", *map(str, words)])
        yield load()


def calls(name, broker=None, scale=1.0):
    run = Recorder(broker or Nobody(), scale)
    run.returned = row(name).scenario(run)
    return run


# What is read from the node itself, which is nowhere here.
UNSEEN = (
    ("stopped-100", "disk growth, persistent"),
    ("backlog-drain", "RSS over the empty broker"),
)


def row(name):
    return next(row for row in crowds.ROWS if row.name == name)


def value(words, option):
    return words[words.index(option) + 1]


class Rows(unittest.TestCase):
    def test_every_figure_of_every_row_is_read_from_what_its_scenario_returns(self):
        for one in crowds.ROWS:
            returned = calls(one.name).returned
            for figure in one.figures:
                found = figure.read(returned)
                needs_node = (one.name, figure.name) in UNSEEN
                with self.subTest(row=one.name, figure=figure.name):
                    self.assertTrue(found is None if needs_node else found > 0)

    def test_no_option_is_given_twice(self):
        for one in crowds.ROWS:
            for words in calls(one.name).calls:
                options = [word for word in words if word.startswith("--")]
                self.assertEqual(len(options), len(set(options)), f"{one.name}: {words}")

    def test_figures_of_a_process_that_is_not_seen_are_missing(self):
        unseen = load(broker=None, kib_per_queue=None)
        for name in ("fanout-100", "queues-100k", "crowd"):
            for figure in row(name).figures:
                if "CPU" in figure.name or "RSS" in figure.name:
                    self.assertIsNone(figure.read(unseen))

    def test_a_load_beside_another_uses_other_queues_and_lasts_longer(self):
        for name in ("latency-beside", "many-publishers"):
            beside = next(call for call in calls(name).calls if call[0] == "beside")
            self.assertEqual(value(beside, "--queue-name"), "other-%d")
            self.assertEqual(value(beside, "--duration"), "3600")

    def test_threads_are_asked_of_the_broker_where_the_row_says_so(self):
        broker = Nobody()
        calls("many-publishers", broker)
        calls("crowd", broker)
        self.assertEqual(broker.threads, [16, None])

    def test_a_trial_has_fewer_of_everything(self):
        [words] = calls("crowd", scale=0.01).calls
        for option in ("--publishers", "--queues", "--consumers"):
            self.assertEqual(value(words, option), "10")
        [words] = calls("queues-100k", Nobody("rabbitmq"), scale=0.001).calls
        self.assertEqual(value(words, "--messages"), "10")
        self.assertEqual(Recorder(Nobody(), 0.0001).count(100), 1)

    def test_a_broker_beside_gets_as_many_as_rabbitmq(self):
        run = Recorder(Nobody("other"))
        self.assertEqual(run.amount({"leveret": 10, "rabbitmq": 3}), 3)

    def test_new_keys_all_match_the_first_binding(self):
        [words] = calls("topic-new").calls
        first = value(words, "--binding-key").replace("%d", "0000000001")
        self.assertEqual(value(words, "--routing-key").split(".")[:2], first.split(".")[:2])
        self.assertEqual(value(words, "--routing-keys"), "0")


class Ended(scenarios.Run):
    """A run whose load generators have ended by the time they are looked at."""

    def start_perf(self, node, *words):
        process = super().start_perf(node, *words)
        process.wait()
        return process


class Running(unittest.TestCase):
    def test_a_broker_that_runs_already_is_addressed_and_not_watched(self):
        broker = brokers.Running("other", "example:5673")
        with broker.start() as node:
            self.assertEqual(node.uri, "amqp://guest:guest@example:5673/%2F")
            self.assertIsNone(node.pid)
        self.assertFalse(broker.is_own)

    def test_a_background_load_that_fails_is_told_with_its_words(self):
        run = Ended(Nobody(), sys.executable, 1)
        with self.assertRaisesRegex(scenarios.RunError, "perf"):
            with run.background(Nowhere, "--nonsense") as other:
                pass
        self.assertEqual(other, {})


class Depth(unittest.TestCase):
    def test_loads_are_found_in_whatever_holds_them(self):
        counted = load(config={"messages": 5, "consumers": 1})
        nested = {"alone": load(), "beside": {"x": load()}, "filled": counted, "count": 7}
        self.assertEqual(len(depth.loads(nested)), 2)
        self.assertEqual(depth.loads(load(interrupted=True)), [])
        self.assertEqual(depth.loads(load(config={"messages": None, "consumers": 0})), [])

    def test_a_queue_that_gains_a_tenth_of_what_is_published_grows(self):
        self.assertFalse(depth.grows(load(ready_after=50_000)))
        self.assertTrue(depth.grows(load(ready_after=100_000)))
        few = {"messages": 100, "per_second": 1.0}
        self.assertFalse(depth.grows(load(ready_after=9_000, published=few)))

    def test_runs_that_grow_are_counted_and_the_deepest_queue_is_told(self):
        runs = [load(), load(max_ready=200_000, ready_after=200_000), {"none": 1}]
        self.assertEqual(depth.summary(runs), {"max_ready": 200_000, "growing_runs": 1})
        self.assertIsNone(depth.summary([{"none": 1}]))


def result():
    """A comparison of two brokers over one row, one run of which failed."""
    one = row("fanout-100")
    reports = {"leveret": [load()], "rabbitmq": []}
    return {
        "date": "2026-01-02",
        "command": "bench/compare --runs 1",
        "machine": {
            "cpu": "a <fast> one",
            "cores": 2,
            "memory_mib": 4096,
            "kernel": "6.1",
            "load_before": 0.1,
        },
        "versions": {"leveret": "1", "rabbitmq": "2"},
        "runs": 1,
        "seconds": 5,
        "scale": 1.0,
        "rows": [
            {
                "row": one.name,
                "title": one.title,
                "commands": {"leveret": ["leveret perf a"], "rabbitmq": ["leveret perf a"]},
                "figures": tables.figures(one, reports),
                "depth": {name: depth.summary(found) for name, found in reports.items()},
                "failures": {"leveret": [], "rabbitmq": [{"run": 1, "error": "too <slow>"}]},
            }
        ],
    }


class Command(unittest.TestCase):
    def test_options_that_name_a_place_are_not_told(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare")
        loader = importlib.machinery.SourceFileLoader("compare", path)
        compare = types.ModuleType("compare")
        loader.exec_module(compare)
        words = ["--binary", "/some/where", "--runs", "1", "--report=/else", "--rows", "small"]
        self.assertEqual(compare.told(words), ["--runs", "1", "--rows", "small"])
        also = compare.running("other=host:1")
        self.assertEqual((also.name, also.address), ("other", "host:1"))
        for wrong in ("host:1", "=host:1", "other=host", "rabbitmq=host:1"):
            with self.assertRaises(argparse.ArgumentTypeError):
                compare.running(wrong)


class Report(unittest.TestCase):
    def test_it_has_machine_versions_figures_depth_commands_failures_and_quotes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "performance.md")
            report.write(result(), path, os.path.join(folder, "performance"))
            with open(path, encoding="utf-8") as file:
                text = file.read()
            plot = ET.parse(os.path.join(folder, "performance", "fanout-100.svg"))
        for expected in (
            "a <fast> one, 2 cores, 4,096 MiB",
            "leveret: 1, rabbitmq: 2",
            "| deliveries, msg/s | 100 [100..100] | – | – |",
            "| ready at most | 700 | – |",
            "`leveret perf a`",
            "rabbitmq, run 1 failed: too <slow>",
            "![fanout-100](performance/fanout-100.svg)",
            "LavinMQ 2.9.0, quoted",
        ):
            self.assertIn(expected, text)
        self.assertNotIn("A trial", text)
        self.assertTrue(plot.getroot().tag.endswith("svg"))

    def test_a_trial_is_called_one(self):
        self.assertIn("A trial", report.markdown(result() | {"scale": 0.1}, {}))

    def test_a_row_that_grew_says_so(self):
        self.assertEqual(
            report.shown_depth({"max_ready": 5000, "growing_runs": 2}),
            "5,000 (no steady state in 2 runs)",
        )

    def test_commands_that_differ_are_told_apart(self):
        same = report.commands({"commands": {"a": ["x", "y"], "b": ["x", "y"]}})
        self.assertEqual(same[0], "`x && y`")
        told = report.commands({"commands": {"a": ["x"], "b": ["y"]}})
        self.assertEqual(told, ["* a: `x`", "* b: `y`"])

    def test_what_is_quoted_has_source_and_date(self):
        text = quoted.markdown()
        self.assertIn("https://github.com/cloudamqp/lavinmq-benchmark", text)
        self.assertRegex(text, r"read on\s+\d{4}-\d{2}-\d{2}")


class Plots(unittest.TestCase):
    def test_bars_are_in_proportion_and_names_are_escaped(self):
        values = {"a<b": tables.summary([100]), "c": tables.summary([40, 50, 60])}
        root = ET.fromstring(plots.bars('rate & "more"', "msg/s", 0, values))
        widths = [float(bar.get("width")) for bar in root if bar.get("fill") in plots.COLOURS]
        self.assertAlmostEqual(widths[1] / widths[0], 0.5, places=2)
        texts = [element.text for element in root if element.text]
        self.assertIn("a<b", texts)
        self.assertIn('rate & "more"', texts)

    def test_nothing_but_zeros_can_be_drawn(self):
        ET.fromstring(plots.bars("zero", "", 0, {"a": tables.summary([0])}))


class Disk(unittest.TestCase):
    def test_a_folder_occupies_what_its_files_do(self):
        with tempfile.TemporaryDirectory() as folder:
            empty = disk.folder_bytes(folder)
            os.mkdir(os.path.join(folder, "below"))
            with open(os.path.join(folder, "below", "file"), "wb") as file:
                file.write(bytes(range(256)) * 4096)
                file.flush()
                os.fsync(file.fileno())
            self.assertGreaterEqual(disk.folder_bytes(folder) - empty, 1 << 20)
        self.assertIsNone(disk.folder_bytes(None))


if __name__ == "__main__":
    unittest.main()
