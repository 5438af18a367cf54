#!/usr/bin/env python3
"""Tests of what the benchmarks compute and choose: `bench/tests.py`. They start no broker and judge
no figure of this machine."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import brokers
import counting
import disk
import figures
import processes
import rows
import scenarios
import tables


class Nobody:
    """A broker that only has a name."""

    def __init__(self, name):
        self.name = name


def row(name):
    return next(row for row in rows.ROWS if row.name == name)


def arguments(name, broker="leveret"):
    """What a row with a single load hands to `leveret perf`, by a broker that is not there."""
    seen = []

    class Recorder(scenarios.Run):
        def perf(self, node, *words, timeout_s=None):
            seen.append([str(word) for word in words])
            return {}

    class Node:
        folder = tempfile.gettempdir()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

    nobody = Nobody(broker)
    nobody.start = Node
    row(name).scenario(Recorder(nobody, "leveret", 7))
    return seen


class Choice(unittest.TestCase):
    def test_names_of_rows_are_unique_and_differ_from_those_of_groups(self):
        names = [row.name for row in rows.ROWS] + list(rows.GROUPS) + ["all"]
        self.assertEqual(len(names), len(set(names)))

    def test_nothing_chooses_the_usual_rows_without_the_long_ones(self):
        usual = [row.name for row in rows.chosen(None)]
        self.assertIn("small", usual)
        for long in ("backlog", "starts", "declare"):
            self.assertNotIn(long, usual)

    def test_all_chooses_all(self):
        self.assertEqual(rows.chosen("all"), rows.ROWS)

    def test_a_group_stands_for_its_rows_in_order(self):
        names = [row.name for row in rows.chosen("store")]
        expected = ["durable", "durable-1k", "confirm-latency", "confirm-100"]
        expected += ["declare", "backlog", "starts", "written"]
        self.assertEqual(names, expected)

    def test_a_row_named_twice_is_measured_once(self):
        names = [row.name for row in rows.chosen("durable,small,store,small")]
        self.assertEqual(names[:3], ["durable", "small", "durable-1k"])
        self.assertEqual(len(names), len(set(names)))

    def test_an_unknown_name_is_told_with_those_there_are(self):
        with self.assertRaisesRegex(ValueError, "no row nosuch; there are .*small.*store"):
            rows.chosen("small,nosuch")


class Arguments(unittest.TestCase):
    def test_a_timed_row_warms_up_and_lasts_as_long_as_asked(self):
        [words] = arguments("durable")
        for option, value in (("--warmup", "1"), ("--duration", "7"), ("--confirm", "1000")):
            self.assertEqual(words[words.index(option) + 1], value)
        self.assertIn("--persistent", words)

    def test_rabbitmq_gets_fewer_where_the_row_says_so(self):
        [ours], [theirs] = arguments("idle"), arguments("idle", "rabbitmq")
        self.assertEqual((ours[-1], theirs[-1]), ("10000", "1000"))

    def test_confirm_rows_keep_one_publish_open_and_nobody_consumes(self):
        for name in ("confirm-latency", "confirm-100"):
            [words] = arguments(name)
            self.assertEqual(words[words.index("--confirm") + 1], "1")
            self.assertEqual(words[words.index("--consumers") + 1], "0")

    def test_declares_go_over_one_connection_and_then_over_a_hundred(self):
        one, many = arguments("declare")
        self.assertEqual(one[one.index("--connections") + 1], "1")
        self.assertEqual(many[many.index("--connections") + 1], "100")
        self.assertIn("--durable", one)

    def test_a_load_generator_that_fails_is_told_with_its_words(self):
        class Node:
            uri, pid = "amqp://nobody", 1

        run = scenarios.Run(Nobody("leveret"), sys.executable, 1)
        with self.assertRaisesRegex(scenarios.RunError, "perf"):
            run.perf(Node, "--nonsense")
        self.assertEqual(run.commands, ["leveret perf --nonsense"])


class Figures(unittest.TestCase):
    def test_a_summary_has_median_and_extremes(self):
        self.assertEqual(
            tables.summary([3, 1, 2]), {"median": 2, "min": 1, "max": 3, "runs": [3, 1, 2]}
        )
        self.assertIsNone(tables.summary([]))

    def test_the_ratio_is_that_of_medians(self):
        entry = tables.one_figure(figures.rate(), {"leveret": reports(40, 60), "rabbitmq": reports(5)})
        self.assertEqual(entry["leveret_to_rabbitmq"], 10)

    def test_memory_that_shrank_has_no_ratio(self):
        shrunk, grown = tables.summary([-5.0]), tables.summary([5.0])
        self.assertIsNone(tables.ratio(grown, shrunk))
        self.assertIsNone(tables.ratio(shrunk, grown))
        self.assertEqual(tables.ratio(tables.summary([0.0]), grown), 0.0)

    def test_a_figure_of_the_machine_is_not_compared(self):
        figure = figures.sync("sync", ("p50",))
        report = {"sync_us": {"p50": 100.0}}
        entry = tables.one_figure(figure, {"leveret": [report], "rabbitmq": [report]})
        self.assertIsNone(entry["leveret_to_rabbitmq"])
        self.assertEqual(entry["leveret"]["median"], 100)

    def test_a_run_without_a_figure_is_left_out_of_its_median(self):
        [figure] = row("written").figures
        found = [{"device_bytes_per_payload_byte": value} for value in (None, 1.5)]
        entry = tables.one_figure(figure, {"leveret": found, "rabbitmq": found[:1]})
        self.assertEqual(entry["leveret"]["runs"], [1.5])
        self.assertIsNone(entry["rabbitmq"])
        self.assertIsNone(entry["leveret_to_rabbitmq"])

    def test_confirms_are_compared_with_the_syncs_measured_beside_them(self):
        report = {
            "confirm_latency_us": {"p50": 190.0},
            "sync_us": {"p50": 100.0},
            "published": {"per_second": 250_000.0},
        }
        self.assertAlmostEqual(rows.above_sync(report), 80)
        self.assertAlmostEqual(rows.by_syncs(report), 1_000_000)
        self.assertAlmostEqual(rows.share_of_syncs(report), 0.25)

    def test_a_drain_is_compared_with_the_live_rate(self):
        delivered = lambda per_second: {"delivered": {"per_second": per_second}}
        report = {"drained": delivered(900.0), "live": delivered(1000.0)}
        self.assertAlmostEqual(rows.drain_to_live(report), 0.9)

    def test_the_table_names_figures_with_their_units_and_failures_with_their_words(self):
        result = {
            "versions": {"leveret": "1", "rabbitmq": "2"},
            "rows": [
                {
                    "row": "durable",
                    "title": "a title",
                    "figures": [
                        tables.one_figure(figures.rate(), {"leveret": reports(1500)}),
                        tables.one_figure(
                            figures.Figure("share", "", lambda report: 0.5, 2), {"leveret": reports(1)}
                        ),
                    ],
                    "failures": {"rabbitmq": [{"run": 1, "error": "no end"}]},
                }
            ],
        }
        text = tables.table(result)
        self.assertIn("rate, msg/s", text)
        self.assertIn("1,500 [1,500..1,500]", text)
        self.assertRegex(text, "share +0.50 ")
        self.assertIn("durable: a title", text)
        self.assertIn("FAILED durable rabbitmq run 1: no end", text)


def reports(*rates):
    return [{"delivered": {"per_second": rate}} for rate in rates]


MOUNTS = """22 1 0:40 / / rw,relatime - btrfs /dev/nvme0n1p2 rw,ssd
23 22 0:5 / /dev rw - devtmpfs devtmpfs rw
24 22 0:41 / /tmp rw,nosuid shared:1 - tmpfs tmpfs rw
"""


class Disk(unittest.TestCase):
    def test_sectors_written_are_the_seventh_field(self):
        self.assertEqual(disk.sectors_written("  10 1 20 2 30 3 4096 7 0 5 6 0 0 0 0 8 9\n"), 4096)

    def test_a_file_system_with_a_number_of_its_own_leads_to_its_device(self):
        self.assertEqual(disk.mount_source(MOUNTS, "0:40"), "/dev/nvme0n1p2")

    def test_a_file_system_without_a_device_leads_nowhere(self):
        self.assertIsNone(disk.mount_source(MOUNTS, "0:41"))
        self.assertIsNone(disk.mount_source(MOUNTS, "8:1"))
        self.assertIsNone(disk.written_bytes("/proc"))

    def test_syncs_are_timed_and_their_file_is_removed(self):
        with tempfile.TemporaryDirectory() as folder:
            times = disk.sync_times_us(folder, 5)
            self.assertEqual(os.listdir(folder), [])
        self.assertTrue(1 <= len(times) <= 5)
        self.assertGreater(min(times), 0)

    def test_the_summary_of_syncs_is_that_of_all_of_them(self):
        summary = disk.sync_summary([float(time) for time in range(200, 0, -1)])
        self.assertEqual(summary, {"samples": 200, "p50": 100.5, "p99": 199.0})
        self.assertEqual(disk.sync_summary([7.0])["p99"], 7.0)

    def test_workers_that_wait_for_syncs_share_none(self):
        self.assertEqual(disk.per_second(100, 200.0), 500_000)


class Processes(unittest.TestCase):
    def test_memory_is_read_with_its_high_water_mark(self):
        status = "Name:\tx: y\nVmHWM:\t  999 kB\nVmRSS:\t   123 kB\nThreads:\t3\n"
        self.assertEqual(processes.memory_in(status), {"rss_kib": 123, "rss_max_kib": 999})

    def test_this_very_process_can_be_looked_at(self):
        memory = processes.memory_kib(os.getpid())
        self.assertTrue(0 < memory["rss_kib"] <= memory["rss_max_kib"])
        self.assertGreaterEqual(processes.cpu_seconds(os.getpid()), 0)

    def test_a_group_is_ended_whether_or_not_it_listens(self):
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        deaf += "print(flush=True)\ntime.sleep(60)"
        with started(deaf) as process:
            self.assertFalse(processes.ask_to_stop(process, process.pid, 0.2))
            self.assertTrue(processes.kill(process))
            self.assertEqual(process.returncode, -signal.SIGKILL)
        with started("import time; print(flush=True); time.sleep(60)") as process:
            self.assertTrue(processes.ask_to_stop(process, process.pid))


def started(program):
    """A child in a process group of its own that has run up to its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    process.stdout.readline()
    return process


