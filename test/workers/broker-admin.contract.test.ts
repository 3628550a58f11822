/**
 * What tools ask of a broker and of its clients through it, over real sockets: relays, replies, resets,
 * statistics. With all agents on one thread and spread over several.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

/** On a machine with other work a turn may take a while. */
const WAIT = { timeout: 10_000 };
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import { silentLogger } from '../../src/base/logging.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { startNameServerProcess } from '../../src/cli/name-server-process.ts';
import { parseFastjson } from '../../src/protocol/fastjson.ts';
import { decodeProperties } from '../../src/protocol/message-properties.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from './raw-client.ts';
import { startTestBroker } from './test-broker.ts';

const json = (answer: RemotingCommand): Record<string, unknown> =>
  parseFastjson(answer.body.toString()) as Record<string, unknown>;

describe.each(['inline', 'auto', 'pipelined'] as const)('with %s threads', (threads) => {
  let root: string;
  let broker: BrokerProcess;
  let client: RawClient;
  let other: RawClient;

  const start = async (overrides: Partial<BrokerConfig> = {}): Promise<void> => {
    broker = await startTestBroker(root, { threads, ...overrides });
    client = await RawClient.connect(broker.ready.brokerPort);
    other = await RawClient.connect(broker.ready.brokerPort);
  };
  const stop = async (): Promise<void> => {
    client.close();
    other.close();
    await broker.close();
  };

  beforeEach(async () => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-'));
    await start();
  });

  afterEach(async () => {
    await stop();
    fs.rmSync(root, { recursive: true, force: true });
  });

  const send = (topic: string, count: number): Promise<RemotingCommand[]> =>
    Promise.all(
      Array.from({ length: count }, (_, index) =>
        client.request(sendRequest({ topic, body: `m${index}`, queueId: 0 })),
      ),
    );

  test('gives back a message by its id, and several by key, that are longer than any ring record', async () => {
    const body = Buffer.alloc(3 * 1024 * 1024, 'x');
    const sent = await client.request(
      sendRequest({ topic: 'Large', body, properties: { KEYS: 'k' } }),
    );
    await client.request(sendRequest({ topic: 'Large', body, properties: { KEYS: 'k' } }));
    const offset = Number.parseInt(sent.extFields.get('msgId')?.slice(-16) ?? '', 16);
    await vi.waitFor(async () => {
      const view = await client.request({ code: 33, fields: { offset, topic: 'Large' } });
      expect([view.code, view.body.includes(body)]).toEqual([0, true]);
    }, WAIT);
    const fields = { topic: 'Large', key: 'k', maxNum: 8, beginTimestamp: 0, endTimestamp: 2e12 };
    const [byKey, small] = await Promise.all([
      client.request({ code: 12, fields }),
      other.request({ code: 30, fields: { topic: 'Large', queueId: 0 } }),
    ]);
    expect(byKey.body.length).toBeGreaterThan(2 * body.length);
    expect(small.extFields.get('offset')).toBe('2');
  });

  test('relays questions to a consumer, and says who is not there', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const [sent] = await send('TopicA', 1);
    const msgId = sent.extFields.get('msgId') ?? '';
    client.serve(307, () => ({ code: 0, body: Buffer.from('{"properties":{}}') }));
    client.serve(309, (request) => ({
      code: 0,
      body: Buffer.from(JSON.stringify({ got: request.body.includes('m0') })),
      extFields: [['brokerName', request.extFields.get('brokerName') ?? '']],
    }));
    const fields = { consumerGroup: 'group-a', clientId: 'c1' };
    const info = await other.request({ code: 307, fields });
    expect([info.code, info.body.toString()]).toEqual([0, '{"properties":{}}']);
    await vi.waitFor(async () => {
      const direct = await other.request({
        code: 309,
        fields: { ...fields, msgId, topic: 'TopicA' },
      });
      expect([direct.code, direct.body.toString()]).toEqual([0, '{"got":true}']);
      expect(direct.extFields.get('brokerName')).toBe('broker-test');
    }, WAIT);
    const absent = await other.request({ code: 307, fields: { ...fields, clientId: 'c2' } });
    expect([absent.code, absent.remark]).toEqual([1, 'The Consumer <group-a> <c2> not online']);
    const unknown = await other.request({
      code: 309,
      fields: { ...fields, msgId: `${msgId.slice(0, -16)}00000000000FFFFF` },
    });
    expect([unknown.code, unknown.remark]).toMatchObject([
      1,
      expect.stringContaining('no message'),
    ]);
  });

  test('ends a relayed question when the consumer goes', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const fields = { consumerGroup: 'group-a', clientId: 'c1' };
    client.serve(307, () => {
      client.close();
      return { code: 0 };
    });
    const answer = await other.request({ code: 307, fields });
    expect([answer.code, answer.remark]).toMatchObject([1, expect.stringContaining('closed')]);
  });

  test('collects where the members of a group stand', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const table = '{{"brokerName":"b","queueId":0,"topic":"TopicA"}:7}';
    let said = '';
    client.serve(221, () => ({ code: 0, body: Buffer.from(said) }));
    const fields = { topic: 'TopicA', group: 'group-a' };
    const told = async (text: string): Promise<string> => {
      said = text;
      const answer = await other.request({ code: 223, fields });
      return `${answer.code} ${answer.body.toString()}`;
    };
    const all = `0 {"consumerTable":{"c1":${table}},"messageQueueTable":{}}`;
    expect(await told(`{"messageQueueTable":${table}}`)).toBe(all);
    // As the Java client says it.
    expect(await told(`{"consumerTable":{},"messageQueueTable":${table}}`)).toBe(all);
    expect(await told('{"messageQueueTable":{}}')).toBe(
      '0 {"consumerTable":{"c1":{}},"messageQueueTable":{}}',
    );
    for (const text of ['', 'null', '{', '{"messageQueueTable":[null,[1]]}'])
      expect(await told(text)).toBe('0 {"consumerTable":{},"messageQueueTable":{}}');
    const nobody = await other.request({ code: 223, fields: { ...fields, group: 'nobody' } });
    expect(nobody.code).toBe(1);
  });

  test('hands a reply to the producer that waits for it, and stores it', async () => {
    await client.request({
      code: 34,
      body: Buffer.from(
        JSON.stringify({ clientID: 'p1', producerDataSet: [{ groupName: 'askers' }] }),
      ),
    });
    let pushed: RemotingCommand | undefined;
    client.serve(326, (request) => {
      pushed = request;
      return { code: 0 };
    });
    const reply = sendRequest({
      topic: 'DefaultCluster_REPLY_TOPIC',
      body: 'the reply',
      properties: { REPLY_TO_CLIENT: 'p1', CORRELATION_ID: 'c-1' },
    });
    const answer = await other.request({ ...reply, code: 325 });
    expect([answer.code, answer.remark]).toEqual([0, null]);
    expect(answer.extFields.get('msgId')).toMatch(/^[0-9A-F]{32}$/);
    expect(pushed?.body.toString()).toBe('the reply');
    const properties = decodeProperties(pushed?.extFields.get('properties') ?? '');
    expect(properties.get('CORRELATION_ID')).toBe('c-1');
    expect(Number(properties.get('PUSH_REPLY_TIME'))).toBeGreaterThan(1e12);
    expect(pushed?.extFields.get('bornHost')).toBe(`127.0.0.1:${other.socket.localPort}`);

    const lost = sendRequest({
      topic: 'DefaultCluster_REPLY_TOPIC',
      body: 'to nobody',
      properties: { REPLY_TO_CLIENT: 'p2' },
    });
    const refused = await other.request({ ...lost, code: 325 });
    expect([refused.code, refused.remark]).toEqual([
      1,
      'push reply message fail, channel of <p2> not found.',
    ]);
    await vi.waitFor(async () => {
      const fields = { topic: 'DefaultCluster_REPLY_TOPIC', queueId: 0 };
      const end = await other.request({ code: 30, fields });
      expect(end.extFields.get('offset')).toBe('2');
    }, WAIT);
  });

  test('resets a group in the broker: its next pull is told, commits are passed over until then', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await send('TopicA', 10);
    const where = { consumerGroup: 'group-a', topic: 'TopicA', queueId: 0 };
    await client.request({ code: 15, fields: { ...where, commitOffset: 10 } });
    // Held at the end of the queue: the reset wakes it.
    const held = client.request(pullRequest('group-a', 'TopicA', 0, 10, 20_000));
    const reset = { topic: 'TopicA', group: 'group-a', isForce: 'true' };
    const answer = await other.request({
      code: 222,
      fields: { ...reset, timestamp: -1, queueId: 0, offset: 4 },
    });
    expect(json(answer)).toEqual({
      offsetTable: [[{ brokerName: 'broker-test', queueId: 0, topic: 'TopicA' }, 4]],
    });
    const told = await held;
    expect([told.code, told.extFields.get('nextBeginOffset')]).toEqual([21, '4']);
    const stored = await other.request({ code: 14, fields: where });
    expect(stored.extFields.get('offset')).toBe('4');
    const found = await client.request(pullRequest('group-a', 'TopicA', 0, 4));
    expect(found.code).toBe(0);
    await client.request({ code: 15, fields: { ...where, commitOffset: 9 } });
    const committed = await other.request({ code: 14, fields: where });
    expect(committed.extFields.get('offset')).toBe('9');

    // To the start of all queues by time; nobody pulls, so that commits are passed over.
    await other.request({ code: 222, fields: { ...reset, timestamp: 0 } });
    const ignored = await client.request({ code: 15, fields: { ...where, commitOffset: 9 } });
    expect(ignored.remark).toBe('Offset has been previously reset');
    const start = await other.request({ code: 14, fields: where });
    expect(start.extFields.get('offset')).toBe('0');
    // With the next pull the reset is done, once.
    const first = await client.request(pullRequest('group-a', 'TopicA', 0, 9));
    expect([first.code, first.extFields.get('nextBeginOffset')]).toEqual([21, '0']);
    const second = await client.request(pullRequest('group-a', 'TopicA', 0, 9));
    expect(second.code).toBe(0);

    for (const [fields, code] of [
      [{ ...reset, topic: 'Nowhere', timestamp: 0 }, 17],
      [{ ...reset, group: 'nobody', timestamp: 0 }, 26],
      [{ ...reset, timestamp: 0, queueId: 0, offset: 11 }, 1],
      [{ ...reset, timestamp: 0, queueId: 9 }, 1],
    ] as const) {
      expect((await other.request({ code: 222, fields })).code).toBe(code);
    }
  });

  test('has clients reset themselves where it is told to, and says when there are none', async () => {
    await stop();
    await start({ useServerSideResetOffset: false });
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await send('TopicA', 3);
    for (let queueId = 0; queueId < 4; queueId++) {
      const fields = { consumerGroup: 'group-a', topic: 'TopicA', queueId, commitOffset: 0 };
      await client.request({ code: 15, fields });
    }
    const fields = { topic: 'TopicA', group: 'group-a', timestamp: -1, isForce: 'true' };
    const answer = await other.request({ code: 222, fields });
    expect(answer.code).toBe(0);
    await vi.waitFor(
      () => expect(client.requests.some(({ code }) => code === 220)).toBe(true),
      WAIT,
    );
    const told = client.requests.find(({ code }) => code === 220);
    expect(told?.flag).toBe(2);
    expect(Object.fromEntries(told?.extFields ?? [])).toEqual({
      topic: 'TopicA',
      group: 'group-a',
      timestamp: '-1',
      isForce: 'false',
      queueId: '-1',
    });
    expect(told?.body.toString()).toBe(answer.body.toString());
    const table = (json(answer) as { offsetTable: [object, number][] }).offsetTable;
    expect(table.map(([, offset]) => offset)).toEqual([3, 0, 0, 0]);
    client.close();
    await vi.waitFor(async () => {
      expect((await other.request({ code: 222, fields })).code).toBe(206);
    }, WAIT);
  });

  test('takes the order configuration of its own and of another name server', async () => {
    await stop();
    const outside = await startNameServerProcess(
      { listenAddress: '127.0.0.1', port: 0 },
      silentLogger,
    );
    const far = await RawClient.connect(outside.ready.nameServerPort);
    const order = (key: string): Record<string, string> => ({
      namespace: 'ORDER_TOPIC_CONFIG',
      key,
      value: 'broker-test:4',
    });
    await far.request({ code: 100, fields: order('Far') });
    await start({
      orderMessageEnable: true,
      nameServerAddresses: [`127.0.0.1:${outside.ready.nameServerPort}`],
    });
    const near = await RawClient.connect(broker.ready.nameServerPort ?? 0);
    for (const topic of ['Near', 'Far', 'Plain']) await send(topic, 1);
    await near.request({ code: 100, fields: order('Near') });
    const isOrdered = async (topic: string): Promise<unknown> =>
      json(await other.request({ code: 351, fields: { topic } }))['order'];
    await vi.waitFor(async () => {
      expect(await Promise.all(['Near', 'Far', 'Plain'].map(isOrdered))).toEqual([
        true,
        true,
        false,
      ]);
    }, WAIT);
    // Also after it was changed to another.
    const plain = {
      topic: 'Near',
      defaultTopic: 'TBW102',
      readQueueNums: 4,
      writeQueueNums: 4,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      order: 'false',
    };
    expect((await other.request({ code: 17, fields: plain })).code).toBe(0);
    await vi.waitFor(async () => expect(await isOrdered('Near')).toBe(true), WAIT);
    const route = json(await near.request({ code: 105, fields: { topic: 'Near' } }));
    expect(route['orderTopicConf']).toBe('broker-test:4');
    near.close();
    far.close();
    await outside.close();
  });

  test('counts what comes and goes', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await send('TopicA', 20);
    let offset = 0;
    while (offset < 20) {
      const pulled = await client.request(pullRequest('group-a', 'TopicA', 0, offset));
      offset = Number(pulled.extFields.get('nextBeginOffset'));
    }
    const stats = async (statsName: string, statsKey: string): Promise<unknown> => {
      const answer = await other.request({ code: 315, fields: { statsName, statsKey } });
      return answer.code === 0 ? json(answer)['statsMinute'] : answer.code;
    };
    expect(await stats('TOPIC_PUT_NUMS', 'TopicA')).toMatchObject({ sum: 20, avgpt: 1 });
    expect(await stats('GROUP_GET_NUMS', 'TopicA@group-a')).toMatchObject({ sum: 20 });
    expect(await stats('BROKER_PUT_NUMS', 'DefaultCluster')).toMatchObject({ sum: 20 });
    expect(await stats('GROUP_GET_NUMS', 'TopicB@group-a')).toBe(1);
    const topic = await other.request({ code: 202, fields: { topic: 'TopicA' } });
    expect(json(topic)['topicPutTps']).toBeGreaterThan(0);
    const group = await other.request({ code: 208, fields: { consumerGroup: 'group-a' } });
    expect(json(group)['consumeTps']).toBeGreaterThanOrEqual(0);
    const runtime = json(await other.request({ code: 28 }))['table'] as Record<string, string>;
    expect(runtime).toMatchObject({
      msgPutTotalTodayNow: '20',
      msgGetTotalTodayNow: '20',
      putMessageTimesTotal: '20',
      putMessageFailedTimes: '0',
    });
    expect(Number(runtime['putLatency99'])).toBeGreaterThan(0);
    expect(runtime['commitLogDirCapacity']).toMatch(/^Total : [\d.]+ [KMGTP]iB, Free : /);
    expect(Number(runtime['earliestMessageTimeStamp'])).toBeGreaterThan(1e12);
  });

  test('tells of groups and their topics, of units, of producers, and clones offsets', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA', 'TagA'));
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'x', queueId: 0, properties: { TAGS: 'TagA' } }),
    );
    const where = { consumerGroup: 'group-a', topic: 'TopicA', queueId: 0 };
    await client.request({ code: 15, fields: { ...where, commitOffset: 1 } });
    const clone = { srcGroup: 'group-a', destGroup: 'group-b', topic: 'TopicA' };
    expect((await other.request({ code: 314, fields: clone })).code).toBe(0);
    const cloned = await other.request({
      code: 14,
      fields: { ...where, consumerGroup: 'group-b' },
    });
    expect(cloned.extFields.get('offset')).toBe('1');
    const who = await other.request({ code: 300, fields: { topic: 'TopicA' } });
    expect(json(who)).toEqual({ groupList: ['group-a', 'group-b'] });
    const topics = await other.request({ code: 343, fields: { group: 'group-b' } });
    expect(json(topics)['topicList']).toEqual(['TopicA']);
    await vi.waitFor(async () => {
      const units = await other.request({
        code: 321,
        fields: { topic: 'TopicA', queueId: 0, index: 0, count: 8, consumerGroup: 'group-a' },
      });
      expect(json(units)).toMatchObject({
        maxQueueIndex: 1,
        minQueueIndex: 0,
        filterData: 'null',
        subscriptionData: { subString: 'TagA' },
        queueData: [{ physicOffset: 0, tagsCode: 2598919, eval: false }],
      });
    }, WAIT);
    const span = await other.request({ code: 303, fields: { topic: 'TopicA', group: 'group-a' } });
    const spans = json(span)['consumeTimeSpanSet'] as Record<string, number>[];
    expect(spans[0]).toMatchObject({ delayTime: 0 });
    expect(spans[0]['consumeTimeStamp']).toBe(spans[0]['maxTimeStamp']);
    const all = json(await other.request({ code: 317, fields: { isOrder: 'false' } }));
    expect(all).toMatchObject({ totalDiff: 0, totalInflightDiff: 0 });
    expect(JSON.stringify(all['consumeStatsList'])).toContain('group-b');
  });
});
