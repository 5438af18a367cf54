"""Publishing with confirms: a message is this process's duty until the broker says it has it.

Owns the unconfirmed messages. Never opens anything: `connection` attaches each new channel, and
whatever was unconfirmed on the old one is published again on the new one. That can publish a
message twice, never zero times; consumers recognise the second by its message id.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pika

from shop.message import Publication

REPUBLISH_S = 0.1
Confirmed = Callable[[], None] | None


class ConfirmingPublisher:
    """Numbers publications as the broker does (1, 2, … per channel) and waits for their acks."""

    def __init__(self, on_quiet: Callable[[], None], call_later: Callable) -> None:
        self._channel = None
        self._last_tag = 0
        self._nacked = 0
        self._unconfirmed: dict[int, tuple[Publication, Confirmed]] = {}  # in order of tags
        self._on_quiet = on_quiet
        self._call_later = call_later

    @property
    def is_quiet(self) -> bool:
        """Whether the broker has confirmed everything."""
        return not self._unconfirmed and not self._nacked

    def publish(self, publication: Publication, confirmed: Confirmed = None) -> None:
        """Publishes, now or on the next channel; calls `confirmed` once the broker has it."""
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = (publication, confirmed)
        if self._channel is not None:
            self._send(publication)

    def attach(self, channel) -> None:
        """Takes a channel in confirm mode and publishes what waits."""
        waiting = list(self._unconfirmed.values())
        self._channel, self._last_tag, self._unconfirmed = channel, 0, {}
        for publication, confirmed in waiting:
            self.publish(publication, confirmed)

    def detach(self) -> None:
        """The channel is gone; publications wait for the next one."""
        self._channel = None

    def on_confirm(self, frame) -> None:
        """basic.ack or basic.nack from the broker; `multiple` covers all tags up to this one."""
        tag = frame.method.delivery_tag
        tags = [tag]
        if frame.method.multiple:
            tags = list(itertools.takewhile(lambda waiting: waiting <= tag, self._unconfirmed))
        is_ack = isinstance(frame.method, pika.spec.Basic.Ack)
        for settled in tags:
            publication, confirmed = self._unconfirmed.pop(settled)
            if not is_ack:
                self._publish_later(publication, confirmed)
            elif confirmed is not None:
                confirmed()
        if self.is_quiet:
            self._on_quiet()

    def _publish_later(self, publication: Publication, confirmed: Confirmed) -> None:
        """The broker did not take it. It may be full: to repeat at once would hammer it."""
        self._nacked += 1

        def again() -> None:
            self._nacked -= 1
            self.publish(publication, confirmed)

        self._call_later(REPUBLISH_S, again)

    def _send(self, publication: Publication) -> None:
        self._channel.basic_publish(
            publication.exchange,
            publication.routing_key,
            publication.body,
            publication.properties,
            publication.mandatory,
        )
