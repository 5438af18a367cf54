"""What must hold whichever Python client asks: routes, header values, x-death, refusal texts.

Pure data and checks; never talks to a broker.
"""

from datetime import datetime, timezone
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

WRONG_PASSWORD_TEXT = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"
LARGE = bytes(range(256)) * (5 * 4096)
PRIORITIES = (1, 5, 9, 0, 5)
FRAME_OVERHEAD = 8


class Mismatch(AssertionError):
    """What came is not what must come."""


def equal(actual, expected, what):
    """Both are the same; `what` names them in the failure."""
    if actual != expected:
        raise Mismatch(f"{what}: {shortened(actual)}, expected {shortened(expected)}")


def true(condition, what):
    """The condition named by `what` holds."""
    if not condition:
        raise Mismatch(what)


def contains(text, *parts):
    """Every part occurs in the text."""
    for part in parts:
        true(part in str(text), f"{part!r} is not in {shortened(text)}")


def shortened(value):
    """The value's repr, cut where it would flood the report."""
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"


class Route(NamedTuple):
    """Bindings of two queues (0 and 1), messages (key, headers), and who gets which of them."""

    kind: str
    bindings: list
    messages: list
    arrive: tuple


ROUTES = [
    Route("direct", [(0, "red", None), (1, "blue", None)],
          [("red", None), ("blue", None), ("green", None)], ([0], [1])),
    Route("fanout", [(0, "", None), (1, "other", None)],
          [("any", None), ("", None)], ([0, 1], [0, 1])),
    Route("topic", [(0, "a.*.c", None), (1, "a.#", None)],
          [("a.b.c", None), ("a", None), ("a.b.c.d", None), ("b.a", None)], ([0], [0, 1, 2])),
    Route("headers", [(0, "", {"x-match": "all", "n": 1, "s": "two"}),
                      (1, "", {"x-match": "any", "n": 1, "s": "two"})],
          [("", {"n": 1, "s": "two"}), ("", {"n": 1}), ("", {"s": "three"})], ([0], [0, 1])),
]

HEADERS = {
    "bool": True,
    "no": False,
    "small": -7,
    "int": 2**31 - 1,
    "long": -(2**62),
    "string": "grüße, 世界",
    "bytes": b"\x00\xff\xfe",
    "empty": "",
    "decimal": Decimal("3.14"),
    "time": datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone.utc),
    "none": None,
    "list": [1, "two", True, None, [3, {"four": 4}]],
    "table": {"nested": {"deeper": {"list": [], "table": {}}}, "n": 2**40},
}


def check_expired(headers, queue, exchange, key, expiration):
    """The x-death of a message that expired in `queue` by its own expiration."""
    death = single_death(headers, queue, "expired", exchange, key)
    equal(death.get("original-expiration"), expiration, "original-expiration")


def single_death(headers, queue, reason, exchange, key):
    """The only x-death entry, after its fields and the x-first-death headers are checked."""
    deaths = headers.get("x-death")
    equal(len(deaths or []), 1, "number of x-death entries")
    death = deaths[0]
    expected = {"count": 1, "queue": queue, "reason": reason, "exchange": exchange,
                "routing-keys": [key]}
    for field, value in expected.items():
        equal(death.get(field), value, f"x-death {field}")
    true(isinstance(death.get("time"), datetime), "x-death time is a timestamp")
    for field in ("queue", "reason", "exchange"):
        equal(headers.get(f"x-first-death-{field}"), expected[field], f"x-first-death-{field}")
    return death


def with_vhost(uri):
    """The URI naming its vhost: an empty path means "/"."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=parts.path if len(parts.path) > 1 else "/%2F"))


def with_parts(uri, *, password=None, vhost=None, query=None):
    """The URI with another password, vhost or query."""
    parts = urlsplit(with_vhost(uri))
    netloc, path = parts.netloc, parts.path
    if password is not None:
        netloc = f"{parts.username}:{password}@{parts.hostname}:{parts.port}"
    if vhost is not None:
        path = "/" + vhost
    return urlunsplit(parts._replace(netloc=netloc, path=path, query=query or parts.query))
