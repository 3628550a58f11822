import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import type { ConsumeQueue } from '../../src/store/consume-queue.ts';
import { ConsumeQueueUnits, UNIT_BYTES } from '../../src/store/consume-queue-units.ts';
import { ConsumeQueueStore } from '../../src/store/consume-queue-store.ts';
import {
  type DerivedFilesHarness,
  makeHarness,
  makeListeningLogger,
} from './derived-files-harness.ts';

/** Small files, so that queues have several: 50 units each. */
const FILE_UNITS = 50;
const FILE_BYTES = FILE_UNITS * UNIT_BYTES;
const RECORD_BYTES = 100;
const GAP_RECORD_BYTES = 0x7fff_ffff;

const physicalOf = (queueOffset: number): number => 1_000_000 + queueOffset * RECORD_BYTES;

function openStore(
  harness: DerivedFilesHarness,
  logger = makeListeningLogger(),
): ConsumeQueueStore {
  const directory = path.join(harness.root, 'consumequeue');
  const store = new ConsumeQueueStore({
    files: harness.files,
    directory,
    deletedTopics: harness.deletedTopics,
    logger,
    fileBytes: FILE_BYTES,
  });
  store.load();
  return store;
}

function fill(queue: ConsumeQueue, from: number, to: number): void {
  for (let offset = from; offset < to; offset++)
    queue.append(offset, physicalOf(offset), RECORD_BYTES, -1, offset);
}

/** Gives the memory of all queues back, so that reads go to the files. */
function forgetMemory(store: ConsumeQueueStore): void {
  store.writePending();
  store.writePending();
}

function readAll(
  queue: ConsumeQueue,
): { offset: number; physical: number; bytes: number; tag: number }[] {
  const units = new ConsumeQueueUnits(32);
  const found = [];
  let offset = queue.minOffset;
  for (let count = 1; count > 0; offset += count) {
    count = queue.read(offset, 32, units);
    for (let index = 0; index < count; index++) {
      found.push({
        offset: offset + index,
        physical: units.physicalOffset[index],
        bytes: units.bytes[index],
        tag: units.tagsLow[index],
      });
    }
  }
  return found;
}

const expected = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => ({
    offset: from + index,
    physical: physicalOf(from + index),
    bytes: RECORD_BYTES,
    tag: from + index,
  }));

const fileOf = (harness: DerivedFilesHarness, index: number): string =>
  path.join(
    harness.root,
    'consumequeue',
    'topic',
    '0',
    String(index * FILE_BYTES).padStart(20, '0'),
  );

/** A unit as RocketMQ stores it. */
function unitBytes(physicalOffset: bigint, recordBytes: number, tagsCode: bigint): Buffer {
  const bytes = Buffer.alloc(UNIT_BYTES);
  bytes.writeBigInt64BE(physicalOffset, 0);
  bytes.writeInt32BE(recordBytes, 8);
  bytes.writeBigInt64BE(tagsCode, 12);
  return bytes;
}

