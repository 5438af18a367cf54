"""What callgrind counted, and whether it is too much.

Owns the arithmetic of `bench/guard` and the file of baselines; never starts anything.
"""

import json

# More instructions per message than this, compared with the baseline, are a failure.
GROWTH_MAX = 0.05
# What is planted to prove that it would be noticed.
PLANTED_SHARE = 0.10
# Instructions of one planted step: store, load, add, compare and jump.
STEP_INSTRUCTIONS = 4
# How far from its share the planted work may lie, so that the proof is about what it says.
PLANTED_TOLERANCE = 0.03


def collected(profile):
    """The instructions in the text of callgrind's output file."""
    for line in profile.splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise ValueError("callgrind's output has no totals")


def growth(counted, baseline):
    """By what share more than before; negative when it is less."""
    return counted / baseline - 1


def judged(counts, baseline):
    """A verdict per load: (name, counted, before, growth, whether that is too much). A load
    without a baseline is not judged."""
    verdicts = []
    for name, counted in counts.items():
        before = baseline.get(name)
        grown = None if before is None else growth(counted, before)
        verdicts.append((name, counted, before, grown, grown is not None and grown > GROWTH_MAX))
    return verdicts


def has_shrunk(verdicts):
    """Whether the baseline lies so far above that it hides the next growth."""
    return any(grown is not None and grown < -GROWTH_MAX for _, _, _, grown, _ in verdicts)


def planted_steps(counted):
    """How many steps make the planted share of a message's instructions."""
    return round(counted * PLANTED_SHARE / STEP_INSTRUCTIONS)


def is_planted_share(counted, planted):
    """Whether what was planted is about the share it is meant to be."""
    return abs(growth(planted, counted) - PLANTED_SHARE) <= PLANTED_TOLERANCE


def table(verdicts):
    lines = [f"{'load':<12} {'per message':>12} {'baseline':>12} {'growth':>8}"]
    for name, counted, before, grown, too_much in verdicts:
        shown = "–" if before is None else f"{before:,.1f}"
        share = "–" if grown is None else f"{grown:+.1%}"
        lines.append(
            f"{name:<12} {counted:>12,.1f} {shown:>12} {share:>8}{'  TOO MUCH' if too_much else ''}"
        )
    return "\n".join(lines)


def read_baselines(path):
    """Loads and their instructions per message, by toolchain."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_baselines(path, baselines):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(baselines, file, indent=2, sort_keys=True)
        file.write("\n")
