"""The broker of a run: the one that answers already, or a Leveret of our own.

Owns the broker process it started. Never touches one that it only found.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from shop.child import Child, ChildFailed

REPOSITORY = Path(__file__).resolve().parents[3]
ANSWER_S = 3
START_S = 60
AMQP_PORT, AMQPS_PORT = 5672, 5671


class BrokerMissing(Exception):
    """No broker answers and none can be started."""


def is_answering(uri: str) -> bool:
    """Whether something listens where the URI points."""
    parts = urlsplit(uri)
    port = parts.port or (AMQPS_PORT if parts.scheme == "amqps" else AMQP_PORT)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", port), ANSWER_S):
            return True
    except OSError:
        return False


class OwnBroker:
    """A `leveret serve` on ports and in a folder of its own."""

    def __init__(self, directory: Path) -> None:
        self._binary = _leveret()
        self._directory = directory
        self._amqp_bind = "127.0.0.1:0"
        self._start()

    @property
    def uri(self) -> str:
        """Where it listens, with the credentials of a new installation."""
        return f"amqp://guest:guest@{self._amqp_bind}/"

    def check(self) -> None:
        """ChildFailed if the broker has ended by itself."""
        self._process.check()

    def kill_and_restart(self) -> None:
        """SIGKILL, then a new process on the same data directory and port."""
        self._process.kill()
        self._process.wait()
        self._start()

    def stop(self) -> None:
        """Ends the broker in good order."""
        self._process.terminate()
        self._process.wait()

    def _start(self) -> None:
        data = str(self._directory / "broker-data")
        command = [self._binary, "serve", "--data-dir", data]
        command += ["--amqp-bind", self._amqp_bind, "--http-bind", "127.0.0.1:0"]
        try:
            self._process = Child("leveret", command, self._directory / "broker.log")
        except OSError as error:
            raise BrokerMissing(f"cannot start leveret: {error}") from error
        try:
            self._amqp_bind = json.loads(self._process.first_line(START_S))["amqp"]
        except (ChildFailed, ValueError, KeyError, TypeError) as error:
            self._process.kill()
            self._process.wait()
            raise BrokerMissing(f"cannot start {self._binary}: {error}") from error


def _leveret() -> str:
    """The path of the binary: $LEVERET, or the release build, which is made when it is missing."""
    if "LEVERET" in os.environ:
        return os.environ["LEVERET"]
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    binary = target / "release" / "leveret"
    if not binary.exists():
        _build()
    return str(binary)


def _build() -> None:
    print("no broker answers: building leveret", flush=True)
    command = ["cargo", "build", "--release", "--bin", "leveret"]
    try:
        subprocess.run(command, cwd=REPOSITORY, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BrokerMissing(f"leveret cannot be built: {error}") from error
