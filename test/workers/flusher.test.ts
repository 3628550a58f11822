/**
 * The flusher between a ring and a disk that only counts: who comes first when files wait to be synced
 * and senders wait for the log.
 */
import fs from 'node:fs';
import { expect, test, vi } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { Doorbell } from '../../src/ring/doorbell.ts';
import { QueuedProducer } from '../../src/ring/queued-producer.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';
import { Checkpoint } from '../../src/store/checkpoint.ts';
import type { CommitLogSegments } from '../../src/store/commit-log-segments.ts';
import { fileCalls } from '../../src/store/file-calls.ts';
import type { StoreFiles } from '../../src/store/segment.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { Flusher } from '../../src/workers/flusher.ts';
import type { LogRetention } from '../../src/workers/log-retention.ts';
import {
  type FlusherTask,
  flusherTaskPayload,
  MessageType,
} from '../../src/workers/ring-messages.ts';

class Bench {
  readonly positions = new StorePositions();
  readonly checkpoint = new Checkpoint();
  /** What was done to the disk: paths synced and written, and `log`. */
  readonly done: string[] = [];
  readonly flusher: Flusher;
  readonly #tasks: QueuedProducer;

  /** `onSync` runs whenever the log is synced. */
  constructor(
    calls: Partial<StoreFiles> = {},
    flushesSynchronously = true,
    onSync: () => void = () => {},
  ) {
    const ring = allocateRing(64 * 1024);
    this.#tasks = new QueuedProducer(new SpscRingProducer(ring, null));
    const opened: string[] = [];
    const files = {
      exists: () => true,
      open: (path: string) => opened.push(path) - 1,
      closeDescriptor: () => {},
      syncDescriptor: (descriptor: number) => this.done.push(opened[descriptor]),
      readFile: () => undefined,
      replaceFile: (path: string, content: Uint8Array) =>
        this.done.push(`${path} ${Buffer.from(content).toString()}`),
      ...calls,
    } as unknown as StoreFiles;
    const segment = {
      sync: () => {
        this.done.push('log');
        onSync();
      },
    };
    this.flusher = new Flusher({
      inbound: [new SpscRingConsumer(ring)],
      files,
      segments: { segmentBytes: 1e9, segmentAt: () => segment } as unknown as CommitLogSegments,
      positions: this.positions,
      checkpoint: this.checkpoint,
      checkpointPath: 'checkpoint',
      writerDoorbell: new Doorbell(Doorbell.allocate(), null),
      dispatcherDoorbell: new Doorbell(Doorbell.allocate(), null),
      flushesSynchronously,
      flushIntervalMs: 500,
      logger: silentLogger,
      retention: { run: () => 0 } as unknown as LogRetention,
      dropBehind: null,
    });
  }

  give(task: FlusherTask): void {
    this.#tasks.offer(MessageType.FLUSHER_TASK, flusherTaskPayload(task));
    this.#tasks.flush();
  }

  /** A record was appended, and its sender waits for the disk. */
  wantSync(): void {
    const end = this.positions.load(PositionSlot.APPENDED) + 100;
    this.positions.publish(PositionSlot.APPENDED, end);
    this.positions.publish(PositionSlot.SYNC_WANTED, end);
  }
}

test('much of the log is synced in parts, one after the other, and counts as flushed where a record ends', () => {
  const bench = new Bench({}, false);
  const mib = 1024 * 1024;
  const append = (bytes: number, timestampMs: number): void => {
    bench.positions.publish(PositionSlot.APPENDED_TIMESTAMP, timestampMs);
    const end = bench.positions.load(PositionSlot.APPENDED) + bytes;
    bench.positions.publish(PositionSlot.APPENDED, end);
  };
  const seen: [flushedMib: number, timestampMs: number][] = [];
  const turn = (nowMs: number): void => {
    bench.flusher.doWork(nowMs);
    const flushed = bench.positions.load(PositionSlot.FLUSHED) / mib;
    seen.push([flushed, bench.positions.load(PositionSlot.FLUSHED_TIMESTAMP)]);
  };
  append(300 * mib, 1000);
  turn(1);
  // What comes meanwhile is not waited for, and begins the next one.
  append(80 * mib, 2000);
  for (let nowMs = 2; nowMs < 5; nowMs++) turn(nowMs);
  append(10 * mib, 3000);
  turn(6);
  turn(600);
  expect(seen).toEqual([
    [0, 0],
    [0, 0],
    [300, 1000],
    [380, 2000],
    // Too little to be synced before its time.
    [380, 2000],
    [390, 3000],
  ]);
  expect(bench.done.filter((what) => what === 'log')).toHaveLength(5);
});

