/**
 * The end of the log after any death, on real files of both kinds: torn tails cut exactly, damage below
 * what was flushed kept and skipped, what the kernel wrote out of order above it cut.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Logger, silentLogger } from '../../src/base/logging.ts';
import { BLANK_MAGIC, recordHead, writeLong } from '../../src/protocol/message-record.ts';
import { encodeHost, encodeRecord } from '../../src/protocol/record-encoder.ts';
import {
  type RecoveredLog,
  recoverCommitLog,
  truncateLog,
} from '../../src/store/commit-log-recovery.ts';
import { CommitLogSegments } from '../../src/store/commit-log-segments.ts';
import { createMappedFiles } from '../../src/store/mapped-files.ts';
import { createPlainFiles } from '../../src/store/plain-files.ts';

const SEGMENT_BYTES = 64 * 1024;
const host = encodeHost('127.0.0.1', 10911);

function record(number: number, content: { body?: Buffer; properties?: Buffer } = {}): Buffer {
  return encodeRecord({
    topic: 'TopicTest',
    queueId: number % 4,
    flag: 0,
    sysFlag: 0,
    bornTimestampMs: 1000 + number,
    bornHost: host,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: content.body ?? Buffer.from(`body of message ${number}`),
    properties: content.properties ?? Buffer.from('UNIQ_KEY\x01id\x02TAGS\x01TagA\x02'),
  });
}

describe.each([
  ['mapped', createMappedFiles],
  ['plain', createPlainFiles],
] as const)('recovery of %s files', (_kind, createFiles) => {
  let directory: string;
  let segments: CommitLogSegments;

  beforeEach(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-log-'));
    segments = new CommitLogSegments({
      files: createFiles(),
      directory,
      segmentBytes: SEGMENT_BYTES,
    });
  });

  afterEach(() => {
    segments.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  /** Appends as the writer does, rolling over segments; returns where each record starts, and the end. */
  const append = (count: number): { starts: number[]; end: number } => {
    const starts: number[] = [];
    let position = 0;
    let segment = segments.create(0);
    for (let number = 0; number < count; number++) {
      const bytes = record(number);
      let at = position % SEGMENT_BYTES;
      if (at + bytes.length + 8 > SEGMENT_BYTES) {
        segment.bytes.writeInt32BE(SEGMENT_BYTES - at, at);
        segment.bytes.writeInt32BE(BLANK_MAGIC, at + 4);
        position += SEGMENT_BYTES - at;
        segment = segments.create(position);
        at = 0;
      }
      writeLong(bytes, position, recordHead.physicalOffset);
      writeLong(bytes, 5000 + number, recordHead.totalBytes + 8);
      bytes.copy(segment.bytes, at);
      starts.push(position);
      position += bytes.length;
    }
    return { starts, end: position };
  };

  const recover = (
    flushedPosition: number,
    scanFrom = 0,
    logger: Logger = silentLogger,
  ): RecoveredLog =>
    recoverCommitLog({
      segments,
      scanFrom,
      flushedPosition,
      checkCrc: true,
      checkPropertyCrc: true,
      logger,
    });

  const at = (position: number): { bytes: Buffer; offset: number } => {
    const segment = segments.segmentAt(position);
    if (segment === null) throw new Error(`no segment at ${position}`);
    return { bytes: segment.bytes, offset: position % SEGMENT_BYTES };
  };

  test('an empty log ends at 0', () => {
    expect(recover(0)).toEqual({
      minimum: 0,
      end: 0,
      allocated: 0,
      lastStoreTimestampMs: 0,
      damage: [],
    });
    segments.create(0);
    expect(recover(0)).toMatchObject({ end: 0, allocated: SEGMENT_BYTES, damage: [] });
  });

  test('a whole log ends behind its last record, over several segments and before empty ones', () => {
    const { end } = append(2000);
    const last = end - (end % SEGMENT_BYTES);
    segments.create(last + SEGMENT_BYTES);
    expect(recover(end)).toEqual({
      minimum: 0,
      end,
      allocated: last + 2 * SEGMENT_BYTES,
      lastStoreTimestampMs: 5000 + 1999,
      damage: [],
    });
  });

  test('a tail record torn at every byte is cut, and nothing else', () => {
    const { starts, end } = append(20);
    const start = starts.at(-1) as number;
    const { bytes, offset } = at(start);
    const whole = Buffer.from(bytes.subarray(offset, offset + end - start));
    for (let kept = 0; kept < whole.length; kept++) {
      bytes.fill(0, offset, offset + whole.length);
      whole.copy(bytes, offset, 0, kept);
      expect(recover(start).end, `torn after ${kept} bytes`).toBe(start);
      truncateLog(segments, start);
      expect(bytes.subarray(offset).every((byte) => byte === 0)).toBe(true);
      expect(recover(start).end).toBe(start);
    }
    whole.copy(bytes, offset);
    expect(recover(start).end).toBe(end);
  });

  test('a bit that flips anywhere in a record below flushed costs that record only', () => {
    const { starts, end } = append(12);
    const from = starts[5];
    const to = starts[6];
    const { bytes, offset } = at(from);
    // Fields that no rule covers: they may change without the record being invalid.
    const unchecked = new Set<number>();
    for (let index = 12; index < 28; index++) unchecked.add(index);
    for (let index = 36; index < 84; index++) unchecked.add(index);
    const bodyEnd = 88 + Buffer.byteLength('body of message 5');
    for (let index = bodyEnd; index < to - from; index++) unchecked.add(index);
    for (let index = 0; index < to - from; index++) {
      const original = bytes.readUInt8(offset + index);
      bytes.writeUInt8(original ^ 0x40, offset + index);
      const result = recover(end);
      expect(result.end, `bit flipped in byte ${index}`).toBe(end);
      if (!unchecked.has(index)) expect(result.damage).toEqual([{ from, to }]);
      bytes.writeUInt8(original, offset + index);
    }
    expect(recover(end).damage).toEqual([]);
  });

  test('damage is reported once, with its place', () => {
    const { starts, end } = append(12);
    const { bytes, offset } = at(starts[5]);
    bytes.fill(0, offset, offset + 60);
    const lines: object[] = [];
    const logger = { ...silentLogger, error: (fields: object) => void lines.push(fields) };
    recover(end, 0, logger);
    expect(lines).toEqual([{ from: starts[5], to: starts[6] }]);
  });

  test('a whole zeroed page and more below flushed is skipped, also over the end of a segment', () => {
    const { starts, end } = append(2000);
    const first = starts.findIndex((start) => start >= SEGMENT_BYTES) - 3;
    const from = starts[first];
    const to = starts[first + 6];
    at(from).bytes.fill(0, from % SEGMENT_BYTES);
    at(to).bytes.fill(0, 0, to % SEGMENT_BYTES);
    const result = recover(end);
    expect(result.end).toBe(end);
    expect(result.damage).toEqual([{ from, to }]);
  });

  test('an invalid record above flushed ends the log, whatever is behind it', () => {
    const { starts } = append(12);
    const { bytes, offset } = at(starts[5]);
    bytes.writeUInt8(bytes.readUInt8(offset + 90) ^ 1, offset + 90);
    const result = recover(starts[5]);
    expect(result).toMatchObject({ end: starts[5], damage: [] });
    truncateLog(segments, result.end);
    expect(recover(result.end)).toMatchObject({ end: starts[5], damage: [] });
  });

  test('a record that says it stands elsewhere is none', () => {
    const { starts } = append(12);
    const { bytes, offset } = at(starts[5]);
    writeLong(bytes, 1_000_000, offset + recordHead.physicalOffset);
    expect(recover(0).end).toBe(starts[5]);
  });

  test('damage of the last synced record does not hide those behind it', () => {
    const { starts, end } = append(12);
    const { bytes, offset } = at(starts[5]);
    bytes.fill(0xff, offset, offset + 60);
    const result = recover(starts[6]);
    expect(result).toMatchObject({ end, damage: [{ from: starts[5], to: starts[6] }] });
  });

  test('an end before the place that was synced once is cut, and said', () => {
    const { starts, end } = append(12);
    const { bytes, offset } = at(starts[8]);
    bytes.fill(0, offset, end);
    const lines: object[] = [];
    const logger = { ...silentLogger, error: (fields: object) => void lines.push(fields) };
    expect(recover(end, 0, logger)).toMatchObject({ end: starts[8], damage: [] });
    expect(lines).toEqual([{ end: starts[8], flushed: end }]);
  });

  test('a record with zero bytes in a property is whole, also behind damage', () => {
    const { end } = append(12);
    const properties = Buffer.from(`A\x01${'\0'.repeat(100)}x\x02TAGS\x01TagA\x02`);
    const bytes = record(12, { properties });
    writeLong(bytes, end, recordHead.physicalOffset);
    const { bytes: target, offset } = at(end);
    bytes.copy(target, offset);
    expect(recover(0)).toMatchObject({ end: end + bytes.length, damage: [] });
  });

  test('a record that was synced is whole even with a sector of zero bytes in a property', () => {
    const { end } = append(12);
    const properties = Buffer.from(`A\x01${'\0'.repeat(2000)}x\x02TAGS\x01TagA\x02`);
    const bytes = record(12, { properties });
    writeLong(bytes, end, recordHead.physicalOffset);
    const { bytes: target, offset } = at(end);
    bytes.copy(target, offset);
    expect(recover(end + bytes.length)).toMatchObject({ end: end + bytes.length, damage: [] });
    // Not synced, it can't be told from one that power left incomplete.
    expect(recover(end).end).toBe(end);
  });

  test('any lengths at all in a damaged record are survived', () => {
    const { starts, end } = append(12);
    const { bytes, offset } = at(starts[5]);
    const whole = Buffer.from(bytes.subarray(offset, offset + starts[6] - starts[5]));
    const bodyLength = 84;
    for (const field of [recordHead.totalSize, recordHead.sysFlag, bodyLength]) {
      for (const value of [0, 1, 7, 8, 90, 91, 0x7fff_ffff, -1, -0x8000_0000, SEGMENT_BYTES]) {
        bytes.writeInt32BE(value, offset + field);
        const result = recover(end);
        expect(result.end).toBe(end);
        expect(recover(0).end).toBeGreaterThanOrEqual(starts[5]);
        whole.copy(bytes, offset);
      }
    }
  });

  test('cutting removes the segments behind the end', () => {
    const { starts } = append(2000);
    const end = starts[100];
    truncateLog(segments, end);
    expect(segments.listBases()).toEqual([0]);
    expect(recover(end).end).toBe(end);
  });

  test('a scan from a known place sees only what is behind it', () => {
    const { starts, end } = append(50);
    expect(recover(end, starts[40])).toMatchObject({ end, lastStoreTimestampMs: 5049 });
  });

  test('foreign files, gaps and wrong sizes are refused by name', () => {
    append(2000);
    fs.writeFileSync(path.join(directory, 'notes.txt'), 'x');
    expect(() => segments.listBases()).toThrow('notes.txt');
    fs.rmSync(path.join(directory, 'notes.txt'));
    const second = path.join(directory, String(SEGMENT_BYTES).padStart(20, '0'));
    fs.truncateSync(second, 100);
    expect(() => segments.listBases()).toThrow('00000000000000065536');
    fs.rmSync(second);
    expect(() => segments.listBases()).toThrow('no segment 00000000000000065536');
  });
});
