/** A producer against a real broker: what consumers find of what it sent. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { clientActivity } from '../../src/client/client-activity.ts';
import {
  type OutgoingMessage,
  Producer,
  type ProducerOptions,
  type TransactionDecision,
} from '../../src/client/index.ts';
import type { StoredMessage } from '../../src/client/record-reader.ts';
import { openCore, readTopic, startRealBroker } from './client-harness.ts';

/** Ample: the machine may be busy with other tests. */
const TIMEOUT_MS = 15_000;

function openProducer(servers: string, options: Partial<ProducerOptions> = {}): Producer {
  const producer = new Producer({ servers, group: 'shop', timeoutMs: TIMEOUT_MS, ...options });
  onTestFinished(() => producer.close());
  return producer;
}

test('a message arrives with its body, tag, keys and properties', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  const beforeMs = Date.now();
  const result = await producer.send({
    topic: 'orders',
    body: 'grün "1" ✓',
    tag: 'created',
    keys: ['order-1', 'k2'],
    properties: { customer: '7', 'odd "name" ü': 'a\\b\n✓', left: undefined },
  });
  expect(result).toMatchObject({ status: 'ok', queueOffset: 0, queue: { topic: 'orders' } });
  expect(result.messageId).toMatch(/^[0-9A-F]{32}$/);
  const [message, ...others] = await readTopic(servers, 'orders');
  expect(others).toEqual([]);
  expect(message.text()).toBe('grün "1" ✓');
  expect(message.topic).toBe('orders');
  expect(message.tag).toBe('created');
  expect(message.keys).toEqual(['order-1', 'k2']);
  expect(message.properties).toMatchObject({ customer: '7', 'odd "name" ü': 'a\\b\n✓' });
  expect(message.properties).not.toHaveProperty('left');
  expect(message.messageId).toBe(result.messageId);
  expect(message.offsetMessageId).toBe(result.offsetMessageId);
  expect(message.queue).toEqual(result.queue);
  expect(message.deliveryAttempt).toBe(1);
  expect(message.bornHost).toMatch(/^127\.0\.0\.1:\d+$/);
  for (const timeMs of [message.bornTimestampMs, message.storeTimestampMs])
    expect(timeMs - beforeMs).toBeLessThan(10_000);
  expect(message.bornTimestampMs).toBeGreaterThanOrEqual(beforeMs);
});

test('messages go round the queues, each with an id of its own', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  const results = await Promise.all(
    Array.from({ length: 2000 }, (_, n) => producer.send({ topic: 'many', body: `m${n}` })),
  );
  expect(new Set(results.map(({ messageId }) => messageId)).size).toBe(2000);
  const perQueue = [0, 0, 0, 0];
  for (const { queue } of results) perQueue[queue.queueId]++;
  expect(perQueue).toEqual([500, 500, 500, 500]);
  const found = await readTopic(servers, 'many');
  expect(new Set(found.map((message) => message.text())).size).toBe(2000);
});

test('messages with one order key keep their order in one queue', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  const sends = Array.from({ length: 300 }, (_, n) =>
    producer.send({ topic: 'ordered', body: `${n}`, orderKey: `customer-${n % 7}` }),
  );
  await Promise.all(sends);
  const byKey = new Map<string | undefined, StoredMessage[]>();
  for (const message of await readTopic(servers, 'ordered')) {
    const key = message.properties['__SHARDINGKEY'];
    byKey.set(key, [...(byKey.get(key) ?? []), message]);
  }
  expect(byKey.size).toBe(7);
  for (const messages of byKey.values()) {
    expect(new Set(messages.map(({ queue }) => queue.queueId)).size).toBe(1);
    const numbers = messages.map((message) => Number(message.text()));
    expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
  }
});

