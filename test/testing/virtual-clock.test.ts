/**
 * Goal: the clock of a test drives everything that depends on the calendar, to the millisecond, and nothing
 * is left undone when `advance` has resolved. Method: real brokers on one clock, and a raw client that looks at
 * what is stored, right after: no test here waits for anything else.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { clientActivity } from '../../src/client/client-activity.ts';
import { durationMs } from '../../src/testing/duration.ts';
import {
  type EmbeddedBroker,
  startBroker,
  type StartBrokerOptions,
  VirtualWallClock,
} from '../../src/testing/index.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { readRecords, type ReadMessage } from '../workers/test-broker.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const opened: (EmbeddedBroker | RawClient)[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function start(options: StartBrokerOptions): Promise<RawClient> {
  const broker = await startBroker(options);
  const client = await RawClient.connect(Number(broker.address.split(':')[1]));
  opened.push(broker, client);
  return client;
}

async function send(
  client: RawClient,
  topic: string,
  body: string,
  properties: Record<string, string> = {},
): Promise<void> {
  const answer = await client.request(sendRequest({ topic, body, properties }));
  expect([answer.code, answer.remark]).toEqual([0, null]);
}

/** All messages of queue 0 of a topic, from its beginning. */
async function messages(client: RawClient, topic: string): Promise<ReadMessage[]> {
  await client.request(heartbeatRequest('reader', 'readers', topic));
  const found: ReadMessage[] = [];
  for (;;) {
    const answer = await client.request(pullRequest('readers', topic, 0, found.length));
    if (answer.code !== 0) return found;
    found.push(...readRecords(answer.body));
  }
}

const bodies = async (client: RawClient, topic: string): Promise<string[]> =>
  (await messages(client, topic)).map(({ body }) => body);

