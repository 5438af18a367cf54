// Connections, channels and the scope of errors with amqplib.

import { once } from 'node:events';

import { nameFor } from './board.mjs';
import { contains, equal, WRONG_PASSWORD_TEXT } from './facts.mjs';
import { closesChannel, consume, drain, openChannel, publish } from './client.mjs';

const IDLE_MS = '4000';

async function exclusiveQueue(c) {
  const owner = await c.channel();
  const other = await c.connect();
  const queue = await c.queue(owner);
  const locked = `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}'`;
  let channel = await openChannel(other);
  await closesChannel(channel, 405, [locked], channel.checkQueue(queue));
  channel = await openChannel(other);
  await closesChannel(channel, 405, [locked], consume(channel, queue));
  await publish(owner, queue, ['still mine']);
  equal(await drain(owner, queue), ['still mine'], "the owner's queue");
}

async function errorClosesChannel(c) {
  const connection = await c.connect();
  const [failing, steady] = [await openChannel(connection), await openChannel(connection)];
  const missing = nameFor('missing');
  failing.publish(missing, '', Buffer.from('lost'));
  const error = await failing.closing;
  equal(error.code, 404, 'code of channel.close');
  contains(error.message, `NOT_FOUND - no exchange '${missing}' in vhost '/'`);
  const queue = await c.queue(steady);
  await publish(steady, queue, ['goes on']);
  equal(await drain(steady, queue), ['goes on'], 'the other channel');
  const again = await openChannel(connection);
  again.ack({ fields: { deliveryTag: 77 } });
  const unknown = await again.closing;
  equal(unknown.code, 406, 'code of channel.close');
  contains(unknown.message, 'PRECONDITION_FAILED - unknown delivery tag 77');
  await publish(steady, queue, ['still']);
}

async function errorClosesConnection(c) {
  const connection = await c.connect();
  const channel = await openChannel(connection);
  const queue = await c.queue(channel);
  const closed = once(connection, 'error');
  await consume(channel, queue, { consumerTag: 'twice' });
  const refused = consume(channel, queue, { consumerTag: 'twice' }).catch((error) => error);
  const [error] = await closed;
  equal(error.code, 530, 'code of connection.close');
  contains(error.message, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'");
  equal((await refused) instanceof Error, true, 'the second consume fails');
}

async function manyChannels(c) {
  const connection = await c.connect();
  const open = async () => {
    const channel = await openChannel(connection);
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await publish(channel, queue, [queue]);
    return [channel, queue];
  };
  const channels = await Promise.all(Array.from({ length: 200 }, open));
  equal(new Set(channels.map(([channel]) => channel.ch)).size, 200, 'channels open at once');
  for (const [channel, queue] of channels.reverse()) {
    equal(await drain(channel, queue), [queue], `queue ${queue}`);
  }
}

async function reconnect(c) {
  const name = nameFor('again');
  for (let i = 0; i < 5; i += 1) {
    const connection = await c.connect();
    const channel = await openChannel(connection);
    const declared = await channel.assertQueue(name, { exclusive: true });
    equal(declared.messageCount, 0, 'messages of the new queue');
    await publish(channel, name, ['dies with its queue']);
    await connection.close();
  }
}

/** The wait is a message that expires later: nothing else moves on the connection. */
async function heartbeat(c) {
  const connection = await c.connect({ heartbeat: 1 });
  const broken = once(connection, 'error').then(([error]) => Promise.reject(error));
  broken.catch(() => {}); // a failure before the race below is that failure's to report
  const channel = await openChannel(connection);
  const target = await c.queue(channel);
  const waiting = await c.queue(channel, {
    'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': target,
  });
  const inbox = await consume(channel, target, { noAck: true });
  await publish(channel, waiting, ['after the idle time'], { expiration: IDLE_MS });
  const late = await Promise.race([inbox.one(), broken]);
  equal(late.content.toString(), 'after the idle time', 'delivered on the idle connection');
}

async function wrongPassword(c) {
  const error = await c.connect({ password: 'wrong' }).then(() => null, (refused) => refused);
  if (!error) throw new Error('a wrong password was accepted');
  contains(error.message, '403', WRONG_PASSWORD_TEXT);
}

/** All that amqplib tells is that connection.close came where open-ok must; not code and text. */
async function unknownVhost(c) {
  const error = await c.connect({ vhost: nameFor('vhost') }).then(() => null, (refused) => refused);
  if (!error) throw new Error('an unknown vhost was opened');
  contains(error.message, 'ConnectionOpenOk', 'ConnectionClose');
}

export default [
  ['exclusive-queue', exclusiveQueue],
  ['error-closes-channel', errorClosesChannel],
  ['error-closes-connection', errorClosesConnection],
  ['many-channels', manyChannels],
  ['reconnect', reconnect],
  ['heartbeat', heartbeat],
  ['wrong-password', wrongPassword],
  ['unknown-vhost', unknownVhost],
];
