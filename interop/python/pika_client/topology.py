"""Exchanges, queues and bindings with pika."""

from common.facts import ROUTES, equal, true
from pika_client.client import anonymous, channel_closed, drain, publish, ready


async def exchange_types(c):
    channel = await c.channel()
    for route in ROUTES:
        exchange = await c.exchange(channel, route.kind)
        queues = [await c.queue(channel), await c.queue(channel)]
        for index, key, arguments in route.bindings:
            await channel.queue_bind(queues[index], exchange, key, arguments)
        for number, (key, headers) in enumerate(route.messages):
            await channel.publish(exchange, key, str(number), headers=headers)
        for queue, expected in zip(queues, route.arrive):
            arrived = [int(body) for body in await drain(channel, queue)]
            equal(arrived, expected, f"messages through a {route.kind} exchange")


async def exchange_bind(c):
    channel = await c.channel()
    source, target = await c.exchange(channel, "topic"), await c.exchange(channel, "fanout")
    queue = await c.queue(channel)
    await channel.queue_bind(queue, target)
    await channel.queue_bind(await c.queue(channel), source, "keeps.it.alive")
    await channel.exchange_bind(target, source, "k.#")
    await channel.publish(source, "k.1", b"crosses")
    equal(await drain(channel, queue), [b"crosses"], "through two exchanges")
    await channel.exchange_unbind(target, source, "k.#")
    await channel.publish(source, "k.2", b"stays")
    equal(await drain(channel, queue), [], "after exchange.unbind")


async def alternate_exchange(c):
    channel = await c.channel()
    alternate = await c.exchange(channel, "fanout")
    exchange = await c.exchange(channel, "direct", alternate_exchange=alternate)
    own, rest = await c.queue(channel), await c.queue(channel)
    await channel.queue_bind(own, exchange, "own")
    await channel.queue_bind(rest, alternate)
    await channel.publish(exchange, "own", b"bound", mandatory=True)
    await channel.publish(exchange, "other", b"unbound", mandatory=True)
    equal(await drain(channel, own), [b"bound"], "the bound queue")
    equal(await drain(channel, rest), [b"unbound"], "the alternate exchange's queue")


async def passive(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"1", b"2", b"3")
    found = await channel.queue_declare(queue, passive=True)
    equal((found.queue, found.message_count, found.consumer_count), (queue, 3, 0), "declare-ok")
    await channel.exchange_declare("amq.topic", "topic", passive=True)
    missing = c.board.name("missing")
    with channel_closed(404, f"NOT_FOUND - no queue '{missing}' in vhost '/'"):
        await channel.queue_declare(missing, passive=True)
    with channel_closed(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'"):
        await (await c.channel()).exchange_declare(missing, passive=True)


async def server_named(c):
    channel = await c.channel()
    names = [await anonymous(channel), await anonymous(channel)]
    true(all(name.startswith("amq.gen-") for name in names), f"amq.gen- names: {names}")
    true(names[0] != names[1], "two different names")
    await publish(channel, names[0], b"found")
    equal([await drain(channel, name) for name in names], [[b"found"], []], "queues by these names")


async def delete_conditions(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await channel.consume(queue)
    with channel_closed(406, "PRECONDITION_FAILED", "in use"):
        await channel.queue_delete(queue, if_unused=True)
    channel = await channel.connection.channel(confirm=True)
    await publish(channel, queue, b"kept")
    with channel_closed(406, "PRECONDITION_FAILED", "not empty"):
        await channel.queue_delete(queue, if_empty=True)
    channel = await channel.connection.channel()
    exchange = await c.exchange(channel, "direct")
    await channel.queue_bind(queue, exchange, "key")
    with channel_closed(406, "PRECONDITION_FAILED", "in use"):
        await channel.exchange_delete(exchange, if_unused=True)
    channel = await channel.connection.channel()
    counts = [(await channel.queue_delete(queue)).message_count for _ in range(2)]
    equal(counts, [1, 0], "messages deleted, the first time and once more")


async def redeclare_mismatch(c):
    connection = await c.connect()
    queue, exchange = c.board.name("queue"), c.board.name("exchange")
    channel = await connection.channel()
    for _ in range(2):
        await channel.queue_declare(queue, exclusive=True, arguments={"x-message-ttl": 10_000})
        await channel.exchange_declare(exchange, "direct", auto_delete=True)
    equal(await ready(channel, queue), 0, "declared twice")
    with channel_closed(406, "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'", queue):
        await channel.queue_declare(queue, exclusive=True, arguments={"x-message-ttl": 20_000})
    channel = await connection.channel()
    with channel_closed(406, "PRECONDITION_FAILED - inequivalent arg 'type'", exchange):
        await channel.exchange_declare(exchange, "fanout", auto_delete=True)
    await (await connection.channel()).exchange_delete(exchange)


SCENARIOS = [
    ("exchange-types", exchange_types),
    ("exchange-bind", exchange_bind),
    ("alternate-exchange", alternate_exchange),
    ("passive", passive),
    ("server-named", server_named),
    ("delete-conditions", delete_conditions),
    ("redeclare-mismatch", redeclare_mismatch),
]
