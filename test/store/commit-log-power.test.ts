/**
 * Goal: whatever a loss of power leaves of the log, recovery keeps all that was synced, and of the rest
 * only records that somebody sent.
 * Method: records of many sizes are appended to files in memory, synced now and then; the power goes
 * with any part of the unsynced sectors or pages on disk; what recovery finds is compared with what
 * was appended, byte for byte.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import {
  BLANK_MAGIC,
  RecordKind,
  RecordView,
  recordHead,
  writeLong,
} from '../../src/protocol/message-record.ts';
import { encodeHost, encodeRecord } from '../../src/protocol/record-encoder.ts';
import { recoverCommitLog, truncateLog } from '../../src/store/commit-log-recovery.ts';
import { CommitLogSegments } from '../../src/store/commit-log-segments.ts';
import { FaultyFiles } from './faulty-files.ts';

const SEGMENT_BYTES = 32 * 1024;
const directory = '/store/commitlog';
const host = encodeHost('127.0.0.1', 10911);

interface Sent {
  bodyBytes: number;
  propertyBytes: number;
  /** Synced up to and with this one, before the next is appended. */
  isSynced: boolean;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  bodyBytes: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 3000 })),
  propertyBytes: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 3000 })),
  isSynced: fc.nat(9).map((chance) => chance === 0),
});

class Log {
  readonly files = new FaultyFiles();
  readonly records = new Map<number, Buffer>();
  readonly segments = openSegments(this.files);
  end = 0;
  flushed = 0;

  append({ bodyBytes, propertyBytes, isSynced }: Sent): void {
    const bytes = encodeRecord({
      topic: 'TopicTest',
      queueId: 1,
      flag: 7,
      sysFlag: 0,
      bornTimestampMs: 1_700_000_000_000,
      bornHost: host,
      storeHost: host,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: Buffer.alloc(bodyBytes, 'body'),
      properties: Buffer.from(`KEY\x01${'value'.repeat(propertyBytes / 5)}\x02`),
    });
    const left = SEGMENT_BYTES - (this.end % SEGMENT_BYTES);
    if (this.end % SEGMENT_BYTES !== 0 && bytes.length + 8 > left) {
      const { buffer, at } = this.#place();
      buffer.writeInt32BE(left, at);
      buffer.writeInt32BE(BLANK_MAGIC, at + 4);
      this.end += left;
    }
    writeLong(bytes, this.end, recordHead.physicalOffset);
    writeLong(bytes, 1_700_000_000_000, recordHead.totalBytes + 8);
    const { buffer, at } = this.#place();
    bytes.copy(buffer, at);
    this.records.set(this.end, bytes);
    this.end += bytes.length;
    if (isSynced) this.sync();
  }

  sync(): void {
    for (let from = this.flushed; from < this.end;) {
      const base = from - (from % SEGMENT_BYTES);
      const to = Math.min(this.end, base + SEGMENT_BYTES);
      this.segments.segmentAt(from)?.sync(from - base, to - base);
      from = to;
    }
    this.flushed = this.end;
  }

  #place(): { buffer: Buffer; at: number } {
    const segment =
      this.segments.segmentAt(this.end) ??
      this.segments.create(this.end - (this.end % SEGMENT_BYTES));
    return { buffer: segment.bytes, at: this.end % SEGMENT_BYTES };
  }
}

function openSegments(files: FaultyFiles): CommitLogSegments {
  return new CommitLogSegments({ files, directory, segmentBytes: SEGMENT_BYTES });
}

/** Recovers, cuts, and checks that all that is there was sent; returns where the log ends. */
function checkRecovered(files: FaultyFiles, log: Log, known: number): number {
  const segments = openSegments(files);
  const options = {
    segments,
    scanFrom: 0,
    checkCrc: true,
    checkPropertyCrc: false,
    logger: silentLogger,
  };
  const result = recoverCommitLog({ ...options, flushedPosition: known });
  expect(result.damage).toEqual([]);
  truncateLog(segments, result.end);
  expect(recoverCommitLog({ ...options, flushedPosition: known }).end).toBe(result.end);
  const view = new RecordView();
  let position = 0;
  while (position < result.end) {
    const segment = segments.segmentAt(position);
    if (segment === null) throw new Error(`no segment at ${position}`);
    const at = position % SEGMENT_BYTES;
    if (view.read(segment.bytes, at, SEGMENT_BYTES, true) === RecordKind.BLANK) {
      position += SEGMENT_BYTES - at;
      continue;
    }
    const bytes = log.records.get(position);
    if (bytes === undefined) throw new Error(`nobody sent a record at ${position}`);
    expect(segment.bytes.subarray(at, at + bytes.length).equals(bytes)).toBe(true);
    position += bytes.length;
  }
  const last = segments.segmentAt(result.end);
  const behind = last?.bytes.subarray(result.end % SEGMENT_BYTES) ?? Buffer.alloc(0);
  expect(behind.every((byte) => byte === 0)).toBe(true);
  return result.end;
}

