"""The broker under test: the one named by INTEROP_URI, or a leveret started for this run.

Owns the child process, its folder and its log. Never looks at what the clients do with it.
"""

import json
import os
import queue
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30
STOP_SECONDS = 15


class BrokerFailed(Exception):
    """It could not be built, did not start, or ended on its own."""


@contextmanager
def broker_uri():
    """The URI of a broker for the length of the block."""
    given = os.environ.get("INTEROP_URI")
    if given:
        yield given
        return
    binary = leveret()
    with tempfile.TemporaryDirectory(prefix="leveret-interop-") as folder:
        with running(binary, Path(folder)) as address:
            yield f"amqp://guest:guest@{address}/"


def leveret():
    """The release binary, built if it is missing."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = target / "release" / "leveret"
    if not binary.exists():
        built = subprocess.run(["cargo", "build", "--release", "--bin", "leveret"], cwd=ROOT)
        if built.returncode != 0:
            raise BrokerFailed("cargo build --release failed")
    return binary


@contextmanager
def running(binary, folder):
    """Starts the broker over the folder on free ports; yields its AMQP address."""
    log_path = folder / "log"
    command = [binary, "serve", "--data-dir", folder / "data",
               "--amqp-bind", "127.0.0.1:0", "--http-bind", "127.0.0.1:0"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        try:
            yield amqp_address(process, log_path)
            if process.poll() is not None:
                raise BrokerFailed(f"it ended with {process.returncode}\n{tail(log_path)}")
        finally:
            stop(process)


def amqp_address(process, log_path):
    """The address in the JSON line that the broker prints first."""
    lines = queue.Queue()
    threading.Thread(target=read_lines, args=(process.stdout, lines), daemon=True).start()
    try:
        line = lines.get(timeout=START_SECONDS)
        return json.loads(line)["amqp"]
    except (queue.Empty, ValueError, KeyError, TypeError) as error:
        raise BrokerFailed(f"no address line: {error!r}\n{tail(log_path)}") from error


def read_lines(stream, lines):
    """Passes on every line, the end as an empty one; the pipe must not fill up."""
    for line in stream:
        lines.put(line)
    lines.put(b"")


def stop(process):
    """Asks it to stop, and kills it if it does not."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log_path):
    """The end of the broker's log."""
    return "\n".join(log_path.read_text(errors="replace").splitlines()[-20:])
