/**
 * The segments of a log as one thread sees them: found, made, forgotten, refused; and what the death
 * of a process during an allocation leaves.
 */
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { CommitLogSegments, segmentName } from '../../src/store/commit-log-segments.ts';
import { FaultyFiles } from './faulty-files.ts';

const SEGMENT_BYTES = 64 * 1024;
const directory = '/store/commitlog';

let files: FaultyFiles;
let segments: CommitLogSegments;

const open = (segmentBytes = SEGMENT_BYTES): CommitLogSegments =>
  new CommitLogSegments({ files, directory, segmentBytes });

const writeFile = (base: number, content: Buffer): void => {
  files.makeDirectory(directory);
  files.replaceFile(path.join(directory, segmentName(base)), content);
};

beforeEach(() => {
  files = new FaultyFiles();
  segments = open();
});

describe('segments of the log', () => {
  test('are named by their first offset in 20 digits', () => {
    segments.create(0);
    segments.create(SEGMENT_BYTES);
    expect(files.list(directory)).toEqual(['00000000000000000000', '00000000000000065536']);
    expect(segments.listBases()).toEqual([0, SEGMENT_BYTES]);
  });

  test('may begin at any multiple of their size', () => {
    segments.create(SEGMENT_BYTES * 7);
    expect(segments.listBases()).toEqual([SEGMENT_BYTES * 7]);
    expect(segments.segmentAt(0)).toBeNull();
    expect(segments.segmentAt(SEGMENT_BYTES * 8 - 1)).not.toBeNull();
    expect(segments.segmentAt(SEGMENT_BYTES * 8)).toBeNull();
  });

  test('that are deleted one after the other leave no gap, whenever the power goes', () => {
    for (let index = 0; index < 4; index++) segments.create(index * SEGMENT_BYTES);
    for (let chance = 0; chance < 16; chance++) {
      const run = files.killProcess();
      const states: FaultyFiles[] = [];
      let asked = 0;
      const isKept = (): boolean => (chance & (1 << (asked++ % 4))) !== 0;
      run.onCall = () => states.push(run.losePower({ unitBytes: 4096, isKept }));
      const log = new CommitLogSegments({ files: run, directory, segmentBytes: SEGMENT_BYTES });
      for (let index = 0; index < 3; index++) log.remove(index * SEGMENT_BYTES);
      for (const state of states) {
        const options = { files: state, directory, segmentBytes: SEGMENT_BYTES };
        expect(() => new CommitLogSegments(options).listBases()).not.toThrow();
      }
    }
  });

  test('are opened once, when they are first touched', () => {
    open().create(0);
    open().create(SEGMENT_BYTES);
    const before = files.callCount;
    const first = segments.segmentAt(10);
    const second = segments.segmentAt(SEGMENT_BYTES);
    expect(segments.segmentAt(SEGMENT_BYTES - 1)).toBe(first);
    expect(segments.segmentAt(SEGMENT_BYTES + 5)).toBe(second);
    expect(files.callCount - before).toBe(2);
  });

  test('that retention has passed are closed, and no others', () => {
    const made = [0, 1, 2].map((index) => segments.create(index * SEGMENT_BYTES));
    segments.segmentAt(0);
    segments.forgetBelow(SEGMENT_BYTES * 2 - 1);
    expect(made.map(({ bytes }) => bytes.length)).toEqual([0, SEGMENT_BYTES, SEGMENT_BYTES]);
    expect(segments.segmentAt(SEGMENT_BYTES)).toBe(made[1]);
    // Its file may be there yet: nobody is to hold it when it is deleted.
    expect(segments.has(0)).toBe(true);
    expect(segments.segmentAt(0)).toBeNull();
  });

  test('that are removed are gone, also for whoever asked for them last', () => {
    segments.create(0);
    segments.segmentAt(0);
    segments.remove(0);
    expect(segments.segmentAt(0)).toBeNull();
    expect(segments.listBases()).toEqual([]);
  });

  test('without room are not made', () => {
    files.availableBytes = SEGMENT_BYTES - 1;
    expect(() => segments.create(0)).toThrow(expect.objectContaining({ code: 'STORE_NO_SPACE' }));
    expect(segments.listBases()).toEqual([]);
    expect(segments.segmentAt(0)).toBeNull();
  });

  test('tell the size they were made with', () => {
    expect(CommitLogSegments.existingSegmentBytes(files, directory)).toBeUndefined();
    open(4096).create(4096);
    expect(CommitLogSegments.existingSegmentBytes(files, directory)).toBe(4096);
  });

  test.each([
    ['a foreign name', 'notes.txt', () => writeForeign('notes.txt')],
    ['an offset that is no multiple', segmentName(100), () => writeForeign(segmentName(100))],
    [
      'a gap',
      segmentName(SEGMENT_BYTES),
      () => {
        for (const base of [0, 2 * SEGMENT_BYTES]) open().create(base);
      },
    ],
    ['a wrong size', segmentName(0), () => writeFile(0, Buffer.alloc(100, 1))],
  ])('are refused with %s, which the message names', (_what, name, make) => {
    make();
    expect(() => segments.listBases()).toThrow(
      expect.objectContaining({
        code: 'STORE_DAMAGED',
        message: expect.stringContaining(name) as string,
      }),
    );
  });
});

describe('an allocation that was cut short', () => {
  test.each([0, 1, 4096, SEGMENT_BYTES - 1])('leaves %d bytes, which are removed', (bytes) => {
    segments.create(0);
    writeFile(SEGMENT_BYTES, Buffer.alloc(bytes));
    expect(() => segments.listBases()).toThrow('restore it');
    expect(segments.removeUnfinished()).toBe(path.join(directory, segmentName(SEGMENT_BYTES)));
    expect(segments.listBases()).toEqual([0]);
    expect(segments.removeUnfinished()).toBeUndefined();
  });

  test('of the very first segment does not decide the size of segments', () => {
    writeFile(0, Buffer.alloc(0));
    expect(CommitLogSegments.existingSegmentBytes(files, directory)).toBeUndefined();
    segments.removeUnfinished();
    expect(segments.listBases()).toEqual([]);
  });

  test('is told from a segment that lost its end: content stays, and the start is refused', () => {
    segments.create(0);
    const short = Buffer.alloc(SEGMENT_BYTES - 4096);
    short[short.length - 1] = 1;
    writeFile(SEGMENT_BYTES, short);
    expect(segments.removeUnfinished()).toBeUndefined();
    expect(() => segments.listBases()).toThrow(segmentName(SEGMENT_BYTES));
  });

  test('is never seen in a whole segment, empty or not', () => {
    segments.create(0);
    expect(segments.removeUnfinished()).toBeUndefined();
    expect(segments.listBases()).toEqual([0]);
  });
});

function writeForeign(name: string): void {
  files.makeDirectory(directory);
  files.replaceFile(path.join(directory, name), Buffer.alloc(SEGMENT_BYTES));
}
