/**
 * Administration against a real broker in this process, over real sockets: what is made is there, what
 * is read is what was sent, and what can not be done is a ClientError that says why.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { Admin, ClientError, type ClientErrorCode } from '../../src/client/index.ts';
import { heartbeatRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { startTestBroker } from '../workers/test-broker.ts';

let root: string;
let broker: BrokerProcess;
let client: RawClient;
let admin: Admin;
let topicCount = 0;

beforeAll(async () => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-admin-'));
  broker = await startTestBroker(path.join(root, 'store'), {
    threads: 'inline',
    storeKind: 'plain',
    enablePropertyFilter: true,
  });
  client = await RawClient.connect(broker.ready.brokerPort);
  admin = new Admin({ servers: `127.0.0.1:${broker.ready.nameServerPort}` });
});

afterAll(async () => {
  client.close();
  await admin.close();
  await broker.close();
  fs.rmSync(root, { recursive: true, force: true });
});

/** A topic of its own for each test. */
async function newTopic(queueCount = 2): Promise<string> {
  const topic = `Topic${++topicCount}`;
  await admin.createTopic(topic, { queueCount });
  return topic;
}

async function send(
  topic: string,
  body: string,
  options: { queueId?: number; properties?: Record<string, string> } = {},
): Promise<{ messageId: string; queueOffset: number }> {
  const answer = await client.request(sendRequest({ topic, body, ...options }));
  expect(answer.code).toBe(0);
  return {
    messageId: answer.extFields.get('msgId') ?? '',
    queueOffset: Number(answer.extFields.get('queueOffset')),
  };
}

/** A ClientError with this code, which says this. */
function isError(code: ClientErrorCode, says: RegExp): (error: unknown) => boolean {
  return (error) => {
    expect(ClientError.is(error)).toBe(true);
    expect((error as ClientError).message).toMatch(says);
    expect((error as ClientError).code).toBe(code);
    return true;
  };
}

const inTopic = (topic: string, queueId = 0) => ({ topic, brokerName: 'broker-test', queueId });