describe('a clock that a test moves', () => {
  test('stands still, and goes where it is told', async () => {
    const clock = new VirtualWallClock(Date.UTC(2024, 5, 1));
    await pause(5);
    expect(clock.nowMs()).toBe(Date.UTC(2024, 5, 1));
    expect(await clock.advance('1h30m')).toBe(Date.UTC(2024, 5, 1, 1, 30));
    expect(await clock.advance(1)).toBe(Date.UTC(2024, 5, 1, 1, 30, 0, 1));
    await clock.advanceTo(new Date(Date.UTC(2024, 5, 2)));
    expect(clock.nowMs()).toBe(Date.UTC(2024, 5, 2));
    await expect(clock.advanceTo(Date.UTC(2024, 5, 1))).rejects.toThrow(/is before the clock's/);
    expect(() => clock.advance('soon')).toThrow(/is no duration/);
    expect(() => clock.advance(-1)).toThrow(/is no duration/);
    expect(() => new VirtualWallClock(NaN)).toThrow(RangeError);
  });

  test('takes advances that were asked for together one after the other', async () => {
    const clock = new VirtualWallClock(0);
    expect(await Promise.all([clock.advance('1m'), clock.advance('1m')])).toEqual([
      MINUTE_MS,
      2 * MINUTE_MS,
    ]);
  });

  test.each([
    ['30m', 1_800_000],
    ['1h30m', 5_400_000],
    ['1h 30m', 5_400_000],
    ['250ms', 250],
    ['1.5s', 1500],
    ['2d', 172_800_000],
    [7, 7],
  ])('reads %s', (text, ms) => {
    expect(durationMs(text)).toBe(ms);
  });

  test.each(['', '30', 'm', '30 minutes', '-5m', '1h-30m', NaN, Infinity])(
    'refuses %s for a duration',
    (text) => {
      expect(() => durationMs(text)).toThrow(RangeError);
    },
  );

  test('delivers delayed and timed messages at their time, in their order, and not before', async () => {
    const clock = new VirtualWallClock();
    const client = await start({ clock });
    const startMs = clock.nowMs();
    await send(client, 'Later', 'level 16, 30 minutes', { DELAY: '16' });
    await send(client, 'Later', 'timer, 20 minutes', { TIMER_DELAY_SEC: '1200' });
    await send(client, 'Later', 'level 1, 1 second', { DELAY: '1' });
    await send(client, 'Later', 'timer, 90 minutes and 1 ms', {
      TIMER_DELIVER_MS: String(startMs + 90 * MINUTE_MS + 1),
    });
    await send(client, 'Later', 'timer, 2 days', { TIMER_DELAY_SEC: String(2 * 86_400) });
    await clock.advance('999ms');
    expect(await bodies(client, 'Later')).toEqual([]);
    await clock.advance(1);
    expect(await bodies(client, 'Later')).toEqual(['level 1, 1 second']);
    const beganMs = performance.now();
    await clock.advance('30m');
    console.log(`30 minutes: ${(performance.now() - beganMs).toFixed(1)} ms`);
    expect((await bodies(client, 'Later')).slice(1)).toEqual([
      'timer, 20 minutes',
      'level 16, 30 minutes',
    ]);
    await clock.advanceTo(startMs + 90 * MINUTE_MS);
    expect((await bodies(client, 'Later')).length).toBe(3);
    await clock.advance('3d');
    const stored = await messages(client, 'Later');
    expect(stored.map(({ storeTimestampMs }) => storeTimestampMs - startMs)).toEqual([
      1000,
      20 * MINUTE_MS,
      30 * MINUTE_MS,
      90 * MINUTE_MS + 1,
      2 * DAY_MS,
    ]);
  });

  test('answers a pull that is held when what it waits for becomes due', async () => {
    const clock = new VirtualWallClock();
    const client = await start({ clock });
    await client.request(heartbeatRequest('reader', 'readers', 'Held'));
    await send(client, 'Held', 'at last', { DELAY: '18' });
    const held = client.request(pullRequest('readers', 'Held', 0, 0, 30_000));
    let answered = 0;
    void held.then(() => answered++);
    await clock.advance('119m');
    expect(answered).toBe(0);
    await clock.advance('1m');
    expect(answered).toBe(1);
    expect(readRecords((await held).body)[0]?.body).toBe('at last');
  });

  test('asks the producer of a transaction at its times, and gives the transaction up in the end', async () => {
    const clock = new VirtualWallClock();
    const client = await start({ clock, transactionCheckMax: 3 });
    const asked: number[] = [];
    client.serve(39, () => {
      asked.push(clock.nowMs());
      return { code: 0 };
    });
    const beat = JSON.stringify({ clientID: 'shop', producerDataSet: [{ groupName: 'shop' }] });
    await client.request({ code: 34, body: Buffer.from(beat) });
    const startMs = clock.nowMs();
    await send(client, 'Orders', 'unsure', { TRAN_MSG: 'true', PGROUP: 'shop' });
    await clock.advance('5999ms');
    expect(asked).toEqual([]);
    await clock.advance('1h');
    expect(asked.map((ms) => ms - startMs)).toEqual([6000, 36_000, 66_000]);
    expect(await bodies(client, 'Orders')).toEqual([]);
    expect(await bodies(client, 'TRANS_CHECK_MAX_TIME_TOPIC')).toEqual(['unsure']);
  });

  test('brings a message that was sent back at the time of each retry, and then among the dead', async () => {
    const clock = new VirtualWallClock();
    const client = await start({ clock });
    const startMs = clock.nowMs();
    await send(client, 'Work', 'hopeless');
    await client.request(heartbeatRequest('reader', 'readers', 'Work'));
    let message = (await messages(client, 'Work')).at(0);
    const times: number[] = [];
    for (let attempt = 1; attempt <= 16; attempt++) {
      const answer = await client.request({
        code: 36,
        fields: {
          group: 'readers',
          offset: message?.physicalOffset ?? -1,
          delayLevel: 0,
          originTopic: 'Work',
          maxReconsumeTimes: 16,
        },
      });
      expect([attempt, answer.code]).toEqual([attempt, 0]);
      await clock.advance('2h');
      message = (await messages(client, '%RETRY%readers')).at(-1);
      times.push(((message?.storeTimestampMs ?? 0) - startMs) % (120 * MINUTE_MS));
    }
    // The levels from the third on: 10 s to 2 h.
    expect(times.slice(0, 4)).toEqual([10_000, 30_000, 60_000, 120_000]);
    expect(times.slice(12)).toEqual([1_200_000, 1_800_000, 3_600_000, 0]);
    const answer = await client.request({
      code: 36,
      fields: {
        group: 'readers',
        offset: message?.physicalOffset ?? -1,
        delayLevel: 0,
        originTopic: 'Work',
        maxReconsumeTimes: 16,
      },
    });
    expect(answer.code).toBe(0);
    await clock.settle();
    expect((await messages(client, '%DLQ%readers')).map(({ body }) => body)).toEqual(['hopeless']);
  });

  test('lets segments grow old: what is kept for hours goes at the next hour of deleteWhen', async () => {
    const clock = new VirtualWallClock(new Date(2024, 0, 1, 12));
    const segmentBytes = 1024 * 1024;
    const client = await start({
      clock,
      segmentBytes,
      fileReservedTimeHours: 24,
      deleteWhen: '04',
      // Of the disk of this machine nothing is to be said.
      diskMaxUsedSpaceRatio: 99,
      diskSpaceCleanForciblyRatio: 100,
      diskSpaceWarningLevelRatio: 100,
    });
    const first = async (): Promise<number> => {
      const fields = { topic: 'Old', queueId: 0 };
      const answer = await client.request({ code: 31, fields });
      return Number(answer.extFields.get('offset'));
    };
    const fill = async (): Promise<void> => {
      for (let count = 0; count < 5; count++) await send(client, 'Old', 'x'.repeat(300 * 1024));
    };
    await fill();
    // Still waits when its segment goes, and comes all the same.
    await send(client, 'Later', 'waits', { TIMER_DELAY_SEC: String(60 * 3600) });
    await fill();
    expect(await first()).toBe(0);
    await clock.advanceTo(new Date(2024, 0, 2, 13));
    expect(await first()).toBe(0);
    await clock.advanceTo(new Date(2024, 0, 3, 3, 59, 59));
    expect(await first()).toBe(0);
    await clock.advance('1s');
    const kept = await first();
    expect(kept).toBeGreaterThan(5);
    await clock.advance('2d');
    expect(await bodies(client, 'Later')).toEqual(['waits']);
    expect(await first()).toBe(kept);
  });

  test('may be that of several brokers', async () => {
    const clock = new VirtualWallClock();
    const [one, other] = [await start({ clock }), await start({ clock })];
    await send(one, 'Later', 'one', { DELAY: '5' });
    await send(other, 'Later', 'other', { DELAY: '6' });
    await clock.advance('1m');
    expect([await bodies(one, 'Later'), await bodies(other, 'Later')]).toEqual([['one'], []]);
    await clock.advance('1m');
    expect([await bodies(one, 'Later'), await bodies(other, 'Later')]).toEqual([
      ['one'],
      ['other'],
    ]);
  });

  test('goes on without a broker that was closed', async () => {
    const clock = new VirtualWallClock();
    const broker = await startBroker({ clock });
    await broker.close();
    expect(await clock.advance('1d')).toBe(clock.nowMs());
  });

  test('says what is still pending when something does not settle, and stands there', async () => {
    const clock = new VirtualWallClock(0, { settleTimeoutMs: 100 });
    const client = await start({ clock });
    await send(client, 'Later', 'one', { DELAY: '1' });
    clientActivity.begin();
    try {
      await expect(clock.advance('1m')).rejects.toThrow(
        /1970-01-01T00:00:00.000Z: not settled within 100 ms, still pending: 1 piece\(s\) of work of clients/,
      );
    } finally {
      clientActivity.end();
    }
    expect(clock.nowMs()).toBe(0);
    await clock.advance('1m');
    expect(await bodies(client, 'Later')).toEqual(['one']);
  });

  test('is moved by a client, who is answered when all is done', async () => {
    const clock = new VirtualWallClock(1000);
    const client = await start({ clock });
    await send(client, 'Later', 'one', { DELAY: '18' });
    const answer = await client.request({ code: 28_001, fields: { millis: 7_200_000 } });
    expect([answer.code, answer.extFields.get('wallMs')]).toEqual([0, '7201000']);
    expect(clock.nowMs()).toBe(7_201_000);
    expect(await bodies(client, 'Later')).toEqual(['one']);
    for (const millis of ['-1', 'x', '', '1.5']) {
      const refused = await client.request({ code: 28_001, fields: { millis } });
      expect([millis, refused.code]).toEqual([millis, 1]);
    }
    expect((await client.request({ code: 28_001 })).code).toBe(1);
    expect(clock.nowMs()).toBe(7_201_000);
  });

  test('a broker whose clock goes by itself does not let clients move it', async () => {
    const client = await start({});
    const answer = await client.request({ code: 28_001, fields: { millis: 1 } });
    expect(answer.code).toBe(3);
  });
});
