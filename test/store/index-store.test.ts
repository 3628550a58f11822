/**
 * Goal: the index finds exactly what was put, in RocketMQ's form on disk, through restarts, crashes at
 * any write, full disks, and files that another broker wrote.
 * Method: small tables, so that slots collide, files roll and chains are long; a crash is a copy of the
 * directory, or a store that is left without `close`.
 */
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { indexKeyHash } from '../../src/protocol/java-string-hash.ts';
import type { StoreFiles } from '../../src/store/segment.ts';
import { IndexStore } from '../../src/store/index-store.ts';
import {
  type DerivedFilesHarness,
  makeHarness,
  makeListeningLogger,
} from './derived-files-harness.ts';

const SLOT_COUNT = 97;
const ENTRY_COUNT_MAX = 1000;
const HEADER_BYTES = 40;
const ENTRIES_AT = HEADER_BYTES + SLOT_COUNT * 4;
const START_MS = 1_700_000_000_000;
const EVER = [0, Number.MAX_SAFE_INTEGER] as const;

interface OpenOptions {
  loadFrom?: number;
  entryCountMax?: number;
  slotCount?: number;
  clock?: ManualClock;
  logger?: ReturnType<typeof makeListeningLogger>;
}

function openIndex(harness: DerivedFilesHarness, options: OpenOptions = {}): IndexStore {
  const index = new IndexStore({
    files: harness.files,
    directory: path.join(harness.root, 'index'),
    logger: options.logger ?? makeListeningLogger(),
    wallClock: options.clock ?? new ManualClock(START_MS),
    slotCount: options.slotCount ?? SLOT_COUNT,
    entryCountMax: options.entryCountMax ?? ENTRY_COUNT_MAX,
  });
  index.load(options.loadFrom ?? Number.MAX_SAFE_INTEGER);
  return index;
}

const indexNames = (harness: DerivedFilesHarness): string[] =>
  fs.readdirSync(path.join(harness.root, 'index')).sort();
const indexFile = (harness: DerivedFilesHarness, at = 0): string =>
  path.join(harness.root, 'index', indexNames(harness)[at]);

/** What Apache's IndexFile.selectPhyOffset finds: a walk over the stored bytes alone. */
function queryAsApache(bytes: Buffer, hash: number, beginMs: number, endMs: number): number[] {
  const found: number[] = [];
  const keyHash = indexKeyHash(hash);
  const indexCount = bytes.readInt32BE(36);
  const beginTimestamp = Number(bytes.readBigInt64BE(0));
  let number = bytes.readInt32BE(HEADER_BYTES + (keyHash % SLOT_COUNT) * 4);
  if (number <= 0 || number > indexCount || indexCount <= 1) return found;
  for (;;) {
    const at = ENTRIES_AT + number * 20;
    const timeMs = beginTimestamp + bytes.readInt32BE(at + 12) * 1000;
    const previous = bytes.readInt32BE(at + 16);
    if (bytes.readInt32BE(at) === keyHash && timeMs >= beginMs && timeMs <= endMs) {
      found.push(Number(bytes.readBigInt64BE(at + 4)));
    }
    if (previous <= 0 || previous > indexCount || previous === number || timeMs < beginMs)
      return found;
    number = previous;
  }
}

/** Adds `count` entries with a hash each of its own; message n is at n · 100. */
function putMessages(index: IndexStore, from: number, count: number): void {
  for (let n = from; n < from + count; n++) index.put(hashOf(n), n * 100, START_MS + n);
}
const hashOf = (n: number): number => Math.imul(n, 0x9e37_79b1) | 0;

function expectFound(index: IndexStore, from: number, to: number): void {
  for (let n = from; n < to; n++) expect(index.query(hashOf(n), ...EVER, 10)).toEqual([n * 100]);
}

