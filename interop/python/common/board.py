"""Runs a program's scenarios in order and prints one line for each.

Owns the deadlines: a scenario has 20 s, the whole program 60 c. Both are kept by SIGALRM, which
interrupts a wait of any kind in the main thread. Never talks to a broker.
"""

import os
import signal
import sys
import time

SCENARIO_SECONDS = 20
PROGRAM_SECONDS = 60
REPEAT_SECONDS = 2  # for a close that hangs as well, after the scenario's deadline


class Deadline(BaseException):
    """A scenario took too long. Not an Exception, so that no client library swallows it."""


class Board:
    """The list of scenarios of one program: (name, function) pairs, and what it cannot do."""

    def __init__(self, client, scenarios, cannot=()):
        self.client = client
        self.scenarios = list(scenarios)
        self.cannot = list(cannot)
        self.failures = 0
        self.ends_at = time.monotonic() + PROGRAM_SECONDS
        self._named = 0

    def name(self, purpose):
        """A name no other run uses."""
        self._named += 1
        return f"interop.{self.client}.{os.getpid()}.{self._named}.{purpose}"

    def run(self, call):
        """`call(function)` runs one scenario. Ends the process with 1 if any failed."""
        signal.signal(signal.SIGALRM, self._on_alarm)
        for name, reason in self.cannot:
            print(f"skip {name}: {reason}", flush=True)
        for name, scenario in self.scenarios:
            self._run_one(name, lambda: call(scenario))
        sys.exit(1 if self.failures else 0)

    def _run_one(self, name, scenario):
        left = self.ends_at - time.monotonic()
        if left <= 0:
            self._failed(name, f"not reached within {PROGRAM_SECONDS} s")
            return
        signal.setitimer(signal.ITIMER_REAL, min(left, SCENARIO_SECONDS), REPEAT_SECONDS)
        try:
            scenario()
        except (Exception, Deadline) as error:  # a scenario may fail in any way, and is reported
            self._failed(name, f"{type(error).__name__}: {error}" if str(error) else repr(error))
        else:
            print(f"ok {name}", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _failed(self, name, reason):
        self.failures += 1
        print(f"FAIL {name}: {' '.join(reason.split())}", flush=True)

    @staticmethod
    def _on_alarm(_signal, _frame):
        raise Deadline("no outcome before the deadline")
