/**
 * Several members of a group against a real broker: who reads what, in which order, and that nothing is
 * lost when members come and go, when a queue changes hands, and when the broker goes and comes back.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Consumer } from '../../src/client/index.ts';
import { ConsumerBroker, delay, until } from './consumer-broker.ts';

/** What waits for the broker and is waited for by it goes by either transport. */
describe.each(['TCP', 'WebSocket'] as const)('over %s', (transport) => {
  let host: ConsumerBroker;

  beforeEach(async () => {
    host = await ConsumerBroker.start({}, transport);
    await host.createTopic('orders');
  });

  afterEach(async () => {
    await host.close();
  });

  const idsOf = (consumer: Consumer): number[] =>
    consumer.assignment.map(({ queueId }) => queueId).sort((left, right) => left - right);

  describe('a group', () => {
    test('divides queues among its members, and again when they come and go', async () => {
      const members = ['a', 'b', 'c'].map((clientId) => {
        const consumer = host.consumer({ group: 'stock', clientId });
        consumer.subscribe('orders');
        return consumer;
      });
      const [a, b, c] = members as [Consumer, Consumer, Consumer];
      await a.run(() => {});
      expect(idsOf(a)).toEqual([0, 1, 2, 3]);
      await b.run(() => {});
      await until('two', () => idsOf(a).length === 2 && idsOf(b).length === 2);
      await c.run(() => {});
      await until('three', () => idsOf(a).length === 2 && idsOf(c).length === 1);
      expect([idsOf(a), idsOf(b), idsOf(c)]).toEqual([[0, 1], [2], [3]]);
      await b.close();
      await until('two again', () => idsOf(c).length === 2);
      expect([idsOf(a), idsOf(c)]).toEqual([
        [0, 1],
        [2, 3],
      ]);
    });

    test('loses nothing while members join and leave and messages come', async () => {
      const received = new Map<string, number>();
      const revoked = new Set<string>();
      const open = async (): Promise<Consumer> => {
        const consumer = host.consumer({ group: 'stock', concurrency: 5, commitIntervalMs: 50 });
        consumer.subscribe('orders');
        consumer.onRevoked((queues) => {
          for (const { queueId } of queues) revoked.add(String(queueId));
        });
        await consumer.run(async (message) => {
          await delay(1);
          received.set(message.text(), (received.get(message.text()) ?? 0) + 1);
        });
        return consumer;
      };
      const first = await open();
      const sent: string[] = [];
      const end = new AbortController();
      const sending = (async () => {
        for (let round = 0; !end.signal.aborted; round++) {
          sent.push(...(await host.sendMany('orders', `round-${round}`, 20)));
          await delay(5);
        }
      })();
      await delay(200);
      const second = await open();
      await delay(300);
      const third = await open();
      await delay(300);
      await second.close();
      await delay(300);
      await third.close();
      await delay(300);
      end.abort();
      await sending;
      await until('everything', () => received.size === sent.length);
      expect([...received.keys()].sort()).toEqual([...sent].sort());
      expect(revoked.size).toBeGreaterThan(0);
      await first.close();
      const total = await host.offsets('stock', 'orders', 4);
      expect(total.reduce((sum, offset) => sum + offset, 0)).toBe(sent.length);
    });

    test('what a member had not acknowledged when it died comes to another one', async () => {
      const sent = await host.sendMany('orders', 'order', 40);
      const script = path.join(import.meta.dirname, 'hanging-consumer.ts');
      const child = spawn(process.execPath, [script, host.servers, 'stock', 'orders']);
      const exited = once(child, 'exit');
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await until('taken', () => output.split('\n').length > 20);
      child.kill('SIGKILL');
      await exited;
      const heir = host.consumer({ group: 'stock' });
      heir.subscribe('orders');
      const received: string[] = [];
      await heir.run((message) => received.push(message.text()));
      await until('all of them', () => received.length === sent.length);
      expect([...received].sort()).toEqual([...sent].sort());
    });
  });

  describe('order', () => {
    /** Sends `count` messages to each queue, one after the other. */
    const sendInOrder = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        await Promise.all(
          [0, 1, 2, 3].map((queueId) => host.send({ topic: 'orders', body: `${index}`, queueId })),
        );
      }
    };

    test('holds within a queue, though calls take their time and fail in between', async () => {
      const consumer = host.consumer({ group: 'stock', ordered: true, suspendMs: 20 });
      consumer.subscribe('orders');
      const done: string[][] = [[], [], [], []];
      const attempts: number[] = [];
      const running = new Set<number>();
      let failures = 0;
      await consumer.run(async (message) => {
        const { queueId } = message.queue;
        expect(running.has(queueId)).toBe(false);
        running.add(queueId);
        await delay(Math.random() * 3);
        running.delete(queueId);
        attempts.push(message.deliveryAttempt);
        if (message.queueOffset % 5 === 2 && message.deliveryAttempt < 3) {
          failures++;
          throw new Error('not yet');
        }
        done[queueId]?.push(message.text());
      });
      await sendInOrder(20);
      await until('all', () => done.every((list) => list.length === 20));
      const inOrder = Array.from({ length: 20 }, (_, index) => String(index));
      expect(done).toEqual([inOrder, inOrder, inOrder, inOrder]);
      expect(failures).toBe(4 * 4 * 2);
      expect(Math.max(...attempts)).toBe(3);
      await consumer.close();
      expect(await host.offsets('stock', 'orders', 4)).toEqual([20, 20, 20, 20]);
    });

    test('holds across members: no message overtakes another when queues change hands', async () => {
      const done: number[][] = [[], [], [], []];
      const running = new Map<number, string>();
      const open = async (clientId: string): Promise<Consumer> => {
        const consumer = host.consumer({ group: 'stock', ordered: true, clientId });
        consumer.subscribe('orders');
        await consumer.run(async (message) => {
          const { queueId } = message.queue;
          expect(running.get(queueId)).toBeUndefined();
          running.set(queueId, clientId);
          await delay(2);
          running.delete(queueId);
          done[queueId]?.push(message.queueOffset);
        });
        return consumer;
      };
      const a = await open('a');
      const sending = sendInOrder(150);
      await until('some', () => done.every((list) => list.length > 10));
      const b = await open('b');
      await until('b has two', () => idsOf(b).length === 2);
      await until('more', () => done.every((list) => list.length > 60));
      await a.close();
      await sending;
      await until('all', () => done.every((list) => list.length >= 150));
      // Calls end before a queue is let go, and its offset is said: nothing comes twice either.
      const inOrder = Array.from({ length: 150 }, (_, index) => index);
      expect(done).toEqual([inOrder, inOrder, inOrder, inOrder]);
      expect(host.errors).toEqual([]);
    });

    test('a member that hangs keeps its queue, so that nobody overtakes it', async () => {
      let release = (): void => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      const seen: string[] = [];
      const open = async (clientId: string): Promise<Consumer> => {
        const consumer = host.consumer({ group: 'stock', ordered: true, clientId });
        consumer.subscribe('orders');
        await consumer.run(async (message) => {
          seen.push(`${clientId} begins ${message.text()}`);
          if (message.text() === 'first') await held;
          seen.push(`${clientId} ends ${message.text()}`);
        });
        return consumer;
      };
      const a = await open('a');
      await host.send({ topic: 'orders', body: 'first', queueId: 3 });
      await until('it begins', () => seen.length === 1);
      await host.send({ topic: 'orders', body: 'second', queueId: 3 });
      const b = await open('b');
      await until('b has one', () => idsOf(b).length === 1);
      expect(idsOf(a)).toEqual([0, 1]);
      await delay(500);
      expect(seen).toEqual(['a begins first']);
      release();
      await until('all', () => seen.length === 4);
      expect(seen).toEqual(['a begins first', 'a ends first', 'b begins second', 'b ends second']);
    });

    test('a message that fails maxAttempts times is put aside, and the queue goes on', async () => {
      const consumer = host.consumer({
        group: 'stock',
        ordered: true,
        suspendMs: 10,
        maxAttempts: 3,
      });
      consumer.subscribe('orders');
      const seen: string[] = [];
      await consumer.run((message) => {
        seen.push(`${message.text()} ${message.deliveryAttempt}`);
        if (message.text() === 'bad') throw new Error('never');
      });
      for (const body of ['good', 'bad', 'better'])
        await host.send({ topic: 'orders', body, queueId: 0 });
      await until('all', () => seen.includes('better 1'));
      expect(seen).toEqual(['good 1', 'bad 1', 'bad 2', 'bad 3', 'better 1']);
      const burial = host.consumer({ group: 'burial' });
      burial.subscribe('%DLQ%stock');
      const letters: string[] = [];
      await burial.run((message) => letters.push(`${message.topic} ${message.text()}`));
      await until('the letter', () => letters.length === 1);
      expect(letters).toEqual(['orders bad']);
    });

    test('an iterator gives one message of a queue at a time', async () => {
      const consumer = host.consumer({ group: 'stock', ordered: true, suspendMs: 10 });
      consumer.subscribe('orders');
      for (let index = 0; index < 4; index++)
        await host.send({ topic: 'orders', body: String(index), queueId: 0 });
      const seen: string[] = [];
      for await (const message of consumer.messages()) {
        seen.push(`${message.text()} ${message.deliveryAttempt}`);
        if (seen.length === 2) await message.retry();
        else await message.ack();
        if (seen.length === 5) break;
      }
      expect(seen).toEqual(['0 1', '1 1', '1 2', '2 1', '3 1']);
    });
  });

  describe('a broker that goes and comes back', () => {
    test('nothing is lost, and what was acknowledged comes no second time', async () => {
      const consumer = host.consumer({ group: 'stock' });
      consumer.subscribe('orders');
      const received: string[] = [];
      await consumer.run((message) => received.push(message.text()));
      const before = await host.sendMany('orders', 'before', 100);
      await until('all before', () => received.length === 100);
      await host.stop();
      await delay(300);
      await host.restart();
      const after = await host.sendMany('orders', 'after', 100);
      await until('all after', () => received.length >= 200, 15_000);
      await delay(200);
      expect([...received].sort()).toEqual([...before, ...after].sort());
      expect(host.errors.length).toBeGreaterThan(0);
      expect(host.errors.every(({ canRetry }) => canRetry)).toBe(true);
      await consumer.close();
      expect(await host.offsets('stock', 'orders', 4)).toEqual([50, 50, 50, 50]);
    });

    test('offsets that the broker has lost are said again, though nothing new came', async () => {
      const consumer = host.consumer({ group: 'stock', commitIntervalMs: 20 });
      consumer.subscribe('orders');
      let count = 0;
      await consumer.run(() => count++);
      await host.sendMany('orders', 'order', 40);
      await until('all', () => count === 40);
      const isSaid = async (): Promise<boolean> =>
        (await host.offsets('stock', 'orders', 4)).every((offset) => offset === 10);
      await until('said', isSaid);
      await host.stop();
      host.forgetOffsets();
      await host.restart();
      await until('said again', isSaid);
      expect(count).toBe(40);
    });

    test('a message that is worked on meanwhile is acknowledged to the new one', async () => {
      const consumer = host.consumer({ group: 'stock', commitIntervalMs: 50 });
      consumer.subscribe('orders');
      let release = (): void => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      let begun = 0;
      await consumer.run(async () => {
        begun++;
        await held;
      });
      await host.send({ topic: 'orders', body: 'slow', queueId: 0 });
      await until('begun', () => begun === 1);
      await host.stop();
      await host.restart();
      release();
      await until('said', async () => (await host.offsets('stock', 'orders', 1))[0] === 1, 15_000);
      expect(begun).toBe(1);
    });

    test('order holds over it, and locks are asked for anew', async () => {
      const consumer = host.consumer({ group: 'stock', ordered: true });
      consumer.subscribe('orders');
      const received: string[] = [];
      await consumer.run(async (message) => {
        await delay(1);
        received.push(message.text());
      });
      for (let index = 0; index < 50; index++)
        await host.send({ topic: 'orders', body: String(index), queueId: 0 });
      await host.stop();
      await host.restart();
      for (let index = 50; index < 100; index++)
        await host.send({ topic: 'orders', body: String(index), queueId: 0 });
      await until('all', () => received.length >= 100, 15_000);
      expect(received).toEqual(Array.from({ length: 100 }, (_, index) => String(index)));
      const locked = await host.raw.request({
        code: 41,
        body: Buffer.from(
          JSON.stringify({
            clientId: 'somebody-else',
            consumerGroup: 'stock',
            mqSet: [{ brokerName: 'broker-test', queueId: 0, topic: 'orders' }],
          }),
        ),
      });
      expect(JSON.parse(locked.body.toString())).toEqual({ lockOKMQSet: [] });
    });

    test('a consumer that starts before its broker gets what comes', async () => {
      await host.stop();
      const consumer = host.consumer({ group: 'stock' });
      consumer.subscribe('orders');
      await expect(consumer.run(() => {})).rejects.toMatchObject({
        code: 'CONNECTION_FAILED',
        canRetry: true,
      });
      await host.restart();
      const received: string[] = [];
      await consumer.run((message) => received.push(message.text()));
      await host.send({ topic: 'orders', body: 'x' });
      await until('one', () => received.length === 1);
    });
  });

  describe('what operators ask', () => {
    const queueKeyText = (queueId: number): string =>
      `{"brokerName":"broker-test","queueId":${queueId},"topic":"orders"}`;

    test('where it stands (221), how it runs (307)', async () => {
      const consumer = host.consumer({ group: 'stock', clientId: 'member-1' });
      consumer.subscribe('orders', 'created');
      let count = 0;
      await consumer.run(() => count++);
      for (let index = 0; index < 3; index++)
        await host.send({ topic: 'orders', body: 'x', properties: { TAGS: 'created' } });
      await until('all', () => count === 3);
      const status = await host.raw.request({
        code: 223,
        fields: { topic: 'orders', group: 'stock' },
      });
      expect(status.code).toBe(0);
      expect(status.body.toString()).toContain(`"member-1":{${queueKeyText(0)}:3`);
      const info = await host.raw.request({
        code: 307,
        fields: { consumerGroup: 'stock', clientId: 'member-1', jstackEnable: 'false' },
      });
      expect(info.code).toBe(0);
      const text = info.body.toString();
      expect(text).toContain(`${queueKeyText(0)}:{"cachedMsgCount":0,`);
      expect(text).toContain('"commitOffset":3,"droped":false');
      expect(text).toContain('"PROP_CONSUMEORDERLY":"false"');
      expect(text).toContain(`"PROP_NAMESERVER_ADDR":"${host.servers}"`);
      expect(text).toContain('"subString":"created"');
      expect(text).toMatch(/"statusTable":\{"orders":\{"consumeFailedMsgs":0,/);
    });

    test('consume this message now (309)', async () => {
      const consumer = host.consumer({ group: 'stock', clientId: 'member-1' });
      consumer.subscribe('orders');
      const seen: string[] = [];
      await consumer.run((message) => {
        seen.push(`${message.topic} ${message.text()}`);
        if (message.text() === 'bad') throw new Error('out of stock');
      });
      const { extFields } = await host.raw.request({
        code: 310,
        fields: {
          a: 'p',
          b: 'orders',
          c: 'TBW102',
          d: 4,
          e: 0,
          f: 0,
          g: 1,
          h: 0,
          i: '',
          j: 0,
          k: 'false',
          m: 'false',
        },
        body: Buffer.from('good'),
      });
      await until('once', () => seen.length === 1);
      const fields = {
        consumerGroup: 'stock',
        clientId: 'member-1',
        topic: 'orders',
        msgId: extFields.get('msgId') ?? '',
      };
      const answer = await host.raw.request({ code: 309, fields });
      expect(JSON.parse(answer.body.toString())).toMatchObject({
        consumeResult: 'CR_SUCCESS',
        order: false,
        autoCommit: true,
      });
      expect(seen).toEqual(['orders good', 'orders good']);
      const position = consumer.position({
        topic: 'orders',
        brokerName: 'broker-test',
        queueId: 0,
      });
      expect(position).toBe(1);
    });

    test('a reset at the broker (222) moves a consumer that runs', async () => {
      const consumer = host.consumer({ group: 'stock' });
      consumer.subscribe('orders');
      const bodies: string[] = [];
      const revoked: string[] = [];
      consumer.onRevoked((queues, reason) =>
        revoked.push(...queues.map(({ queueId }) => `${queueId} ${reason}`)),
      );
      await consumer.run((message) => bodies.push(message.text()));
      for (let index = 0; index < 4; index++)
        await host.send({ topic: 'orders', body: String(index), queueId: 0 });
      await until('all', () => bodies.length === 4);
      const answer = await host.raw.request({
        code: 222,
        fields: {
          topic: 'orders',
          group: 'stock',
          timestamp: -1,
          isForce: 'true',
          queueId: 0,
          offset: 1,
        },
      });
      expect(answer.code).toBe(0);
      await until('again', () => bodies.length === 7);
      expect(bodies.slice(4)).toEqual(['1', '2', '3']);
      expect(revoked).toContain('0 moved');
    });
  });

  test('a reset that the broker hands to its members (220) moves each', async () => {
    await host.close();
    host = await ConsumerBroker.start({ useServerSideResetOffset: false }, transport);
    await host.createTopic('orders', 1);
    const consumer = host.consumer({ group: 'stock', commitIntervalMs: 20 });
    consumer.subscribe('orders');
    const bodies: string[] = [];
    await consumer.run((message) => bodies.push(message.text()));
    for (let index = 0; index < 4; index++)
      await host.send({ topic: 'orders', body: String(index), queueId: 0 });
    await until('all', () => bodies.length === 4);
    await until('said', async () => (await host.offsets('stock', 'orders', 1))[0] === 4);
    const answer = await host.raw.request({
      code: 222,
      fields: { topic: 'orders', group: 'stock', timestamp: 0, isForce: 'true' },
    });
    expect(answer.code).toBe(0);
    await until('again', () => bodies.length === 8);
    expect(bodies.slice(4)).toEqual(['0', '1', '2', '3']);
  });
});