describe('the log after the loss of power', () => {
  test.each([512, 4096] as const)('keeps what was synced, in units of %d bytes', (unitBytes) => {
    fc.assert(
      fc.property(
        fc.array(sent, { minLength: 1, maxLength: 40 }),
        fc.infiniteStream(fc.boolean()),
        fc.boolean(),
        (messages, kept, knowsAll) => {
          const log = new Log();
          for (const message of messages) log.append(message);
          const isKept = (): boolean => kept.next().value === true;
          // The checkpoint may be older than the last sync.
          const known = knowsAll ? log.flushed : 0;
          const files = log.files.losePower({ unitBytes, isKept });
          expect(checkRecovered(files, log, known)).toBeGreaterThanOrEqual(log.flushed);
        },
      ),
      { numRuns: 250 },
    );
  });

  test('keeps everything that was appended when only the process dies', () => {
    fc.assert(
      fc.property(fc.array(sent, { minLength: 1, maxLength: 40 }), (messages) => {
        const log = new Log();
        for (const message of messages) log.append(message);
        expect(checkRecovered(log.files.killProcess(), log, 0)).toBe(log.end);
      }),
      { numRuns: 50 },
    );
  });

  test('a power failure that leaves nothing out loses nothing', () => {
    const log = new Log();
    for (let number = 0; number < 30; number++) {
      log.append({ bodyBytes: 900, propertyBytes: 900, isSynced: false });
    }
    const files = log.files.losePower({ unitBytes: 512, isKept: () => true });
    expect(checkRecovered(files, log, 0)).toBe(log.end);
  });

  test('each single sector that is missing is noticed', () => {
    const log = new Log();
    for (let number = 0; number < 12; number++) {
      log.append({ bodyBytes: 700, propertyBytes: 2000, isSynced: false });
    }
    let sectorCount = 0;
    for (let from = 0; from < log.end; from += 512) {
      const at = from % SEGMENT_BYTES;
      const sector = log.segments.segmentAt(from)?.bytes.subarray(at, at + 512);
      const whole = Buffer.from(sector ?? []);
      // Behind the blank record that ends a segment there is nothing to miss.
      if (sector === undefined || whole.every((byte) => byte === 0)) continue;
      sector.fill(0);
      const { end } = recoverCommitLog({
        segments: log.segments,
        scanFrom: 0,
        flushedPosition: 0,
        checkCrc: true,
        checkPropertyCrc: false,
        logger: silentLogger,
      });
      expect(end, `sector at ${from}`).toBeLessThan(from + 512);
      whole.copy(sector);
      sectorCount++;
    }
    expect(sectorCount).toBeGreaterThan(60);
  });

  test('a failure of any call while the log is cut leaves a log that the next start accepts', () => {
    for (let call = 1; ; call++) {
      const log = new Log();
      for (let number = 0; number < 60; number++) {
        log.append({ bodyBytes: 1000, propertyBytes: 1000, isSynced: false });
      }
      expect(openSegments(log.files).listBases().length).toBeGreaterThan(3);
      const end = [...log.records.keys()][3];
      log.files.callCount = 0;
      log.files.failure = { call, fault: 'EIO' };
      let hasFailed = false;
      try {
        truncateLog(openSegments(log.files), end);
      } catch {
        hasFailed = true;
      }
      const next = log.files.killProcess();
      const segments = openSegments(next);
      truncateLog(segments, end);
      expect(segments.listBases()).toEqual([0]);
      if (!hasFailed) break;
    }
  });
});

describe('a disk that fails', () => {
  test('a sync that has failed once never succeeds again, and what it had to sync is lost', () => {
    const log = new Log();
    log.append({ bodyBytes: 10, propertyBytes: 10, isSynced: true });
    const synced = log.end;
    log.append({ bodyBytes: 10, propertyBytes: 10, isSynced: false });
    log.files.failure = { call: log.files.callCount + 1, fault: 'EIO' };
    expect(() => log.sync()).toThrow(expect.objectContaining({ code: 'STORE_IO' }));
    expect(() => log.sync()).toThrow(expect.objectContaining({ code: 'STORE_IO' }));
    expect(log.flushed).toBe(synced);
    const files = log.files.losePower({ unitBytes: 512, isKept: () => false });
    expect(checkRecovered(files, log, synced)).toBe(synced);
  });

  test('a short write leaves its first half', () => {
    const files = new FaultyFiles();
    const descriptor = files.open('/f', true);
    files.failure = { call: files.callCount + 1, fault: 'SHORT' };
    const write = (): void => files.writeAt(descriptor, Buffer.from('abcdef'), 0, 6, 0);
    expect(write).toThrow(expect.objectContaining({ code: 'STORE_NO_SPACE' }));
    expect(files.readFile('/f')?.toString()).toBe('abc');
    write();
    expect(files.readFile('/f')?.toString()).toBe('abcdef');
  });

  test('a name is durable only when its directory was synced', () => {
    const files = new FaultyFiles();
    files.makeDirectory('/d');
    const descriptor = files.open('/d/f', true);
    files.writeAt(descriptor, Buffer.from('x'), 0, 1, 0);
    files.syncDescriptor(descriptor);
    const none = { unitBytes: 512, isKept: () => false } as const;
    expect(files.losePower(none).list('/d')).toEqual([]);
    files.syncDirectory('/d');
    expect(files.losePower(none).readFile('/d/f')?.toString()).toBe('x');
    files.remove('/d/f');
    expect(files.losePower(none).list('/d')).toEqual(['f']);
    expect(files.killProcess().list('/d')).toEqual([]);
  });
});