test('a queue is the one that the message or the selector names', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers, {
    selectQueue: (queues, message) => queues[Number(message.tag)],
  });
  const queue = { topic: 'chosen', brokerName: 'broker-test', queueId: 3 };
  const named = await producer.send({ topic: 'chosen', body: 'a', queue });
  const selected = await producer.send({ topic: 'chosen', body: 'b', tag: '1' });
  expect([named.queue.queueId, selected.queue.queueId]).toEqual([3, 1]);
  await expect(
    producer.send({ topic: 'chosen', body: 'c', queue: { ...queue, queueId: 9 } }),
  ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(producer.send({ topic: 'chosen', body: 'd', tag: '77' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
});

test('a large body travels compressed and comes out as it was', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  const text = 'tracing '.repeat(1000);
  const noise = Uint8Array.from({ length: 5000 }, () => Math.floor(Math.random() * 256));
  const queue = { topic: 'large', brokerName: 'broker-test', queueId: 0 };
  await producer.send({ topic: 'large', body: text, queue });
  await producer.send({ topic: 'large', body: noise, queue });
  await producer.send({ topic: 'large', body: 'ü'.repeat(2047), queue });
  const [compressed, incompressible, below] = await readTopic(servers, 'large');
  expect(compressed.text()).toBe(text);
  expect(compressed.storeBytes).toBeLessThan(1000);
  expect(compressed.sysFlag & 0x701).toBe(0x301);
  expect(Buffer.compare(incompressible.body, noise)).toBe(0);
  expect(incompressible.sysFlag & 0x701).toBe(0);
  expect(below.text()).toBe('ü'.repeat(2047));
  expect(below.sysFlag & 0x701).toBe(0);
});

test('a batch is stored in its order in one queue, also where it takes several frames', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  const body = new Uint8Array(1024 * 1024);
  const messages = Array.from({ length: 6 }, (_, n) => ({
    topic: 'batch',
    body: n === 0 ? 'first' : body,
    tag: `t${n}`,
    properties: { n: `${n}` },
  }));
  const results = await producer.sendBatch(messages);
  expect(results.map(({ queueOffset }) => queueOffset)).toEqual([0, 1, 2, 3, 4, 5]);
  const found = await readTopic(servers, 'batch');
  expect(found.map(({ tag }) => tag)).toEqual(['t0', 't1', 't2', 't3', 't4', 't5']);
  expect(found.map(({ messageId }) => messageId)).toEqual(results.map((one) => one.messageId));
  expect(found.map((one) => one.offsetMessageId)).toEqual(
    results.map((one) => one.offsetMessageId),
  );
  expect(new Set(found.map(({ queue }) => queue.queueId)).size).toBe(1);
  expect(found[0].text()).toBe('first');
  expect(found[5].body).toHaveLength(body.length);
});

test('a message without an answer is stored all the same', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  expect(await producer.sendOneway({ topic: 'told', body: 'heard?' })).toBeUndefined();
  await producer.close();
  await expect
    .poll(async () => (await readTopic(servers, 'told')).map((one) => one.text()))
    .toEqual(['heard?']);
});

test('a timed message comes in its time, unless it was recalled', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  const startedMs = Date.now();
  const kept = await producer.send({ topic: 'timed', body: 'kept', delayMs: 2500 });
  // Due before the other, whose coming shows that it is too late to recall this one.
  const gone = await producer.send({
    topic: 'timed',
    body: 'recalled',
    deliverAt: new Date(startedMs + 2000),
  });
  await producer.send({ topic: 'timed', body: 'level', delayLevel: 1 });
  expect(kept.recallHandle).toBeTypeOf('string');
  expect(await producer.recall('timed', gone.recallHandle ?? '')).toBe(gone.messageId);
  await expect
    .poll(async () => (await readTopic(servers, 'timed')).map((one) => one.text()).sort(), {
      timeout: 6000,
      interval: 200,
    })
    .toEqual(['kept', 'level']);
  for (const message of await readTopic(servers, 'timed')) {
    const leastMs = message.text() === 'kept' ? 2500 : 1000;
    expect(message.storeTimestampMs - startedMs).toBeGreaterThanOrEqual(leastMs - 1);
  }
  await expect(producer.recall('timed', 'nonsense')).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
  await expect(producer.recall('timed', gone.recallHandle ?? '')).rejects.toMatchObject({
    code: 'NOT_FOUND',
    responseCode: 604,
  });
});

describe('a transaction', () => {
  test('is seen when it was committed, and not before or when it was rolled back', async () => {
    const { servers } = await startRealBroker();
    const producer = openProducer(servers);
    const decide = (decision: TransactionDecision, body: string): Promise<unknown> =>
      producer.sendInTransaction({ topic: 'pay', body, tag: 't' }, async (half) => {
        expect(half.messageId).toHaveLength(32);
        const seen = await readTopic(servers, 'pay').catch(() => []);
        expect(seen.map((one) => one.text())).not.toContain(body);
        return decision;
      });
    expect(await decide('commit', 'paid')).toMatchObject({ status: 'ok', decision: 'commit' });
    expect(await decide('rollback', 'broke')).toMatchObject({ decision: 'rollback' });
    await expect
      .poll(async () => (await readTopic(servers, 'pay')).map((one) => one.text()))
      .toEqual(['paid']);
  });

  test('that was left open is decided when the broker asks', async () => {
    const { servers } = await startRealBroker({
      transactionTimeOutMs: 300,
      transactionCheckIntervalMs: 300,
    });
    const asked: string[] = [];
    const producer = openProducer(servers, {
      checkTransaction: (message) => {
        asked.push(`${message.topic} ${message.text()} ${message.properties['customer']}`);
        return asked.length > 1 ? 'commit' : 'unknown';
      },
    });
    const failure = new Error('the local part failed');
    const sent = producer.sendInTransaction(
      { topic: 'pay', body: 'open', properties: { customer: '7' } },
      () => Promise.reject(failure),
    );
    await expect(sent).rejects.toBe(failure);
    await expect
      .poll(
        async () => (await readTopic(servers, 'pay').catch(() => [])).map((one) => one.text()),
        {
          timeout: 8000,
          interval: 200,
        },
      )
      .toEqual(['open']);
    expect(asked).toEqual(['pay open 7', 'pay open 7']);
  });
});

