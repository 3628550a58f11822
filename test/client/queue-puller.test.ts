/**
 * What follows from each answer to a pull.
 */
import { expect, test } from 'vitest';
import type { CoreRequest } from '../../src/client/client-core.ts';
import { ClientError } from '../../src/client/client-error.ts';
import { MessageState, ProcessQueue, type TrackedMessage } from '../../src/client/process-queue.ts';
import { QueuePuller } from '../../src/client/queue-puller.ts';
import { subscriptionOf } from '../../src/client/subscription.ts';
import { delay, until } from './consumer-broker.ts';
import { type ScriptedAnswer, ScriptedCore } from './scripted-core.ts';

const limits = { openCountMax: 4, openBytesMax: 1000, spanMax: 1000 };

/** A puller whose pulls get these answers in turn; then they are held for ever. */
function make(...answers: (ScriptedAnswer | ClientError)[]) {
  const core = new ScriptedCore(() => {
    const answer = answers.shift();
    if (answer instanceof ClientError) return Promise.reject(answer);
    return answer ?? new Promise(() => {});
  });
  const queue = core.addTopic('orders', 1)[0] ?? { topic: '', brokerName: '', queueId: 0 };
  const processQueue = new ProcessQueue<TrackedMessage>(queue, {
    offset: 10,
    isOrdered: false,
    limits,
  });
  const subscription = subscriptionOf('orders', 'a || b');
  const errors: ClientError[] = [];
  const moved: number[] = [];
  const calls = { ready: 0, unknown: 0 };
  const puller = new QueuePuller<TrackedMessage>({
    core,
    group: 'stock',
    processQueue,
    subscription: () => subscription,
    countMax: 32,
    commits: true,
    read: (body) => {
      const text = new TextDecoder().decode(body);
      if (text === 'broken') throw new ClientError('PROTOCOL_ERROR', 'no record');
      return text
        .split(',')
        .map((at) => ({ queueOffset: Number(at), storeBytes: 10, state: MessageState.WAITING }));
    },
    onMessages: () => calls.ready++,
    onMoved: (_processQueue, offset) => moved.push(offset),
    onUnknown: () => {
      calls.unknown++;
      return Promise.resolve();
    },
    onError: (error) => errors.push(error),
  });
  const running = puller.run();
  const end = async (): Promise<void> => {
    puller.stop();
    processQueue.drop();
    await Promise.race([running, delay(100)]);
  };
  return { core, processQueue, puller, errors, moved, calls, end };
}

const offsetsOf = (asked: readonly CoreRequest[]): unknown[] =>
  asked.map(({ fields }) => fields?.['queueOffset']);

test('pulls on behind what it got, before that is worked on, and says how far the group is', async () => {
  const { core, processQueue, calls, end } = make(
    { code: 0, fields: { nextBeginOffset: 12 }, body: '10,11' },
    { code: 20, fields: { nextBeginOffset: 50 } },
    { code: 19, fields: { nextBeginOffset: 50 } },
  );
  await until('four pulls', () => core.asked.length === 4);
  expect(offsetsOf(core.asked)).toEqual([10, 12, 50, 50]);
  expect(core.asked.map(({ fields }) => [fields?.['sysFlag'], fields?.['commitOffset']])).toEqual([
    [3, 10],
    [2, 0],
    [2, 0],
    [2, 0],
  ]);
  expect(core.asked[0]?.fields).toMatchObject({
    consumerGroup: 'stock',
    topic: 'orders',
    queueId: 0,
    maxMsgNums: 32,
    suspendTimeoutMillis: 15_000,
    subscription: 'a || b',
    expressionType: 'TAG',
  });
  expect(core.asked[0]).toMatchObject({ mayBeHeld: true, timeoutMs: 30_000 });
  expect(calls.ready).toBe(1);
  expect(processQueue.commitOffset).toBe(10);
  await end();
});

test('says an offset again that was not answered', async () => {
  const { core, end } = make(new ClientError('TIMEOUT', 'late'), {
    code: 19,
    fields: { nextBeginOffset: 10 },
  });
  await until('three pulls', () => core.asked.length === 3);
  expect(core.asked.map(({ fields }) => fields?.['sysFlag'])).toEqual([3, 3, 2]);
  await end();
});

test('waits where enough is open, and goes on when there is room', async () => {
  const { core, processQueue, end } = make({
    code: 0,
    fields: { nextBeginOffset: 14 },
    body: '10,11,12,13',
  });
  await until('four', () => processQueue.openCount === 4);
  await delay(50);
  expect(core.asked.length).toBe(1);
  for (const message of processQueue.take(1)) processQueue.finish(message);
  await until('the next', () => core.asked.length === 2);
  expect(core.asked[1]?.fields).toMatchObject({ queueOffset: 14, sysFlag: 3, commitOffset: 11 });
  await end();
});

test('an offset that is none ends it, and says where to go on', async () => {
  const { core, moved, end } = make({ code: 21, fields: { nextBeginOffset: 3 } });
  await until('moved', () => moved.length === 1);
  expect(moved).toEqual([3]);
  await delay(50);
  expect(core.asked.length).toBe(1);
  await end();
});

test('an offset that is none and no other instead is asked for again after a pause', async () => {
  const { core, moved, end } = make({ code: 21, fields: { nextBeginOffset: 10 } });
  await until('again', () => core.asked.length === 2);
  expect(moved).toEqual([]);
  await end();
});

test('a broker that does not know the group is told of it; the first time nobody hears of that', async () => {
  const { core, calls, errors, end } = make({ code: 24 }, { code: 25 }, { code: 26 });
  await until('four pulls', () => core.asked.length === 4);
  expect(calls.unknown).toBe(3);
  expect(errors.map(({ responseCode }) => responseCode)).toEqual([25, 26]);
  await end();
});

test('a lost broker is told of once in a row, and tried again with pauses', async () => {
  const lost = (): ClientError => new ClientError('CONNECTION_FAILED', 'gone');
  const { core, errors, end } = make(
    lost(),
    lost(),
    lost(),
    { code: 0, fields: { nextBeginOffset: 11 }, body: '10' },
    lost(),
  );
  const startMs = performance.now();
  await until('six pulls', () => core.asked.length === 6);
  expect(performance.now() - startMs).toBeGreaterThan(150);
  expect(errors.map(({ code }) => code)).toEqual(['CONNECTION_FAILED', 'CONNECTION_FAILED']);
  await end();
});

test('an answer that can not be read loses nothing: it is asked for again', async () => {
  const { core, errors, processQueue, end } = make({
    code: 0,
    fields: { nextBeginOffset: 12 },
    body: 'broken',
  });
  await until('again', () => core.asked.length === 2);
  expect(offsetsOf(core.asked)).toEqual([10, 10]);
  expect(processQueue.nextOffset).toBe(10);
  expect(errors.map(({ code }) => code)).toEqual(['PROTOCOL_ERROR']);
  await end();
});

test('a refused filter is told with its code', async () => {
  const { errors, end } = make({ code: 23, remark: 'parse failed' });
  await until('told', () => errors.length === 1);
  expect(errors[0]).toMatchObject({ code: 'FILTER_REFUSED', responseCode: 23 });
  await end();
});

test('nothing new, said at once, is not asked for without end', async () => {
  const { core, end } = make(
    ...Array.from({ length: 50 }, () => ({ code: 19, fields: { nextBeginOffset: 10 } })),
  );
  await delay(250);
  expect(core.asked.length).toBeLessThan(6);
  await end();
});
