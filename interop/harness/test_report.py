"""`python3 -m unittest discover interop/harness -t interop`: the runner's judgement."""

import unittest

from harness.report import read_report, read_scenarios

SCENARIOS = ["one", "two"]


def problems(output, returncode=0):
    return read_report(output).problems(SCENARIOS, returncode)


class Judgement(unittest.TestCase):
    """Which outputs count as a pass."""

    def test_all_ok_is_no_problem(self):
        self.assertEqual(problems("ok one\nok two\n"), [])

    def test_other_lines_are_ignored(self):
        self.assertEqual(problems("warming up\nok one\nok: two\nok two\n"), [])

    def test_a_failure_is_reported_with_its_reason(self):
        self.assertEqual(problems("ok one\nFAIL two: it broke\n", 1), ["FAIL two: it broke"])

    def test_a_scenario_without_a_line_is_a_problem(self):
        self.assertEqual(problems("ok one\n"), ["no line for two"])

    def test_an_unknown_scenario_is_a_problem(self):
        self.assertEqual(problems("ok one\nok two\nok three\n"),
                         ["three is not in scenarios.txt"])

    def test_a_scenario_with_two_lines_is_a_problem(self):
        self.assertEqual(problems("ok one\nok two\nok two\n"), ["two has more than one line"])

    def test_what_a_client_cannot_do_needs_a_reason(self):
        self.assertEqual(problems("ok one\nskip two: no such method\n"), [])
        self.assertEqual(problems("ok one\nskip two\n"), ["skip two without a reason"])

    def test_the_exit_code_must_agree_with_the_lines(self):
        self.assertEqual(problems("ok one\nok two\n", 1), ["the program ended with 1"])
        self.assertEqual(problems("ok one\nFAIL two: x\n", 0),
                         ["FAIL two: x", "the program ended with 0"])

    def test_the_list_of_scenarios_has_each_name_once(self):
        names = read_scenarios()
        self.assertTrue(names)
        self.assertEqual(len(names), len(set(names)))


if __name__ == "__main__":
    unittest.main()