describe('what can not be sent is refused before it is sent', () => {
  const good: OutgoingMessage = { topic: 'orders', body: 'x' };
  const cases: [string, Partial<OutgoingMessage>, RegExp][] = [
    ['a topic with a space', { topic: 'my orders' }, /topic "my orders" may hold letters/],
    ['a topic without a name', { topic: '' }, /topic must be text/],
    ['a long topic', { topic: 't'.repeat(128) }, /topic has 128 characters; 127 are allowed/],
    ['an empty body', { body: '' }, /body is empty/],
    ['a body beyond 4 MiB', { body: new Uint8Array(4 * 1024 * 1024 + 1) }, /4194304 are allowed/],
    ['text beyond 4 MiB in UTF-8', { body: 'ü'.repeat(3_000_000) }, /6000000 bytes/],
    ['a body that is a number', { body: 7 as unknown as string }, /body must be text/],
    ['a tag with |', { tag: 'a|b' }, /tag "a\|b" may not hold \|/],
    ['a key with a space', { keys: ['a b'] }, /a key may not hold a space/],
    ['a name of RocketMQ', { properties: { KEYS: 'x' } }, /property KEYS is RocketMQ's own/],
    ['an empty value', { properties: { a: '' } }, /property a is empty/],
    ['a separator', { properties: { a: 'x\x02y' } }, /property a may not hold U\+0001/],
    ['a separator in a name', { properties: { 'a\x01': 'x' } }, /name may not hold/],
    ['too many properties', { properties: { a: 'ü'.repeat(17_000) } }, /32767 are allowed/],
    ['two times', { delayMs: 1, delayLevel: 1 }, /at most one of deliverAt/],
    ['a level beyond 18', { delayLevel: 19 }, /delayLevel is 19/],
    ['a time that is none', { deliverAt: new Date(Number.NaN) }, /deliverAt is NaN/],
  ];

  test.each(cases)('%s', async (_name, part, message) => {
    // Nobody listens there: nothing is asked of the network.
    const producer = openProducer('127.0.0.1:1');
    await expect(producer.send({ ...good, ...part })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      canRetry: false,
      message: expect.stringMatching(message) as string,
    });
  });

  test('options that are wrong', () => {
    const make = (options: Partial<ProducerOptions>) => () =>
      new Producer({ servers: '127.0.0.1:1', group: 'g', ...options });
    expect(make({ group: '' })).toThrow(/group must be text/);
    expect(make({ servers: '' })).toThrow(/names no server/);
    expect(make({ servers: 'nowhere' })).toThrow(/"nowhere"/);
    expect(make({ servers: ['127.0.0.1:1', 'ws://x'] })).toThrow(/mixes/);
  });

  test('batches of more than one kind', async () => {
    const producer = openProducer('127.0.0.1:1');
    const refused = [
      [],
      [good, { ...good, topic: 'other' }],
      [good, { ...good, orderKey: 'k' }],
      [{ ...good, delayMs: 5 }],
      [{ ...good, topic: '%RETRY%g' }],
    ];
    for (const messages of refused)
      await expect(producer.sendBatch(messages)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    await expect(
      producer.sendInTransaction({ ...good, delayMs: 5 }, () => 'commit'),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

test('the broker knows the group while the producer is open', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers, { clientId: 'shop-1' });
  await producer.send({ topic: 'orders', body: 'x' });
  const core = openCore({ servers });
  await core.route('orders');
  const ask = async (): Promise<string> => {
    const answer = await core.ask(core.masterAddress('broker-test'), {
      code: 204,
      fields: { producerGroup: 'shop' },
    });
    return answer.code === 0 ? Buffer.from(answer.body).toString() : '';
  };
  await expect.poll(ask).toContain('"clientId":"shop-1"');
  await producer.close();
  await expect.poll(ask).toBe('');
});

test('close lets finish what is under way, and refuses what comes after', async () => {
  const { servers } = await startRealBroker();
  const producer = openProducer(servers);
  const before = clientActivity.pendingCount;
  const sends = Array.from({ length: 100 }, (_, n) =>
    producer.send({ topic: 'last', body: `${n}` }),
  );
  await producer.close();
  await producer[Symbol.asyncDispose]();
  expect(await Promise.all(sends)).toHaveLength(100);
  for (const late of [
    producer.send({ topic: 'last', body: 'late' }),
    producer.sendOneway({ topic: 'last', body: 'late' }),
    producer.sendBatch([{ topic: 'last', body: 'late' }]),
    producer.start(),
  ])
    await expect(late).rejects.toMatchObject({ code: 'CLOSED' });
  expect(await readTopic(servers, 'last')).toHaveLength(100);
  expect(clientActivity.pendingCount).toBe(before);
});
