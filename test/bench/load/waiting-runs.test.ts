/**
 * Goal: the runs of messages that wait count what the broker did, and find what it did wrong. Method: a
 * scripted broker that loses, repeats, hurries and keeps silent where it is told to.
 */
import { describe, expect, it } from 'vitest';
import { type DuePlan, dueMsOf } from '../../../bench/load/due-schedule.ts';
import { defaultOptions, type LoadOptions } from '../../../bench/load/load-options.ts';
import type { LoadResult } from '../../../bench/load/load-result.ts';
import { runLoad } from '../../../bench/load/load-run.ts';
import { type Faults, ScriptedBroker } from './scripted-broker.ts';

async function run(
  options: Partial<LoadOptions>,
  faults: Faults = {},
  broker = new ScriptedBroker(faults),
): Promise<LoadResult> {
  const address = await broker.listen();
  try {
    return await runLoad({
      ...defaultOptions,
      address,
      brokerPid: process.pid,
      connectionCount: 3,
      outstandingCount: 4,
      queueCount: 3,
      threadCount: 2,
      consumerCount: 2,
      messageCount: 301,
      leadSeconds: 2,
      dueSeconds: 0.5,
      warmupSeconds: 0,
      seconds: 1,
      lateSeconds: 1,
      checkWaitSeconds: 5,
      ...options,
    });
  } finally {
    broker.close();
  }
}

/** Marks about the broker, not about the machine. */
function faultsOf(result: LoadResult): string[] {
  const others = new Set(['disturbed', 'stolen', 'generator-limited', 'generator-late']);
  return result.marks.filter((mark) => !others.has(mark));
}

describe('due schedule', () => {
  const plan: DuePlan = { fromMs: 1000, spanMs: 10_000, order: 'even', messageCount: 1000 };

  it.each(['even', 'random'] as const)('fills its span and nothing beside (%s)', (order) => {
    const times = Array.from({ length: 1000 }, (_, number) => dueMsOf({ ...plan, order }, number));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(1000);
    expect(Math.max(...times)).toBeLessThan(11_000);
    const tenths = times.map((ms) => Math.floor((ms - 1000) / 1000));
    for (let tenth = 0; tenth < 10; tenth++)
      expect(tenths.filter((each) => each === tenth).length).toBeGreaterThan(70);
    expect(times).not.toEqual([...times].sort((left, right) => left - right));
  });

  it('spreads any stretch of an even one evenly', () => {
    const stretch = Array.from({ length: 100 }, (_, index) => dueMsOf(plan, 400 + index));
    for (let tenth = 0; tenth < 10; tenth++) {
      const count = stretch.filter((ms) => Math.floor((ms - 1000) / 1000) === tenth).length;
      expect(count).toBeGreaterThanOrEqual(8);
      expect(count).toBeLessThanOrEqual(12);
    }
  });
});

describe('timed messages', () => {
  it('are all received, none early', async () => {
    const result = await run({ mode: 'timed' });
    expect(faultsOf(result)).toEqual([]);
    expect(result.messageCount).toBe(301);
    expect(result.timed).toMatchObject({ earlyCount: 0, duplicateCount: 0 });
    expect(result.timed?.lateness?.count).toBe(301);
    expect(result.memory?.peakRssBytes).toBeGreaterThan(result.memory?.peakRssAnonBytes ?? 0);
  });

  it('that come early, twice or not at all are counted', async () => {
    const result = await run(
      { mode: 'timed', codec: 'rocketmq' },
      {
        earlyMs: (number) => (number < 7 ? 150 : 0),
        isTwice: (number) => number % 100 === 0,
        isLost: (number) => number === 205,
      },
    );
    expect(faultsOf(result)).toEqual(['lost', 'early', 'duplicates']);
    expect(result.timed).toMatchObject({ earlyCount: 7, duplicateCount: 4 });
    expect(result.timed?.earliestMs).toBeGreaterThan(100);
    expect(result.timed?.earliestMs).toBeLessThanOrEqual(150);
    expect(result.timed?.lateness?.count).toBe(300);
    expect(result.lostCount).toBe(1);
  });

  it('that are due before the last is sent make a mark', async () => {
    const result = await run({ mode: 'timed', leadSeconds: -1, lateSeconds: 10 });
    expect(faultsOf(result)).toEqual(['fill-overran']);
  });
});

describe('transactions', () => {
  const transactions: Partial<LoadOptions> = {
    mode: 'transactions',
    connectionCount: 1,
    outstandingCount: 12,
  };

  it.each(['json', 'rocketmq'] as const)('are ended as they were meant (%s)', async (codec) => {
    const broker = new ScriptedBroker({});
    const result = await run({ ...transactions, codec }, {}, broker);
    expect(faultsOf(result)).toEqual([]);
    const { unknownCount, checkedCount, expectedCount, readableCount, latency } =
      result.transactions ?? {};
    expect(result.messageCount).toBeGreaterThan(100);
    expect(unknownCount).toBeGreaterThan(0);
    expect(checkedCount).toBe(unknownCount);
    expect(readableCount).toBe(expectedCount);
    expect(Math.abs(broker.rolledBackCount - (unknownCount ?? 0))).toBeLessThan(2);
    expect(expectedCount).toBeGreaterThan(50 * (unknownCount ?? 0));
    expect(latency?.p50Ms).toBeGreaterThan(result.sendLatency?.p50Ms ?? Infinity);
  });

  it('that can not be read, or are not asked for, make marks', async () => {
    const result = await run(
      { ...transactions, checkWaitSeconds: 1 },
      { isLost: (number) => number === 3, isSilent: true },
    );
    expect(faultsOf(result)).toEqual(['lost', 'not-asked']);
    expect(result.lostCount).toBe(1);
    expect(result.transactions?.checkedCount).toBe(0);
  });
});

describe('messages that wait for days', () => {
  it('are sent and left', async () => {
    const result = await run({ mode: 'waiting' });
    expect(faultsOf(result)).toEqual([]);
    expect(result.messageCount).toBe(301);
    expect(result.timed).toBeNull();
  });
});
