// Consuming, settling, prefetch, get and dead letters with amqplib.

import { equal, singleDeath } from './facts.mjs';
import { consume, drain, openChannel, publish, ready } from './client.mjs';

const text = (message) => message.content.toString();
const seen = (message) => [text(message), message.fields.redelivered];

async function consumeOrder(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  const bodies = Array.from({ length: 10 }, (_, number) => String(number));
  await publish(channel, queue, bodies);
  const inbox = await consume(channel, queue, { consumerTag: 'mine' });
  const taken = await inbox.take(10);
  for (const [index, message] of taken.entries()) {
    const expected = {
      consumerTag: 'mine', deliveryTag: index + 1, redelivered: false, exchange: '',
      routingKey: queue,
    };
    equal(message.fields, expected, 'fields of the delivery');
    equal(text(message), bodies[index], 'order');
    channel.ack(message);
  }
  equal(await settledCount(channel, queue, inbox), 0, 'left after the acks');
}

/** What is ready once the consumer is gone and all unacked messages are back. */
async function settledCount(channel, queue, inbox) {
  await channel.cancel(inbox.tag);
  await channel.recover();
  return ready(channel, queue);
}

async function requeue(c) {
  const connection = await c.connect();
  const channel = await openChannel(connection);
  const queue = await c.queue(channel);
  await publish(channel, queue, ['a', 'b']);
  await channel.prefetch(1);
  const inbox = await consume(channel, queue);
  const first = await inbox.one();
  equal(seen(first), ['a', false], 'the first delivery');
  channel.nack(first, false, true);
  const again = await inbox.one();
  equal(seen(again), ['a', true], 'after the nack');
  channel.ack(again);
  equal(seen(await inbox.one()), ['b', false], 'the second message');
  await channel.close();
  const back = await (await consume(await openChannel(connection), queue)).one();
  equal(seen(back), ['b', true], 'after its channel closed');
}

async function ackMultiple(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  await publish(channel, queue, ['1', '2', '3', '4', '5', '6', '7']);
  const inbox = await consume(channel, queue);
  const taken = await inbox.take(7);
  channel.ack(taken[2], true);
  channel.nack(taken[4], true, false);
  channel.ack(taken[5]);
  equal(await settledCount(channel, queue, inbox), 1, 'left unsettled');
  equal(await drain(channel, queue), ['7'], 'the unsettled message');
}

async function reject(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  await publish(channel, queue, ['gone', 'back']);
  const inbox = await consume(channel, queue);
  const [gone, back] = await inbox.take(2);
  channel.reject(gone, false);
  channel.reject(back, true);
  const again = await inbox.one();
  equal(seen(again), ['back', true], 'the requeued message');
  channel.ack(again);
  equal(await settledCount(channel, queue, inbox), 0, 'left');
}

async function prefetch(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  await publish(channel, queue, Array.from({ length: 10 }, (_, number) => String(number)));
  await channel.prefetch(3);
  const inbox = await consume(channel, queue);
  const taken = await inbox.take(3);
  equal(await ready(channel, queue), 7, 'ready while three are out');
  channel.ack(taken[0]);
  const fourth = await inbox.one();
  equal(text(fourth), '3', 'let through by one ack');
  equal(await ready(channel, queue), 6, 'ready after one ack');
  channel.ack(fourth, true);
  await inbox.take(3);
  equal([await ready(channel, queue), inbox.isEmpty], [3, true], 'after acking all');
}

async function get(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  const properties = {
    messageId: 'm', contentType: 'text/plain', priority: 3, correlationId: 'c', type: 't',
    appId: 'a', timestamp: 1_700_000_000,
  };
  await publish(channel, queue, ['1', '2'], properties);
  const first = await channel.get(queue);
  const fields = {
    deliveryTag: 1, redelivered: false, exchange: '', routingKey: queue, messageCount: 1,
  };
  equal(first.fields, fields, 'get-ok');
  for (const [name, value] of Object.entries(properties)) {
    equal(first.properties[name], value, `property ${name}`);
  }
  equal(text(first), '1', 'body');
  channel.ack(first);
  const last = await channel.get(queue, { noAck: true });
  equal([last.fields.messageCount, last.fields.deliveryTag], [0, 2], 'the second get-ok');
  equal(await channel.get(queue), false, 'get-empty');
}

async function ttlDeadLetter(c) {
  const channel = await c.channel();
  const target = await c.queue(channel);
  const exchange = await c.exchange(channel, 'direct');
  await channel.bindQueue(target, exchange, 'dead');
  const source = await c.queue(channel, {
    'x-dead-letter-exchange': exchange, 'x-dead-letter-routing-key': 'dead',
  });
  const inbox = await consume(channel, target);
  await publish(channel, source, ['late'], { expiration: '50', headers: { mine: 1 } });
  const { fields, properties } = await inbox.one();
  const death = singleDeath(properties.headers, source, 'expired', '', source);
  equal(death['original-expiration'], '50', 'original-expiration');
  equal([fields.exchange, fields.routingKey], [exchange, 'dead'], 'new route');
  equal([properties.expiration, properties.headers.mine], [undefined, 1], 'rest');
  await publish(channel, source, ['bad']);
  channel.reject(await channel.get(source), false);
  singleDeath((await inbox.one()).properties.headers, source, 'rejected', '', source);
}

async function directReplyTo(c) {
  const [asking, answering] = [await c.channel(), await c.channel()];
  const requests = await c.sharedQueue(answering);
  const server = await consume(answering, requests, { noAck: true });
  const answers = await consume(asking, 'amq.rabbitmq.reply-to', { noAck: true });
  const asked = { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' };
  await publish(asking, requests, ['question'], asked);
  const { replyTo } = (await server.one()).properties;
  equal(replyTo.startsWith('amq.rabbitmq.reply-to.'), true, 'reply-to is rewritten');
  await publish(answering, replyTo, ['answer'], { correlationId: '7' });
  const answer = await answers.one();
  equal([text(answer), answer.properties.correlationId], ['answer', '7'], 'the answer');
  await answering.deleteQueue(requests);
}

async function consumerCancelNotify(c) {
  const [channel, other] = [await c.channel(), await c.channel()];
  const queue = await c.sharedQueue(channel);
  const inbox = await consume(channel, queue);
  await other.deleteQueue(queue);
  equal(await inbox.one(), null, 'the notice');
  await publish(channel, await c.queue(channel), ['the channel goes on']);
}

export default [
  ['consume-order', consumeOrder],
  ['requeue', requeue],
  ['ack-multiple', ackMultiple],
  ['reject', reject],
  ['prefetch', prefetch],
  ['get', get],
  ['ttl-dead-letter', ttlDeadLetter],
  ['direct-reply-to', directReplyTo],
  ['consumer-cancel-notify', consumerCancelNotify],
];
