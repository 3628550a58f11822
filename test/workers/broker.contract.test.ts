/**
 * What a broker does for its clients, over real sockets and real files, whatever the placement of its
 * agents on threads: the same suite for inline, auto and pipelined.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { parseFastjson } from '../../src/protocol/fastjson.ts';
import {
  heartbeatRequest,
  propertiesText,
  pullRequest,
  RawClient,
  sendRequest,
} from './raw-client.ts';
import { type ReadMessage, readRecords, startTestBroker } from './test-broker.ts';

/** A batch of messages with these bodies, each its own UNIQ_KEY and KEYS. */
function batchRequest(topic: string, bodies: readonly string[]): ReturnType<typeof sendRequest> {
  const items = bodies.map((text) => {
    const body = Buffer.from(text);
    const properties = Buffer.from(propertiesText({ UNIQ_KEY: `id-${text}`, KEYS: text }));
    const item = Buffer.alloc(22 + body.length + properties.length);
    item.writeInt32BE(item.length, 0);
    item.writeInt32BE(body.length, 16);
    body.copy(item, 20);
    item.writeInt16BE(properties.length, 20 + body.length);
    properties.copy(item, 22 + body.length);
    return item;
  });
  const request = sendRequest({ topic, body: Buffer.concat(items) });
  return { ...request, code: 320, fields: { ...request.fields, m: 'true', i: '' } };
}

