// Publishing, confirms, returns and bodies with amqplib.

import { asRead, equal, FRAME_OVERHEAD, HEADERS, LARGE, PRIORITIES } from './facts.mjs';
import { consume, drain, publish } from './client.mjs';

async function confirm(c) {
  const channel = await c.channel();
  const queue = await c.sharedQueue(channel);
  const bodies = Array.from({ length: 200 }, (_, number) => String(number));
  await publish(channel, queue, bodies, { persistent: true });
  equal(await drain(channel, queue), bodies, 'confirmed messages');
  await channel.deleteQueue(queue);
}

async function confirmNack(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel, { 'x-max-length': 1, 'x-overflow': 'reject-publish' });
  await publish(channel, queue, ['fits']);
  const outcome = await publish(channel, queue, ['does not']).then(() => 'ack', (e) => e.message);
  equal(outcome, 'message nacked', 'the answer to the second publish');
  equal(await drain(channel, queue), ['fits'], "the queue's messages");
}

async function returnBeforeConfirm(c) {
  const channel = await c.channel();
  const events = [];
  channel.on('return', (message) => events.push(message));
  const options = { mandatory: true, messageId: 'm1', headers: { n: 1 } };
  await new Promise((resolve, reject) => {
    channel.publish('amq.direct', 'nobody.home', Buffer.from('back'), options, (error) => {
      events.push('ack');
      if (error) reject(error);
      else resolve();
    });
  });
  equal(events[1], 'ack', 'the second of two events');
  const { fields, properties, content } = events[0];
  equal([fields.replyCode, fields.replyText], [312, 'NO_ROUTE'], 'basic.return');
  equal([fields.exchange, fields.routingKey], ['amq.direct', 'nobody.home'], 'route');
  equal([content.toString(), properties.messageId], ['back', 'm1'], 'returned content');
  equal(properties.headers, { n: 1 }, 'returned headers');
  await publish(channel, await c.queue(channel), ['routable'], { mandatory: true });
  equal(events.length, 2, 'events after a routable message');
}

async function priorities(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel, { 'x-max-priority': 10 });
  for (const [number, priority] of PRIORITIES.entries()) {
    await publish(channel, queue, [`${priority}:${number}`], { priority });
  }
  const expected = PRIORITIES.map((priority, number) => `${priority}:${number}`)
    .sort((one, other) => other[0] - one[0]);
  equal(await drain(channel, queue), expected, 'order by priority');
}

async function largeMessage(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  const edge = channel.connection.frameMax - FRAME_OVERHEAD;
  const bodies = [LARGE.length, edge - 1, edge, edge + 1].map((size) => LARGE.subarray(0, size));
  await publish(channel, queue, bodies);
  const inbox = await consume(channel, queue, { noAck: true });
  for (const body of bodies) {
    const { content } = await inbox.one();
    equal(content.length, body.length, 'length of a large body');
    equal(content.equals(body), true, 'content of a large body is unchanged');
  }
}

async function emptyMessage(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  await publish(channel, queue, [''], { messageId: 'empty', contentType: 'text/plain' });
  await publish(channel, queue, ['next']);
  const [empty, next] = await (await consume(channel, queue, { noAck: true })).take(2);
  const { messageId, contentType } = empty.properties;
  equal([empty.content.length, messageId, contentType], [0, 'empty', 'text/plain'], 'empty');
  equal(next.content.toString(), 'next', 'the message after it');
}

async function headerTables(c) {
  const channel = await c.channel();
  const queue = await c.queue(channel);
  await publish(channel, queue, [''], { headers: HEADERS });
  const { headers } = (await (await consume(channel, queue, { noAck: true })).one()).properties;
  for (const [name, value] of Object.entries(HEADERS)) {
    equal(headers[name], asRead(value), `header ${name}`);
  }
  equal(Object.keys(headers).sort(), Object.keys(HEADERS).sort(), 'names of the headers');
}

export default [
  ['confirm', confirm],
  ['confirm-nack', confirmNack],
  ['return-before-confirm', returnBeforeConfirm],
  ['priorities', priorities],
  ['large-message', largeMessage],
  ['empty-message', emptyMessage],
  ['header-tables', headerTables],
];
