/**
 * Delivers from schedule queues held in memory. The property test drives random stores, waits,
 * back-pressure and restarts, and holds the deliveries against the three promises: at least once,
 * never early, in order.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import {
  DelayDelivery,
  type DelayQueueReader,
  type DelayUnit,
} from '../../src/broker/delay-delivery.ts';
import { DelayLevels, interceptDelay } from '../../src/broker/delay-level.ts';
import { decodeProperties, encodeProperties } from '../../src/protocol/message-properties.ts';
import { RecordKind, RecordView, SysFlag } from '../../src/protocol/message-record.ts';
import {
  encodeHost,
  encodeRecord,
  fieldsOf,
  type RecordDraft,
  type RecordFields,
} from '../../src/protocol/record-encoder.ts';

const levels = new DelayLevels('1s 5s 10s');
const topicIds = new Map([
  ['T', 7],
  ['%RETRY%g', 8],
  ['RMQ_SYS_TRANS_HALF_TOPIC', 9],
]);

interface StoredUnit extends DelayUnit {
  record: Buffer | null;
}

class MemoryQueues implements DelayQueueReader {
  readonly units: StoredUnit[][] = [[], [], []];
  readonly minOffsets = [0, 0, 0];

  minOffset(queueId: number): number {
    return this.minOffsets[queueId];
  }

  maxOffset(queueId: number): number {
    return this.units[queueId]?.length ?? 0;
  }

  read(queueId: number, offset: number, into: DelayUnit): boolean {
    const unit = this.units[queueId]?.[offset];
    if (unit === undefined || offset < this.minOffset(queueId)) return false;
    into.physicalOffset = unit.physicalOffset;
    into.bytes = unit.bytes;
    into.dueMs = unit.dueMs;
    return true;
  }

  record(physicalOffset: number): Buffer | null {
    for (const units of this.units) {
      for (const unit of units) if (unit.physicalOffset === physicalOffset) return unit.record;
    }
    return null;
  }

  /** Stores a delayed message as the broker does. */
  store(
    level: number,
    name: string,
    nowMs: number,
    changes: Partial<RecordFields> & { topic?: string } = {},
  ): void {
    const properties = new Map([
      ['DELAY', String(level)],
      ['NAME', name],
    ]);
    const real = { topic: changes.topic ?? 'T', queueId: 5 };
    const destination = interceptDelay(real, properties, levels);
    const record = encodeRecord({
      flag: 3,
      sysFlag: 0,
      bornTimestampMs: 11,
      bornHost: encodeHost('10.0.0.1', 1),
      storeHost: encodeHost('10.0.0.2', 2),
      reconsumeTimes: 4,
      preparedTransactionOffset: 0,
      body: Buffer.from(name),
      properties: Buffer.from(encodeProperties(properties)),
      ...changes,
      ...destination,
    });
    const physicalOffset = 1 + this.units.flat().length;
    this.units[destination.queueId]?.push({
      physicalOffset,
      bytes: record.length,
      dueMs: levels.dueMs(level, nowMs),
      record,
    });
  }
}

function open(queues: MemoryQueues, clock: ManualClock, stored?: string) {
  const drafts: RecordDraft[] = [];
  const room = { count: Infinity };
  const delivery = new DelayDelivery({
    levels,
    wallClock: clock,
    queues,
    topicIdOf: (topic) => topicIds.get(topic),
    append: (draft) => {
      if (room.count <= 0) return false;
      room.count--;
      drafts.push(draft);
      return true;
    },
    logger: silentLogger,
  });
  if (stored !== undefined) delivery.load(stored);
  const names = (): string[] => drafts.map((draft) => partsOf(draft).body);
  return { delivery, drafts, room, names };
}

function partsOf(draft: RecordDraft) {
  const view = new RecordView();
  expect(view.read(draft.record, 0, draft.record.length, true)).toBe(RecordKind.MESSAGE);
  const fields = fieldsOf(view);
  return {
    fields,
    body: Buffer.from(fields.body).toString(),
    properties: Buffer.from(fields.properties).toString(),
  };
}