# Says it is ready on its standard output, after a word that says nothing of the kind.
READY = """#!/bin/sh
echo starting
echo '{"amqp": "127.0.0.1:'$$'"}'
exec sleep 60
"""


class Nodes(unittest.TestCase):
    def test_the_address_is_found_as_text_and_in_lists(self):
        self.assertEqual(brokers.address_in('{"amqp": "h:1"}'), "h:1")
        self.assertEqual(brokers.address_in('{"amqp": ["h:1", "i:2"]}'), "h:1")
        for line in ("starting", "{}", '{"amqp": 5}', '{"amqp": []}', "[1]"):
            self.assertIsNone(brokers.address_in(line))

    def test_a_node_is_restarted_after_a_stop_and_a_crash_in_the_same_folder(self):
        with program(READY) as binary, brokers.Leveret(binary).start() as node:
            folder, first = node.folder, node.uri
            self.assertGreater(node.start_s, 0)
            node.kill()
            node.start()
            second = node.uri
            node.stop()
            node.start()
            self.assertEqual(len({first, second, node.uri}), 3)
            self.assertEqual(node.folder, folder)
            last = node.pid
        self.assertFalse(os.path.exists(folder))
        with self.assertRaises(ProcessLookupError):
            os.kill(last, 0)

    def test_a_broker_that_does_not_start_is_told_with_its_words(self):
        with program("#!/bin/sh\necho no such thing >&2\nexit 3\n") as binary:
            with self.assertRaisesRegex(brokers.BrokerError, "no such thing"):
                with brokers.Leveret(binary).start():
                    self.fail("it did not start")