describe('index store', () => {
  it('finds places by key, newest first, up to a count', () => {
    using harness = makeHarness();
    const index = openIndex(harness);
    for (let n = 1; n <= 5; n++) index.put(42, n * 100, START_MS + n);
    index.put(43, 600, START_MS + 6);
    expect(index.query(42, ...EVER, 10)).toEqual([500, 400, 300, 200, 100]);
    expect(index.query(42, ...EVER, 2)).toEqual([500, 400]);
    expect(index.query(44, ...EVER, 10)).toEqual([]);
    index.close();
  });

  it('keeps hashes that share a slot apart, and takes negative ones by their absolute value', () => {
    using harness = makeHarness();
    const index = openIndex(harness);
    index.put(5, 100, START_MS);
    index.put(5 + SLOT_COUNT, 200, START_MS);
    index.put(-5, 300, START_MS);
    index.put(-(2 ** 31), 400, START_MS);
    expect(index.query(5, ...EVER, 10)).toEqual([300, 100]);
    expect(index.query(5 + SLOT_COUNT, ...EVER, 10)).toEqual([200]);
    expect(index.query(0, ...EVER, 10)).toEqual([400]);
    index.close();
  });

  it('keeps to the time asked for, to the second', () => {
    using harness = makeHarness();
    const index = openIndex(harness);
    for (let n = 0; n < 10; n++) index.put(7, (n + 1) * 100, START_MS + n * 1000 + 500);
    expect(index.query(7, START_MS + 3500, START_MS + 5500, 10)).toEqual([600, 500, 400]);
    expect(index.query(7, START_MS + 20_000, START_MS + 30_000, 10)).toEqual([]);
    expect(index.query(7, 0, START_MS - 1, 10)).toEqual([]);
    index.close();
  });

  it('says which message was indexed last', () => {
    using harness = makeHarness();
    const index = openIndex(harness);
    expect(index.lastIndexed).toEqual({ timestampMs: 0, physicalOffset: 0 });
    putMessages(index, 1, 3);
    expect(index.lastIndexed).toEqual({ timestampMs: START_MS + 3, physicalOffset: 300 });
    index.close();
  });

  it('has written all slots once when a file becomes full, a few pages at a time', () => {
    using harness = makeHarness();
    const pageCount = 20;
    const entryCountMax = 20_000;
    const index = openIndex(harness, { slotCount: pageCount * 1024, entryCountMax });
    let largest = 0;
    for (let n = 1; n < entryCountMax * 0.95; n += 500) {
      putMessages(index, n, 500);
      const written = index.writePending();
      largest = Math.max(largest, written - 500 * 20);
    }
    // A page at most, a mark and a header.
    expect(largest).toBeLessThan(4096 + 100);
    const bytes = fs.readFileSync(indexFile(harness));
    for (let page = 0; page < pageCount; page++) {
      const start = HEADER_BYTES + page * 4096;
      expect(bytes.subarray(start, start + 4096).some((byte) => byte !== 0)).toBe(true);
    }
    index.close();
  });

  it("stores files in RocketMQ's form, which its own walk reads", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer(), fc.nat(5000)), { minLength: 1, maxLength: 300 }),
        (entries) => {
          using harness = makeHarness();
          const index = openIndex(harness);
          let nowMs = START_MS;
          const places: { hash: number; physical: number }[] = [];
          entries.forEach(([hash, stepMs], number) => {
            nowMs += stepMs;
            index.put(hash, (number + 1) * 1000, nowMs);
            places.push({ hash, physical: (number + 1) * 1000 });
            if (number % 7 === 0) index.writePending();
          });
          index.close();
          const bytes = fs.readFileSync(indexFile(harness));
          expect(bytes.length).toBe(HEADER_BYTES + SLOT_COUNT * 4 + ENTRY_COUNT_MAX * 20);
          expect(Number(bytes.readBigInt64BE(0))).toBe(START_MS + (entries[0]?.[1] ?? 0));
          expect(Number(bytes.readBigInt64BE(8))).toBe(nowMs);
          expect(Number(bytes.readBigInt64BE(16))).toBe(1000);
          expect(Number(bytes.readBigInt64BE(24))).toBe(entries.length * 1000);
          const usedSlots = new Set(entries.map(([hash]) => indexKeyHash(hash) % SLOT_COUNT));
          expect(bytes.readInt32BE(32)).toBe(usedSlots.size);
          expect(bytes.readInt32BE(36)).toBe(entries.length + 1);
          for (const { hash } of places) {
            const wanted = places
              .filter((place) => indexKeyHash(place.hash) === indexKeyHash(hash))
              .map((place) => place.physical)
              .reverse();
            expect(queryAsApache(bytes, hash, ...EVER)).toEqual(wanted);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('names a file by the local time, and begins another when one is full', () => {
    using harness = makeHarness();
    const clock = new ManualClock(new Date(2024, 0, 2, 3, 4, 5, 6).getTime());
    const index = openIndex(harness, { entryCountMax: 11, clock });
    putMessages(index, 1, 25);
    index.writePending();
    // The clock stands still, and then goes back: names ascend all the same.
    expect(indexNames(harness)).toEqual([
      '20240102030405006',
      '20240102030405007',
      '20240102030405008',
    ]);
    clock.advance(-365 * 24 * 3_600_000);
    putMessages(index, 26, 10);
    index.writePending();
    expect(indexNames(harness)).toHaveLength(4);
    expectFound(index, 1, 36);
    index.close();
    const reopened = openIndex(harness, { entryCountMax: 11, clock });
    expectFound(reopened, 1, 36);
    reopened.close();
  });

  it('writes a few bytes for a few entries', () => {
    using harness = makeHarness();
    const index = openIndex(harness);
    putMessages(index, 1, 100);
    index.writePending();
    putMessages(index, 101, 10);
    expect(index.writePending()).toBe(10 * 20 + HEADER_BYTES);
    expect(index.writePending()).toBe(0);
    index.close();
  });

  it('names what is to be synced', () => {
    using harness = makeHarness();
    const index = openIndex(harness);
    putMessages(index, 1, 1);
    index.writePending();
    expect(index.takeUnsynced().sort()).toEqual([
      `${path.join(harness.root, 'index')}/`,
      indexFile(harness),
    ]);
    putMessages(index, 2, 1);
    index.writePending();
    expect(index.takeUnsynced()).toEqual([indexFile(harness)]);
    index.close();
  });

  it('keeps entries in memory while the disk is full, and writes them when it is not', () => {
    using harness = makeHarness();
    const index = openIndex(harness, { entryCountMax: 12_000 });
    harness.isFull = true;
    putMessages(index, 1, 15_000);
    expect(() => index.writePending()).toThrow(/full/);
    // Chains are long in so few slots: every thousandth tells.
    const expectSome = (some: IndexStore): void => {
      for (let n = 1; n <= 15_000; n += 999) expectFound(some, n, n + 1);
    };
    expectSome(index);
    harness.isFull = false;
    expect(index.writePending()).toBeGreaterThan(15_000 * 20);
    expectSome(index);
    index.close();
    const reopened = openIndex(harness, { entryCountMax: 12_000 });
    expectSome(reopened);
    reopened.close();
  });

  it('deletes files whose messages have expired, but for the newest', () => {
    using harness = makeHarness();
    const index = openIndex(harness, { entryCountMax: 11 });
    putMessages(index, 1, 25);
    index.writePending();
    index.expireBelow(1000);
    expect(indexNames(harness)).toHaveLength(3);
    index.expireBelow(1001);
    expect(indexNames(harness)).toHaveLength(2);
    index.expireBelow(Number.MAX_SAFE_INTEGER);
    expect(indexNames(harness)).toHaveLength(1);
    expectFound(index, 21, 26);
    index.close();
  });

  it('ignores files of another size, and says so; removes one that was never written', () => {
    using harness = makeHarness();
    const directory = path.join(harness.root, 'index');
    fs.mkdirSync(directory);
    fs.writeFileSync(path.join(directory, '20990101000000000'), 'foreign');
    fs.writeFileSync(path.join(directory, '20240101000000000'), '');
    const logger = makeListeningLogger();
    const index = openIndex(harness, { logger });
    expect(logger.messages).toHaveLength(1);
    expect(indexNames(harness)).toEqual(['20990101000000000']);
    putMessages(index, 1, 1);
    index.writePending();
    expect(indexNames(harness)).toEqual(['20990101000000000', '20990101000000001']);
    index.close();
  });
});

describe('index after a clean stop', () => {
  it('goes on in the same file, and never cuts a chain', () => {
    using harness = makeHarness();
    for (let round = 0; round < 5; round++) {
      const index = openIndex(harness);
      for (let n = 0; n < 20; n++) index.put(n % 4, round * 2000 + n * 100 + 100, START_MS + round);
      index.writePending();
      index.close();
    }
    expect(indexNames(harness)).toHaveLength(1);
    const index = openIndex(harness);
    expect(index.query(0, ...EVER, 100)).toHaveLength(25);
    expect(queryAsApache(fs.readFileSync(indexFile(harness)), 0, ...EVER)).toHaveLength(25);
    index.close();
  });

  it('needs no rebuild: a start reads the head of each file only', () => {
    using harness = makeHarness();
    let index = openIndex(harness);
    putMessages(index, 1, 900);
    index.close();
    const reads = harness.counts.reads;
    index = openIndex(harness);
    expect(harness.counts.reads - reads).toBe(2);
    index.close();
  });

  it('takes entries back that dispatch will bring again', () => {
    using harness = makeHarness();
    let index = openIndex(harness);
    putMessages(index, 1, 500);
    index.close();
    index = openIndex(harness, { loadFrom: 30_100 });
    expectFound(index, 1, 301);
    expect(index.query(hashOf(301), ...EVER, 10)).toEqual([]);
    expect(index.lastIndexed.physicalOffset).toBe(30_000);
    putMessages(index, 301, 200);
    expectFound(index, 1, 501);
    index.close();
  });

  it('drops all where everything is dispatched again', () => {
    using harness = makeHarness();
    let index = openIndex(harness, { entryCountMax: 11 });
    putMessages(index, 1, 25);
    index.close();
    index = openIndex(harness, { entryCountMax: 11, loadFrom: 0 });
    expect(indexNames(harness)).toEqual([]);
    expect(index.query(hashOf(1), ...EVER, 10)).toEqual([]);
    index.close();
  });
});

describe('index after a crash', () => {
  it('is whole up to where dispatch goes on, and keeps what Apache wrote after us', () => {
    using harness = makeHarness();
    let index = openIndex(harness);
    putMessages(index, 1, 300);
    index.close();
    // Another broker adds an entry and stops cleanly; it knows nothing of our mark.
    const bytes = fs.readFileSync(indexFile(harness));
    const slotAt = HEADER_BYTES + (indexKeyHash(hashOf(301)) % SLOT_COUNT) * 4;
    const entryAt = ENTRIES_AT + 301 * 20;
    bytes.writeInt32BE(indexKeyHash(hashOf(301)), entryAt);
    bytes.writeBigInt64BE(30_100n, entryAt + 4);
    bytes.writeInt32BE(bytes.readInt32BE(slotAt), entryAt + 16);
    bytes.writeInt32BE(301, slotAt);
    bytes.writeBigInt64BE(30_100n, 24);
    bytes.writeInt32BE(302, 36);
    fs.writeFileSync(indexFile(harness), bytes);
    index = openIndex(harness, { loadFrom: 30_101 });
    expectFound(index, 1, 302);
    putMessages(index, 302, 10);
    expectFound(index, 1, 312);
    expect(index.lastIndexed.physicalOffset).toBe(31_100);
    index.close();
  });

  it('loses nothing below the synced place, wherever the process ended', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 2, maxLength: 12 }),
        fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
        fc.nat(1000),
        (counts, writes, permille) => {
          using harness = makeHarness();
          let index = openIndex(harness, { entryCountMax: 101 });
          let last = 0;
          let synced = 0;
          counts.forEach((count, round) => {
            putMessages(index, last + 1, count);
            last += count;
            if (writes[round]) {
              index.writePending();
              synced = last;
            }
          });
          // No close: slots of the newest file were never stored. Dispatch goes on somewhere below.
          const from = Math.floor((synced * permille) / 1000);
          index = openIndex(harness, { entryCountMax: 101, loadFrom: (from + 1) * 100 });
          expectFound(index, 1, from + 1);
          for (let n = from + 1; n <= last; n++)
            expect(index.query(hashOf(n), ...EVER, 10)).toEqual([]);
          putMessages(index, from + 1, last - from);
          expectFound(index, 1, last + 1);
          index.close();
          index = openIndex(harness, { entryCountMax: 101 });
          expectFound(index, 1, last + 1);
          index.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('ends at a damaged entry instead of trusting what is behind', () => {
    using harness = makeHarness();
    let index = openIndex(harness);
    putMessages(index, 1, 300);
    index.writePending();
    const bytes = fs.readFileSync(indexFile(harness));
    bytes.writeInt32BE(
      bytes.readInt32BE(ENTRIES_AT + 200 * 20 + 16) ^ 64,
      ENTRIES_AT + 200 * 20 + 16,
    );
    fs.writeFileSync(indexFile(harness), bytes);
    index = openIndex(harness);
    expectFound(index, 1, 200);
    for (let n = 200; n <= 300; n++) expect(index.query(hashOf(n), ...EVER, 10)).toEqual([]);
    index.close();
  });

  it('survives a loss of power at any call, with any subset of the unsynced blocks on disk', () => {
    fc.assert(
      fc.property(
        fc.record({
          rounds: fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 2, maxLength: 6 }),
          isClosedFirst: fc.boolean(),
          callCount: fc.nat(25),
          // One page of slots, or three, which are written ahead one by one.
          slotCount: fc.constantFrom(400, 3000),
        }),
        fc.infiniteStream(fc.boolean()),
        ({ rounds, isClosedFirst, callCount, slotCount }, isKept) => {
          using harness = makeHarness();
          // Slots, header and mark in blocks of their own.
          const sizes = { slotCount, entryCountMax: 401 };
          const first = rounds[0];
          let index = openIndex(harness, sizes);
          putMessages(index, 1, first);
          index.writePending();
          if (isClosedFirst) {
            index.close();
            index = openIndex(harness, sizes);
          }
          // Here the flusher syncs everything, and the checkpoint says so.
          const disk = new PowerLoss(harness, callCount);
          let last = first;
          try {
            for (const count of rounds.slice(1)) {
              putMessages(index, last + 1, count);
              last += count;
              index.writePending();
            }
            index.close();
          } catch (error) {
            expect(error).toBe(powerIsLost);
          }
          disk.crash(() => isKept.next().value === true);
          index = openIndex(harness, { ...sizes, loadFrom: (first + 1) * 100 });
          expectFound(index, 1, first + 1);
          putMessages(index, first + 1, 50);
          expectFound(index, 1, first + 51);
          index.close();
          index = openIndex(harness, sizes);
          expectFound(index, 1, first + 51);
          index.close();
        },
      ),
      // A smaller case would be looked for among endless streams.
      { numRuns: 200, endOnFailure: true },
    );
  }, 120_000);

  it('never trusts new slots where header and mark did not reach the disk', () => {
    for (let callCount = 0; callCount < 10; callCount++) {
      using harness = makeHarness();
      // The header lies in block 0, the mark in block 7, slots in all up to there.
      const sizes = { slotCount: 1000, entryCountMax: 1001 };
      let index = openIndex(harness, sizes);
      putMessages(index, 1, 400);
      index.close();
      index = openIndex(harness, sizes);
      const disk = new PowerLoss(harness, callCount);
      try {
        putMessages(index, 401, 400);
        index.writePending();
        index.close();
      } catch (error) {
        expect(error).toBe(powerIsLost);
      }
      let block = 0;
      disk.crash(() => ![0, 7].includes(block++));
      index = openIndex(harness, { ...sizes, loadFrom: 40_100 });
      putMessages(index, 401, 400);
      expectFound(index, 1, 801);
      index.close();
    }
  });
});

