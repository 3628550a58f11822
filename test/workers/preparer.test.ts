/** The preparer, on files in memory: when the next segment is there, and when an old one is gone. */
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { CommitLogSegments } from '../../src/store/commit-log-segments.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { Preparer } from '../../src/workers/preparer.ts';
import { FaultyFiles } from '../store/faulty-files.ts';

const KIB = 1024;
const options = { flushesSynchronously: false, letGoMs: 500, logger: silentLogger };

function allocatedAfter(appendedBytes: number, segmentBytes: number): number {
  const positions = new StorePositions();
  const files = new FaultyFiles();
  const segments = new CommitLogSegments({ files, directory: '/commitlog', segmentBytes });
  const preparer = new Preparer({ ...options, segments, positions });
  preparer.doWork(0);
  positions.publish(PositionSlot.APPENDED, appendedBytes);
  for (let turn = 1; turn < 4; turn++) preparer.doWork(turn);
  return positions.load(PositionSlot.ALLOCATED) / segmentBytes;
}

test('a small segment has its successor once anything is in it: the next record may be as long as it', () => {
  expect(allocatedAfter(0, 1024 * KIB)).toBe(1);
  expect(allocatedAfter(100 * KIB, 1024 * KIB)).toBe(2);
});

test('a large segment has its successor once half of it is filled', () => {
  expect(allocatedAfter(20 * 1024 * KIB, 64 * 1024 * KIB)).toBe(1);
  expect(allocatedAfter(33 * 1024 * KIB, 64 * 1024 * KIB)).toBe(2);
});

describe('pages ahead of the writer, where senders wait for the disk', () => {
  const MIB = 1024 * KIB;

  /** How far pages are ready ahead of a stream after so many seconds of it. */
  function readyAfter(seconds: number, bytesPerSecond: number): number {
    const positions = new StorePositions();
    const files = new FaultyFiles();
    const segments = new CommitLogSegments({
      files,
      directory: '/commitlog',
      segmentBytes: 64 * MIB,
    });
    const preparer = new Preparer({ ...options, flushesSynchronously: true, segments, positions });
    const stepMs = 20;
    for (let nowMs = 0; nowMs < seconds * 1000; nowMs += stepMs) {
      const appended = positions.load(PositionSlot.APPENDED) + (bytesPerSecond * stepMs) / 1000;
      positions.publish(PositionSlot.APPENDED, appended);
      while (preparer.doWork(nowMs) > 0);
    }
    return positions.load(PositionSlot.PREPARED) - positions.load(PositionSlot.APPENDED);
  }

  test('are made of a slow stream, some 32 MiB', () => {
    expect(readyAfter(2, 20 * MIB) / MIB).toBeCloseTo(32, 0);
  });

  test('are not made of a fast one, where they cost more than they spare', () => {
    expect(readyAfter(2, 120 * MIB)).toBeLessThan(0);
  });
});

describe('what retention has given up', () => {
  const segmentBytes = 1024 * KIB;

  function start(): { positions: StorePositions; files: FaultyFiles; preparer: Preparer } {
    const positions = new StorePositions();
    const files = new FaultyFiles();
    const segments = new CommitLogSegments({ files, directory: '/commitlog', segmentBytes });
    for (let index = 0; index < 4; index++) segments.create(index * segmentBytes);
    for (const slot of [PositionSlot.APPENDED, PositionSlot.ALLOCATED])
      positions.publish(slot, 4 * segmentBytes);
    return { positions, files, preparer: new Preparer({ ...options, segments, positions }) };
  }

  const oldest = (files: FaultyFiles): number => Number(files.list('/commitlog')[0]) / segmentBytes;

  test('is deleted once all others had time to let go of it, one segment a turn', () => {
    const { positions, files, preparer } = start();
    preparer.doWork(0);
    expect(oldest(files)).toBe(0);
    positions.publish(PositionSlot.MINIMUM, 2 * segmentBytes);
    preparer.doWork(1000);
    preparer.doWork(1499);
    expect(oldest(files)).toBe(0);
    preparer.doWork(1500);
    expect(oldest(files)).toBe(1);
    preparer.doWork(1501);
    expect(oldest(files)).toBe(2);
    for (let nowMs = 2000; nowMs < 9000; nowMs += 20) preparer.doWork(nowMs);
    expect(oldest(files)).toBe(2);
  });

  test('is deleted by a stop, too', () => {
    const { positions, files, preparer } = start();
    preparer.doWork(0);
    positions.publish(PositionSlot.MINIMUM, 3 * segmentBytes);
    preparer.close();
    expect(oldest(files)).toBe(3);
  });

  test('stays where the file system is read-only, which is told', () => {
    const { positions, files, preparer } = start();
    files.failure = { call: files.callCount + 1, fault: 'EROFS', isLasting: true, only: /^remove/ };
    positions.publish(PositionSlot.MINIMUM, segmentBytes);
    for (let nowMs = 0; nowMs < 2000; nowMs += 20) preparer.doWork(nowMs);
    expect(oldest(files)).toBe(0);
    expect(positions.load(PositionSlot.READ_ONLY)).toBe(1);
  });
});