class Counting(unittest.TestCase):
    def test_the_total_is_read_from_the_profile(self):
        profile = "events: Ir\nsummary: 7\n\nfn=(1) a\n0 7\ntotals: 32723650\n"
        self.assertEqual(counting.collected(profile), 32_723_650)
        with self.assertRaisesRegex(ValueError, "no totals"):
            counting.collected("events: Ir\n")

    def test_a_tenth_more_is_too_much_and_a_twentieth_is_not(self):
        counts = {"same": 100.0, "twentieth": 104.9, "tenth": 110.0, "less": 90.0}
        verdicts = counting.judged(counts, dict.fromkeys(counts, 100.0))
        self.assertEqual([name for name, *_, too_much in verdicts if too_much], ["tenth"])

    def test_a_load_without_a_baseline_is_shown_and_not_judged(self):
        [verdict] = counting.judged({"new": 1234.5}, {"old": 1.0})
        self.assertFalse(verdict[-1])
        self.assertRegex(counting.table([verdict]), "new +1,234.5 +– +–$")

    def test_a_baseline_far_above_the_count_is_told(self):
        self.assertTrue(counting.has_shrunk(counting.judged({"a": 90.0}, {"a": 100.0})))
        self.assertFalse(counting.has_shrunk(counting.judged({"a": 96.0}, {"a": 100.0})))

    def test_the_planted_work_is_a_tenth_of_a_message(self):
        steps = counting.planted_steps(1600.0)
        self.assertEqual(steps * counting.STEP_INSTRUCTIONS, 160)
        self.assertTrue(counting.is_planted_share(1600.0, 1760.0))
        self.assertFalse(counting.is_planted_share(1600.0, 1600.0))
        self.assertFalse(counting.is_planted_share(1600.0, 1900.0))

    def test_baselines_are_kept_by_toolchain(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "baselines.json")
            counting.write_baselines(path, {"rustc 1 x86_64": {"small": 1.5}})
            self.assertEqual(counting.read_baselines(path), {"rustc 1 x86_64": {"small": 1.5}})


class program:
    """An executable file with this text for the length of a `with`."""

    def __init__(self, text):
        self.text = text

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "program")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.text)
        os.chmod(path, 0o700)
        return path

    def __exit__(self, *_):
        self.folder.cleanup()


if __name__ == "__main__":
    unittest.main()