const powerIsLost = new Error('power is lost');

/** Remembers what is on disk for sure, fails the n-th call that changes the disk, and makes the state after it. */
class PowerLoss {
  readonly #harness: DerivedFilesHarness;
  readonly #plain: StoreFiles;
  readonly #durable = new Map<string, Buffer>();

  constructor(harness: DerivedFilesHarness, callCount: number) {
    this.#harness = harness;
    const { files } = harness;
    const plain = { ...files };
    this.#plain = plain;
    let left = callCount;
    const count = (): void => {
      if (left-- <= 0) throw powerIsLost;
    };
    this.#remember();
    files.writeAt = (...call) => {
      count();
      plain.writeAt(...call);
    };
    files.truncate = (...call) => {
      count();
      plain.truncate(...call);
    };
    files.syncDescriptor = (descriptor) => {
      count();
      plain.syncDescriptor(descriptor);
      const file = fs.readlinkSync(`/proc/self/fd/${descriptor}`);
      this.#durable.set(file, fs.readFileSync(file));
    };
  }

  crash(isKept: () => boolean): void {
    Object.assign(this.#harness.files, this.#plain);
    for (const name of indexNames(this.#harness)) {
      const file = path.join(this.#harness.root, 'index', name);
      const bytes = fs.readFileSync(file);
      const durable = this.#durable.get(file) ?? Buffer.alloc(bytes.length);
      for (let at = 0; at < bytes.length; at += 512) {
        const end = Math.min(at + 512, bytes.length);
        if (!isKept()) bytes.fill(0, at, end).set(durable.subarray(at, end), at);
      }
      fs.writeFileSync(file, bytes);
    }
  }

  #remember(): void {
    for (const name of indexNames(this.#harness)) {
      const file = path.join(this.#harness.root, 'index', name);
      this.#durable.set(file, fs.readFileSync(file));
    }
  }
}
