/**
 * Timed messages over real sockets and real files, whatever the placement of agents on threads.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from './raw-client.ts';
import { type ReadMessage, readRecords, startTestBroker } from './test-broker.ts';

describe.each(['inline', 'auto', 'pipelined'] as const)('timed messages, %s threads', (threads) => {
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

  const send = (body: string, properties: Record<string, string>): Promise<RemotingCommand> =>
    client.request(sendRequest({ topic: 'TopicT', body, properties }));

  /** Pulls until `count` messages are there. */
  const receive = async (count: number): Promise<ReadMessage[]> => {
    const delivered: ReadMessage[] = [];
    while (delivered.length < count) {
      const answer = await client.request(
        pullRequest('group-t', 'TopicT', 0, delivered.length, 10_000),
      );
      expect(answer.code).toBe(0);
      delivered.push(...readRecords(answer.body));
    }
    return delivered;
  };

  test('arrive at their time, by each of the three properties, in the order of their times', async () => {
    const sentMs = Date.now();
    const answers = await Promise.all([
      send('at', { TIMER_DELIVER_MS: String(sentMs + 700) }),
      send('seconds', { TIMER_DELAY_SEC: '1' }),
      send('millis', { TIMER_DELAY_MS: '250' }),
      send('past', { TIMER_DELIVER_MS: String(sentMs - 1) }),
    ]);
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const delivered = await receive(4);
    expect(delivered.map(({ body }) => body)).toEqual(['past', 'millis', 'at', 'seconds']);
    for (const { storeTimestampMs, properties } of delivered.slice(1)) {
      const wantedMs = Number(properties.get('TIMER_OUT_MS'));
      expect(storeTimestampMs).toBeGreaterThanOrEqual(wantedMs);
      expect(properties.get('REAL_TOPIC')).toBe('TopicT');
      expect(Number(properties.get('TIMER_DEQUEUE_MS'))).toBeGreaterThanOrEqual(wantedMs);
    }
    expect(delivered[2].properties.get('TIMER_OUT_MS')).toBe(String(sentMs + 700));
    expect(delivered[0].properties.has('TIMER_OUT_MS')).toBe(false);
  });

  test('are refused beyond the longest delay, or with a time that is none', async () => {
    const answer = await send('x', { TIMER_DELAY_SEC: String(3 * 86_400 + 1) });
    expect(answer.code).toBe(13);
    expect(answer.remark).toContain('259200000ms');
    expect((await send('x', { TIMER_DELAY_MS: 'soon' })).code).toBe(13);
    expect((await send('x', { TIMER_DELIVER_MS: '99999999999999999999' })).code).toBe(13);
  });

  test('are delivered at once where their time comes again with a copy', async () => {
    await send('copy', { TIMER_DELAY_SEC: '3600', TIMER_OUT_MS: '1' });
    expect((await receive(1))[0].body).toBe('copy');
  });

  test('wait over a restart, and come once', async () => {
    for (let index = 0; index < 20; index++)
      await send(`m${index}`, { TIMER_DELAY_MS: String(100 + index * 150) });
    const before = await receive(2);
    await stop();
    await start();
    const delivered = await receive(20);
    expect(delivered.map(({ body }) => body)).toEqual(
      Array.from({ length: 20 }, (_, index) => `m${index}`),
    );
    // A busy machine may have been late with asking.
    expect(delivered.slice(0, before.length)).toEqual(before);
    await send('last', { TIMER_DELAY_MS: '100' });
    expect((await receive(21)).at(-1)?.body).toBe('last');
  });

  // Retention looks every ten seconds.
  test.runIf(threads === 'auto')(
    'outlive the segment that they were stored in, and halves do',
    async () => {
      await stop();
      fs.rmSync(root, { recursive: true });
      const deleteWhen = Array.from({ length: 24 }, (_, hour) => String(hour)).join(';');
      const segmentBytes = 256 * 1024;
      await start({
        segmentBytes,
        deleteWhen,
        fileReservedTimeHours: 1,
        transactionTimeOutMs: 15_000,
      });
      const log = path.join(root, 'commitlog');
      await send('waits', { TIMER_DELAY_MS: '18000', KEYS: 'k' });
      const taken = await send('taken back', { TIMER_DELAY_MS: '18000' });
      await send('comes before', { TIMER_DELAY_MS: '300' });
      const recallHandle = taken.extFields.get('recallHandle') ?? '';
      await client.request({ code: 370, fields: { topic: 'TopicT', recallHandle } });
      const half = { TRAN_MSG: 'true', PGROUP: 'tx' };
      await send('half', half);
      await client.request({
        code: 34,
        body: Buffer.from(
          JSON.stringify({ clientID: 'p', producerDataSet: [{ groupName: 'tx' }] }),
        ),
      });
      const asked = new Promise<RemotingCommand>((resolve) => {
        client.serve(39, (request) => {
          resolve(request);
          return { code: 0 };
        });
      });
      const filler = 'x'.repeat(100_000);
      for (let index = 0; index < 6; index++)
        await client.request(sendRequest({ topic: 'TopicF', body: filler }));
      const [first] = fs.readdirSync(log);
      // A flush of what was written would make the file new again.
      await pause(1500);
      const old = new Date(Date.now() - 3 * 3_600_000);
      fs.utimesSync(path.join(log, first), old, old);
      const fields = Object.fromEntries((await asked).extFields);
      expect(fs.readdirSync(log)).not.toContain(first);
      expect(Number(fields['commitLogOffset'])).toBeGreaterThanOrEqual(segmentBytes);
      client.oneway({
        code: 37,
        fields: {
          producerGroup: 'tx',
          tranStateTableOffset: fields['tranStateTableOffset'],
          commitLogOffset: fields['commitLogOffset'],
          commitOrRollback: 8,
          fromTransactionCheck: 'true',
        },
      });
      // Before them came one whose time was 300 ms.
      let bodies = '';
      for (let offset = 1; offset < 3; offset++) {
        const answer = await client.request(pullRequest('group-t', 'TopicT', 0, offset, 10_000));
        bodies += answer.body.toString('latin1');
      }
      expect(bodies).toContain('half');
      expect(bodies).toContain('waits');
      expect(bodies).not.toContain('TIMER_MOVED_FROM');
      expect(bodies).not.toContain('taken back');
    },
    60_000,
  );

  test('can be forbidden', async () => {
    await stop();
    await start({ timerWheelEnable: false });
    const answer = await send('x', { TIMER_DELAY_MS: '100' });
    expect(answer.code).toBe(1);
    expect(answer.remark).toContain('timerWheelEnable');
  });
});
