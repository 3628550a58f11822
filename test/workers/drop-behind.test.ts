/**
 * What the page cache is told to forget, by the rate of a stream and by what the dispatcher has let go of; with a
 * log that only counts.
 */
import { beforeEach, expect, test, vi } from 'vitest';
import { CommitLogSegments } from '../../src/store/commit-log-segments.ts';
import { PositionSlot, StorePositions } from '../../src/store/store-positions.ts';
import { DropBehind } from '../../src/workers/drop-behind.ts';
import { InlineSession } from '../faults/inline-session.ts';

const MIB = 1024 * 1024;
const KEPT_BYTES = 64 * MIB;
const STEADY_KEPT_BYTES = 256 * MIB;

let positions: StorePositions;
let dropped: [from: number, to: number][];
let dropBehind: DropBehind;
let nowMs: number;
let synced: number;

beforeEach(() => {
  positions = new StorePositions();
  dropped = [];
  nowMs = 0;
  synced = 0;
  start();
});

/** Begins with the log as it is. */
function start(): void {
  const segments = {
    dropPages: (from: number, to: number) => dropped.push([from / MIB, to / MIB]),
  } as unknown as CommitLogSegments;
  dropBehind = new DropBehind({
    segments,
    positions,
    kept: { fastBytes: KEPT_BYTES, steadyBytes: STEADY_KEPT_BYTES },
  });
  dropBehind.doWork(nowMs, synced);
}

/** A second of a stream, which is synced. */
function stream(bytes: number): void {
  nowMs += 1000;
  const end = positions.load(PositionSlot.APPENDED) + bytes;
  positions.publish(PositionSlot.APPENDED, end);
  synced = end;
  dropBehind.doWork(nowMs, synced);
}

/** As the dispatcher does, all at once. */
function unmap(): void {
  positions.publish(PositionSlot.UNMAPPED, positions.load(PositionSlot.DROP_END));
}

test('of a slow stream everything stays, whatever memory there is', () => {
  for (let second = 0; second < 100; second++) stream(30 * MIB);
  expect(positions.load(PositionSlot.DROP_END)).toBe(0);
  expect(dropped).toEqual([]);
});

test('a fast one is forgotten behind what is kept, once nobody has it mapped', () => {
  stream(200 * MIB + 12_345);
  expect(positions.load(PositionSlot.DROP_START)).toBe(0);
  expect(positions.load(PositionSlot.DROP_END)).toBe(136 * MIB);
  expect(dropped).toEqual([]);
  unmap();
  // A step is what the flusher syncs at once.
  expect(dropBehind.doWork(nowMs, synced)).toBe(1);
  expect(dropBehind.doWork(nowMs, synced)).toBe(1);
  expect(dropBehind.doWork(nowMs, synced)).toBe(0);
  expect(dropped).toEqual([
    [0, 128],
    [128, 136],
  ]);
});

test('what is appended and not synced is not forgotten', () => {
  nowMs += 1000;
  positions.publish(PositionSlot.APPENDED, 500 * MIB);
  synced = KEPT_BYTES + MIB;
  dropBehind.doWork(nowMs, synced);
  expect(positions.load(PositionSlot.DROP_END)).toBe(0);
  synced = KEPT_BYTES + 3 * MIB;
  dropBehind.doWork(nowMs, synced);
  expect(positions.load(PositionSlot.DROP_END)).toBe(2 * MIB);
});

test('more is kept of a stream that is less fast', () => {
  stream(100 * MIB);
  stream(100 * MIB);
  expect(positions.load(PositionSlot.DROP_END)).toBe(0);
  stream(100 * MIB);
  expect(positions.load(PositionSlot.DROP_END)).toBe(44 * MIB);
  // It becomes fast.
  stream(200 * MIB);
  expect(positions.load(PositionSlot.DROP_END)).toBe((500 - 64) * MIB);
});

test('what was written before a stream became fast stays, and so does what it has left when it ends', () => {
  for (let second = 0; second < 50; second++) stream(20 * MIB);
  stream(300 * MIB);
  unmap();
  while (dropBehind.doWork(nowMs, synced) > 0);
  // 1300 MiB less what is kept, from where the slow part had been looked at.
  expect(dropped[0][0]).toBe(1000 - 256);
  expect(dropped.at(-1)?.[1]).toBe(1300 - 64);
  dropped.length = 0;
  for (let second = 0; second < 10; second++) {
    stream(10 * MIB);
    unmap();
  }
  expect(dropped).toEqual([]);
});

test('a start with a log drops nothing of it', () => {
  const end = 7000 * MIB;
  positions.publish(PositionSlot.APPENDED, end);
  positions.publish(PositionSlot.FLUSHED, end);
  synced = end;
  start();
  for (let second = 0; second < 3; second++) {
    stream(200 * MIB);
    unmap();
  }
  while (dropBehind.doWork(nowMs, synced) > 0);
  expect(dropped[0][0]).toBe(7000);
  expect(dropped.at(-1)?.[1]).toBe(7600 - 64);
});

test('the dispatcher lets go of what is to be forgotten, in parts, and of nothing before it', () => {
  const unmapPages = vi.spyOn(CommitLogSegments.prototype, 'unmapPages');
  const session = new InlineSession(1, { segmentBytes: 64 * 1024, isLagging: false });
  const inBroker = session.broker.positions;
  const parts = (): number[][] => unmapPages.mock.calls.map(([from, to]) => [from / MIB, to / MIB]);
  session.advance(10);
  expect(parts()).toEqual([]);
  inBroker.publish(PositionSlot.DROP_START, 100 * MIB);
  inBroker.publish(PositionSlot.DROP_END, 120 * MIB);
  session.advance(10);
  expect(inBroker.load(PositionSlot.UNMAPPED)).toBe(120 * MIB);
  // It goes on where it was, however far the start is by then.
  inBroker.publish(PositionSlot.DROP_START, 110 * MIB);
  inBroker.publish(PositionSlot.DROP_END, 122 * MIB);
  session.advance(10);
  expect(inBroker.load(PositionSlot.UNMAPPED)).toBe(122 * MIB);
  expect(parts()).toEqual([
    [100, 108],
    [108, 116],
    [116, 120],
    [120, 122],
  ]);
  session.end();
  unmapPages.mockRestore();
});
