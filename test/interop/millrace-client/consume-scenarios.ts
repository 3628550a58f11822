/**
 * What our own consumer does on any broker.
 */
import assert from 'node:assert/strict';
import type { ConsumedMessage, Consumer } from '../../../src/client/index.ts';
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
  until,
} from './harness.ts';

export async function tags(): Promise<void> {
  const topic = await newTopic('Tags');
  await using producer = newProducer();
  await sendNumbered(producer, topic, 'body', 90, (number) => ({ tag: `Tag${'ABC'[number % 3]}` }));
  equalBodies(
    await consume(topic, 'TagA || TagC', 60),
    numbered('body', 90).filter((_, number) => number % 3 !== 1),
  );
}

export async function sqlFilter(): Promise<void> {
  const topic = await newTopic('Sql');
  await using producer = newProducer();
  await sendNumbered(producer, topic, 'body', 60, (number) => ({
    tag: number % 2 === 0 ? 'Even' : 'Odd',
    properties: { number: String(number) },
  }));
  equalBodies(
    await consume(topic, { sql: "number >= 20 AND number < 40 AND TAGS = 'Even'" }, 10),
    numbered('body', 20, 20).filter((_, index) => index % 2 === 0),
  );
}

export async function ordered(): Promise<void> {
  const topic = await newTopic('Ordered');
  await using producer = newProducer();
  const bodies = numbered('body', 60);
  for (const [number, body] of bodies.entries())
    await producer.send({ topic, body, orderKey: `key ${number % 3}` });
  const perQueue = new Map<number, string[]>();
  const failedOnce = new Set<number>();
  await using consumer = newConsumer({ ordered: true });
  consumer.subscribe(topic);
  let received = 0;
  await consumer.run(async (message) => {
    await pause(1);
    // Each queue is held up once, in its middle: nothing may overtake what failed.
    const { queueId } = message.queue;
    const soFar = perQueue.get(queueId) ?? [];
    if (soFar.length === 5 && !failedOnce.has(queueId)) {
      failedOnce.add(queueId);
      throw new Error('not yet');
    }
    perQueue.set(queueId, [...soFar, message.text()]);
    received++;
  });
  await until(
    () => received >= 60,
    () => `only ${received} of 60 messages came`,
  );
  await pause(300);
  assert.equal(received, 60, 'messages received');
  assert(failedOnce.size > 0, 'no queue was held up');
  for (let key = 0; key < 3; key++) {
    const wanted = bodies.filter((_, number) => number % 3 === key);
    const found = [...perQueue.values()].flat().filter((body) => wanted.includes(body));
    assert.deepEqual(found, wanted, 'order of a key');
  }
}

export async function retry(): Promise<void> {
  const topic = await newTopic('Retry');
  await using producer = newProducer();
  await sendNumbered(producer, topic, 'refused', 1);
  const received: { message: ConsumedMessage; at: number }[] = [];
  await using consumer = newConsumer();
  consumer.subscribe(topic);
  await consumer.run((message) => {
    received.push({ message, at: Date.now() });
    if (received.length === 1) throw new Error('not this time');
  });
  await until(
    () => received.length >= 2,
    () => 'a refused message did not come again',
    60_000,
  );
  await pause(500);
  assert.deepEqual(
    received.map(({ message }) => message.deliveryAttempt),
    [1, 2],
  );
  const [first, second] = received;
  // The broker's first pause is ten seconds.
  assert(second.at - first.at >= 9900, `came again after ${second.at - first.at} ms`);
  assert.equal(second.message.text(), 'refused 0');
  assert.equal(second.message.topic, topic);
  assert.deepEqual(second.message.keys, ['key0']);
  assert.equal(second.message.messageId, first.message.messageId);
}

export async function deadLetter(): Promise<void> {
  const topic = await newTopic('DeadLetter');
  const group = `dead_${run}`;
  await using producer = newProducer();
  await sendNumbered(producer, topic, 'refused', 1);
  let deliveries = 0;
  await using consumer = newConsumer({ group, maxAttempts: 1 });
  consumer.subscribe(topic);
  await consumer.run(() => {
    deliveries++;
    throw new Error('never');
  });
  await until(
    () => deliveries > 0,
    () => 'it did not come',
  );
  const [message] = await consume(`%DLQ%${group}`, '*', 1);
  assert.equal(message.text(), 'refused 0');
  assert.deepEqual(message.keys, ['key0']);
  assert.equal(deliveries, 1, 'deliveries');
}

