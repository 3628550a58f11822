/**
 * Consumers against a real broker in this process, over real sockets.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { clientActivity } from '../../src/client/client-activity.ts';
import { ClientError, RetryLater } from '../../src/client/index.ts';
import { ConsumerBroker, delay, until } from './consumer-broker.ts';

let host: ConsumerBroker;

beforeEach(async () => {
  host = await ConsumerBroker.start({ enablePropertyFilter: true });
  await host.createTopic('orders');
});

afterEach(async () => {
  await host.close();
});

describe('run', () => {
  test('hands out every message once, and says at the end how far it is', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const received: string[] = [];
    await consumer.run((message) => {
      received.push(message.text());
    });
    expect(consumer.assignment).toHaveLength(4);
    const sent = await host.sendMany('orders', 'order', 200);
    await until('all received', () => received.length >= 200);
    expect([...received].sort()).toEqual([...sent].sort());
    await consumer.close();
    expect(await host.offsets('stock', 'orders', 4)).toEqual([50, 50, 50, 50]);
    expect(host.errors).toEqual([]);
  });

  test('tells what a message is', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const messages = consumer.messages();
    const next = messages.next();
    await host.send({
      topic: 'orders',
      body: '{"id":7}',
      queueId: 2,
      properties: { TAGS: 'created', KEYS: 'order-7 customer-1', customer: 'Ünï' },
    });
    const { value: message } = await next;
    expect(message).toMatchObject({
      topic: 'orders',
      tag: 'created',
      keys: ['order-7', 'customer-1'],
      queueOffset: 0,
      deliveryAttempt: 1,
      queue: { topic: 'orders', brokerName: 'broker-test', queueId: 2 },
    });
    expect(message?.json()).toEqual({ id: 7 });
    expect(message?.properties['customer']).toBe('Ünï');
    await messages.return?.();
  });

  test('calls so many listeners at once, and no more', async () => {
    const consumer = host.consumer({ group: 'stock', concurrency: 3 });
    consumer.subscribe('orders');
    let running = 0;
    let most = 0;
    let done = 0;
    await host.sendMany('orders', 'order', 30);
    await consumer.run(async () => {
      most = Math.max(most, ++running);
      await delay(5);
      running--;
      done++;
    });
    await until('all done', () => done === 30);
    expect(most).toBe(3);
  });

  test('commits nothing behind a message that is still worked on', async () => {
    const consumer = host.consumer({ group: 'stock', commitIntervalMs: 20 });
    consumer.subscribe('orders');
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    let done = 0;
    for (let index = 0; index < 10; index++)
      await host.send({ topic: 'orders', body: String(index), queueId: 0 });
    await consumer.run(async (message) => {
      if (message.queueOffset === 3) await held;
      done++;
    });
    await until('the others done', () => done === 9);
    await until('said', async () => (await host.offsets('stock', 'orders', 1))[0] === 3);
    await delay(100);
    expect(await host.offsets('stock', 'orders', 1)).toEqual([3]);
    release();
    await until('said', async () => (await host.offsets('stock', 'orders', 1))[0] === 10);
  });

  test('close waits for calls that run, and their messages count as done', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    let begun = false;
    let ended = false;
    await consumer.run(async () => {
      begun = true;
      await delay(200);
      ended = true;
    });
    await host.send({ topic: 'orders', body: 'slow' });
    await until('begun', () => begun);
    await consumer.close();
    expect(ended).toBe(true);
    expect((await host.offsets('stock', 'orders', 1))[0]).toBe(1);
  });

  test('close gives up on a call that does not end, and its message comes again', async () => {
    const hanging = host.consumer({ group: 'stock', closeTimeoutMs: 50 });
    hanging.subscribe('orders');
    let begun = 0;
    await hanging.run(async () => {
      begun++;
      await new Promise(() => {});
    });
    await host.send({ topic: 'orders', body: 'stuck' });
    await until('begun', () => begun === 1);
    await hanging.close();
    const next = host.consumer({ group: 'stock' });
    next.subscribe('orders');
    const received: string[] = [];
    await next.run((message) => received.push(message.text()));
    await until('received again', () => received.length === 1);
    expect(received).toEqual(['stuck']);
  });

  test('a listener that takes too long loses its message to the retries', async () => {
    const consumer = host.consumer({ group: 'stock', consumeTimeoutMs: 50, commitIntervalMs: 20 });
    consumer.subscribe('orders');
    const attempts: number[] = [];
    await consumer.run(async (message) => {
      attempts.push(message.deliveryAttempt);
      if (message.deliveryAttempt === 1) await delay(1500);
    });
    await host.send({ topic: 'orders', body: 'slow' });
    await until('a second attempt', () => attempts.length === 2);
    expect(attempts).toEqual([1, 2]);
    expect(host.errors.map(({ code }) => code)).toContain('TIMEOUT');
  });

  test('a second listener is refused', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    await consumer.run(() => {});
    await expect(consumer.run(() => {})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(() => consumer.messages()).toThrow(ClientError);
  });
});

describe('retries', () => {
  test('a failed message comes again with a higher attempt, under its own topic', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const seen: [string, string, number][] = [];
    await consumer.run((message) => {
      seen.push([message.topic, message.text(), message.deliveryAttempt]);
      if (message.deliveryAttempt < 3) throw new RetryLater(1);
    });
    await host.send({ topic: 'orders', body: 'again' });
    await until('three attempts', () => seen.length === 3);
    expect(seen).toEqual([
      ['orders', 'again', 1],
      ['orders', 'again', 2],
      ['orders', 'again', 3],
    ]);
    expect(host.errors).toEqual([]);
    await consumer.close();
    expect(await host.offsets('stock', '%RETRY%stock', 1)).toEqual([2]);
  });

  test('what a listener throws is told, with the cause', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    let calls = 0;
    const failure = new Error('no stock');
    await consumer.run(() => {
      if (calls++ === 0) throw failure;
    });
    await host.send({ topic: 'orders', body: 'x' });
    await until('told', () => host.errors.length > 0);
    expect(host.errors[0]).toMatchObject({ code: 'LISTENER_FAILED', canRetry: true });
    expect(host.errors[0]?.cause).toBe(failure);
    await until('again', () => calls === 2, 5000);
  });

  test('after maxAttempts it is a dead letter', async () => {
    const consumer = host.consumer({ group: 'stock', maxAttempts: 2 });
    consumer.subscribe('orders');
    const attempts: number[] = [];
    await consumer.run((message) => {
      attempts.push(message.deliveryAttempt);
      throw new RetryLater(1);
    });
    await host.send({ topic: 'orders', body: 'dead' });
    await until('two attempts', () => attempts.length === 2);
    const dead = host.consumer({ group: 'burial' });
    dead.subscribe('%DLQ%stock');
    const letters: string[] = [];
    await dead.run((message) => letters.push(`${message.topic} ${message.text()}`));
    await until('the letter', () => letters.length === 1);
    expect(letters).toEqual(['orders dead']);
    await delay(1200);
    expect(attempts).toEqual([1, 2]);
  });

  test('a message whose place in the log is not known goes to the retry topic as a copy', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const seen: unknown[] = [];
    await consumer.run((message) => {
      const { deliveryAttempt, topic, properties, messageId } = message;
      seen.push([deliveryAttempt, topic, message.text(), properties['customer'], messageId]);
      if (deliveryAttempt > 1) return;
      Object.defineProperty(message, 'physicalOffset', { value: 12_345_678 });
      throw new RetryLater(1);
    });
    const properties = { customer: '7', UNIQ_KEY: 'key-1', TAGS: 'created' };
    await host.send({ topic: 'orders', body: 'copy', properties });
    await until('again', () => seen.length === 2);
    expect(seen).toEqual([
      [1, 'orders', 'copy', '7', 'key-1'],
      [2, 'orders', 'copy', '7', 'key-1'],
    ]);
    expect(host.errors[0]).toMatchObject({ code: 'BROKER_ERROR', responseCode: 1 });
  });
});

describe('batches', () => {
  test('a listener gets several messages of one queue, and they are done with together', async () => {
    const consumer = host.consumer({ group: 'stock', batchSize: 10 });
    consumer.subscribe('orders');
    await host.sendMany('orders', 'order', 100);
    const sizes: number[] = [];
    const bodies: string[] = [];
    await consumer.runBatch((messages) => {
      sizes.push(messages.length);
      expect(new Set(messages.map(({ queue }) => queue.queueId)).size).toBe(1);
      bodies.push(...messages.map((message) => message.text()));
    });
    await until('all', () => bodies.length === 100);
    expect(new Set(bodies).size).toBe(100);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(10);
    expect(Math.max(...sizes)).toBeGreaterThan(1);
  });

  test('those of a failed batch that the listener has settled itself do not come again', async () => {
    const consumer = host.consumer({ group: 'stock', batchSize: 10 });
    consumer.subscribe('orders');
    for (let index = 0; index < 5; index++)
      await host.send({ topic: 'orders', body: String(index), queueId: 0 });
    const again: string[] = [];
    await consumer.runBatch((messages) => {
      if (messages[0]?.deliveryAttempt === 1) {
        for (const message of messages.slice(0, 3)) void message.ack();
        throw new RetryLater(1);
      }
      again.push(...messages.map((message) => message.text()));
    });
    await until('again', () => again.length === 2);
    await delay(300);
    expect([...again].sort()).toEqual(['3', '4']);
  });
});

describe('iterators', () => {
  test('messages that are not acknowledged come again to the next member', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    for (let index = 0; index < 6; index++)
      await host.send({ topic: 'orders', body: String(index), queueId: 0 });
    let count = 0;
    for await (const message of consumer.messages()) {
      if (count++ < 4) await message.ack();
      if (count === 6) break;
    }
    await consumer.close();
    expect(await host.offsets('stock', 'orders', 1)).toEqual([4]);
    const next = host.consumer({ group: 'stock' });
    next.subscribe('orders');
    const again: string[] = [];
    for await (const batch of next.batches({ max: 10 })) {
      again.push(...[...batch].map((message) => message.text()));
      await batch.ack();
      if (again.length === 2) break;
    }
    expect(again).toEqual(['4', '5']);
    await next.close();
    expect(await host.offsets('stock', 'orders', 1)).toEqual([6]);
  });

  test('an iterator ends when the consumer is closed', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const loop = (async () => {
      for await (const message of consumer.messages()) await message.ack();
      return 'ended';
    })();
    await until('joined', () => consumer.assignment.length === 4);
    await consumer.close();
    expect(await loop).toBe('ended');
  });

  test('a message can be given back by hand', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    await host.send({ topic: 'orders', body: 'x' });
    const attempts: number[] = [];
    for await (const message of consumer.messages()) {
      attempts.push(message.deliveryAttempt);
      if (attempts.length === 2) {
        await message.ack();
        break;
      }
      await message.retry({ delayLevel: 1 });
    }
    expect(attempts).toEqual([1, 2]);
  });

  test('nothing is read ahead before somebody takes it', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    await host.sendMany('orders', 'order', 20);
    await consumer.start();
    await delay(200);
    expect(clientActivity.pendingCount).toBe(0);
  });
});

describe('filters', () => {
  test('only the tags that are subscribed to', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders', 'created || paid');
    const tags: (string | undefined)[] = [];
    await consumer.run((message) => tags.push(message.tag));
    // Aa and BB have the same hash, so the broker lets both pass for either.
    for (const TAGS of ['created', 'shipped', 'paid', 'cancelled', 'created'])
      await host.send({ topic: 'orders', body: TAGS, properties: { TAGS } });
    await until('three', () => tags.length === 3);
    await delay(100);
    expect(tags).toEqual(['created', 'paid', 'created']);
    await consumer.close();
    expect(await host.offsets('stock', 'orders', 1)).toEqual([5]);
  });

  test('tags of the same hash are told apart', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders', 'Aa');
    const tags: (string | undefined)[] = [];
    await consumer.run((message) => tags.push(message.tag));
    for (const TAGS of ['BB', 'Aa', 'BB', 'Aa'])
      await host.send({ topic: 'orders', body: TAGS, properties: { TAGS } });
    await until('two', () => tags.length === 2);
    await delay(100);
    expect(tags).toEqual(['Aa', 'Aa']);
  });

  test('a condition on properties', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders', { sql: "amount > 10 AND region = 'eu'" });
    const bodies: string[] = [];
    await consumer.run((message) => bodies.push(message.text()));
    for (const [amount, region] of [
      ['5', 'eu'],
      ['11', 'us'],
      ['12', 'eu'],
    ] as const)
      await host.send({ topic: 'orders', body: amount, properties: { amount, region } });
    await until('one', () => bodies.length === 1);
    await delay(100);
    expect(bodies).toEqual(['12']);
  });

  test('a condition that is none is refused at the start', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders', { sql: 'amount > > 10' });
    await expect(consumer.run(() => {})).rejects.toMatchObject({
      code: 'FILTER_REFUSED',
      canRetry: false,
      responseCode: 23,
    });
  });
});

describe('where to read', () => {
  test('seeks to an offset and to a time; what was read before comes again', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const bodies: string[] = [];
    const revoked: string[] = [];
    consumer.onRevoked((queues, reason) => revoked.push(`${queues[0]?.queueId} ${reason}`));
    await consumer.run((message) => bodies.push(message.text()));
    for (let index = 0; index < 5; index++)
      await host.send({ topic: 'orders', body: String(index), queueId: 1 });
    await until('all', () => bodies.length === 5);
    const queue = { topic: 'orders', brokerName: 'broker-test', queueId: 1 };
    await consumer.seek(queue, 3);
    await until('again', () => bodies.length === 7);
    expect(bodies.slice(5)).toEqual(['3', '4']);
    expect(revoked).toEqual(['1 seek']);
    await delay(20);
    const time = new Date();
    await delay(20);
    await host.send({ topic: 'orders', body: 'late', queueId: 1 });
    await until('late', () => bodies.length === 8);
    await consumer.seekToTime('orders', time);
    await until('late again', () => bodies.length === 9);
    expect(bodies.at(-1)).toBe('late');
    await consumer.close();
    expect((await host.offsets('stock', 'orders', 2))[1]).toBe(6);
    await expect(
      host.consumer({ group: 'stock' }).seek({ ...queue, queueId: 99 }, 0),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('a paused consumer hands out nothing until it goes on', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const bodies: string[] = [];
    await consumer.run((message) => bodies.push(message.text()));
    consumer.pause();
    await host.sendMany('orders', 'order', 8);
    await delay(200);
    expect(bodies).toEqual([]);
    expect(clientActivity.pendingCount).toBe(0);
    consumer.resume();
    await until('all', () => bodies.length === 8);
  });

  test('one queue can be paused alone', async () => {
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const ids: number[] = [];
    await consumer.run((message) => ids.push(message.queue.queueId));
    const queue = { topic: 'orders', brokerName: 'broker-test', queueId: 2 };
    consumer.pause([queue]);
    await host.sendMany('orders', 'order', 8);
    await until('six', () => ids.length === 6);
    await delay(50);
    expect(ids).not.toContain(2);
    consumer.resume([queue]);
    await until('all', () => ids.length === 8);
  });

  test('a date as the beginning of a new group means that date', async () => {
    await host.send({ topic: 'orders', body: 'before' });
    await delay(20);
    const from = new Date();
    await delay(20);
    await host.send({ topic: 'orders', body: 'after' });
    const consumer = host.consumer({ group: 'late', from });
    consumer.subscribe('orders');
    const bodies: string[] = [];
    await consumer.run((message) => bodies.push(message.text()));
    await until('one', () => bodies.length > 0);
    expect(bodies).toEqual(['after']);
  });

  test('a topic that comes later is found, and nothing of it is missed', async () => {
    const consumer = host.consumer({ group: 'stock', from: 'last' });
    consumer.subscribe('shipments');
    const bodies: string[] = [];
    await consumer.run((message) => bodies.push(message.text()));
    expect(host.errors.map(({ code }) => code)).toEqual(['TOPIC_NOT_FOUND']);
    await host.send({ topic: 'shipments', body: 'first' });
    await until('found', () => bodies.length === 1);
    expect(bodies).toEqual(['first']);
  });

  test('a subscription can come and go while it runs', async () => {
    await host.createTopic('refunds', 2);
    const consumer = host.consumer({ group: 'stock' });
    consumer.subscribe('orders');
    const bodies: string[] = [];
    await consumer.run((message) => bodies.push(message.text()));
    consumer.subscribe('refunds');
    await until('both', () => consumer.assignment.length === 6);
    await host.send({ topic: 'refunds', body: 'refund' });
    await until('one', () => bodies.length === 1);
    consumer.unsubscribe('orders');
    await until('one topic', () => consumer.assignment.length === 2);
    await host.send({ topic: 'orders', body: 'order' });
    await delay(100);
    expect(bodies).toEqual(['refund']);
  });
});

describe('broadcasting', () => {
  test('every member gets every message, and goes on where it was', async () => {
    const storage = new Map<string, string>();
    const offsetStorage = {
      read: (name: string) => Promise.resolve(storage.get(name) ?? null),
      write: (name: string, text: string) => {
        storage.set(name, text);
        return Promise.resolve();
      },
    };
    const bodies: Record<string, string[]> = { a: [], b: [], later: [] };
    const open = async (clientId: string, list: string[]) => {
      const consumer = host.consumer({
        group: 'screens',
        model: 'broadcasting',
        from: 'last',
        clientId,
        offsetStorage,
      });
      consumer.subscribe('orders');
      await consumer.run((message) => list.push(message.text()));
      return consumer;
    };
    await host.send({ topic: 'orders', body: 'before' });
    const a = await open('screen-a', bodies['a'] ?? []);
    await open('screen-b', bodies['b'] ?? []);
    const sent = await host.sendMany('orders', 'order', 20);
    await until('both', () => bodies['a']?.length === 20 && bodies['b']?.length === 20);
    expect([...(bodies['a'] ?? [])].sort()).toEqual([...sent].sort());
    await a.close();
    await host.send({ topic: 'orders', body: 'while away' });
    await open('screen-a', bodies['later'] ?? []);
    await until('what came meanwhile', () => bodies['later']?.length === 1);
    expect(bodies['later']).toEqual(['while away']);
  });

  test('a failed message comes again here, and is given up after maxAttempts', async () => {
    const consumer = host.consumer({ group: 'screens', model: 'broadcasting', maxAttempts: 2 });
    consumer.subscribe('orders');
    const attempts: number[] = [];
    await consumer.run((message) => {
      attempts.push(message.deliveryAttempt);
      throw new RetryLater();
    });
    await host.send({ topic: 'orders', body: 'x' });
    await until('given up', () => host.errors.length === 1);
    expect(attempts).toEqual([1, 2]);
    expect(clientActivity.pendingCount).toBe(0);
  });
});

test('options that can not be are refused with what may stand there', () => {
  const servers = host.servers;
  const make = (options: object) => () => host.consumer({ servers, group: 'g', ...options });
  expect(make({ group: 'a b' })).toThrow(/group is/);
  expect(make({ model: 'all' })).toThrow(/"clustering" or "broadcasting"/);
  expect(make({ from: new Date(Number.NaN) })).toThrow(/from is/);
  expect(make({ concurrency: 0 })).toThrow(/concurrency is a whole number/);
  expect(make({ strategy: 'fair' })).toThrow(/averagely/);
});
