"""`python -m aio_pika_client`: every scenario with aio-pika."""

import asyncio
import logging

from aio_pika_client import connections, consuming, publishing, topology
from aio_pika_client.client import Client
from common.board import Board

SCENARIOS = (
    topology.SCENARIOS + publishing.SCENARIOS + consuming.SCENARIOS + connections.SCENARIOS
)


def main():
    for library in ("aio_pika", "aiormq", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    board = Board("aio-pika", SCENARIOS)
    board.run(lambda scenario: asyncio.run(with_client(scenario, Client(board))))


async def with_client(scenario, client):
    await scenario(client)
    await client.close()


main()
