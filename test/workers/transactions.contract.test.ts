/**
 * Transactions over real sockets and real files, whatever the placement of agents on threads.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import {
  endRequest,
  heartbeatRequest,
  physicalOffsetOf,
  pullRequest,
  RawClient,
  type RawRequest,
  sendRequest,
} from './raw-client.ts';
import { type ReadMessage, readRecords, startTestBroker } from './test-broker.ts';

const COMMIT = 8;
const ROLLBACK = 12;
const GROUP = 'tx-producers';

const producerHeartbeat = (clientId: string): Parameters<RawClient['request']>[0] => ({
  code: 34,
  body: Buffer.from(
    JSON.stringify({
      clientID: clientId,
      consumerDataSet: [],
      producerDataSet: [{ groupName: GROUP }],
    }),
  ),
});

const end = (half: RemotingCommand, decision: number, more?: Record<string, string>): RawRequest =>
  endRequest(half, GROUP, decision, more);

describe.each(['inline', 'auto', 'pipelined'] as const)('transactions, %s threads', (threads) => {
  let root: string;
  let broker: BrokerProcess;
  let client: RawClient;

  const start = async (overrides: Partial<BrokerConfig> = {}): Promise<void> => {
    broker = await startTestBroker(root, { threads, ...overrides });
    client = await RawClient.connect(broker.ready.brokerPort);
    await client.request(heartbeatRequest('c1', 'group-t', 'TopicT'));
  };

  const stop = async (): Promise<void> => {
    client.close();
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

  const sendHalf = (
    body: string,
    properties: Record<string, string> = {},
  ): Promise<RemotingCommand> =>
    client.request(
      sendRequest({
        topic: 'TopicT',
        body,
        properties: { TRAN_MSG: 'true', PGROUP: GROUP, UNIQ_KEY: `key-${body}`, ...properties },
      }),
    );

  /** What the queue holds now. */
  const messages = async (topic = 'TopicT'): Promise<ReadMessage[]> => {
    const records: ReadMessage[] = [];
    for (;;) {
      const pull = pullRequest('group-t', topic, 0, records.length);
      const fields = { ...pull.fields, sysFlag: 4, subscription: '*' };
      const answer = await client.request({ ...pull, fields });
      if (answer.code !== 0) return records;
      records.push(...readRecords(answer.body));
    }
  };

  /** The check-backs that a client gets, once there are so many. */
  const checks = async (asked: RawClient, count: number): Promise<RemotingCommand[]> => {
    for (let turn = 0; turn < 500; turn++) {
      const found = asked.requests.filter(({ code }) => code === 39);
      if (found.length >= count) return found;
      await pause(10);
    }
    throw new Error(`${count} check-backs did not come`);
  };

  test('a half is invisible until it is committed, and then a message once', async () => {
    const half = await sendHalf('order');
    expect(half.code).toBe(0);
    expect(half.extFields.get('transactionId')).toBe('key-order');
    expect(half.extFields.get('queueOffset')).toBe('0');
    expect(await messages()).toEqual([]);
    expect((await client.request(end(half, COMMIT))).code).toBe(0);
    expect((await client.request(end(half, COMMIT))).code).toBe(0);
    const [message, ...others] = await messages();
    expect(others).toEqual([]);
    expect(message).toMatchObject({ body: 'order', topic: 'TopicT' });
    expect(message.sysFlag & 12).toBe(8);
    expect(message.properties.get('__transactionId__')).toBe('key-order');
    expect(message.properties.get('TRAN_MSG')).toBe('true');
    expect(message.properties.get('REAL_TOPIC')).toBe('TopicT');
  });

  test('what is rolled back never comes, whoever says otherwise later', async () => {
    const half = await sendHalf('no');
    expect((await client.request(end(half, ROLLBACK))).code).toBe(0);
    expect((await client.request(end(half, COMMIT))).code).toBe(0);
    client.oneway(end(await sendHalf('yes'), COMMIT));
    await client.request(sendRequest({ topic: 'TopicT', body: 'last' }));
    expect((await messages()).map(({ body }) => body).sort()).toEqual(['last', 'yes']);
  });

  test('a rollback is answered when it is stored, not when it waits to be', async () => {
    const halves = await Promise.all(['1', '2', '3', '4'].map((body) => sendHalf(body)));
    for (const half of halves) expect((await client.request(end(half, ROLLBACK))).code).toBe(0);
    for (let turn = 0; turn < 100; turn++) {
      const ops = await messages('RMQ_SYS_TRANS_OP_HALF_TOPIC');
      if (ops.length < halves.length) {
        await pause(10);
        continue;
      }
      const named = halves.map((half) => `${half.extFields.get('queueOffset')},`);
      expect(ops.map(({ body }) => body)).toEqual(named);
      return;
    }
    throw new Error('not every rollback has an op record of its own');
  });

  test('only the group that sent a half ends it, and only where it is', async () => {
    const half = await sendHalf('mine');
    const refused = [
      end(half, COMMIT, { producerGroup: 'others' }),
      end(half, COMMIT, { tranStateTableOffset: '1' }),
      end(half, COMMIT, { commitLogOffset: '1' }),
      end(half, COMMIT, { commitLogOffset: '99999999' }),
      // Of a half that stood at this place before a loss of power.
      end(half, COMMIT, { transactionId: 'key-gone' }),
      end(half, ROLLBACK, { transactionId: 'key-mine ' }),
    ];
    for (const request of refused) expect((await client.request(request)).code).toBe(1);
    expect(await messages()).toEqual([]);
    expect((await client.request(end(half, COMMIT))).code).toBe(0);
    expect(await messages()).toHaveLength(1);
  });

  test('the id of a transaction is left out, escaped or as long as one likes', async () => {
    const [plain, quoted, long] = [
      await sendHalf('plain'),
      await sendHalf('quoted', { UNIQ_KEY: 'a"b' }),
      await sendHalf('long', { UNIQ_KEY: 'k'.repeat(300) }),
    ];
    expect(long.extFields.get('transactionId')).toBe('k'.repeat(255));
    const ends = [
      end(plain, COMMIT, { transactionId: '' }),
      end(quoted, COMMIT),
      end(long, COMMIT),
    ];
    for (const request of ends) expect((await client.request(request)).code).toBe(0);
    expect((await messages()).map(({ body }) => body)).toEqual(['plain', 'quoted', 'long']);
  });

  test('what was decided stays decided over a restart', async () => {
    const [committed, rolledBack, open] = [
      await sendHalf('committed'),
      await sendHalf('rolled back'),
      await sendHalf('open'),
    ];
    await client.request(end(committed, COMMIT));
    await client.request(end(rolledBack, ROLLBACK));
    await stop();
    await start();
    for (const half of [committed, rolledBack, open]) await client.request(end(half, COMMIT));
    expect((await messages()).map(({ body }) => body)).toEqual(['committed', 'open']);
  });

  test('a producer is asked about what it did not end, and another where that one is gone', async () => {
    await stop();
    await start({ transactionTimeOutMs: 50, transactionCheckIntervalMs: 100 });
    const other = await RawClient.connect(broker.ready.brokerPort);
    await client.request(producerHeartbeat('p1'));
    const half = await sendHalf('forgotten');
    const [check] = await checks(client, 1);
    expect(Object.fromEntries(check.extFields)).toEqual({
      topic: 'RMQ_SYS_TRANS_HALF_TOPIC',
      tranStateTableOffset: half.extFields.get('queueOffset'),
      commitLogOffset: String(physicalOffsetOf(half)),
      msgId: 'key-forgotten',
      transactionId: 'key-forgotten',
      offsetMsgId: half.extFields.get('msgId'),
      bname: 'broker-test',
    });
    const [asked] = readRecords(check.body);
    expect(asked).toMatchObject({ body: 'forgotten', topic: 'TopicT' });
    expect(asked.properties.get('TRANSACTION_CHECK_TIMES')).toBe('1');
    await other.request(producerHeartbeat('p2'));
    client.close();
    client = await RawClient.connect(broker.ready.brokerPort);
    const [again] = await checks(other, 1);
    other.oneway(end(half, COMMIT, { fromTransactionCheck: 'true', ...idsOf(again) }));
    for (let turn = 0; turn < 300 && (await messages()).length === 0; turn++) await pause(10);
    expect((await messages()).map(({ body }) => body)).toEqual(['forgotten']);
    await pause(300);
    const count = (await checks(other, 1)).length;
    await pause(300);
    expect(await checks(other, 1)).toHaveLength(count);
    other.close();
  });

  const idsOf = (check: RemotingCommand): Record<string, string> => ({
    commitLogOffset: check.extFields.get('commitLogOffset') ?? '',
    tranStateTableOffset: check.extFields.get('tranStateTableOffset') ?? '',
  });

  test('one that nobody ends is put aside, and can be taken up again', async () => {
    await stop();
    // Time enough to answer the third check before it is put aside again.
    await start({
      transactionTimeOutMs: 300,
      transactionCheckIntervalMs: 300,
      transactionCheckMax: 2,
    });
    await client.request(producerHeartbeat('p1'));
    const half = await sendHalf('lost');
    await checks(client, 2);
    const aside = 'TRANS_CHECK_MAX_TIME_TOPIC';
    for (let turn = 0; turn < 300 && (await messages(aside)).length === 0; turn++) await pause(10);
    const [message] = await messages(aside);
    expect(message.body).toBe('lost');
    expect((await client.request(end(half, COMMIT))).code).toBe(0);
    expect(await messages()).toEqual([]);
    expect(client.requests.filter(({ code }) => code === 39)).toHaveLength(2);
    const id = (half.extFields.get('msgId') ?? '').slice(0, 16);
    const msgId = id + message.physicalOffset.toString(16).toUpperCase().padStart(16, '0');
    expect((await client.request({ code: 323, fields: { msgId } })).code).toBe(0);
    const check = (await checks(client, 3))[2];
    await client.request(end(half, COMMIT, { fromTransactionCheck: 'true', ...idsOf(check) }));
    expect((await messages()).map(({ body }) => body)).toEqual(['lost']);
    expect((await client.request({ code: 323, fields: { msgId: 'nonsense' } })).code).toBe(1);
  });

  test('a half may say when it is asked about, and can not be ended later but by answer', async () => {
    const half = await sendHalf('slow', { CHECK_IMMUNITY_TIME_IN_SECONDS: '0' });
    await pause(5);
    expect((await client.request(end(half, COMMIT))).code).toBe(604);
    const answer = end(half, COMMIT, { fromTransactionCheck: 'true' });
    expect((await client.request(answer)).code).toBe(0);
    expect(await messages()).toHaveLength(1);
  });

  test('a committed message can be delayed', async () => {
    const half = await sendHalf('later', { DELAY: '1' });
    const timed = await sendHalf('at its time', { TIMER_DELAY_MS: '300' });
    await client.request(end(half, COMMIT));
    await client.request(end(timed, COMMIT));
    expect(await messages()).toEqual([]);
    for (let turn = 0; turn < 300 && (await messages()).length < 2; turn++) await pause(10);
    expect((await messages()).map(({ body }) => body)).toEqual(['at its time', 'later']);
  });

  test('an id of odd characters is answered as it is, and a longer one up to 255 of them', async () => {
    for (const [key, id] of [
      ['\x03"\\'.repeat(85), '\x03"\\'.repeat(85)],
      ['語'.repeat(300), '語'.repeat(255)],
    ]) {
      const half = await sendHalf('other', { UNIQ_KEY: key });
      expect([half.code, half.extFields.get('transactionId')]).toEqual([0, id]);
    }
    const half = await sendHalf('odd', { UNIQ_KEY: '\x03'.repeat(255) });
    expect((await client.request(end(half, COMMIT))).code).toBe(0);
    expect((await messages()).map(({ body }) => body)).toEqual(['odd']);
  });

  test('a delayed half whose properties barely fit can not be committed beyond them', async () => {
    const codes = new Set<number>();
    for (let bytes = 32_300; ; bytes += 4) {
      const half = await sendHalf('long', { TIMER_DELAY_MS: '10', p: 'x'.repeat(bytes) });
      if (half.code !== 0) break;
      codes.add((await client.request(end(half, COMMIT))).code);
    }
    expect([...codes]).toEqual([0, 1]);
    expect((await client.request(sendRequest({ topic: 'TopicT', body: 'on' }))).code).toBe(0);
  });

  test('can be forbidden', async () => {
    await stop();
    await start({ rejectTransactionMessage: true });
    const half = await sendHalf('no');
    expect(half.code).toBe(16);
    expect(half.remark).toContain('rejectTransactionMessage');
  });

  test('a timed message can be recalled', async () => {
    const send = async (body: string): Promise<RemotingCommand> =>
      client.request(
        sendRequest({
          topic: 'TopicT',
          body,
          properties: { TIMER_DELAY_MS: '1500', UNIQ_KEY: body },
        }),
      );
    const recall = (recallHandle: string, topic = 'TopicT'): Promise<RemotingCommand> =>
      client.request({ code: 370, fields: { topic, recallHandle, producerGroup: 'p' } });
    const [taken, kept] = [await send('taken'), await send('kept')];
    const handle = taken.extFields.get('recallHandle') ?? '';
    const answer = await recall(handle);
    expect([answer.code, answer.extFields.get('msgId')]).toEqual([0, 'taken']);
    expect((await recall('bm9uc2Vuc2U=')).code).toBe(604);
    expect((await recall('%')).code).toBe(604);
    const [version, topic, name, time] = Buffer.from(handle, 'base64url').toString().split(' ');
    const long = [version, topic, name, time, '\x03'.repeat(15_000)].join(' ');
    expect((await recall(Buffer.from(long).toString('base64url'))).code).toBe(604);
    expect((await recall(handle, 'TopicNone')).code).toBe(17);
    for (let turn = 0; turn < 400 && (await messages()).length === 0; turn++) await pause(10);
    await pause(100);
    expect((await messages()).map(({ body }) => body)).toEqual(['kept']);
    expect((await recall(kept.extFields.get('recallHandle') ?? '')).code).toBe(604);
    expect(
      (await client.request(sendRequest({ topic: 'TopicT', body: 'x' }))).extFields.has(
        'recallHandle',
      ),
    ).toBe(false);
  });
});
