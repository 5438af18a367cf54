// Exchanges, queues and bindings with amqplib.

import { nameFor } from './board.mjs';
import { equal, ROUTES } from './facts.mjs';
import {
  closesChannel, consume, drain, openChannel, publish, publishTo, ready,
} from './client.mjs';

async function exchangeTypes(c) {
  const channel = await c.channel();
  for (const route of ROUTES) {
    const exchange = await c.exchange(channel, route.kind);
    const queues = [await c.queue(channel), await c.queue(channel)];
    for (const [index, key, args] of route.bindings) {
      await channel.bindQueue(queues[index], exchange, key, args);
    }
    for (const [number, [key, headers]] of route.messages.entries()) {
      await publishTo(channel, exchange, key, [String(number)], { headers });
    }
    for (const [index, expected] of route.arrive.entries()) {
      const arrived = (await drain(channel, queues[index])).map(Number);
      equal(arrived, expected, `messages through a ${route.kind} exchange`);
    }
  }
}

async function exchangeBind(c) {
  const channel = await c.channel();
  const source = await c.exchange(channel, 'topic');
  const target = await c.exchange(channel, 'fanout');
  const queue = await c.queue(channel);
  await channel.bindQueue(queue, target, '');
  await channel.bindQueue(await c.queue(channel), source, 'keeps.it.alive');
  await channel.bindExchange(target, source, 'k.#');
  await publishTo(channel, source, 'k.1', ['crosses']);
  equal(await drain(channel, queue), ['crosses'], 'through two exchanges');
  await channel.unbindExchange(target, source, 'k.#');
  await publishTo(channel, source, 'k.2', ['stays']);
  equal(await drain(channel, queue), [], 'after exchange.unbind');
}

async function alternateExchange(c) {
  const channel = await c.channel();
  const alternate = await c.exchange(channel, 'fanout');
  const exchange = await c.exchange(channel, 'direct', { alternateExchange: alternate });
  const [own, rest] = [await c.queue(channel), await c.queue(channel)];
  await channel.bindQueue(own, exchange, 'own');
  await channel.bindQueue(rest, alternate, '');
  const returned = [];
  channel.on('return', (message) => returned.push(message));
  await publishTo(channel, exchange, 'own', ['bound'], { mandatory: true });
  await publishTo(channel, exchange, 'other', ['unbound'], { mandatory: true });
  equal(await drain(channel, own), ['bound'], 'the bound queue');
  equal(await drain(channel, rest), ['unbound'], "the alternate exchange's queue");
  equal(returned.length, 0, 'returned messages');
}

async function passive(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  await publish(channel, queue, ['1', '2', '3']);
  const found = await channel.checkQueue(queue);
  equal(found, { queue, messageCount: 3, consumerCount: 0 }, 'declare-ok');
  await channel.checkExchange('amq.topic');
  const missing = nameFor('missing');
  const noQueue = `NOT_FOUND - no queue '${missing}' in vhost '/'`;
  await closesChannel(channel, 404, [noQueue], channel.checkQueue(missing));
  const other = await c.channel();
  const noExchange = `NOT_FOUND - no exchange '${missing}' in vhost '/'`;
  await closesChannel(other, 404, [noExchange], other.checkExchange(missing));
}

async function serverNamed(c) {
  const channel = await c.channel();
  const names = [];
  for (let i = 0; i < 2; i += 1) {
    names.push((await channel.assertQueue('', { exclusive: true })).queue);
  }
  equal(names.map((name) => name.startsWith('amq.gen-')), [true, true], 'amq.gen- names');
  equal(new Set(names).size, 2, 'different names');
  await publish(channel, names[0], ['found']);
  equal(await drain(channel, names[0]), ['found'], 'the first queue');
  equal(await drain(channel, names[1]), [], 'the second queue');
}

async function deleteConditions(c) {
  const connection = await c.connect();
  let channel = await openChannel(connection);
  const queue = await c.queue(channel);
  await consume(channel, queue);
  const inUse = ['PRECONDITION_FAILED', 'in use'];
  await closesChannel(channel, 406, inUse, channel.deleteQueue(queue, { ifUnused: true }));
  channel = await openChannel(connection);
  await publish(channel, queue, ['kept']);
  const notEmpty = ['PRECONDITION_FAILED', 'not empty'];
  await closesChannel(channel, 406, notEmpty, channel.deleteQueue(queue, { ifEmpty: true }));
  channel = await openChannel(connection);
  const exchange = await c.exchange(channel, 'direct');
  await channel.bindQueue(queue, exchange, 'key');
  await closesChannel(channel, 406, inUse, channel.deleteExchange(exchange, { ifUnused: true }));
  channel = await openChannel(connection);
  equal((await channel.deleteQueue(queue)).messageCount, 1, 'messages deleted');
  equal((await channel.deleteQueue(queue)).messageCount, 0, 'deleted once more');
}

async function redeclareMismatch(c) {
  const connection = await c.connect();
  const [queue, exchange] = [nameFor('queue'), nameFor('exchange')];
  let channel = await openChannel(connection);
  const withTtl = (messageTtl) => ({ exclusive: true, messageTtl });
  for (let i = 0; i < 2; i += 1) {
    await channel.assertQueue(queue, withTtl(10_000));
    await channel.assertExchange(exchange, 'direct', { autoDelete: true });
  }
  equal(await ready(channel, queue), 0, 'declared twice');
  const otherTtl = ["PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'", queue];
  await closesChannel(channel, 406, otherTtl, channel.assertQueue(queue, withTtl(20_000)));
  channel = await openChannel(connection);
  const otherType = ["PRECONDITION_FAILED - inequivalent arg 'type'", exchange];
  const redeclared = channel.assertExchange(exchange, 'fanout', { autoDelete: true });
  await closesChannel(channel, 406, otherType, redeclared);
  await (await openChannel(connection)).deleteExchange(exchange);
}

export default [
  ['exchange-types', exchangeTypes],
  ['exchange-bind', exchangeBind],
  ['alternate-exchange', alternateExchange],
  ['passive', passive],
  ['server-named', serverNamed],
  ['delete-conditions', deleteConditions],
  ['redeclare-mismatch', redeclareMismatch],
];