describe('topics', () => {
  test('one that is made is listed with what it was made with', async () => {
    const made = await admin.createTopic('Made', {
      readQueueCount: 3,
      writeQueueCount: 2,
      permission: 'r',
      isOrdered: true,
      attributes: { 'message.type': 'FIFO' },
    });
    expect(made).toEqual({
      topic: 'Made',
      kind: 'normal',
      brokers: [
        {
          brokerName: 'broker-test',
          readQueueCount: 3,
          writeQueueCount: 2,
          permission: 'r',
          isOrdered: true,
          attributes: { 'message.type': 'FIFO' },
        },
      ],
    });
    const topics = await admin.topics();
    expect(topics.find(({ topic }) => topic === 'Made')).toEqual(made);
  });

  test('those of the system are listed when asked for', async () => {
    const names = (list: readonly { topic: string }[]): string[] => list.map(({ topic }) => topic);
    expect(names(await admin.topics())).not.toContain('TBW102');
    const all = await admin.topics({ includeSystem: true });
    expect(names(all)).toEqual(expect.arrayContaining(['TBW102', 'broker-test', 'DefaultCluster']));
    expect(all.find(({ topic }) => topic === 'SCHEDULE_TOPIC_XXXX')?.kind).toBe('system');
  });

  test('one that is there is not made again', async () => {
    const topic = await newTopic();
    await expect(admin.createTopic(topic)).rejects.toSatisfy(
      isError('ALREADY_EXISTS', /exists on broker broker-test already/),
    );
  });

  test('a change leaves what it does not name', async () => {
    const topic = await newTopic(4);
    await admin.updateTopic(topic, { attributes: { 'message.type': 'NORMAL' } });
    const { brokers } = await admin.updateTopic(topic, { permission: 'w' });
    expect(brokers).toEqual([
      {
        brokerName: 'broker-test',
        readQueueCount: 4,
        writeQueueCount: 4,
        permission: 'w',
        isOrdered: false,
        attributes: { 'message.type': 'NORMAL' },
      },
    ]);
    const taken = await admin.updateTopic(topic, { attributes: { 'message.type': null } });
    expect(taken.brokers[0].attributes).toEqual({});
    const route = await admin.topicRoute(topic);
    expect(route.queues).toEqual([
      { brokerName: 'broker-test', readQueueCount: 4, writeQueueCount: 4, permission: 'w' },
    ]);
  });

  test('one that is deleted has no route, and its messages are gone when it is made again', async () => {
    const topic = await newTopic(1);
    await send(topic, 'old');
    expect(await admin.deleteTopic(topic)).toEqual({ topic, brokers: ['broker-test'] });
    await expect(admin.topicRoute(topic)).rejects.toSatisfy(
      isError('TOPIC_NOT_FOUND', /there is no route of topic/),
    );
    await expect(admin.deleteTopic(topic)).rejects.toSatisfy(
      isError('TOPIC_NOT_FOUND', /there is no topic/),
    );
    await admin.createTopic(topic, { queueCount: 1 });
    expect((await admin.topicStatus(topic)).messageCount).toBe(0);
  });

  test('a route tells brokers and queues', async () => {
    const topic = await newTopic(3);
    expect(await admin.topicRoute(topic)).toEqual({
      topic,
      brokers: [
        {
          cluster: 'DefaultCluster',
          brokerName: 'broker-test',
          addresses: { 0: `127.0.0.1:${broker.ready.brokerPort}` },
        },
      ],
      queues: [
        { brokerName: 'broker-test', readQueueCount: 3, writeQueueCount: 3, permission: 'rw' },
      ],
      orderConfig: null,
    });
  });

  test('a status tells what is in each queue, and since when nothing came', async () => {
    const topic = await newTopic(2);
    const before = Date.now();
    await send(topic, 'a', { queueId: 1 });
    await send(topic, 'b', { queueId: 1 });
    const status = await admin.topicStatus(topic);
    expect(status.messageCount).toBe(2);
    const [empty, filled] = status.queues;
    const place = { brokerName: 'broker-test', minOffset: 0 };
    expect(empty).toEqual({
      ...place,
      queueId: 0,
      maxOffset: 0,
      messageCount: 0,
      lastMessageMs: null,
    });
    expect(filled).toMatchObject({ ...place, queueId: 1, maxOffset: 2, messageCount: 2 });
    expect(filled.lastMessageMs).toBeGreaterThanOrEqual(before);
  });

  test('a name that can not be one is refused, and so is a number of queues', async () => {
    await expect(admin.createTopic('a b')).rejects.toSatisfy(
      isError('INVALID_ARGUMENT', /illegal characters/),
    );
    await expect(admin.createTopic('TooMany', { queueCount: 1e6 })).rejects.toSatisfy(
      isError('INVALID_ARGUMENT', /queues/),
    );
    await expect(admin.createTopic('TBW102')).rejects.toSatisfy(
      isError('ALREADY_EXISTS', /TBW102/),
    );
    await expect(admin.topicStatus('Nowhere')).rejects.toSatisfy(
      isError('TOPIC_NOT_FOUND', /Nowhere/),
    );
    await expect(admin.createTopic('X', { broker: 'other' })).rejects.toSatisfy(
      isError('NOT_FOUND', /broker-test of cluster/),
    );
  });
});

describe('consumer groups', () => {
  test('one that is made is listed until it is deleted, with its retries', async () => {
    await admin.createGroup('made', { retryMax: 3, retryQueueCount: 2, mayBroadcast: false });
    const groups = await admin.groups();
    expect(groups.find(({ group }) => group === 'made')).toEqual({
      group: 'made',
      kind: 'normal',
      behind: 0,
      brokers: [
        {
          brokerName: 'broker-test',
          mayConsume: true,
          mayBroadcast: false,
          isOrdered: false,
          retryQueueCount: 2,
          retryMax: 3,
        },
      ],
    });
    await expect(admin.createGroup('made')).rejects.toSatisfy(
      isError('ALREADY_EXISTS', /group made exists/),
    );
    expect(await admin.deleteGroup('made')).toEqual({ group: 'made', brokers: ['broker-test'] });
    await expect(admin.groupProgress('made')).rejects.toSatisfy(
      isError('GROUP_NOT_FOUND', /there is no consumer group made/),
    );
    await expect(admin.deleteGroup('made')).rejects.toSatisfy(isError('GROUP_NOT_FOUND', /made/));
  });

  test('those of the system are listed when asked for', async () => {
    expect((await admin.groups()).map(({ group }) => group)).not.toContain('TOOLS_CONSUMER');
    const all = await admin.groups({ includeSystem: true });
    expect(all.find(({ group }) => group === 'TOOLS_CONSUMER')?.kind).toBe('system');
  });

  test('progress is what is committed beside what is stored', async () => {
    const topic = await newTopic(2);
    await admin.createGroup('behind');
    for (const body of ['a', 'b', 'c']) await send(topic, body, { queueId: 0 });
    await admin.resetOffset('behind', topic, 'first');
    await admin.setOffset('behind', inTopic(topic), 2);
    const progress = await admin.groupProgress('behind', topic);
    expect(progress.behind).toBe(1);
    expect(progress.queues[0]).toMatchObject({
      ...inTopic(topic),
      brokerOffset: 3,
      consumerOffset: 2,
      behind: 1,
    });
    expect(progress.queues[0].lastConsumedMs).toBeGreaterThan(0);
    expect((await admin.groups()).find(({ group }) => group === 'behind')?.behind).toBe(1);
  });

  test('members and their subscriptions are told while they are online', async () => {
    const topic = await newTopic();
    const member = await RawClient.connect(broker.ready.brokerPort);
    await member.request(heartbeatRequest('10.0.0.1@1', 'online', topic, 'a || b'));
    const found = await admin.groupMembers('online');
    expect(found).toMatchObject({
      group: 'online',
      isOnline: true,
      model: 'CLUSTERING',
      type: 'CONSUME_PASSIVELY',
      from: 'CONSUME_FROM_FIRST_OFFSET',
      members: [{ clientId: '10.0.0.1@1', brokers: ['broker-test'] }],
      subscriptions: [{ topic, expression: 'a || b', type: 'TAG' }],
    });
    member.close();
    await member.closed;
    await expect
      .poll(async () => (await admin.groupMembers('online')).isOnline, { timeout: 5000 })
      .toBe(false);
  });
});

