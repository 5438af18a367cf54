"""`python -m pika_client blocking|select|asyncio`: every scenario over that adapter of pika's."""

import logging
import sys

from common.board import Board
from pika_client import connections, consuming, publishing, topology
from pika_client.blocking import Blocking
from pika_client.callbacks import AsyncioLoop, SelectLoop
from pika_client.client import Client

ADAPTERS = {"blocking": Blocking, "select": SelectLoop, "asyncio": AsyncioLoop}
SCENARIOS = (
    topology.SCENARIOS + publishing.SCENARIOS + consuming.SCENARIOS + connections.SCENARIOS
)


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in ADAPTERS:
        sys.exit(f"usage: python -m pika_client {'|'.join(ADAPTERS)}")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    board = Board(f"pika-{sys.argv[1]}", SCENARIOS)

    def call(scenario):
        adapter = ADAPTERS[sys.argv[1]]()
        adapter.run(with_client(scenario, Client(board, adapter)))

    board.run(call)


async def with_client(scenario, client):
    await scenario(client)
    await client.close()


main()
