"""The seeded plan: what will go wrong with which order, and how that order must end.

Owns the deliberate failures and the predictions made from them. Both are pure functions of
(seed, order id), so each process works them out for itself and no message carries a hint.
Never looks at what really happened: that is `accounting`.
"""

from __future__ import annotations

import enum
import functools
import random
from dataclasses import dataclass

from shop import topology
from shop.topology import INVENTORY, NOTIFICATION, ORDERS, PAYMENT, SHIPPING

WORK_STAGES = (PAYMENT, INVENTORY, SHIPPING, NOTIFICATION)
SKUS = tuple(f"sku-{number:02}" for number in range(20))


class Story(enum.Enum):
    """What happens to an order."""

    PLAIN = "nothing goes wrong"
    FLAKY = "a stage fails a few times, then succeeds"
    DECLINED = "the bank refuses the payment"
    MALFORMED = "the message cannot be parsed"
    CURSED = "a stage fails at every attempt"
    SENT_TWICE = "the shop publishes the order twice"
    ACK_LOST = "a stage does its work and its acknowledgement is lost"


class Ending(enum.Enum):
    """How an order can end."""

    SHIPPED = "shipped and notified"
    CANCELLED = "cancelled and notified"
    DEAD = "dead-lettered"


@dataclass(frozen=True)
class Fate:
    """One card of the deck: the story, where it plays, and how many attempts fail there."""

    story: Story
    stage: str = ""
    failures: int = 0


@dataclass(frozen=True)
class Prediction:
    """What the books must show for one order."""

    ending: Ending
    effects: tuple[tuple[str, str], ...]  # (service, what it did): each exactly once
    retries: int = 0  # levels 1..retries are each waited for once
    duplicate_at: str = ""  # the stage that must recognise one duplicate
    died_at: str = ""  # the stage whose queue dead-letters the message


def _deck() -> list[Fate]:
    """200 orders' worth of fates; four in five are plain."""
    levels = range(1, len(topology.RETRY_DELAYS_MS) + 1)
    always = len(topology.RETRY_DELAYS_MS) + 1
    deck = [Fate(Story.MALFORMED, PAYMENT)]
    deck += [Fate(Story.CURSED, stage, always) for stage in (PAYMENT, INVENTORY, SHIPPING)]
    deck += [Fate(Story.FLAKY, stage, count) for stage in WORK_STAGES for count in levels]
    deck += [Fate(Story.ACK_LOST, stage) for stage in WORK_STAGES] * 2
    deck += [Fate(Story.SENT_TWICE, PAYMENT)] * 6
    deck += [Fate(Story.DECLINED, PAYMENT)] * 10
    return deck + [Fate(Story.PLAIN)] * (200 - len(deck))


DECK = tuple(_deck())


class Plan:
    """The fates of orders 1..orders: the deck, shuffled anew for every 200 orders."""

    def __init__(self, seed: int, orders: int) -> None:
        self.seed = seed
        self.orders = orders
        self._shuffled = functools.lru_cache(maxsize=8)(self._shuffle)

    def ids(self) -> range:
        """All order ids."""
        return range(1, self.orders + 1)

    def fate(self, order_id: int) -> Fate:
        """What will go wrong with this order."""
        block, place = divmod(order_id - 1, len(DECK))
        return self._shuffled(block)[place]

    def basket(self, order_id: int) -> tuple[str, int, bool]:
        """(SKU, quantity, express) of this order."""
        draw = random.Random(f"{self.seed}/basket/{order_id}")
        return draw.choice(SKUS), draw.randint(1, 5), draw.random() < 0.2

    def initial_stock(self) -> dict[str, int]:
        """Exactly what all orders together ask for."""
        stock = dict.fromkeys(SKUS, 0)
        for order_id in self.ids():
            sku, quantity, _ = self.basket(order_id)
            stock[sku] += quantity
        return stock

    def prediction(self, order_id: int) -> Prediction:
        """How this order must end and what each service must have done for it."""
        fate = self.fate(order_id)
        if fate.story is Story.DECLINED:
            return Prediction(Ending.CANCELLED, TAKEN + COMPENSATED)
        if fate.story is Story.MALFORMED:
            return Prediction(Ending.DEAD, TAKEN, died_at=fate.stage)
        if fate.story is Story.CURSED:
            done = FULFILLED[: WORK_STAGES.index(fate.stage)]
            retries = len(topology.RETRY_DELAYS_MS)
            return Prediction(Ending.DEAD, TAKEN + done, retries, died_at=fate.stage)
        repeated = fate.story in (Story.SENT_TWICE, Story.ACK_LOST)
        duplicate_at = fate.stage if repeated else ""
        return Prediction(Ending.SHIPPED, TAKEN + FULFILLED, fate.failures, duplicate_at)

    def _shuffle(self, block: int) -> list[Fate]:
        cards = list(DECK)
        random.Random(f"{self.seed}/deck/{block}").shuffle(cards)
        return cards


TAKEN = ((INVENTORY, "reserved"), (ORDERS, "placed"))
FULFILLED = (
    (PAYMENT, "charged"),
    (INVENTORY, "picked"),
    (SHIPPING, "shipped"),
    (NOTIFICATION, "notified"),
)
COMPENSATED = (
    (PAYMENT, "declined"),
    (INVENTORY, "released"),
    (ORDERS, "cancelled"),
    (NOTIFICATION, "notified"),
)
