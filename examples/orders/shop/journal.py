"""What one process did, one JSON line per deed: the stand-in for its database.

Owns the file. Never decides anything: the accounting reads all journals after the run and compares
them with the plan, so a deed done twice or not at all cannot hide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path


class Journal:
    """An append-only file of deeds."""

    def __init__(self, path: str) -> None:
        # Line buffering: a deed is in the file before the message about it is published.
        self._file = open(path, "a", buffering=1, encoding="utf-8")

    def write(self, order_id: int, did: str, **details) -> None:
        """Adds one deed."""
        self._append({"order": order_id, "did": did, **details})

    def close(self, **summary) -> None:
        """Adds the process's closing figures as the last line."""
        self._append({"closing": summary})
        self._file.close()

    def _append(self, line: dict) -> None:
        self._file.write(json.dumps(line) + "\n")


def read_journal(path: Path) -> Iterator[dict]:
    """The lines of a journal, parsed, oldest first."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
