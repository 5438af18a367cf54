"""What a client program printed, held against the list of scenarios."""

import re
from dataclasses import dataclass, field
from pathlib import Path

LINE = re.compile(r"(ok|FAIL|skip) ([a-z0-9-]+)(?:: (.*))?$")


@dataclass
class Report:
    """The outcome of one program."""

    passed: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)
    skipped: dict = field(default_factory=dict)

    @property
    def names(self):
        return self.passed + list(self.failed) + list(self.skipped)

    def problems(self, scenarios, returncode):
        """Every reason why this program did not pass, as lines."""
        lines = [f"FAIL {name}: {reason}" for name, reason in self.failed.items()]
        lines += [f"no line for {name}" for name in scenarios if name not in self.names]
        lines += [f"{name} is not in scenarios.txt" for name in self.names if name not in scenarios]
        lines += [f"{name} has more than one line" for name in set(self.names)
                  if self.names.count(name) > 1]
        lines += [f"skip {name} without a reason" for name, why in self.skipped.items() if not why]
        if returncode != (1 if self.failed else 0):
            lines.append(f"the program ended with {returncode}")
        return lines


def read_report(output):
    """The report in a program's standard output; other lines are its own business."""
    report = Report()
    for line in output.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        word, name, reason = match.groups()
        if word == "ok":
            report.passed.append(name)
        else:
            (report.failed if word == "FAIL" else report.skipped)[name] = reason or ""
    return report


def read_scenarios(path=Path(__file__).resolve().parents[1] / "scenarios.txt"):
    """The names in the list of scenarios."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
