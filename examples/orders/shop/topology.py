"""Every exchange, queue and binding of the shop.

Owns the names and the arguments. Never publishes or consumes: a worker that wants a name takes it
from here. The README draws this file as a picture.
"""

from __future__ import annotations

# Exchanges.
EVENTS = "shop.events"  # topic: what happened, as <subject>.<what>, for example payment.declined
CLOSED = "shop.closed"  # fanout: an order was shipped or cancelled; all who care get a copy
RETRY = "shop.retry"  # topic: <level>.<stage>, messages that wait for another attempt
RETURN = "shop.return"  # topic: the same key after the wait, back to the stage's queue
DEAD = "shop.dead"  # fanout: messages that no further attempt would help

# The stages of an order. Each has one work queue, one process and one module of this package.
ORDERS, PAYMENT, INVENTORY = "orders", "payment", "inventory"
SHIPPING, NOTIFICATION = "shipping", "notification"
STAGES = (ORDERS, PAYMENT, INVENTORY, SHIPPING, NOTIFICATION)

# Queues beside the work queues.
STOCK_REQUESTS = "shop.stock"
ORDERS_ENDED = "shop.orders.ended"
AUDIT = "shop.audit"
DEAD_LETTERS = "shop.dead-letters"

# Not a queue: consuming from this name makes the broker route replies to the consuming channel.
DIRECT_REPLY_TO = "amq.rabbitmq.reply-to"

# Held, exclusively, by the run that is using the shop on this vhost.
LOCK = "shop.lock"

MAX_PRIORITY = 10
EXPRESS, STANDARD = 9, 1

# The wait before the second, third and fourth attempt. One queue per delay: a queue expires from
# its head, so messages with different delays in one queue would wait for each other.
RETRY_DELAYS_MS = (100, 300, 900)


def work_queue(stage: str) -> str:
    """The queue that feeds a stage."""
    return f"shop.{stage}"


def retry_key(level: int, stage: str) -> str:
    """The routing key that makes a message of `stage` wait at `level` (1 is the shortest)."""
    return f"{level}.{stage}"


def exchanges() -> dict[str, str]:
    """Exchange name to type."""
    return {EVENTS: "topic", CLOSED: "fanout", RETRY: "topic", RETURN: "topic", DEAD: "fanout"}


def queues() -> dict[str, dict]:
    """Queue name to arguments."""
    to_dead_letters = {"x-dead-letter-exchange": DEAD}
    declared: dict[str, dict] = {work_queue(stage): dict(to_dead_letters) for stage in STAGES}
    declared[work_queue(PAYMENT)]["x-max-priority"] = MAX_PRIORITY
    for level, delay_ms in enumerate(RETRY_DELAYS_MS, start=1):
        # Nobody consumes here. After the delay the message expires, and expiry dead-letters it to
        # RETURN with its routing key unchanged, so it still says which stage it belongs to.
        declared[_retry_queue(level)] = {
            "x-message-ttl": delay_ms,
            "x-dead-letter-exchange": RETURN,
        }
    # No dead-letter exchange for stock requests: one that expires has nobody waiting for it.
    for queue in (STOCK_REQUESTS, ORDERS_ENDED, AUDIT, DEAD_LETTERS):
        declared[queue] = {}
    return declared


def bindings() -> list[tuple[str, str, str]]:
    """(source exchange, queue, binding key)."""
    bound = [
        (EVENTS, work_queue(PAYMENT), "order.placed"),
        (EVENTS, work_queue(INVENTORY), "payment.*"),
        (EVENTS, work_queue(SHIPPING), "stock.picked"),
        (EVENTS, work_queue(ORDERS), "stock.released"),
        (CLOSED, work_queue(NOTIFICATION), ""),
        (CLOSED, ORDERS_ENDED, ""),
        (CLOSED, AUDIT, ""),
        (DEAD, DEAD_LETTERS, ""),
        (DEAD, ORDERS_ENDED, ""),
        (DEAD, AUDIT, ""),
        (EVENTS, AUDIT, "customer.notified"),
        (EVENTS, AUDIT, "duplicate.#"),
    ]
    bound += [(RETURN, work_queue(stage), f"*.{stage}") for stage in STAGES]
    levels = range(1, len(RETRY_DELAYS_MS) + 1)
    bound += [(RETRY, _retry_queue(level), f"{level}.*") for level in levels]
    return bound


def declare(channel) -> None:
    """Declares all of it on a blocking channel. Everything is durable."""
    for exchange, exchange_type in exchanges().items():
        channel.exchange_declare(exchange, exchange_type, durable=True)
    for queue, arguments in queues().items():
        channel.queue_declare(queue, durable=True, arguments=arguments)
    for source, queue, key in bindings():
        channel.queue_bind(queue, source, key)
    # The two ways an order closes leave the topic exchange for the fanout exchange by a binding
    # between exchanges: shipping and orders publish facts and need not know who listens.
    for key in ("order.shipped", "order.cancelled"):
        channel.exchange_bind(destination=CLOSED, source=EVENTS, routing_key=key)


def remove(channel) -> None:
    """Deletes all of it, and whatever the queues still hold. Deleting what is not there is fine."""
    for queue in queues():
        channel.queue_delete(queue)
    for exchange in exchanges():
        channel.exchange_delete(exchange)


def _retry_queue(level: int) -> str:
    return f"shop.retry.{level}"