describe.each(['inline', 'auto', 'pipelined'] as const)('a broker with %s threads', (threads) => {
  let root: string;
  let broker: BrokerProcess;
  let client: RawClient;

  const start = async (overrides: Partial<BrokerConfig> = {}): Promise<void> => {
    broker = await startTestBroker(root, { threads, ...overrides });
    client = await RawClient.connect(broker.ready.brokerPort);
  };

  beforeEach(async () => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-'));
    await start();
  });

  afterEach(async () => {
    client.close();
    await broker.close();
    fs.rmSync(root, { recursive: true, force: true });
  });

  /** Pulls until `count` messages are there, from offset 0 of a queue. */
  const pullAll = async (
    group: string,
    topic: string,
    queueId: number,
    count: number,
  ): Promise<ReadMessage[]> => {
    const records: ReadMessage[] = [];
    while (records.length < count) {
      const answer = await client.request(pullRequest(group, topic, queueId, records.length, 5000));
      expect(answer.code).toBe(0);
      records.push(...readRecords(answer.body));
    }
    return records;
  };

  test('stores what is sent, in order, and gives it back', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        client.request(sendRequest({ topic: 'TopicA', body: `body ${index}` })),
      ),
    );
    for (const [index, answer] of answers.entries()) {
      expect(answer.code).toBe(0);
      expect(answer.extFields.get('queueOffset')).toBe(String(index));
      expect(answer.extFields.get('msgId')).toMatch(/^[0-9A-F]{32}$/);
      expect(answer.extFields.get('MSG_REGION')).toBe('DefaultRegion');
      expect(answer.extFields.get('TRACE_ON')).toBe('true');
    }
    const records = await pullAll('group-a', 'TopicA', 0, 100);
    expect(records.map((record) => record.body)).toEqual(
      answers.map((_, index) => `body ${index}`),
    );
    expect(records[0]?.properties.get('CLUSTER')).toBe('DefaultCluster');
  });

  test.each([1, 2] as const)('answers in the header codec of the asker: %i', async (type) => {
    const beat = await client.request({
      ...heartbeatRequest('c1', 'group-a', 'TopicA'),
      serializeType: type,
    });
    expect(beat.serializeType).toBe(type);
    expect(beat.extFields.get('IS_SUPPORT_MSGPACK_HEADER')).toBe('true');
    const sent = await client.request(
      sendRequest({ topic: 'TopicA', body: 'binary', serializeType: type }),
    );
    expect(sent.serializeType).toBe(type);
    expect(sent.extFields.get('queueOffset')).toBe('0');
    const pulled = await client.request({
      ...pullRequest('group-a', 'TopicA', 0, 0, 5000),
      serializeType: type,
    });
    expect(pulled.serializeType).toBe(type);
    expect(pulled.extFields.get('nextBeginOffset')).toBe('1');
    expect(readRecords(pulled.body)[0]?.body).toBe('binary');
  });

  test('takes frames that arrive byte by byte and frames that stick together', async () => {
    const frames = Buffer.concat([
      client.encode(sendRequest({ topic: 'TopicA', body: 'first' }), 101),
      client.encode(sendRequest({ topic: 'TopicA', body: 'second' }), 102),
    ]);
    client.socket.setNoDelay(true);
    const answers = [client.answerTo(101), client.answerTo(102)];
    for (const byte of frames.subarray(0, 40)) {
      client.socket.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.socket.write(frames.subarray(40));
    for (const answer of await Promise.all(answers)) expect(answer.code).toBe(0);
  });

  test('wakes a held pull when a matching message arrives, and not for another tag', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA', 'TagA || TagB'));
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'seed', properties: { TAGS: 'TagA' } }),
    );
    await pullAll('group-a', 'TopicA', 0, 1);
    const other = await RawClient.connect(broker.ready.brokerPort);
    const held = other.request(pullRequest('group-a', 'TopicA', 0, 1, 10_000));
    // Nothing tells from outside that it is held; a pull that came later would be answered 20.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'no', properties: { TAGS: 'TagC' } }),
    );
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'yes', properties: { TAGS: 'TagB' } }),
    );
    const answer = await held;
    expect(answer.code).toBe(0);
    expect(readRecords(answer.body).map((record) => record.body)).toEqual(['yes']);
    other.close();
  });

  test('answers a held pull with nothing new when its time is over', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await client.request(sendRequest({ topic: 'TopicA', body: 'one' }));
    await pullAll('group-a', 'TopicA', 0, 1);
    const answer = await client.request(pullRequest('group-a', 'TopicA', 0, 1, 200));
    expect(answer.code).toBe(19);
    expect(answer.extFields.get('nextBeginOffset')).toBe('1');
    expect(answer.extFields.get('maxOffset')).toBe('1');
    expect(answer.extFields.get('minOffset')).toBe('0');
  });

  test('stores every message of a batch', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const answer = await client.request(batchRequest('TopicA', ['x', 'yy', 'zzz']));
    expect(answer.code).toBe(0);
    expect(answer.extFields.get('msgId')?.split(',')).toHaveLength(3);
    const records = await pullAll('group-a', 'TopicA', 0, 3);
    expect(records.map((record) => [record.body, record.queueOffset])).toEqual([
      ['x', 0],
      ['yy', 1],
      ['zzz', 2],
    ]);
    expect(records[1]?.properties.get('UNIQ_KEY')).toBe('id-yy');
  });

  test('ends every record in its checksum where that is configured, also one that is stored again', async () => {
    client.close();
    await broker.close();
    await start({ appendsPropertyCrc: true, verifiesPropertyCrc: true });
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await client.request(sendRequest({ topic: 'TopicA', body: 'one' }));
    await client.request(batchRequest('TopicA', ['two', 'three']));
    await client.request(
      sendRequest({
        topic: 'TopicA',
        body: 'later',
        properties: { DELAY: '1', '__CRC32#': '1234567890', UNIQ_KEY: 'the-id' },
      }),
    );
    const records = await pullAll('group-a', 'TopicA', 0, 4);
    expect(records.map((record) => record.body)).toEqual(['one', 'two', 'three', 'later']);
    expect(records.map((record) => record.hasRightChecksum)).toEqual([true, true, true, true]);
    expect(records[3]?.properties.get('UNIQ_KEY')).toBe('the-id');
    client.close();
    await broker.close();
    await start({ verifiesPropertyCrc: true });
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await client.request(sendRequest({ topic: 'TopicA', body: 'without' }));
    const [last] = (await pullAll('group-a', 'TopicA', 0, 5)).slice(4);
    expect(last).toMatchObject({ body: 'without', hasRightChecksum: false });
  });

  test('refuses a batch whose lengths lie, and stores nothing of it', async () => {
    const lying = Buffer.alloc(40);
    lying.writeInt32BE(41, 0);
    const request = sendRequest({ topic: 'TopicA', body: lying });
    await client.request(sendRequest({ topic: 'TopicA', body: 'creates the topic' }));
    const answer = await client.request({ ...request, code: 320 });
    expect(answer.code).toBe(13);
    const max = await client.request({ code: 30, fields: { topic: 'TopicA', queueId: 0 } });
    expect(max.extFields.get('offset')).toBe('1');
  });

  test('takes a body of 4 MiB, gives it back, and refuses one byte more', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const body = Buffer.alloc(4 * 1024 * 1024, 'millrace ');
    expect((await client.request(sendRequest({ topic: 'TopicA', body }))).code).toBe(0);
    expect((await pullAll('group-a', 'TopicA', 0, 1))[0]?.body).toBe(body.toString());
    const tooLong = await client.request(
      sendRequest({ topic: 'TopicA', body: Buffer.alloc(body.length + 1) }),
    );
    expect(tooLong.code).toBe(13);
    expect(tooLong.remark).toContain('4194304');
  });

  test('delivers a delayed message after its delay, not before', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    await client.request(sendRequest({ topic: 'TopicA', body: 'now' }));
    const startMs = Date.now();
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'later', properties: { DELAY: '1' } }),
    );
    const records = await pullAll('group-a', 'TopicA', 0, 2);
    expect(records.map((record) => record.body)).toEqual(['now', 'later']);
    expect(records[1].storeTimestampMs).toBeGreaterThanOrEqual(startMs + 1000);
  });

  test('answers a delayed send with the queue that was named, not the one it waits in', async () => {
    for (const level of ['1', '2', '3']) {
      const properties = { DELAY: level };
      const send = sendRequest({ topic: 'TopicA', body: 'later', queueId: 3, properties });
      const answer = await client.request(send);
      expect([answer.code, answer.extFields.get('queueId')]).toEqual([0, '3']);
    }
  });

  test('filters by an SQL92 expression where that is configured, and refuses a broken one with its place', async () => {
    const sql = (expression: string, offset: number): ReturnType<typeof pullRequest> => {
      const pull = pullRequest('group-a', 'TopicA', 0, offset, 5000);
      return {
        ...pull,
        fields: { ...pull.fields, sysFlag: 6, subscription: expression, expressionType: 'SQL92' },
      };
    };
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    for (const age of ['7', '18', 'unknown', '30'])
      await client.request(sendRequest({ topic: 'TopicA', body: age, properties: { age } }));
    const off = await client.request(sql('age >= 18', 0));
    expect([off.code, off.remark]).toEqual([
      1,
      'The broker does not support consumer to filter message by SQL92',
    ]);
    client.close();
    await broker.close();
    await start({ enablePropertyFilter: true });
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const found = await client.request(sql('age >= 18', 0));
    expect(found.code).toBe(0);
    expect(readRecords(found.body).map((record) => record.body)).toEqual(['18', '30']);
    expect(found.extFields.get('nextBeginOffset')).toBe('4');
    const broken = await client.request(sql('age >=', 0));
    expect(broken.code).toBe(23);
    expect(broken.remark).toContain('at character 7');
    // A pull that waits is woken only by what it asks for.
    const held = client.request(sql('age > 40', 4));
    await client.request(sendRequest({ topic: 'TopicA', body: 'no', properties: { age: '39' } }));
    await client.request(sendRequest({ topic: 'TopicA', body: 'yes', properties: { age: '41' } }));
    expect(readRecords((await held).body).map((record) => record.body)).toEqual(['yes']);
  });

  test.each([
    ['many operations', `${'n = 1 OR '.repeat(400)}KEYS = 'last'`, ''],
    ['long properties', "n CONTAINS 'aab' OR KEYS = 'last'", 'a'.repeat(30_000)],
  ])(
    'asks a condition of %s of fewer messages a pull, and misses none',
    async (_, subscription, n) => {
      client.close();
      await broker.close();
      await start({ enablePropertyFilter: true });
      await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
      await client.request(sendRequest({ topic: 'TopicA', body: 'first' }));
      const pull = (offset: number): ReturnType<typeof pullRequest> => {
        const request = pullRequest('group-a', 'TopicA', 0, offset, 60_000);
        const fields = { sysFlag: 6, subscription, expressionType: 'SQL92' };
        return { ...request, fields: { ...request.fields, ...fields } };
      };
      // It waits at the end, is woken by more than it looks at, and must not sleep over the rest.
      let answered = client.request(pull(1));
      const bodies = [...Array.from({ length: 99 }, (_, index) => String(index)), 'last'];
      if (n === '') await client.request(batchRequest('TopicA', bodies));
      else
        for (const body of bodies)
          client.oneway(sendRequest({ topic: 'TopicA', body, properties: { n, KEYS: body } }));
      for (let pullCount = 1; ; pullCount++) {
        const answer = await answered;
        const next = Number(answer.extFields.get('nextBeginOffset'));
        if (answer.code === 0) {
          expect(readRecords(answer.body).map((record) => record.body)).toEqual(['last']);
          expect([next, pullCount > 5]).toEqual([101, true]);
          return;
        }
        expect(answer.code).toBe(20);
        expect(next).toBeLessThan(101);
        answered = client.request(pull(next));
      }
    },
  );

  test('tells tools who is connected and how far queues and groups are', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA', 'TagA || TagB'));
    const beforeMs = Date.now();
    for (const body of ['x', 'y', 'z'])
      await client.request(sendRequest({ topic: 'TopicA', body, queueId: 1 }));
    const fields = { consumerGroup: 'group-a', topic: 'TopicA', queueId: 1, commitOffset: 2 };
    await client.request({ code: 15, fields });

    const members = await client.request({ code: 203, fields: { consumerGroup: 'group-a' } });
    expect(JSON.parse(members.body.toString())).toMatchObject({
      connectionSet: [
        {
          clientAddr: `127.0.0.1:${client.socket.localPort}`,
          clientId: 'c1',
          language: 'OTHER',
          version: expect.any(Number) as number,
        },
      ],
      consumeType: 'CONSUME_PASSIVELY',
      messageModel: 'CLUSTERING',
      subscriptionTable: { TopicA: { subString: 'TagA || TagB', tagsSet: ['TagA', 'TagB'] } },
    });
    const none = await client.request({ code: 203, fields: { consumerGroup: 'nobody' } });
    expect([none.code, none.remark]).toEqual([206, 'the consumer group[nobody] not online']);
    const producers = await client.request({ code: 204, fields: { producerGroup: 'nobody' } });
    expect(producers.code).toBe(1);

    const table = (body: Buffer): Map<string, Record<string, number>> => {
      const root = parseFastjson(body.toString()) as { offsetTable: [object, never][] };
      return new Map(root.offsetTable.map(([queue, value]) => [JSON.stringify(queue), value]));
    };
    const key = (queueId: number): string =>
      JSON.stringify({ brokerName: 'broker-test', queueId, topic: 'TopicA' });
    const topic = await client.request({ code: 202, fields: { topic: 'TopicA' } });
    const queues = table(topic.body);
    expect(queues.size).toBe(4);
    expect(queues.get(key(1))).toMatchObject({ minOffset: 0, maxOffset: 3 });
    expect(queues.get(key(1))?.['lastUpdateTimestamp']).toBeGreaterThanOrEqual(beforeMs);
    expect(queues.get(key(0))).toEqual({ minOffset: 0, maxOffset: 0, lastUpdateTimestamp: 0 });
    const unknown = await client.request({ code: 202, fields: { topic: 'Unknown' } });
    expect(unknown.code).toBe(17);

    const stats = await client.request({ code: 208, fields: { consumerGroup: 'group-a' } });
    const offsets = table(stats.body);
    expect(offsets.get(key(1))).toMatchObject({
      brokerOffset: 3,
      consumerOffset: 2,
      pullOffset: 2,
    });
    expect(offsets.get(key(1))?.['lastTimestamp']).toBeGreaterThanOrEqual(beforeMs);
    expect(offsets.get(key(0))).toMatchObject({ brokerOffset: 0, consumerOffset: 0 });
  });

  test('with synchronous flush shows also what no sender waits for as soon as it is on disk', async () => {
    client.close();
    await broker.close();
    await start({ flush: 'sync', flushIntervalMs: 3_600_000 });
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const waited = await client.request(sendRequest({ topic: 'TopicA', body: 'waited for' }));
    expect(waited.code).toBe(0);
    client.oneway(sendRequest({ topic: 'TopicA', body: 'oneway' }));
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'not waited for', properties: { WAIT: 'false' } }),
    );
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'later', properties: { DELAY: '1', WAIT: 'false' } }),
    );
    const records = await pullAll('group-a', 'TopicA', 0, 4);
    expect(records.map((record) => record.body)).toEqual([
      'waited for',
      'oneway',
      'not waited for',
      'later',
    ]);
  });

  test('redelivers what a consumer sent back through its retry topic', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    const sent = await client.request(sendRequest({ topic: 'TopicA', body: 'again' }));
    await pullAll('group-a', 'TopicA', 0, 1);
    const offset = Number.parseInt((sent.extFields.get('msgId') as string).slice(16), 16);
    const back = await client.request({
      code: 36,
      fields: {
        offset,
        group: 'group-a',
        delayLevel: 1,
        originMsgId: 'x',
        originTopic: 'TopicA',
        maxReconsumeTimes: 16,
      },
    });
    expect(back.code).toBe(0);
    await client.request(heartbeatRequest('c1', 'group-a', '%RETRY%group-a'));
    const [record] = await pullAll('group-a', '%RETRY%group-a', 0, 1);
    expect(record?.body).toBe('again');
    expect(record?.properties.get('RETRY_TOPIC')).toBe('TopicA');
  });

  test('finds messages by key, by id and by time', async () => {
    const sent = await client.request(
      sendRequest({
        topic: 'TopicA',
        body: 'wanted',
        properties: { KEYS: 'order-1 order-2', UNIQ_KEY: 'THE-ID' },
      }),
    );
    await client.request(
      sendRequest({ topic: 'TopicA', body: 'other', properties: { KEYS: 'order-3' } }),
    );
    const query = async (key: string): Promise<string[]> => {
      const answer = await client.request({
        code: 12,
        fields: {
          topic: 'TopicA',
          key,
          maxNum: 32,
          beginTimestamp: 0,
          endTimestamp: Number.MAX_SAFE_INTEGER,
        },
      });
      return answer.code === 0 ? readRecords(answer.body).map((record) => record.body) : [];
    };
    await expect.poll(() => query('order-2')).toEqual(['wanted']);
    expect(await query('THE-ID')).toEqual(['wanted']);
    expect(await query('order-9')).toEqual([]);
    const offset = Number.parseInt((sent.extFields.get('msgId') as string).slice(16), 16);
    const viewed = await client.request({ code: 33, fields: { offset } });
    expect(readRecords(viewed.body)[0]?.body).toBe('wanted');
    const byTime = await client.request({
      code: 29,
      fields: { topic: 'TopicA', queueId: 0, timestamp: 0 },
    });
    expect(byTime.extFields.get('offset')).toBe('0');
  });

  test('finds messages that are longer than a ring, and answers others meanwhile', async () => {
    const body = 'x'.repeat(700 * 1024);
    const properties = { KEYS: 'long' };
    const sent = await client.request(sendRequest({ topic: 'TopicA', body, properties }));
    await client.request(sendRequest({ topic: 'TopicA', body, properties, queueId: 1 }));
    const fields = { topic: 'TopicA', key: 'long', maxNum: 32, beginTimestamp: 0 };
    const query = { code: 12, fields: { ...fields, endTimestamp: Number.MAX_SAFE_INTEGER } };
    await expect.poll(async () => readRecords((await client.request(query)).body).length).toBe(2);
    const offset = Number.parseInt((sent.extFields.get('msgId') as string).slice(16), 16);
    const other = await RawClient.connect(broker.ready.brokerPort);
    const [viewed, found, maximum] = await Promise.all([
      client.request({ code: 33, fields: { offset } }),
      other.request(query),
      other.request({ code: 30, fields: { topic: 'TopicA', queueId: 1 } }),
    ]);
    other.close();
    expect(readRecords(viewed.body).map((record) => record.body === body)).toEqual([true]);
    expect(readRecords(found.body).map((record) => record.body === body)).toEqual([true, true]);
    expect(maximum.extFields.get('offset')).toBe('1');
  });

  test('keeps messages and committed offsets over an orderly restart', async () => {
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    for (let index = 0; index < 10; index++) {
      await client.request(
        sendRequest({
          topic: 'TopicA',
          body: `body ${index}`,
          properties: { KEYS: `key-${index}` },
        }),
      );
    }
    await pullAll('group-a', 'TopicA', 0, 10);
    client.oneway({
      code: 15,
      fields: { consumerGroup: 'group-a', topic: 'TopicA', queueId: 0, commitOffset: 7 },
    });
    await expect
      .poll(async () =>
        (
          await client.request({
            code: 14,
            fields: { consumerGroup: 'group-a', topic: 'TopicA', queueId: 0 },
          })
        ).extFields.get('offset'),
      )
      .toBe('7');
    client.close();
    await broker.close();
    expect(fs.existsSync(path.join(root, 'abort'))).toBe(false);
    await start();
    await client.request(heartbeatRequest('c1', 'group-a', 'TopicA'));
    expect((await pullAll('group-a', 'TopicA', 0, 10)).map((record) => record.queueOffset)).toEqual(
      [...Array(10).keys()],
    );
    const offset = await client.request({
      code: 14,
      fields: { consumerGroup: 'group-a', topic: 'TopicA', queueId: 0 },
    });
    expect(offset.extFields.get('offset')).toBe('7');
    const next = await client.request(sendRequest({ topic: 'TopicA', body: 'after' }));
    expect(next.extFields.get('queueOffset')).toBe('10');
  });

  test('says what it does not know, and never answers a oneway request', async () => {
    const answer = await client.request({ code: 9999 });
    expect(answer.code).toBe(3);
    expect(answer.remark).toContain('9999');
    client.oneway({ code: 9999 });
    client.oneway(sendRequest({ topic: 'bad topic!', body: 'x' }));
    const after = await client.request({ code: 9998 });
    expect(after.code).toBe(3);
  });

  test('closes a connection whose frame is no frame, and serves the others', async () => {
    const bad = await RawClient.connect(broker.ready.brokerPort);
    bad.socket.write(Buffer.from([0x7f, 0xff, 0xff, 0xff]));
    await bad.closed;
    const garbled = await RawClient.connect(broker.ready.brokerPort);
    garbled.socket.write(Buffer.from([0, 0, 0, 8, 0, 0, 0, 99, 1, 2, 3, 4]));
    await garbled.closed;
    // Headers whose code can be read, and no more: of what worker, dispatcher and control serve.
    for (const code of [310, 11, 34]) {
      for (const serializeType of [1, 2] as const) {
        const broken = await RawClient.connect(broker.ready.brokerPort);
        const frame = client.encode({ code, serializeType, fields: { a: 'b' } }, 1);
        // A declared length, of the value or of all fields, that is too long.
        const from = frame.indexOf('a');
        frame[from + 1] = serializeType === 1 ? 0x7f : 0xbf;
        broken.socket.write(frame);
        await broken.closed;
      }
    }
    expect((await client.request(sendRequest({ topic: 'TopicA', body: 'fine' }))).code).toBe(0);
  });

  test('gives clients the address by which they reached the name server', async () => {
    await client.request(sendRequest({ topic: 'TopicA', body: 'creates the topic' }));
    const names = await RawClient.connect(broker.ready.nameServerPort as number);
    const route = await names.request({ code: 105, fields: { topic: 'TopicA' } });
    const body = JSON.parse(route.body.toString()) as {
      brokerDatas: { brokerAddrs: Record<string, string> }[];
    };
    expect(body.brokerDatas[0]?.brokerAddrs).toEqual({
      '0': `127.0.0.1:${broker.ready.brokerPort}`,
    });
    names.close();
  });
});
