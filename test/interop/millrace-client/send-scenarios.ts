/**
 * What our own producer does on any broker.
 */
import assert from 'node:assert/strict';
import { ClientError } from '../../../src/client/index.ts';
import {
  consume,
  equalBodies,
  newConsumer,
  newProducer,
  newTopic,
  numbered,
  pause,
  run,
  sendNumbered,
  setting,
  until,
} from './harness.ts';

/** The words that BesideScenarios.java has too. */
export const LARGE = 'compressible '.repeat(5000);
export const CHINESE = '消息正文 😀';
export const PROPERTY = '属性值 😀 "quoted" \\ / \t';

export async function send(): Promise<void> {
  const topic = await newTopic('Send');
  await using producer = newProducer();
  const sent = await sendNumbered(producer, topic, 'body', 100, (number) => ({
    tag: 'numbered',
    properties: { number: String(number) },
  }));
  const places = sent.map(({ queue, queueOffset }) => `${queue.queueId} ${queueOffset}`);
  assert.equal(new Set(places).size, 100, 'different places');
  assert(new Set(sent.map(({ queue }) => queue.queueId)).size === 4, 'not all queues were used');
  const received = await consume(topic, '*', 100);
  equalBodies(received, numbered('body', 100));
  for (const message of received) {
    const number = Number(message.text().slice('body '.length));
    assert.equal(message.topic, topic);
    assert.equal(message.tag, 'numbered');
    assert.deepEqual(message.keys, [`key${number}`]);
    assert.equal(message.properties['number'], String(number));
    assert.equal(`${message.queue.queueId} ${message.queueOffset}`, places[number]);
    assert.equal(message.messageId, sent[number].messageId);
    assert.equal(message.offsetMessageId, sent[number].offsetMessageId);
    assert.equal(message.deliveryAttempt, 1);
  }
}

export async function batch(): Promise<void> {
  const topic = await newTopic('Batch');
  await using producer = newProducer();
  const messages = numbered('body', 50).map((body, number) => ({
    topic,
    body,
    tag: `tag${number % 2}`,
    keys: `key${number}`,
  }));
  const results = await producer.sendBatch(messages);
  assert.equal(results.length, 50, 'results');
  assert.equal(new Set(results.map(({ messageId }) => messageId)).size, 50, 'message ids');
  const received = await consume(topic, '*', 50);
  equalBodies(received, numbered('body', 50));
  for (const message of received) {
    const number = Number(message.text().slice('body '.length));
    assert.equal(message.tag, `tag${number % 2}`);
    assert.deepEqual(message.keys, [`key${number}`]);
  }
}

export async function oneway(): Promise<void> {
  const topic = await newTopic('Oneway');
  await using producer = newProducer();
  for (const body of numbered('body', 50)) await producer.sendOneway({ topic, body });
  equalBodies(await consume(topic, '*', 50), numbered('body', 50));
}

export async function orderKey(): Promise<void> {
  const topic = await newTopic('OrderKey');
  await using producer = newProducer();
  // Not awaited one by one: what is sent in order arrives in order.
  const sends: Promise<{ queue: { queueId: number } }>[] = [];
  for (let number = 0; number < 200; number++)
    sends.push(
      producer.send({ topic, body: `${number % 5} ${number}`, orderKey: `customer ${number % 5}` }),
    );
  await Promise.all(sends);
  const received = await consume(topic, '*', 200, { ordered: true });
  for (let key = 0; key < 5; key++) {
    const same = received.filter((message) => message.text().startsWith(`${key} `));
    assert.equal(new Set(same.map(({ queue }) => queue.queueId)).size, 1, 'queues of one key');
    const numbers = same.map((message) => Number(message.text().split(' ')[1]));
    assert.deepEqual(
      numbers,
      Array.from({ length: 40 }, (_, index) => key + index * 5),
    );
  }
}

export async function compressedAndChinese(): Promise<void> {
  const topic = await newTopic('Compressed');
  await using producer = newProducer();
  await producer.send({ topic, body: LARGE, tag: 'large' });
  await producer.send({
    topic,
    body: CHINESE,
    tag: '标签',
    keys: '订单号',
    properties: { 属性名: PROPERTY },
  });
  const [large, chinese] = (await consume(topic, '*', 2)).sort(
    (left, right) => right.body.length - left.body.length,
  );
  assert(large.text() === LARGE, 'a large body came back changed');
  assert.equal(chinese.text(), CHINESE);
  assert.equal(chinese.tag, '标签');
  assert.deepEqual(chinese.keys, ['订单号']);
  assert.equal(chinese.properties['属性名'], PROPERTY);
  const [filtered] = await consume(topic, '标签', 1);
  assert.equal(filtered.text(), CHINESE);
}

