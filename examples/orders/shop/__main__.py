"""The command line of the example: options, signals, exit status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from shop.broker import BrokerMissing
from shop.child import ChildFailed
from shop.conductor import Options, RunFailed, conduct
from shop.connection import BrokerRefused
from shop.premises import BrokerUnusable, ShopInUse

DEFAULT_URI = "amqp://guest:guest@127.0.0.1:5672/"
FAILURES = (
    BrokerMissing,
    BrokerRefused,
    BrokerUnusable,
    ChildFailed,
    RunFailed,
    ShopInUse,
)


def main() -> int:
    """0 when every order is accounted for, 1 when not, 2 for wrong options."""
    options = _parse()
    sys.stdout.reconfigure(line_buffering=True)  # a log shows each line when it happens
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when started with `&`
    try:
        return 0 if conduct(options) else 1
    except FAILURES as failure:
        _tell(failure)
        return 1
    except KeyboardInterrupt:
        print("interrupted")
        return 130


def _tell(failure: BaseException) -> None:
    """Prints the failure, after the one whose clearing up it disturbed: that one is the cause."""
    if isinstance(failure.__context__, FAILURES):
        _tell(failure.__context__)
    print(f"FAILED: {failure}")


def _exit(number: int, _frame) -> None:
    sys.exit(128 + number)


def _parse() -> Options:
    parser = argparse.ArgumentParser(
        prog="run",
        description="Sends orders through the shop and accounts for every one of them.",
        epilog=f"AMQP_URI names the broker (default {DEFAULT_URI}); where none answers, one is "
        "started. LEVERET names the binary to start (default: the release build).",
    )
    parser.add_argument("--orders", type=_positive, default=10_000, help="default 10000")
    parser.add_argument("--seed", type=int, default=1, help="seed of the plan, default 1")
    parser.add_argument(
        "--open-orders", type=_positive, default=500, help="most orders at a time, default 500"
    )
    parser.add_argument(
        "--deadline", type=_positive, metavar="SECONDS", help="default 60 s + 1 s per 50 orders"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep journals and logs there")
    parser.add_argument(
        "--kill",
        action="store_true",
        help="SIGKILL the broker after a third and two thirds of the orders, and start it again",
    )
    given = parser.parse_args()
    return Options(
        uri=os.environ.get("AMQP_URI", DEFAULT_URI),
        orders=given.orders,
        seed=given.seed,
        open_orders=given.open_orders,
        deadline_s=given.deadline or 60 + given.orders / 50,
        kills_broker=given.kill,
        keep=given.keep,
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
