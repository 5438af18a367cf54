"""One child process: started, waited for with a deadline, watched, stopped. Never left behind.

Owns a process and its log. Never knows what the process does. Each child is in a session of its
own, so Ctrl-C reaches the parent alone and the parent stops its children in its own order; when
the parent dies without the chance to do so, the kernel ends the child (Linux).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

STOP_S = 10
LOG_TAIL_BYTES = 2000
PR_SET_PDEATHSIG = 1


class ChildFailed(Exception):
    """A child ended, or stayed silent, when it should not have."""


class Child:
    """A running process whose standard output is a pipe and whose errors go to a file."""

    def __init__(self, name: str, command: list[str], log: Path, environment=None) -> None:
        self.name = name
        self._log = log
        with open(log, "ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def first_line(self, within_s: float) -> str:
        """The first line the child prints; ChildFailed if it does not come in time."""
        pipe = self._process.stdout.fileno()
        deadline = time.monotonic() + within_s
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                raise ChildFailed(f"{self.name} said nothing for {within_s} s{self._log_tail()}")
            piece = os.read(pipe, 1)
            if not piece:
                status = self._process.wait(within_s)
                raise ChildFailed(f"{self.name} ended with status {status}{self._log_tail()}")
            line += piece
        return line.decode().strip()

    def check(self) -> None:
        """ChildFailed if the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise ChildFailed(f"{self.name} ended with status {status}{self._log_tail()}")

    def terminate(self) -> None:
        """Asks the process to end."""
        self._process.terminate()

    def wait(self, within_s: float = STOP_S) -> int:
        """Waits for the end, which is forced when it does not come in time; the exit status."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()
        finally:
            self._process.stdout.close()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def _log_tail(self) -> str:
        tail = self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"; its last words:\n{tail}" if tail else ""


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