describe('consume queue', () => {
  it("stores units in RocketMQ's form, in sparse files of the whole size", () => {
    using harness = makeHarness();
    const store = openStore(harness);
    store.getOrCreate('topic', 0).append(0, 2 ** 40 + 5, 321, -1, -2);
    store.getOrCreate('topic', 0).append(1, 2 ** 40 + 326, 7, 0x12, 0x3456_789a);
    store.writePending();
    const bytes = fs.readFileSync(fileOf(harness, 0));
    expect(bytes.length).toBe(FILE_BYTES);
    expect(bytes.subarray(0, UNIT_BYTES)).toEqual(unitBytes(2n ** 40n + 5n, 321, -2n));
    expect(bytes.subarray(UNIT_BYTES, 2 * UNIT_BYTES)).toEqual(
      unitBytes(2n ** 40n + 326n, 7, 0x12_3456_789an),
    );
    expect(bytes.subarray(2 * UNIT_BYTES).every((byte) => byte === 0)).toBe(true);
    store.close();
  });

  it('reads newest units without a disk, and older ones with one read a call', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 40);
    const units = new ConsumeQueueUnits(32);
    expect(queue.read(8, 32, units)).toBe(32);
    expect([...units.tagsLow]).toEqual(Array.from({ length: 32 }, (_, index) => index + 8));
    expect(harness.counts.reads).toBe(0);
    store.writePending();
    queue.read(8, 32, units);
    expect(harness.counts.reads).toBe(0);
    forgetMemory(store);
    expect(queue.read(8, 32, units)).toBe(32);
    expect(harness.counts.reads).toBe(1);
    expect(units.tagsLow[31]).toBe(39);
    store.close();
  });

  it('ends a read at the end of a file and goes on in the next', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 120);
    forgetMemory(store);
    const units = new ConsumeQueueUnits(32);
    expect(queue.read(45, 32, units)).toBe(5);
    expect(queue.read(50, 32, units)).toBe(32);
    expect(readAll(queue)).toEqual(expected(0, 120));
    store.close();
  });

  it('joins units of the file and of memory in one read', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 20);
    forgetMemory(store);
    fill(queue, 20, 30);
    const units = new ConsumeQueueUnits(32);
    expect(queue.read(10, 32, units)).toBe(20);
    expect([...units.tagsLow.subarray(0, 20)]).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 10),
    );
    store.close();
  });

  it('reads no unit again that was cut, or was of a queue that is deleted', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    const units = new ConsumeQueueUnits(32);
    const readTags = (of: ConsumeQueue): number[] => {
      forgetMemory(store);
      return [...units.tagsLow.subarray(0, of.read(0, 32, units))];
    };
    fill(queue, 0, 4);
    expect(readTags(queue)).toEqual([0, 1, 2, 3]);
    store.truncateTo(physicalOf(2));
    for (const tag of [70, 71]) queue.append(queue.maxOffset, physicalOf(tag), 1, 0, tag);
    expect(readTags(queue)).toEqual([0, 1, 70, 71]);
    store.deleteTopic('topic');
    const other = store.getOrCreate('other', 0);
    expect(other.place).toBe(queue.place);
    for (const tag of [80, 81]) other.append(other.maxOffset, physicalOf(tag), 1, 0, tag);
    expect(readTags(other)).toEqual([80, 81]);
    store.close();
  });

  it('reads nothing outside of its bounds', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    const units = new ConsumeQueueUnits(32);
    expect(queue.read(0, 32, units)).toBe(0);
    fill(queue, 0, 10);
    for (const offset of [-1, 10, 11, 2 ** 53, NaN]) expect(queue.read(offset, 32, units)).toBe(0);
    store.close();
  });

  it('begins again with a later record of offset 0: its topic was deleted and made anew', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    const perFile = FILE_BYTES / UNIT_BYTES;
    fill(queue, 0, perFile * 2 + 3);
    forgetMemory(store);
    // Its first file has gone, and what comes is not on file.
    store.expireBelow(physicalOf(perFile + 1));
    fill(queue, perFile * 2 + 3, perFile * 2 + 5);
    expect(queue.minOffset).toBe(perFile + 1);
    // One that is there already, and one that is neither.
    queue.append(0, physicalOf(0), RECORD_BYTES, -1, 0);
    queue.append(2, physicalOf(perFile * 3), RECORD_BYTES, -1, 2);
    expect(queue.maxOffset).toBe(perFile * 2 + 5);
    expect(store.mismatchCount).toBe(1);
    const again = [0, 1, 2].map((offset) => ({
      offset,
      physical: physicalOf(perFile * 4 + offset),
      bytes: RECORD_BYTES,
      tag: 900 + offset,
    }));
    for (const { offset, physical, bytes, tag } of again)
      queue.append(offset, physical, bytes, -1, tag);
    expect(store.mismatchCount).toBe(2);
    expect([queue.minOffset, queue.maxOffset]).toEqual([0, 3]);
    expect(readAll(queue)).toEqual(again);
    forgetMemory(store);
    expect(readAll(queue)).toEqual(again);
    store.close();
    const reopened = openStore(harness);
    expect(readAll(reopened.getOrCreate('topic', 0))).toEqual(again);
    reopened.close();
  });

  it('ignores units that are there already', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 10);
    queue.append(4, 77, 1, 0, 0);
    fill(queue, 9, 12);
    expect(readAll(queue)).toEqual(expected(0, 12));
    store.close();
  });

  it("starts inside the file of its first offset, behind RocketMQ's gap units", () => {
    using harness = makeHarness();
    let store = openStore(harness);
    let queue = store.getOrCreate('topic', 0);
    fill(queue, 120, 123);
    expect([queue.minOffset, queue.maxOffset]).toEqual([120, 123]);
    store.writePending();
    expect(fs.readdirSync(path.dirname(fileOf(harness, 2)))).toEqual([
      path.basename(fileOf(harness, 2)),
    ]);
    const bytes = fs.readFileSync(fileOf(harness, 2));
    for (let index = 0; index < 20; index++) {
      expect(bytes.subarray(index * UNIT_BYTES, (index + 1) * UNIT_BYTES)).toEqual(
        unitBytes(0n, GAP_RECORD_BYTES, 0n),
      );
    }
    store.close();
    store = openStore(harness);
    queue = store.queue('topic', 0) as ConsumeQueue;
    expect([queue.minOffset, queue.maxOffset]).toEqual([120, 123]);
    expect(readAll(queue)).toEqual(expected(120, 123));
    store.close();
  });

  it('reads missing messages inside a queue as units without bytes, also after a restart', () => {
    using harness = makeHarness();
    const logger = makeListeningLogger();
    let store = openStore(harness, logger);
    let queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 5);
    fill(queue, 70, 75);
    expect(logger.messages).toEqual(['messages of a queue are missing from the log']);
    const gap = { physical: physicalOf(70), bytes: 0, tag: 0 };
    const holes = Array.from({ length: 65 }, (_, index) => ({ offset: 5 + index, ...gap }));
    const all = [...expected(0, 5), ...holes, ...expected(70, 75)];
    expect(readAll(queue)).toEqual(all);
    store.writePending();
    store.close();
    store = openStore(harness);
    queue = store.queue('topic', 0) as ConsumeQueue;
    expect([queue.minOffset, queue.maxOffset]).toEqual([0, 75]);
    expect(readAll(queue)).toEqual(all);
    store.truncateTo(physicalOf(3));
    expect(queue.maxOffset).toBe(3);
    store.close();
  });

  it('leaves a record out whose queue offset is far beyond the end', () => {
    using harness = makeHarness();
    const logger = makeListeningLogger();
    const store = openStore(harness, logger);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 5);
    queue.append(2 ** 50, physicalOf(5), RECORD_BYTES, 0, 0);
    fill(queue, 5, 8);
    expect(readAll(queue)).toEqual(expected(0, 8));
    expect(logger.messages).toHaveLength(1);
    store.close();
  });

  it('keeps units in memory while the disk is full, and writes them when it is not', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    harness.isFull = true;
    // More than a buffer that would be written out before it grows.
    fill(queue, 0, 10_000);
    expect(() => store.writePending()).toThrow(/full/);
    expect(readAll(queue)).toEqual(expected(0, 10_000));
    harness.isFull = false;
    expect(store.writePending()).toBe(10_000 * UNIT_BYTES);
    expect(store.writePending()).toBe(0);
    forgetMemory(store);
    expect(readAll(queue)).toEqual(expected(0, 10_000));
    store.close();
  });

  it('goes on where a file was deleted from outside', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 120);
    forgetMemory(store);
    store.close();
    fs.rmSync(fileOf(harness, 1));
    const logger = makeListeningLogger();
    const reopened = openStore(harness, logger);
    expect(logger.messages).toEqual([
      'a file of this queue is missing: its messages are not found',
    ]);
    const units = readAll(reopened.queue('topic', 0) as ConsumeQueue);
    expect(units.filter((unit) => unit.bytes > 0)).toEqual([
      ...expected(0, 50),
      ...expected(100, 120),
    ]);
    expect(units).toHaveLength(120);
    reopened.close();
  });

  it('finds the end and the beginning by any mix of appends, writes, truncations and restarts', () => {
    const operation = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 130 }) }),
      // More than one gives memory back, so that reads go to the files.
      fc.record({ kind: fc.constant('write' as const), count: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('restart' as const), count: fc.constant(1) }),
      fc.record({ kind: fc.constant('truncate' as const), count: fc.integer({ min: 0, max: 60 }) }),
      fc.record({ kind: fc.constant('expire' as const), count: fc.integer({ min: 0, max: 90 }) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 25 }), (operations) => {
        using harness = makeHarness();
        let store = openStore(harness);
        let queue = store.getOrCreate('topic', 0);
        let [minimum, end] = [0, 0];
        // Each unit is another one, also where one was cut before.
        const tags: number[] = [];
        let tag = 0;
        for (const { kind, count } of operations) {
          if (kind === 'append') {
            for (const to = end + count; end < to; end++) {
              tags[end] = tag++;
              queue.append(end, physicalOf(end), RECORD_BYTES, -1, tags[end]);
            }
          } else if (kind === 'truncate') {
            end = Math.max(minimum, end - count);
            store.truncateTo(physicalOf(end), count % 2 === 0);
          } else if (kind === 'expire') {
            minimum = Math.min(end, minimum + count);
            store.expireBelow(physicalOf(minimum));
          } else {
            for (let times = 0; times < count; times++) store.writePending();
            if (kind === 'restart') {
              store.close();
              store = openStore(harness);
              store.expireBelow(physicalOf(minimum));
              queue = store.getOrCreate('topic', 0);
            }
          }
          expect([queue.minOffset, queue.maxOffset]).toEqual([minimum, end]);
          const found = readAll(queue);
          expect(found.map(({ physical }) => physical)).toEqual(
            expected(minimum, end).map(({ physical }) => physical),
          );
          expect(found.map((unit) => unit.tag)).toEqual(tags.slice(minimum, end));
        }
        store.close();
      }),
      { numRuns: 200 },
    );
  });
});