describe('offsets', () => {
  let topic: string;
  let betweenMs: number;

  beforeAll(async () => {
    topic = await newTopic(2);
    for (const queueId of [0, 1]) await send(topic, 'early', { queueId });
    await new Promise((resolve) => setTimeout(resolve, 20));
    betweenMs = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const queueId of [0, 0, 1]) await send(topic, 'late', { queueId });
    await admin.createGroup('mover');
  });

  const places = async (group: string): Promise<(number | null)[]> =>
    (await admin.offsets(group, topic)).map(({ offset }) => offset);

  test('a group that has not begun has none', async () => {
    expect(await admin.offsets('mover', topic)).toEqual([
      { ...inTopic(topic, 0), minOffset: 0, maxOffset: 3, offset: null },
      { ...inTopic(topic, 1), minOffset: 0, maxOffset: 2, offset: null },
    ]);
  });

  test('a reset moves it to an end, a time or an offset, and tells from where to where', async () => {
    expect(await admin.resetOffset('mover', topic, 'last')).toEqual({
      group: 'mover',
      topic,
      queues: [
        { ...inTopic(topic, 0), before: null, after: 3 },
        { ...inTopic(topic, 1), before: null, after: 2 },
      ],
    });
    await admin.resetOffset('mover', topic, new Date(betweenMs));
    expect(await places('mover')).toEqual([1, 1]);
    await admin.resetOffset('mover', topic, { offset: 2 });
    expect(await places('mover')).toEqual([2, 2]);
    await admin.resetOffset('mover', topic, 'first', { queueId: 1 });
    expect(await places('mover')).toEqual([2, 0]);
  });

  test('an offset outside of one queue changes none', async () => {
    await admin.resetOffset('mover', topic, 'first');
    await expect(admin.resetOffset('mover', topic, { offset: 3 })).rejects.toSatisfy(
      isError(
        'INVALID_ARGUMENT',
        /queue 1 of topic \w+ on broker broker-test has no offset 3: it begins at 0 and ends at 2/,
      ),
    );
    expect(await places('mover')).toEqual([0, 0]);
  });

  test('a clone has the offsets of the other', async () => {
    await admin.resetOffset('mover', topic, { offset: 1 });
    const [cloned] = await admin.cloneOffsets('mover', 'mover-copy', topic);
    expect(cloned.queues.map(({ before, after }) => [before, after])).toEqual([
      [null, 1],
      [null, 1],
    ]);
    expect(await places('mover-copy')).toEqual([1, 1]);
    expect((await admin.groups()).map(({ group }) => group)).toContain('mover-copy');
    await admin.createGroup('mover-empty');
    await expect(admin.cloneOffsets('mover-empty', 'mover-copy')).rejects.toSatisfy(
      isError('NOT_FOUND', /group mover-empty has no offsets/),
    );
  });

  test('who or what is not there is named', async () => {
    await expect(admin.resetOffset('nobody', topic, 'last')).rejects.toSatisfy(
      isError('GROUP_NOT_FOUND', /nobody/),
    );
    await expect(admin.resetOffset('mover', 'Nowhere', 'last')).rejects.toSatisfy(
      isError('TOPIC_NOT_FOUND', /Nowhere/),
    );
    await expect(admin.resetOffset('mover', topic, 'last', { queueId: 7 })).rejects.toSatisfy(
      isError('NOT_FOUND', /has no queue 7/),
    );
  });

  test('a queue is searched by time', async () => {
    expect(await admin.offsetByTime(inTopic(topic), new Date(betweenMs))).toBe(1);
    expect(await admin.offsetByTime(inTopic(topic), new Date(Date.now() + 60_000))).toBe(3);
    expect(await admin.queueBounds(inTopic(topic))).toEqual({
      ...inTopic(topic),
      minOffset: 0,
      maxOffset: 3,
    });
  });
});

