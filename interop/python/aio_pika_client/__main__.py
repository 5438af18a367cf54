"""`python -m aio_pika_client`: every scenario with aio-pika."""

import asyncio
import logging

from aio_pika_client import connections, consuming, publishing, topology
from aio_pika_client.session import Session
from common.board import Board

SCENARIOS = (
    topology.SCENARIOS + publishing.SCENARIOS + consuming.SCENARIOS + connections.SCENARIOS
)


def main():
    for library in ("aio_pika", "aiormq", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    board = Board("aio-pika", SCENARIOS)
    board.run(lambda scenario: asyncio.run(with_session(scenario, Session(board))))


async def with_session(scenario, session):
    await scenario(session)
    await session.close()


main()
