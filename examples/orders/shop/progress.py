"""The progress bar. Owns one line of the terminal, or one line per tenth where there is none."""

from __future__ import annotations

import sys
import time

WIDTH = 30


class ProgressBar:
    """Shows how many of the orders have ended."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started_at = time.monotonic()
        self._tenths_shown = 0
        self._is_terminal = sys.stdout.isatty()

    def show(self, done: int) -> None:
        """Draws the bar for `done` orders."""
        if self._is_terminal:
            print(f"\r{self._bar(done)}", end="", flush=True)
        elif done * 10 // self._total > self._tenths_shown:
            self._tenths_shown = done * 10 // self._total
            print(self._bar(done), flush=True)

    def end(self) -> None:
        """Leaves the line."""
        if self._is_terminal:
            print()

    def _bar(self, done: int) -> str:
        filled = "#" * (WIDTH * done // self._total)
        rate = done / max(time.monotonic() - self._started_at, 0.001)
        return f"[{filled:<{WIDTH}}] {done:,} of {self._total:,} orders, {rate:,.0f}/s "