describe('messages', () => {
  let topic: string;

  beforeAll(async () => {
    topic = await newTopic(2);
  });

  test('one is found by each of its names', async () => {
    const uniqueKey = '7F00000100001111222233334444ABCD';
    const sent = await send(topic, 'found', {
      properties: { UNIQ_KEY: uniqueKey, KEYS: 'one two', TAGS: 'tag', customer: '7' },
    });
    const expected = {
      topic,
      queue: inTopic(topic),
      queueOffset: sent.queueOffset,
      messageId: uniqueKey,
      offsetMessageId: sent.messageId,
      tag: 'tag',
      keys: ['one', 'two'],
    };
    const byId = await admin.messageById(sent.messageId);
    expect(byId).toMatchObject(expected);
    expect(byId.text()).toBe('found');
    expect(byId.properties['customer']).toBe('7');
    expect(await admin.messagesByKey(topic, 'two')).toMatchObject([expected]);
    expect(await admin.messagesByUniqueKey(topic, uniqueKey)).toMatchObject([expected]);
    expect(await admin.messageByOffset(inTopic(topic), sent.queueOffset)).toMatchObject(expected);
  });

  test('what is not there is not found, and nothing else is', async () => {
    expect(await admin.messagesByKey(topic, 'tw')).toEqual([]);
    expect(await admin.messagesByUniqueKey(topic, 'FF')).toEqual([]);
    await expect(admin.messageByOffset(inTopic(topic), 99)).rejects.toSatisfy(
      isError('NOT_FOUND', /no message at offset 99: it begins at 0 and ends at 1/),
    );
    await expect(admin.messageById('xyz')).rejects.toSatisfy(
      isError('INVALID_ARGUMENT', /no id of a broker/),
    );
    const port = broker.ready.brokerPort.toString(16).padStart(8, '0');
    await expect(admin.messageById(`7F000001${port}00000000000FFFFF`)).rejects.toSatisfy(
      isError('NOT_FOUND', /there is no/),
    );
    await expect(
      admin.messageByOffset({ ...inTopic(topic), brokerName: 'other' }, 0),
    ).rejects.toSatisfy(isError('NOT_FOUND', /not on broker other, but on broker-test/));
  });

  test('those of a time come from all queues in the order in which they were stored', async () => {
    const timed = await newTopic(2);
    await send(timed, 'before');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const from = new Date();
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (let index = 0; index < 80; index++) await send(timed, `${index}`, { queueId: index % 2 });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const to = new Date();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await send(timed, 'behind');
    const found = await admin.messagesByTime(timed, { from, to });
    const times = found.map(({ storeTimestampMs }) => storeTimestampMs);
    expect(found.map((message) => Number(message.text())).sort((a, b) => a - b)).toEqual([
      ...Array(80).keys(),
    ]);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    const first = await admin.messagesByTime(timed, { from, countMax: 3 });
    expect(first).toHaveLength(3);
  });

  test('a peek reads a queue without anybody noticing', async () => {
    const peeked = await newTopic(1);
    for (let index = 0; index < 40; index++) await send(peeked, `${index}`);
    const bodies = (await admin.peek(inTopic(peeked), 1, 36)).map((message) => message.text());
    expect(bodies).toEqual(Array.from({ length: 36 }, (_, index) => `${index + 1}`));
    expect(await admin.peek(inTopic(peeked), 40, 5)).toEqual([]);
    expect(await admin.peek(inTopic(peeked), 100, 5)).toEqual([]);
  });
});

