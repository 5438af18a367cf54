"""A broker's processes, seen and ended from outside.

Owns what /proc says about a process and how a process group ends; never starts anything.
"""

import contextlib
import os
import signal
import time

STOP_TIMEOUT_S = 30
QUIET_TIMEOUT_S = 15
# A broker whose processes use less than this share of a core has finished what it was at.
QUIET_SHARE = 0.05
QUIET_WINDOW_S = 0.5


def wait_until_quiet(pid):
    """Waits until a broker has settled, so that what it was at is not measured."""
    deadline = time.monotonic() + QUIET_TIMEOUT_S
    used = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(QUIET_WINDOW_S)
        now = cpu_seconds(pid)
        if now - used < QUIET_SHARE * QUIET_WINDOW_S:
            return
        used = now


def cpu_seconds(pid):
    try:
        fields = read_text(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """Resident memory now and at most so far."""
    return memory_in(read_text(f"/proc/{pid}/status"))


def memory_in(status):
    """Both figures in the text of /proc/PID/status."""
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "rss_kib": int(fields["VmRSS"].split()[0]),
        "rss_max_kib": int(fields["VmHWM"].split()[0]),
    }


def ask_to_stop(process, pid, seconds=STOP_TIMEOUT_S):
    """Asks the broker to stop, by its own process when that is known; true when it has, with all
    that it has started. They share a process group made for them, and nobody else is in it."""
    with contextlib.suppress(ProcessLookupError):
        if pid is None:
            os.killpg(process.pid, signal.SIGTERM)
        else:
            os.kill(pid, signal.SIGTERM)
    return group_ends(process, seconds)


def kill(process):
    """Ends the group at once, as a crash would."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return group_ends(process, STOP_TIMEOUT_S)


def group_ends(process, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()
