/** The preparer, on files in memory: when the next segment is there. */
import { expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { CommitLogSegments } from '../../src/store/commit-log-segments.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { Preparer } from '../../src/workers/preparer.ts';
import { FaultyFiles } from '../store/faulty-files.ts';

const KIB = 1024;

function allocatedAfter(appendedBytes: number, segmentBytes: number): number {
  const positions = new StorePositions();
  const files = new FaultyFiles();
  const segments = new CommitLogSegments({ files, directory: '/commitlog', segmentBytes });
  const options = { segments, positions, flushesSynchronously: false, logger: silentLogger };
  const preparer = new Preparer(options);
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
