/** How retention goes about what it may delete: one segment after the other, on files in memory. */
import { beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { CommitLogSegments, segmentName } from '../../src/store/commit-log-segments.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { LogRetention } from '../../src/workers/log-retention.ts';
import { FaultyFiles } from '../store/faulty-files.ts';

const SEGMENT_BYTES = 1024;
const HOUR_MS = 3_600_000;
/** Four in the morning, wherever this runs. */
const NOW = new Date(2024, 0, 9, 4, 0, 0);

let files: FaultyFiles;
let positions: StorePositions;
let lines: string[];
let retention: LogRetention;
let nowMs: number;

/** Six segments: four of them have expired, and the last one is being written. */
beforeEach(() => {
  files = new FaultyFiles();
  positions = new StorePositions();
  const segments = new CommitLogSegments({
    files,
    directory: '/commitlog',
    segmentBytes: SEGMENT_BYTES,
  });
  for (let index = 0; index < 6; index++) {
    files.nowMs = () => NOW.getTime() - (index < 4 ? 100 : 1) * HOUR_MS;
    segments.create(index * SEGMENT_BYTES);
  }
  positions.publish(PositionSlot.APPENDED, 5.5 * SEGMENT_BYTES);
  positions.publish(PositionSlot.MOVED, Number.MAX_SAFE_INTEGER);
  lines = [];
  nowMs = 0;
  retention = new LogRetention({
    files,
    directory: '/',
    segments,
    positions,
    policy: {
      fileReservedTimeMs: 72 * HOUR_MS,
      deleteHours: [4],
      diskMaxUsedSpaceRatio: 75,
      diskSpaceCleanForciblyRatio: 85,
      diskSpaceWarningLevelRatio: 90,
    },
    wallClock: new ManualClock(NOW.getTime()),
    isClockMoved: false,
    logger: { ...silentLogger, info: (_fields: object, text: string) => lines.push(text) },
  });
});

/** A look, a second after the one before; returns the number of the segment that the log begins with. */
function look(): number {
  nowMs += 1000;
  retention.run(nowMs);
  return positions.load(PositionSlot.MINIMUM) / SEGMENT_BYTES;
}

const remove = (segment: number): void =>
  files.remove(`/commitlog/${segmentName(segment * SEGMENT_BYTES)}`);

test('one segment goes after the other, each once the one before is deleted', () => {
  expect(look()).toBe(1);
  expect(look()).toBe(1);
  remove(0);
  expect(look()).toBe(2);
  remove(1);
  expect(look()).toBe(3);
  remove(2);
  expect(look()).toBe(4);
  remove(3);
  // What is left is young.
  for (let count = 0; count < 100; count++) expect(look()).toBe(4);
  expect(lines.filter((line) => line.startsWith('deleting'))).toHaveLength(1);
  expect(lines.filter((line) => line.includes('is deleted'))).toHaveLength(4);
});

test('what still waits in them is copied first: all of them are asked for at once', () => {
  positions.publish(PositionSlot.MOVED, 0);
  expect(look()).toBe(0);
  expect(positions.load(PositionSlot.WANTED_MINIMUM)).toBe(4 * SEGMENT_BYTES);
  positions.publish(PositionSlot.MOVED, 1.5 * SEGMENT_BYTES);
  expect(look()).toBe(1);
  remove(0);
  expect(look()).toBe(1);
  positions.publish(PositionSlot.MOVED, 4 * SEGMENT_BYTES);
  expect(look()).toBe(2);
});

const FULL_BYTES = 2 ** 40 / 10;
const ROOM_BYTES = 2 ** 40 / 5;

test('a full disk takes as many as it needs, and not the one that is being written', () => {
  files.availableBytes = FULL_BYTES;
  for (let segment = 0; segment < 4; segment++) {
    expect(look()).toBe(segment + 1);
    remove(segment);
  }
  // Four of them were enough.
  files.availableBytes = ROOM_BYTES;
  for (let count = 0; count < 20; count++) expect(look()).toBe(4);
  files.availableBytes = FULL_BYTES;
  for (let count = 0; count < 20; count++) if (look() === 5) remove(4);
  expect(look()).toBe(5);
});

test('a disk that is full between two rounds, ten seconds apart, takes nothing', () => {
  for (let segment = 0; segment < 4; segment++) {
    look();
    remove(segment);
  }
  expect(look()).toBe(4);
  files.availableBytes = FULL_BYTES;
  while (nowMs < 10_000) expect(look()).toBe(4);
  expect(positions.load(PositionSlot.DISK_FULL)).toBe(0);
  files.availableBytes = ROOM_BYTES;
  for (let count = 0; count < 20; count++) expect(look()).toBe(4);
});