describe('delivery of delayed messages', () => {
  it('stores a due message on its real topic and queue, everything else unchanged', () => {
    const clock = new ManualClock(1_000);
    const queues = new MemoryQueues();
    queues.store(2, 'm', clock.nowMs(), {
      sysFlag: SysFlag.COMPRESSED | SysFlag.TRANSACTION_COMMIT,
    });
    const { delivery, drafts } = open(queues, clock);
    delivery.doWork();
    clock.advance(4_999);
    expect(delivery.doWork()).toBe(0);
    expect(delivery.nextDueMs()).toBe(6_000);
    clock.advance(1);
    expect(delivery.doWork()).toBe(1);
    const draft = drafts[0];
    expect(draft).toMatchObject({ topicId: 7, queueId: 5 });
    const { fields, properties } = partsOf(draft);
    expect(fields).toMatchObject({
      topic: 'T',
      queueId: 5,
      flag: 3,
      bornTimestampMs: 11,
      reconsumeTimes: 4,
      sysFlag: SysFlag.COMPRESSED | SysFlag.TRANSACTION_COMMIT,
    });
    expect(Buffer.from(fields.bornHost)).toEqual(encodeHost('10.0.0.1', 1));
    // DELAY and REAL_* stay visible to the consumer.
    expect(Object.fromEntries(decodeProperties(properties))).toEqual({
      DELAY: '2',
      NAME: 'm',
      REAL_TOPIC: 'T',
      REAL_QID: '5',
    });
    expect(delivery.doWork()).toBe(0);
    expect(delivery.nextDueMs()).toBe(Infinity);
  });

  it('does not let one level wait for another', () => {
    const clock = new ManualClock(0);
    const queues = new MemoryQueues();
    queues.store(3, 'slow', 0);
    queues.store(1, 'quick', 0);
    const { delivery, names } = open(queues, clock);
    delivery.doWork();
    expect(delivery.nextDueMs()).toBe(1_000);
    clock.advance(1_000);
    delivery.doWork();
    expect(names()).toEqual(['quick']);
    expect(delivery.nextDueMs()).toBe(10_000);
  });

  it('keeps a message for which there is no room, and the order behind it', () => {
    const clock = new ManualClock(0);
    const queues = new MemoryQueues();
    for (const name of ['a', 'b', 'c']) queues.store(1, name, 0);
    clock.advance(1_000);
    const { delivery, room, names } = open(queues, clock);
    room.count = 1;
    expect(delivery.doWork()).toBe(1);
    expect(delivery.doWork()).toBe(0);
    expect(delivery.nextDueMs()).toBeLessThanOrEqual(clock.nowMs());
    room.count = Infinity;
    delivery.doWork();
    expect(names()).toEqual(['a', 'b', 'c']);
  });

  it('handles a bounded number a turn', () => {
    const clock = new ManualClock(0);
    const queues = new MemoryQueues();
    for (let index = 0; index < 600; index++) queues.store(1 + (index % 3), String(index), 0);
    clock.advance(10_000);
    const { delivery, names } = open(queues, clock);
    const turns = [delivery.doWork(), delivery.doWork(), delivery.doWork(), delivery.doWork()];
    expect(turns).toEqual([256, 256, 88, 0]);
    expect(new Set(names()).size).toBe(600);
  });

  it('skips what has expired, has no topic any more, or may not be delivered', () => {
    const clock = new ManualClock(0);
    const queues = new MemoryQueues();
    queues.store(1, 'expired', 0);
    queues.store(1, 'deleted', 0, { topic: 'Deleted' });
    queues.store(1, 'half', 0, { topic: 'RMQ_SYS_TRANS_HALF_TOPIC' });
    queues.store(1, 'good', 0);
    const [expired] = queues.units[0] as [StoredUnit];
    expired.record = null;
    clock.advance(1_000);
    const { delivery, names } = open(queues, clock);
    delivery.doWork();
    expect(names()).toEqual(['good']);
  });

  it('starts at the oldest message that a queue still has', () => {
    const clock = new ManualClock(0);
    const queues = new MemoryQueues();
    for (const name of ['a', 'b', 'c']) queues.store(1, name, 0);
    queues.minOffsets[0] = 2;
    clock.advance(1_000);
    const { delivery, names } = open(queues, clock);
    delivery.doWork();
    expect(names()).toEqual(['c']);
  });

  it('stands at the end of its queue when the file says more', () => {
    const clock = new ManualClock(0);
    const queues = new MemoryQueues();
    queues.store(1, 'a', 0);
    const { delivery, names } = open(queues, clock, '{"offsetTable":{1:9}}');
    delivery.doWork();
    queues.store(1, 'b', 0);
    clock.advance(1_000);
    delivery.doWork();
    expect(names()).toEqual(['b']);
  });
});

