"""Sends what the suite addresses to 127.0.0.1:5672 to the broker named by PIKA_BROKER.

The suite writes that address into parameters, URLs and forwarders; this is the one place they all
pass. Python imports a module of this name at start, in child processes as well. It changes no
other destination and knows nothing of AMQP.
"""

import os
import socket

WRITTEN_IN_THE_SUITE = ("127.0.0.1", 5672)


def install(broker):
    """Both ways to connect a socket go to `broker` instead."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, redirected(getattr(socket.socket, name), broker))


def redirected(connect, broker):
    def to_broker(self, address):
        return connect(self, broker if address == WRITTEN_IN_THE_SUITE else address)

    return to_broker


if "PIKA_BROKER" in os.environ:
    host, _, port = os.environ["PIKA_BROKER"].rpartition(":")
    install((host, int(port)))