test('a file that waits for the log waits for what it needs of it, and not for what comes meanwhile', () => {
  const mib = 1024 * 1024;
  const bench = new Bench({}, false, () => {
    const end = bench.positions.load(PositionSlot.APPENDED) + 200 * mib;
    // A stream that the disk does not keep up with.
    if (end < 10_000 * mib) bench.positions.publish(PositionSlot.APPENDED, end);
  });
  bench.positions.publish(PositionSlot.APPENDED, 700 * mib);
  bench.give({ kind: 'replace', path: 'offsets', text: 'x', afterFlushed: 700 * mib });
  bench.flusher.doWork(1);
  expect(bench.done.slice(0, 7)).toEqual([...Array.from({ length: 6 }, () => 'log'), 'offsets x']);
  expect(bench.positions.load(PositionSlot.FLUSHED)).toBe(700 * mib);
});

function syncOf(count: number, dispatchedPosition: number, prefix = 'file'): FlusherTask {
  const paths = Array.from({ length: count }, (_, index) => `${prefix}${index}`);
  return {
    kind: 'sync',
    paths,
    dispatchedPosition,
    logicsTimestampMs: dispatchedPosition,
    indexTimestampMs: 0,
  };
}

test('senders who wait for the log do not wait for a thousand other files', () => {
  const bench = new Bench();
  bench.give(syncOf(1000, 700));
  let mostBetween = 0;
  let between = 0;
  for (let nowMs = 1; bench.checkpoint.dispatchedPosition === 0 && nowMs < 10_000; nowMs++) {
    bench.wantSync();
    bench.flusher.doWork(nowMs);
    for (const what of bench.done.splice(0)) {
      between = what === 'log' ? 0 : between + 1;
      mostBetween = Math.max(mostBetween, between);
    }
  }
  expect(mostBetween).toBeGreaterThan(1);
  expect(mostBetween).toBeLessThanOrEqual(20);
  expect(bench.checkpoint.dispatchedPosition).toBe(700);
});

test('the checkpoint moves only when the last file is synced, and comes by though more are named', () => {
  const bench = new Bench();
  bench.give(syncOf(100, 700));
  bench.flusher.doWork(1);
  bench.give(syncOf(100, 800, 'later'));
  bench.give(syncOf(100, 900, 'later'));
  const moves = new Set<number>();
  for (let nowMs = 2; nowMs < 100; nowMs++) {
    bench.flusher.doWork(nowMs);
    moves.add(bench.checkpoint.dispatchedPosition);
  }
  const synced = bench.done.filter((what) => /^(file|later)/.test(what));
  // Those that waited are synced once, though two tasks named them.
  expect(synced).toHaveLength(200);
  expect([...moves]).toEqual([0, 700, 900]);
  expect(new Set(synced.slice(0, 100)).size).toBe(100);
  expect(synced.slice(0, 100).every((what) => what.startsWith('file'))).toBe(true);
});

test('a file gets the text that it was given, and only the newest', () => {
  const bench = new Bench();
  const text = '{"主题":"a\\nb",\n"n":1}';
  bench.give({ kind: 'replace', path: 'config', text: 'old' });
  bench.give({ kind: 'replace', path: 'config', text });
  for (let nowMs = 1; nowMs < 10; nowMs++) bench.flusher.doWork(nowMs);
  expect(bench.done).toEqual([`config ${text}`]);
});

test('ENOSPC at a sync ends the flusher: the checkpoint never says that the file is on the disk', () => {
  const full = Object.assign(new Error('full'), { code: 'ENOSPC' });
  const fsync = vi.spyOn(fs, 'fdatasyncSync').mockImplementationOnce(() => {
    throw full;
  });
  const bench = new Bench({ syncDescriptor: fileCalls.syncDescriptor });
  bench.give(syncOf(1, 700));
  expect(() => bench.flusher.doWork(1)).toThrow(expect.objectContaining({ code: 'STORE_IO' }));
  expect(bench.checkpoint.dispatchedPosition).toBe(0);
  fsync.mockRestore();
});
