"""The life of one worker process: arguments, signals, readiness, a clean end.

Owns what all workers share outside AMQP. Never starts a process: `workers` does. SIGTERM ends a
worker after the confirms it waits for.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

from shop.connection import BrokerRefused
from shop.journal import Journal
from shop.plan import Plan

READY = "ready"


def serve(stage_class, takes_open_orders: bool = False) -> None:
    """Runs one stage until it is told to stop."""
    arguments = _parse(takes_open_orders)
    journal = Journal(arguments.pop("journal"))
    plan = Plan(arguments.pop("seed"), arguments.pop("orders"))
    stage = stage_class(os.environ["AMQP_URI"], plan, journal, **arguments)
    connection = stage.connection

    def stop(_signal, _frame) -> None:
        connection.loop.add_callback_threadsafe(connection.stop)

    signal.signal(signal.SIGTERM, stop)
    stage.on_ready(lambda: print(READY, flush=True))
    try:
        connection.run()
    except BrokerRefused as refusal:
        sys.exit(f"{stage.name}: {refusal}")
    journal.close(**stage.closing_figures())


def _parse(takes_open_orders: bool) -> dict:
    parser = argparse.ArgumentParser(description="One stage of the shop; AMQP_URI names the broker")
    parser.add_argument("--journal", required=True, help="file for what this process did")
    parser.add_argument("--seed", type=int, required=True, help="seed of the plan")
    parser.add_argument("--orders", type=int, required=True, help="number of orders in the plan")
    if takes_open_orders:
        parser.add_argument("--open-orders", type=int, required=True, help="most orders at a time")
    return vars(parser.parse_args())