export async function broadcast(): Promise<void> {
  const topic = await newTopic('Broadcast');
  const group = `broadcast_${run}`;
  await using producer = newProducer();
  const received: string[][] = [[], []];
  const consumers: Consumer[] = [];
  for (const bodies of received) {
    const consumer = newConsumer({ group, model: 'broadcasting' });
    consumer.subscribe(topic);
    await consumer.run((message) => {
      bodies.push(message.text());
    });
    consumers.push(consumer);
  }
  await sendNumbered(producer, topic, 'body', 20);
  for (const bodies of received)
    await until(
      () => bodies.length >= 20,
      () => `a member of a broadcast group got ${bodies.length}`,
    );
  await Promise.all(consumers.map((consumer) => consumer.close()));
  for (const bodies of received) assert.deepEqual(bodies.sort(), numbered('body', 20).sort());
}

export async function pull(): Promise<void> {
  const topic = await newTopic('Pull');
  const group = `pull_${run}`;
  await using producer = newProducer();
  await sendNumbered(producer, topic, 'body', 60);
  const first: string[] = [];
  {
    await using consumer = newConsumer({ group });
    consumer.subscribe(topic);
    for await (const message of consumer.messages()) {
      first.push(message.text());
      await message.ack();
      if (first.length === 60) break;
    }
  }
  assert.deepEqual(first.sort(), numbered('body', 60).sort());
  await sendNumbered(producer, topic, 'more', 10);
  // What was acknowledged does not come again to the group.
  equalBodies(await consume(topic, '*', 10, { group }), numbered('more', 10));
}

export async function resume(): Promise<void> {
  const topic = await newTopic('Resume');
  const group = `resume_${run}`;
  await using producer = newProducer();
  await sendNumbered(producer, topic, 'first', 50);
  equalBodies(await consume(topic, '*', 50, { group }), numbered('first', 50));
  await sendNumbered(producer, topic, 'second', 50);
  equalBodies(await consume(topic, '*', 50, { group }), numbered('second', 50));
}

export async function seek(): Promise<void> {
  const topic = await newTopic('Seek');
  await using producer = newProducer();
  await sendNumbered(producer, topic, 'body', 20);
  const received: string[] = [];
  await using consumer = newConsumer();
  consumer.subscribe(topic);
  await consumer.run((message) => {
    received.push(message.text());
  });
  await until(
    () => received.length >= 20,
    () => `only ${received.length} of 20 messages came`,
  );
  for (const queue of consumer.assignment) await consumer.seek(queue, 0);
  await until(
    () => received.length >= 40,
    () => `after going back only ${received.length - 20} of 20 messages came`,
  );
  await pause(300);
  assert.deepEqual(received.slice(20).sort(), numbered('body', 20).sort());
}

export async function rebalance(): Promise<void> {
  const topic = await newTopic('Rebalance');
  const group = `rebalance_${run}`;
  await using producer = newProducer();
  const received: string[][] = [[], []];
  const consumers: Consumer[] = [];
  for (const bodies of received) {
    const consumer = newConsumer({ group });
    consumer.subscribe(topic);
    await consumer.run((message) => {
      bodies.push(message.text());
    });
    consumers.push(consumer);
  }
  await until(
    () => consumers.every((consumer) => consumer.assignment.length === 2),
    () => 'the queues were not divided',
  );
  await sendNumbered(producer, topic, 'body', 40);
  await until(
    () => new Set(received.flat()).size === 40,
    () => `only ${received.flat().length} of 40 messages came`,
  );
  for (const bodies of received) assert(bodies.length >= 20, `a member got ${bodies.length} of 40`);
  await consumers[1].close();
  await until(
    () => consumers[0].assignment.length === 4,
    () => 'the queues of one that left were not taken over',
  );
  await sendNumbered(producer, topic, 'after', 20);
  await until(
    () => new Set(received.flat()).size === 60,
    () => `lost when a consumer left: ${new Set(received.flat()).size} of 60`,
  );
  await consumers[0].close();
}