describe('offset by time', () => {
  /** Messages at 1000, 1000, 2000, 2000, 3000 … */
  const timeOf = (physicalOffset: number): number =>
    (Math.floor((physicalOffset - physicalOf(0)) / RECORD_BYTES / 2) + 1) * 1000;

  it.each([
    ['LOWER', 2000, 2],
    ['UPPER', 2000, 3],
    ['LOWER', 2500, 4],
    ['UPPER', 2500, 3],
    ['LOWER', 0, 0],
    ['UPPER', 0, 0],
    ['LOWER', 99_000, 10],
    ['UPPER', 99_000, 9],
  ] as const)('%s of %i is %i', (boundary, timestampMs, offset) => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    fill(queue, 0, 10);
    expect(queue.offsetByTime(timestampMs, boundary, timeOf)).toBe(offset);
    forgetMemory(store);
    expect(queue.offsetByTime(timestampMs, boundary, timeOf)).toBe(offset);
    store.close();
  });

  it('is the end of an empty queue', () => {
    using harness = makeHarness();
    const store = openStore(harness);
    const queue = store.getOrCreate('topic', 0);
    expect(queue.offsetByTime(1, 'LOWER', timeOf)).toBe(0);
    fill(queue, 0, 4);
    store.expireBelow(physicalOf(4));
    expect(queue.offsetByTime(1, 'LOWER', timeOf)).toBe(4);
    expect(queue.offsetByTime(1, 'UPPER', timeOf)).toBe(4);
    expect(queue.storeTimestampAt(3, timeOf)).toBe(-1);
    store.close();
  });

  it('agrees with a plain search over all messages, gaps included', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ stepMs: fc.nat(3), isMissing: fc.boolean() }), {
          minLength: 1,
          maxLength: 130,
        }),
        fc.integer({ min: -2, max: 250 }),
        (messages, timestampMs) => {
          using harness = makeHarness();
          const directory = path.join(harness.root, 'consumequeue');
          const store = new ConsumeQueueStore({
            files: harness.files,
            directory,
            deletedTopics: harness.deletedTopics,
            logger: silentLogger,
            fileBytes: FILE_BYTES,
          });
          const queue = store.getOrCreate('topic', 0);
          let nowMs = 0;
          const times = new Map<number, number>();
          messages.forEach(({ stepMs, isMissing }, offset) => {
            nowMs += stepMs;
            const isLast = offset === messages.length - 1;
            if (isMissing && offset > 0 && !isLast) return;
            queue.append(offset, physicalOf(offset), RECORD_BYTES, 0, 0);
            times.set(physicalOf(offset), nowMs);
          });
          forgetMemory(store);
          const timeAt = (physicalOffset: number): number => times.get(physicalOffset) ?? -1;
          const offsets = [...times.keys()].map(
            (physical) => (physical - physicalOf(0)) / RECORD_BYTES,
          );
          const lower = queue.offsetByTime(timestampMs, 'LOWER', timeAt);
          // A gap in front of the wanted message may be the answer: the next message that is read is the same.
          const firstWanted =
            offsets.find((offset) => timeAt(physicalOf(offset)) >= timestampMs) ?? messages.length;
          expect(offsets.find((offset) => offset >= lower) ?? messages.length).toBe(firstWanted);
          store.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});