describe('a clock that cuts its time to the millisecond', () => {
  it('makes a message wait from the end of the one that it was stored in', () => {
    const clock = new ManualClock(1_000_000, 1);
    const queues = new MemoryQueues();
    queues.store(2, 'a', 1_000_000);
    const { delivery, names } = open(queues, clock);
    clock.advance(5_000);
    delivery.doWork();
    expect([names(), delivery.nextDueMs()]).toEqual([[], 1_005_001]);
    clock.advance(1);
    delivery.doWork();
    expect(names()).toEqual(['a']);
  });
});

describe('a clock that is set back', () => {
  it('makes a message wait for its delay once more at the most, and never less', () => {
    const clock = new ManualClock(1_000_000);
    const queues = new MemoryQueues();
    queues.store(2, 'a', 1_000_000);
    queues.store(2, 'b', 1_001_000);
    clock.advance(-900_000);
    queues.store(2, 'c', clock.nowMs());
    const { delivery, names } = open(queues, clock);
    delivery.doWork();
    clock.advance(4_999);
    delivery.doWork();
    expect(names()).toEqual([]);
    clock.advance(1);
    delivery.doWork();
    expect(names()).toEqual(['a']);
    clock.advance(1_000);
    delivery.doWork();
    expect(names()).toEqual(['a', 'b', 'c']);
  });
});

describe('delayOffset.json', () => {
  it('holds confirmed positions only, in the form of RocketMQ', () => {
    const clock = new ManualClock(0);
    const queues = new MemoryQueues();
    queues.store(1, 'a', 0);
    clock.advance(1_000);
    const { delivery } = open(queues, clock);
    delivery.doWork();
    const before = JSON.parse(delivery.store()) as { offsetTable: unknown };
    expect(before.offsetTable).toEqual({ 1: 0, 2: 0, 3: 0 });
    const mark = delivery.takeMark();
    queues.store(1, 'b', 0);
    delivery.doWork();
    delivery.confirm(mark);
    expect(JSON.parse(delivery.store())).toMatchObject({
      dataVersion: { counter: 2 },
      offsetTable: { 1: 1, 2: 0, 3: 0 },
    });
    expect([...delivery.progress()][0]).toEqual({ level: 1, position: 2, maxOffset: 2 });
  });

  it('lets every message be delivered, never early and in order, through waits, crashes and full rings', () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('store'), level: fc.integer({ min: 1, max: 3 }) }),
      },
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('wait'), ms: fc.integer({ min: 1, max: 4_000 }) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash') }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('room'), count: fc.integer({ min: 0, max: 3 }) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('save') }) },
    ) as fc.Arbitrary<{ kind: string; level?: number; ms?: number; count?: number }>;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const clock = new ManualClock(0);
        const queues = new MemoryQueues();
        const due = new Map<string, number>();
        const storedNames: string[][] = [[], [], []];
        const runs: string[][] = [[]];
        let file: string | undefined;
        let now = open(queues, clock);
        const work = (): void => {
          const before = now.drafts.length;
          now.delivery.doWork();
          for (const name of now.names().slice(before)) {
            expect(clock.nowMs()).toBeGreaterThanOrEqual(due.get(name) as number);
            runs.at(-1)?.push(name);
          }
        };
        for (const { kind, level = 1, ms = 0, count = 0 } of steps) {
          if (kind === 'wait') clock.advance(ms);
          if (kind === 'room') now.room.count = count;
          if (kind === 'store') {
            const name = `${level}-${due.size}`;
            due.set(name, levels.dueMs(level, clock.nowMs()));
            storedNames[level - 1]?.push(name);
            queues.store(level, name, clock.nowMs());
          }
          if (kind === 'save') {
            now.delivery.confirm(now.delivery.takeMark());
            file = now.delivery.store();
          }
          if (kind === 'crash') {
            now = open(queues, clock, file);
            runs.push([]);
          }
          work();
        }
        now.room.count = Infinity;
        clock.advance(10_000);
        work();
        const all = new Set(runs.flat());
        expect([...due.keys()].filter((name) => !all.has(name))).toEqual([]);
        for (const run of runs) {
          for (const names of storedNames) {
            const delivered = run.filter((name) => names.includes(name));
            const places = delivered.map((name) => names.indexOf(name));
            expect(places).toEqual([...new Set(places)].sort((left, right) => left - right));
          }
        }
      }),
    );
  });
});
