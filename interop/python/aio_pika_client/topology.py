"""Exchanges, queues and bindings with aio-pika."""

from aio_pika import ExchangeType, Message

from aio_pika_client.client import channel_closed, consume, drain, publish, ready
from common.facts import ROUTES, equal, true


async def exchange_types(c):
    channel = await c.channel()
    for route in ROUTES:
        exchange = await c.exchange(channel, route.kind)
        queues = [await c.queue(channel), await c.queue(channel)]
        for index, key, arguments in route.bindings:
            await queues[index].bind(exchange, key, arguments=arguments)
        for number, (key, headers) in enumerate(route.messages):
            message = Message(str(number).encode(), headers=headers)
            await exchange.publish(message, key, mandatory=False)
        for queue, expected in zip(queues, route.arrive):
            arrived = [int(body) for body in await drain(queue)]
            equal(arrived, expected, f"messages through a {route.kind} exchange")


async def exchange_bind(c):
    channel = await c.channel()
    source, target = await c.exchange(channel, "topic"), await c.exchange(channel, "fanout")
    queue = await c.queue(channel)
    await queue.bind(target)
    await (await c.queue(channel)).bind(source, "keeps.it.alive")
    await target.bind(source, "k.#")
    await source.publish(Message(b"crosses"), "k.1")
    equal(await drain(queue), [b"crosses"], "through two exchanges")
    await target.unbind(source, "k.#")
    await source.publish(Message(b"stays"), "k.2", mandatory=False)
    equal(await drain(queue), [], "after exchange.unbind")


async def alternate_exchange(c):
    channel = await c.channel()
    alternate = await c.exchange(channel, "fanout")
    exchange = await c.exchange(channel, "direct", alternate_exchange=alternate.name)
    own, rest = await c.queue(channel), await c.queue(channel)
    await own.bind(exchange, "own")
    await rest.bind(alternate)
    await exchange.publish(Message(b"bound"), "own", mandatory=True)
    await exchange.publish(Message(b"unbound"), "other", mandatory=True)
    equal(await drain(own), [b"bound"], "the bound queue")
    equal(await drain(rest), [b"unbound"], "the alternate exchange's queue")


async def passive(c):
    channel = await c.channel()
    queue = await c.queue(channel)
    await publish(channel, queue, b"1", b"2", b"3")
    found = (await channel.declare_queue(queue.name, passive=True)).declaration_result
    equal((found.queue, found.message_count, found.consumer_count), (queue.name, 3, 0),
          "declare-ok")
    await channel.declare_exchange("amq.topic", ExchangeType.TOPIC, passive=True)
    missing = c.board.name("missing")
    with channel_closed(404, f"NOT_FOUND - no queue '{missing}' in vhost '/'"):
        await channel.declare_queue(missing, passive=True)
    with channel_closed(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'"):
        await (await c.channel()).declare_exchange(missing, passive=True)


async def server_named(c):
    channel = await c.channel()
    queues = [await channel.declare_queue(exclusive=True) for _ in range(2)]
    names = [queue.name for queue in queues]
    true(all(name.startswith("amq.gen-") for name in names), f"amq.gen- names: {names}")
    true(names[0] != names[1], "two different names")
    await publish(channel, names[0], b"found")
    equal([await drain(queue) for queue in queues], [[b"found"], []], "queues by these names")


async def delete_conditions(c):
    connection = await c.connect()
    channel = await connection.channel()
    queue = await c.queue(channel)
    await consume(queue)
    with channel_closed(406, "PRECONDITION_FAILED", "in use"):
        await channel.queue_delete(queue.name, if_unused=True)
    channel = await connection.channel()
    await publish(channel, queue, b"kept")
    with channel_closed(406, "PRECONDITION_FAILED", "not empty"):
        await channel.queue_delete(queue.name, if_empty=True)
    channel = await connection.channel()
    exchange = await c.exchange(channel, "direct")
    queue = await channel.get_queue(queue.name)
    await queue.bind(exchange, "key")
    with channel_closed(406, "PRECONDITION_FAILED", "in use"):
        await channel.exchange_delete(exchange.name, if_unused=True)
    channel = await connection.channel()
    counts = [(await channel.queue_delete(queue.name)).message_count for _ in range(2)]
    equal(counts, [1, 0], "messages deleted, the first time and once more")


async def redeclare_mismatch(c):
    connection = await c.connect()
    queue, exchange = c.board.name("queue"), c.board.name("exchange")
    channel = await connection.channel()
    for _ in range(2):
        await channel.declare_queue(queue, exclusive=True, arguments={"x-message-ttl": 10_000})
        await channel.declare_exchange(exchange, auto_delete=True)
    equal(await ready(channel, queue), 0, "declared twice")
    with channel_closed(406, "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'", queue):
        await channel.declare_queue(queue, exclusive=True, arguments={"x-message-ttl": 20_000})
    channel = await connection.channel()
    with channel_closed(406, "PRECONDITION_FAILED - inequivalent arg 'type'", exchange):
        await channel.declare_exchange(exchange, ExchangeType.FANOUT, auto_delete=True)
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