export async function timed(): Promise<void> {
  const topic = await newTopic('Timed');
  await using producer = newProducer();
  const arrivals = new Map<string, number>();
  await using consumer = newConsumer();
  consumer.subscribe(topic);
  await consumer.run((message) => {
    arrivals.set(message.text(), Date.now());
  });
  const due = new Map<string, number>();
  const at = Date.now() + 3000;
  await producer.send({ topic, body: 'at', deliverAt: at });
  due.set('at', at);
  await producer.send({ topic, body: 'date', deliverAt: new Date(at + 500) });
  due.set('date', at + 500);
  due.set('after', Date.now() + 2000);
  await producer.send({ topic, body: 'after', delayMs: 2000 });
  due.set('level', Date.now() + 1000);
  await producer.send({ topic, body: 'level', delayLevel: 1 });
  await producer.send({ topic, body: 'past', deliverAt: Date.now() - 1000 });
  due.set('past', 0);
  await until(
    () => arrivals.size === due.size,
    () => `only ${[...arrivals.keys()].join(', ')} came`,
  );
  for (const [body, dueMs] of due) {
    const early = dueMs - (arrivals.get(body) ?? 0);
    assert(early <= setting('INTEROP_TIMER_EARLY_MS', 0), `${body} came ${early} ms early`);
  }
}

export async function recall(): Promise<void> {
  const topic = await newTopic('Recall');
  await using producer = newProducer();
  const { recallHandle } = await producer.send({ topic, body: 'never', delayMs: 4000 });
  assert(recallHandle !== undefined, 'a timed message has no handle');
  await producer.send({ topic, body: 'later', delayMs: 5000 });
  await producer.recall(topic, recallHandle);
  equalBodies(await consume(topic, '*', 1), ['later']);
}

export async function transaction(): Promise<void> {
  const topic = await newTopic('Transaction');
  const asked: string[] = [];
  await using producer = newProducer({
    group: `transactions_${run}`,
    checkTransaction: (message) => {
      asked.push(message.text());
      return message.text() === 'asked, yes' ? 'commit' : 'rollback';
    },
  });
  const decide = async (body: string, decision: 'commit' | 'rollback' | 'unknown') => {
    await producer.sendInTransaction({ topic, body, keys: body.replaceAll(/\W+/g, '-') }, () =>
      Promise.resolve(decision),
    );
  };
  await decide('committed', 'commit');
  await decide('rolled back', 'rollback');
  await decide('asked, yes', 'unknown');
  await decide('asked, no', 'unknown');
  equalBodies(await consume(topic, '*', 2), ['committed', 'asked, yes']);
  await until(
    () => asked.includes('asked, no'),
    () => `asked only for ${asked.join(', ')}`,
  );
  // Time for what must not come.
  await pause(1000);
  equalBodies(await consume(topic, '*', 2), ['committed', 'asked, yes']);
}

export async function errors(): Promise<void> {
  await using producer = newProducer({ retryTimes: 0 });
  const topic = await newTopic('Errors');
  const failure = async (promise: Promise<unknown>): Promise<string> => {
    try {
      await promise;
    } catch (error) {
      return ClientError.is(error) ? error.code : String(error);
    }
    return 'none';
  };
  assert.equal(
    await failure(producer.send({ topic: 'no spaces here', body: '' })),
    'INVALID_ARGUMENT',
  );
  const large = new Uint8Array(5 * 1024 * 1024);
  crypto.getRandomValues(large.subarray(0, 65_536));
  const code = await failure(producer.send({ topic, body: large }));
  assert(code === 'MESSAGE_REFUSED' || code === 'INVALID_ARGUMENT', `too large: ${code}`);
  const aborted = new AbortController();
  aborted.abort(new Error('enough'));
  const { signal } = aborted;
  assert.equal(await failure(producer.send({ topic, body: 'x' }, { signal })), 'ABORTED');
}