describe('a live view', () => {
  const ending = new AbortController();
  afterEach(() => ending.abort());

  test('shows what comes to all queues, then to new ones, and leaves no trace', async () => {
    const topic = await newTopic(2);
    await send(topic, 'old');
    const seen: string[] = [];
    let queueCount = 0;
    const stop = new AbortController();
    const done = (async () => {
      for await (const message of admin.follow(topic, {
        signal: stop.signal,
        onReady: (count) => (queueCount = count),
      }))
        seen.push(message.text());
    })();
    await expect.poll(() => queueCount).toBe(2);
    await send(topic, 'a', { queueId: 0 });
    await send(topic, 'b', { queueId: 1 });
    await expect.poll(() => [...seen].sort()).toEqual(['a', 'b']);
    stop.abort();
    await done;
    expect((await admin.groups()).map(({ group }) => group)).not.toContain(topic);
  });

  test('begins at the first message, filters, and ends when its reader stops', async () => {
    const topic = await newTopic(1);
    for (const [body, amount] of [
      ['a', '1'],
      ['b', '20'],
      ['c', '30'],
    ])
      await send(topic, body, { properties: { amount } });
    const seen: string[] = [];
    for await (const message of admin.follow(topic, {
      from: 'first',
      filter: { sql: 'amount > 10' },
    })) {
      seen.push(message.text());
      if (seen.length === 2) break;
    }
    expect(seen).toEqual(['b', 'c']);
  });

  test('of a topic or with a filter that can not be ends with the reason', async () => {
    const topic = await newTopic(1);
    const first = async (name: string, sql: string): Promise<unknown> =>
      (await admin.follow(name, { filter: { sql } }).next()).value;
    await expect(first('Nowhere', 'a > 1')).rejects.toSatisfy(
      isError('TOPIC_NOT_FOUND', /Nowhere/),
    );
    await expect(first(topic, 'a >')).rejects.toSatisfy(
      isError('FILTER_REFUSED', /can not be read/),
    );
  });
});

describe('brokers', () => {
  test('are listed, and say how they are', async () => {
    const [listed] = await admin.brokers();
    expect(listed).toMatchObject({ cluster: 'DefaultCluster', brokerName: 'broker-test' });
    const [health] = await admin.health();
    expect(health).toMatchObject({
      brokerName: 'broker-test',
      isReachable: true,
      error: null,
      version: 'V5_3_3',
    });
    expect(health.diskRatio).toBeGreaterThan(0);
    expect((await admin.brokerRuntime('broker-test'))['brokerVersionDesc']).toBe('V5_3_3');
  });

  test('tell their configuration, and take a change', async () => {
    expect((await admin.brokerConfig('broker-test'))['brokerName']).toBe('broker-test');
    await admin.updateBrokerConfig('broker-test', { fileReservedTime: 48 });
    expect((await admin.brokerConfig('broker-test'))['fileReservedTime']).toBe('48');
    await expect(
      admin.updateBrokerConfig('broker-test', { storePathRootDir: '/x' }),
    ).rejects.toSatisfy(isError('NO_PERMISSION', /can not be changed/));
    await expect(admin.updateBrokerConfig('broker-test', { 'a\nb': 'c' })).rejects.toSatisfy(
      isError('INVALID_ARGUMENT', /line break/),
    );
  });

  test('lose their write permission, and get it back', async () => {
    const topic = await newTopic();
    expect((await admin.wipeWritePermission('broker-test')).topicCount).toBeGreaterThan(0);
    expect((await admin.topicRoute(topic)).queues[0].permission).toBe('r');
    await admin.addWritePermission('broker-test');
    expect((await admin.topicRoute(topic)).queues[0].permission).toBe('rw');
  });

  test('on real time have no clock to move', async () => {
    await expect(admin.advanceClock(1000)).rejects.toSatisfy(
      isError('NOT_SUPPORTED', /runs on real time/),
    );
    await expect(admin.advanceClock(-1)).rejects.toSatisfy(isError('INVALID_ARGUMENT', /-1/));
  });
});

test('nothing that answers is an error that a retry may help', async () => {
  await using nobody = new Admin({ servers: '127.0.0.1:1', timeoutMs: 500 });
  await expect(nobody.topics()).rejects.toSatisfy(isError('CONNECTION_FAILED', /127\.0\.0\.1:1/));
});

test('a closed admin says so', async () => {
  const closed = new Admin({ servers: `127.0.0.1:${broker.ready.nameServerPort}` });
  await closed.topics();
  await closed.close();
  await closed.close();
  await expect(closed.topics()).rejects.toSatisfy(isError('CLOSED', /closed/));
});
