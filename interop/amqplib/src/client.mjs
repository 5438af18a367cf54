// A scenario's connections, channels and consumers with amqplib.

import { once } from 'node:events';

import amqp from 'amqplib';

import { nameFor } from './board.mjs';
import { contains, equal } from './facts.mjs';

/** Opens connections for one scenario and closes what is left of them. */
export class Client {
  #open = new Set();

  async connect({ password, vhost, heartbeat } = {}) {
    const url = new URL(process.env.AMQP_URI);
    if (password) url.password = password;
    if (vhost || url.pathname.length <= 1) url.pathname = `/${vhost ?? '%2F'}`;
    if (heartbeat) url.searchParams.set('heartbeat', heartbeat);
    const connection = await amqp.connect(url.href);
    this.#open.add(connection);
    connection.on('error', () => {}); // an error without a listener would end the process
    connection.on('close', () => this.#open.delete(connection));
    return connection;
  }

  /** A confirm channel of a connection of its own. */
  async channel() {
    return openChannel(await this.connect());
  }

  /** An exclusive queue with a name of its own. */
  async queue(channel, args) {
    const options = { exclusive: true, durable: false, arguments: args };
    return (await channel.assertQueue(nameFor('queue'), options)).queue;
  }

  /** A durable queue other connections may use; it expires by itself. */
  async sharedQueue(channel) {
    return (await channel.assertQueue(nameFor('shared'), { expires: 60_000 })).queue;
  }

  /** An auto-delete exchange with a name of its own. */
  async exchange(channel, kind, options) {
    const settings = { autoDelete: true, durable: false, ...options };
    return (await channel.assertExchange(nameFor(kind), kind, settings)).exchange;
  }

  async close() {
    await Promise.all([...this.#open].map((connection) => connection.close()));
  }
}

/** A confirm channel of this connection; its close by the broker is kept in `closing`. */
export async function openChannel(connection) {
  const channel = await connection.createConfirmChannel();
  channel.closing = once(channel, 'error').then(([error]) => error);
  return channel;
}

/** A consumer's deliveries in order of arrival. */
class Inbox {
  #arrived = [];
  #waiting = [];

  put(message) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(message);
    else this.#arrived.push(message);
  }

  one() {
    if (this.#arrived.length) return Promise.resolve(this.#arrived.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async take(count) {
    const taken = [];
    while (taken.length < count) taken.push(await this.one());
    return taken;
  }

  get isEmpty() {
    return this.#arrived.length === 0;
  }
}

/** A consumer of the queue; a cancellation by the broker arrives as null. */
export async function consume(channel, queue, options) {
  const inbox = new Inbox();
  const started = await channel.consume(queue, (message) => inbox.put(message), options);
  inbox.tag = started.consumerTag;
  return inbox;
}

/** Publishes by way of the default exchange and waits for the confirms. */
export async function publish(channel, queue, bodies, options) {
  await publishTo(channel, '', queue, bodies, options);
}

/** Publishes and waits for the confirms; rejects on a nack. */
export async function publishTo(channel, exchange, key, bodies, options) {
  for (const body of bodies) channel.publish(exchange, key, Buffer.from(body), options);
  await channel.waitForConfirms();
}

/** The bodies of all ready messages, as text. */
export async function drain(channel, queue) {
  const bodies = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (!message) return bodies;
    bodies.push(message.content.toString());
  }
}

/** The number of ready messages. */
export async function ready(channel, queue) {
  return (await channel.checkQueue(queue)).messageCount;
}

/** The promise fails with channel.close of this code, with these texts in its reason. */
export async function closesChannel(channel, code, texts, promise) {
  const failed = await promise.then(() => null, (error) => error);
  if (!failed) throw new Error(`the channel was not closed with ${code}`);
  const error = await channel.closing;
  equal([failed.code, error.code], [code, code], 'code of channel.close');
  contains(error.message, ...texts);
}
