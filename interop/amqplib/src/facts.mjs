// What must hold: routes, header values, x-death. Pure data and checks.

import assert from 'node:assert/strict';

export const WRONG_PASSWORD_TEXT =
  'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN';
export const LARGE = Buffer.alloc(5 * 1024 * 1024, Uint8Array.from({ length: 251 }, (_, i) => i));
export const PRIORITIES = [1, 5, 9, 0, 5];
export const FRAME_OVERHEAD = 8;

/** Both are the same; `what` names them in the failure. */
export function equal(actual, expected, what) {
  try {
    assert.deepStrictEqual(actual, expected);
  } catch {
    throw new Error(`${what}: ${shortened(actual)}, expected ${shortened(expected)}`);
  }
}

/** Every part occurs in the text. */
export function contains(text, ...parts) {
  for (const part of parts) {
    if (!String(text).includes(part)) throw new Error(`'${part}' is not in '${text}'`);
  }
}

function shortened(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`;
}

/** Bindings of two queues (0 and 1), messages as [key, headers], and who gets which of them. */
export const ROUTES = [
  {
    kind: 'direct',
    bindings: [[0, 'red'], [1, 'blue']],
    messages: [['red'], ['blue'], ['green']],
    arrive: [[0], [1]],
  },
  {
    kind: 'fanout',
    bindings: [[0, ''], [1, 'other']],
    messages: [['any'], ['']],
    arrive: [[0, 1], [0, 1]],
  },
  {
    kind: 'topic',
    bindings: [[0, 'a.*.c'], [1, 'a.#']],
    messages: [['a.b.c'], ['a'], ['a.b.c.d'], ['b.a']],
    arrive: [[0], [0, 1, 2]],
  },
  {
    kind: 'headers',
    bindings: [
      [0, '', { 'x-match': 'all', n: 1, s: 'two' }],
      [1, '', { 'x-match': 'any', n: 1, s: 'two' }],
    ],
    messages: [['', { n: 1, s: 'two' }], ['', { n: 1 }], ['', { s: 'three' }]],
    arrive: [[0], [0, 1]],
  },
];

/** Every type tag amqplib can write; "!" is its way to choose one. */
export const HEADERS = {
  bool: true,
  no: false,
  int8: -7,
  int16: 300,
  int32: 2 ** 31 - 1,
  int64: -(2 ** 52),
  uint8: { '!': 'uint8', value: 200 },
  uint16: { '!': 'uint16', value: 65_535 },
  uint32: { '!': 'uint32', value: 4_000_000_000 },
  double: 0.1,
  float: { '!': 'float', value: 0.25 },
  string: 'grüße, 世界',
  empty: '',
  bytes: Buffer.from([0, 255, 254]),
  decimal: { '!': 'decimal', value: { places: 2, digits: 314 } },
  time: { '!': 'timestamp', value: 1_709_209_815 },
  none: null,
  list: [1, 'two', true, null, [3, { four: 4 }]],
  table: { nested: { deeper: { list: [], table: {} } }, n: 2 ** 40 },
};

/** A header value as amqplib hands it back: numbers lose the type they were sent with. */
export function asRead(value) {
  const number = ['uint8', 'uint16', 'uint32', 'float'].includes(value?.['!']);
  return number ? value.value : value;
}

/** The only x-death entry, after its fields and the x-first-death headers are checked. */
export function singleDeath(headers, queue, reason, exchange, key) {
  equal(headers['x-death']?.length, 1, 'number of x-death entries');
  const death = headers['x-death'][0];
  const expected = { count: 1, queue, reason, exchange, 'routing-keys': [key] };
  for (const [field, value] of Object.entries(expected)) {
    equal(death[field], value, `x-death ${field}`);
  }
  equal(death.time?.['!'], 'timestamp', 'type of x-death time');
  for (const field of ['queue', 'reason', 'exchange']) {
    equal(headers[`x-first-death-${field}`], expected[field], `x-first-death-${field}`);
  }
  return death;
}
