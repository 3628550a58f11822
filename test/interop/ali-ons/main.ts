/**
 * What an unmodified ali-ons 3.12.0, the RocketMQ client of npm, does. Arguments: name server address,
 * then names of scenarios. Prints "PASS name" or "FAIL name: why" for each, and exits with the number
 * of failures. A scenario that hangs fails, and the next one begins.
 */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { Consumer, Message } from 'ali-ons';
import { accessScenarios } from './access.ts';
import {
  bodyOf,
  consume,
  consumeAs,
  equalBodies,
  newTopic,
  numbered,
  pause,
  send,
  sendNumbered,
  setting,
  startConsumer,
  startProducer,
  until,
} from './harness.ts';

const LIMIT_MS = 100_000;

const scenarios: Partial<Record<string, () => Promise<void>>> = {
  ...accessScenarios,

  async send() {
    const producer = await startProducer();
    const topic = await newTopic('Send');
    const sent = await sendNumbered(producer, topic, 'body', 100);
    const places = sent.map((each) => `${each.messageQueue.queueId} ${each.queueOffset}`);
    assert.equal(new Set(places).size, 100, 'different places');
    const received = await consume(topic, '*', 100);
    equalBodies(received, numbered('body', 100));
    for (const message of received) {
      const number = Number(bodyOf(message).slice('body '.length));
      assert.equal(message.tags, 'numbered');
      assert.equal(message.keys, `key${number}`);
      assert.equal(`${message.queueId} ${message.queueOffset}`, places[number]);
    }
    await producer.close();
  },

  async 'compressed-body'() {
    const producer = await startProducer();
    const topic = await newTopic('Compressed');
    const body = 'compressible '.repeat(5000);
    await send(producer, new Message(topic, 'large', body));
    const [message] = await consume(topic, '*', 1);
    assert(bodyOf(message) === body, 'the body came back changed');
    assert(message.storeSize < 10_000, `it was not stored compressed: ${message.storeSize} bytes`);
    await producer.close();
  },

  async chinese() {
    const producer = await startProducer();
    const topic = await newTopic('Chinese');
    const sent = new Message(topic, '标签', '消息正文 😀');
    sent.keys = ['订单号'];
    sent.properties['属性名'] = '属性值 😀 "quoted" \\ / \t';
    await send(producer, sent);
    await send(producer, new Message(topic, '别的', 'not asked for'));
    const [message] = await consume(topic, '标签', 1);
    assert.equal(bodyOf(message), '消息正文 😀');
    assert.equal(message.tags, '标签');
    assert.equal(message.keys, '订单号');
    assert.equal(message.properties['属性名'], '属性值 😀 "quoted" \\ / \t');
    await producer.close();
  },

  async tags() {
    const producer = await startProducer();
    const topic = await newTopic('Tags');
    await sendNumbered(producer, topic, 'body', 90, (number) => `Tag${'ABC'[number % 3]}`);
    const received = await consume(topic, 'TagA || TagC', 60);
    equalBodies(
      received,
      numbered('body', 90).filter((_, number) => number % 3 !== 1),
    );
    await producer.close();
  },

  async 'sql-filter'() {
    const producer = await startProducer();
    const topic = await newTopic('SqlFilter');
    for (let number = 0; number < 60; number++) {
      const message = new Message(topic, number % 2 === 0 ? 'Even' : 'Odd', `body ${number}`);
      message.properties['number'] = String(number);
      await send(producer, message);
    }
    const subString = "number >= 20 AND number < 40 AND TAGS = 'Even'";
    const received = await consume(topic, { expressionType: 'SQL92', subString }, 10);
    equalBodies(
      received,
      numbered('body', 20, 20).filter((_, index) => index % 2 === 0),
    );
    await producer.close();
  },

  async 'sharding-key'() {
    const producer = await startProducer();
    const topic = await newTopic('Sharding');
    await send(producer, new Message(topic, 'seed', 'makes the topic'));
    // One key for each queue but 0: the client takes that number for none, and spreads such a key.
    const keys = ['a', 'b', 'e'];
    for (let number = 0; number < 90; number++) {
      const message = new Message(topic, 'keyed', `${keys[number % 3]} ${number}`);
      message.shardingKey = keys[number % 3] ?? '';
      await send(producer, message);
    }
    const received = await consume(topic, 'keyed', 90);
    for (const [index, key] of keys.entries()) {
      const same = received.filter((message) => bodyOf(message).startsWith(`${key} `));
      const expected = Array.from({ length: 30 }, (_, turn) => `${key} ${turn * 3 + index}`);
      assert.deepEqual(same.map(bodyOf), expected, 'order of a key');
      assert.deepEqual(new Set(same.map((message) => message.queueId)), new Set([index + 1]));
    }
    await producer.close();
  },

  async rebalance() {
    const producer = await startProducer();
    const topic = await newTopic('Rebalance');
    await send(producer, new Message(topic, 'any', 'body 0'));
    const received: [string[], string[]] = [[], []];
    const consumers: Consumer[] = [];
    for (const bodies of received) {
      const subscription = { topic, expression: '*' };
      const take = (message: Message): unknown => bodies.push(bodyOf(message));
      consumers.push(await startConsumer(`group_${topic}`, subscription, take));
    }
    let sent = 1;
    const sendNext = async (): Promise<void> => {
      await send(producer, new Message(topic, 'any', `body ${sent++}`));
    };
    // Both have queues once both receive.
    const before = received.map((bodies) => bodies.length);
    const deadline = Date.now() + 40_000;
    while (received.some((bodies, index) => bodies.length === before[index])) {
      assert(Date.now() < deadline, 'the queues were not divided');
      await sendNext();
      await pause(20);
    }
    await consumers[1]?.close();
    for (let i = 0; i < 100; i++) await sendNext();
    const different = (): number => new Set(received.flat()).size;
    await until(
      () => different() === sent,
      () => `lost when a consumer left: ${different()} of ${sent}`,
    );
    await consumers[0]?.close();
    await producer.close();
  },

  async resume() {
    const producer = await startProducer();
    const topic = await newTopic('Resume');
    const group = `group_${topic}`;
    await sendNumbered(producer, topic, 'first', 100);
    equalBodies(await consumeAs(group, topic, '*', 100), numbered('first', 100));
    await sendNumbered(producer, topic, 'second', 50);
    equalBodies(await consumeAs(group, topic, '*', 50), numbered('second', 50));
    await producer.close();
  },

  async 'from-last'() {
    const producer = await startProducer();
    const topic = await newTopic('FromLast');
    // A group that starts beside the first sends to a young topic misses none of them.
    await send(producer, new Message(topic, 'any', 'young 0'));
    const received: Message[] = [];
    const consumer = await startConsumer(
      `group_${topic}`,
      { topic, expression: '*' },
      (message) => received.push(message),
      { consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET' },
    );
    await sendNumbered(producer, topic, 'body', 20);
    await until(
      () => received.length >= 21,
      () => `only ${received.length} of 21 messages came`,
    );
    await consumer.close();
    equalBodies(received, ['young 0', ...numbered('body', 20)]);
    await producer.close();
  },

  async retry() {
    const producer = await startProducer();
    const topic = await newTopic('Retry');
    await sendNumbered(producer, topic, 'refused', 1);
    const received: { message: Message; times: number; at: number }[] = [];
    const consumer = await startConsumer(
      `group_${topic}`,
      { topic, expression: '*' },
      (message) => {
        received.push({ message, times: message.reconsumeTimes, at: Date.now() });
        return received.length === 1 ? Consumer.ACTION_RETRY : undefined;
      },
    );
    await until(
      () => received.length >= 2,
      () => 'a refused message did not come again',
      60_000,
    );
    await pause(500);
    await consumer.close();
    assert.deepEqual(
      received.map(({ times }) => times),
      [0, 1],
      'reconsume times',
    );
    const [first, second] = received;
    // The client leaves the pause to the broker, whose first is ten seconds.
    assert(second.at - first.at >= 10_000, `came again after ${second.at - first.at} ms`);
    assert.equal(bodyOf(second.message), 'refused 0');
    assert.equal(second.message.keys, 'key0');
    assert.equal(second.message.topic, topic);
    await producer.close();
  },

  async 'dead-letter'() {
    const producer = await startProducer();
    const topic = await newTopic('DeadLetter');
    const group = `group_${topic}`;
    await sendNumbered(producer, topic, 'refused', 1);
    let deliveries = 0;
    const refuse = (): symbol => {
      deliveries++;
      return Consumer.ACTION_RETRY;
    };
    const consumer = await startConsumer(group, { topic, expression: '*' }, refuse, {
      maxReconsumeTimes: 0,
    });
    const [message] = await consume(`%DLQ%${group}`, '*', 1);
    await consumer.close();
    assert.equal(bodyOf(message), 'refused 0');
    assert.equal(message.keys, 'key0');
    assert.equal(deliveries, 1, 'deliveries');
    await producer.close();
  },

  async delay() {
    const producer = await startProducer();
    const topic = await newTopic('Delay');
    await send(producer, new Message(topic, 'seed', 'makes the topic'));
    const arrivals: { body: string; at: number }[] = [];
    const subscription = { topic, expression: 'delayed' };
    const consumer = await startConsumer(`group_${topic}`, subscription, (message) =>
      arrivals.push({ body: bodyOf(message), at: Date.now() }),
    );
    const message = new Message(topic, 'delayed', 'later');
    message.delayTimeLevel = 1;
    const sentAt = Date.now();
    await send(producer, message);
    await until(
      () => arrivals.length > 0,
      () => 'a delayed message did not come',
    );
    await pause(300);
    await consumer.close();
    const [{ body, at } = { body: '', at: 0 }] = arrivals;
    assert.equal(body, 'later');
    assert(at - sentAt >= 1000, `came early, after ${at - sentAt} ms`);
    assert.equal(arrivals.length, 1, 'deliveries');
    await producer.close();
  },

  /** The client's own `setStartDeliverTime` writes a property that only a cloud's broker reads. */
  async timed() {
    const producer = await startProducer();
    const topic = await newTopic('Timed');
    await send(producer, new Message(topic, 'timed', 'makes the topic'));
    const arrivals: { body: string; at: number }[] = [];
    const consumer = await startConsumer(
      `group_${topic}`,
      { topic, expression: 'timed' },
      (message) => arrivals.push({ body: bodyOf(message), at: Date.now() }),
    );
    await until(
      () => arrivals.length > 0,
      () => 'the first message did not come',
      60_000,
    );
    const due = new Map<string, { from: number; to: number }>();
    for (let number = 0; number < 40; number++) {
      const delay = 1000 * (1 + (number % 3)) + (number % 2) * 50 * (number % 10);
      const message = new Message(topic, 'timed', `body ${number}`);
      const from = Date.now() + delay;
      if (number % 2 === 1) message.properties['TIMER_DELIVER_MS'] = String(from);
      else message.properties['TIMER_DELAY_SEC'] = String(delay / 1000);
      await send(producer, message);
      const to = number % 2 === 1 ? from : Date.now() + delay;
      due.set(`body ${number}`, { from, to });
    }
    await until(
      () => arrivals.length > due.size,
      () => `only ${arrivals.length - 1} of ${due.size} messages came`,
    );
    await pause(1000);
    await consumer.close();
    const received = arrivals.slice(1);
    assert.deepEqual(received.map(({ body }) => body).sort(), [...due.keys()].sort());
    const distances = received.map(({ body, at }) => {
      const { from, to } = due.get(body) ?? { from: 0, to: 0 };
      return { early: at - from, late: at - to };
    });
    const earliest = Math.min(...distances.map(({ early }) => early));
    const latest = Math.max(...distances.map(({ late }) => late));
    console.log(`INFO timed: received ${earliest} to ${latest} ms after the time`);
    assert(earliest >= -setting('INTEROP_TIMER_EARLY_MS', 0), `came early: ${earliest} ms`);
    assert(latest <= setting('INTEROP_TIMER_LATE_MS', 1000), `came late: ${latest} ms`);
    await producer.close();
  },

  async broadcast() {
    const producer = await startProducer();
    const topic = await newTopic('Broadcast');
    await send(producer, new Message(topic, 'seed', 'makes the topic'));
    const received: Message[][] = [[], []];
    const consumers: Consumer[] = [];
    for (const messages of received) {
      const take = (message: Message): unknown => messages.push(message);
      const subscription = { topic, expression: 'numbered' };
      consumers.push(
        await startConsumer(`group_${topic}`, subscription, take, { isBroadcast: true }),
      );
    }
    await sendNumbered(producer, topic, 'body', 20);
    for (const [index, messages] of received.entries()) {
      await until(
        () => messages.length >= 20,
        () => `a member of a broadcast group got ${messages.length}`,
      );
      await consumers[index]?.close();
      equalBodies(messages, numbered('body', 20));
    }
    await producer.close();
  },
};

async function limit(): Promise<never> {
  // Not a reason to stay, nor a failure of its own once the scenario has ended.
  await setTimeout(LIMIT_MS, undefined, { ref: false });
  assert.fail(`not finished after ${LIMIT_MS} ms`);
}

let failures = 0;
for (const name of process.argv.slice(3)) {
  const started = Date.now();
  try {
    const scenario = scenarios[name];
    assert(scenario !== undefined, 'no such scenario');
    await Promise.race([scenario(), limit()]);
    console.log(`PASS ${name} ${Date.now() - started} ms`);
  } catch (error) {
    failures++;
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    console.log(`FAIL ${name}: ${message.replaceAll(/\s+/g, ' ')}\n${stack}`);
  }
}
process.exit(failures);
