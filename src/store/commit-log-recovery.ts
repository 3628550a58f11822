/**
 * @agent control
 *
 * Finds the end of the log after any kind of death, before an agent runs.
 *
 * A record is valid when its lengths add up, its own physicalOffset is where it stands, the body's
 * CRC is right, and topic and properties hold no zeroes of a write that was cut. At the first place
 * where none is:
 *
 * ```
 *  nothing valid behind it            torn tail: the log ends there
 *  valid behind it, below flushed     damage: kept, reported, skipped by dispatch
 *  valid behind it, above flushed     written out of order by the kernel, never promised: cut
 * ```
 * Apache RocketMQ ends the log at damage and so loses what is behind it.
 */
import type { Logger } from '../base/logging.ts';
import {
  BLANK_MAGIC,
  MAGIC_V1,
  MAGIC_V2,
  recordHead,
  RecordKind,
  RecordView,
} from '../protocol/message-record.ts';
import { hasPropertyCrc, isPropertyCrcRight } from '../protocol/property-crc.ts';
import type { CommitLogSegments } from './commit-log-segments.ts';

export interface DamagedRange {
  /** Physical offsets, the second one exclusive. */
  from: number;
  to: number;
}

export interface RecoveredLog {
  /** Start of the oldest segment. */
  minimum: number;
  /** End of the last whole record. */
  end: number;
  /** End of the segments on disk. */
  allocated: number;
  /** 0 where no record was scanned. */
  lastStoreTimestampMs: number;
  damage: DamagedRange[];
}

export interface RecoverOptions {
  segments: CommitLogSegments;
  /** A place where a record starts; everything before is known to be good. */
  scanFrom: number;
  /** Everything below was once on disk whole. */
  flushedPosition: number;
  checkCrc: boolean;
  /** Compare the checksum of the whole record where there is one. */
  checkPropertyCrc: boolean;
  logger: Logger;
}

/** Looks for the end of the log. Changes nothing. */
export function recoverCommitLog(options: RecoverOptions): RecoveredLog {
  const { segments, flushedPosition, logger } = options;
  const bases = segments.listBases();
  const minimum = bases[0] ?? 0;
  const segmentBytes = segments.segmentBytes;
  const allocated = bases.length === 0 ? 0 : (bases.at(-1) as number) + segmentBytes;
  const scanner = new LogScanner(allocated, options);
  const result: RecoveredLog = {
    minimum,
    end: Math.max(options.scanFrom, minimum),
    allocated,
    lastStoreTimestampMs: 0,
    damage: [],
  };
  let position = Math.min(result.end, allocated);
  while (position < allocated) {
    const next = scanner.next(position);
    if (next > position) {
      if (next % segmentBytes === 0) {
        logger.info({ scanned: next, allocated }, 'scanned a segment of the log');
      }
      position = next;
      result.end = scanner.wasRecord ? position : result.end;
      if (scanner.wasRecord)
        result.lastStoreTimestampMs = Math.max(
          result.lastStoreTimestampMs,
          scanner.storeTimestampMs,
        );
      continue;
    }
    if (position >= flushedPosition) break;
    const resumed = scanner.findNext(position);
    if (resumed < 0) {
      logger.error(
        { end: result.end, flushed: flushedPosition },
        'the log ends before the place up to which it was once on disk: the device has lost its last messages; check it',
      );
      break;
    }
    logger.error(
      { from: position, to: resumed },
      'the log is damaged here: these bytes were on disk once and are no whole record now; they are skipped, later messages are kept',
    );
    result.damage.push({ from: position, to: resumed });
    position = resumed;
    result.end = resumed;
  }
  // A blank record at the very end is repeated by the writer: the log ends in front of it.
  return result;
}

/** Makes everything from `end` on zero, so that what was cut never reads as a record again. */
export function truncateLog(segments: CommitLogSegments, end: number): void {
  const segmentBytes = segments.segmentBytes;
  // From the newest on: a death in between must not leave a gap, which no start accepts.
  for (const base of segments.listBases().reverse()) {
    if (base + segmentBytes <= end) return;
    if (base > end) {
      segments.remove(base);
      continue;
    }
    const segment = segments.segmentAt(base);
    if (segment === null) continue;
    clear(segment.bytes, end - base, (from, to) => {
      segment.publish(from, to);
      segment.sync(from, to);
    });
  }
}

const CLEAR_BYTES = 64 * 1024;
const ZEROES = Buffer.alloc(CLEAR_BYTES);

/** Zeroes what is not zero from `start` on; stops after a long stretch of zeroes, which nobody writes beyond. */
function clear(bytes: Buffer, start: number, onCleared: (from: number, to: number) => void): void {
  const UNTOUCHED_BYTES = 64 * 1024 * 1024;
  let lastDirty = start;
  for (let at = start; at < bytes.length && at - lastDirty < UNTOUCHED_BYTES; at += CLEAR_BYTES) {
    const to = Math.min(at + CLEAR_BYTES, bytes.length);
    if (bytes.compare(ZEROES, 0, to - at, at, to) === 0) continue;
    bytes.fill(0, at, to);
    onCleared(at, to);
    lastDirty = to;
  }
}

const MAGICS = [MAGIC_V1, MAGIC_V2, BLANK_MAGIC].map((magic) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(magic);
  return bytes;
});

class LogScanner {
  wasRecord = false;
  storeTimestampMs = 0;
  readonly #segments: CommitLogSegments;
  readonly #allocated: number;
  readonly #flushedPosition: number;
  readonly #checkCrc: boolean;
  readonly #checkPropertyCrc: boolean;
  readonly #view = new RecordView();

  constructor(allocated: number, options: RecoverOptions) {
    this.#segments = options.segments;
    this.#allocated = allocated;
    this.#flushedPosition = options.flushedPosition;
    this.#checkCrc = options.checkCrc;
    this.#checkPropertyCrc = options.checkPropertyCrc;
  }

  /** Where the record after this one starts; `position` itself where none is valid here. */
  next(position: number): number {
    this.wasRecord = false;
    const segmentBytes = this.#segments.segmentBytes;
    const at = position % segmentBytes;
    const base = position - at;
    const segment = this.#segments.segmentAt(base);
    if (segment === null) return position;
    const view = this.#view;
    const kind = view.read(segment.bytes, at, segmentBytes, this.#checkCrc);
    if (kind === RecordKind.BLANK) {
      // A blank counts only when it fills its segment and another segment follows.
      return view.totalBytes === segmentBytes - at && base + segmentBytes < this.#allocated
        ? base + segmentBytes
        : position;
    }
    if (kind !== RecordKind.MESSAGE || view.physicalOffset !== position) return position;
    const isSynced = position + view.totalBytes <= this.#flushedPosition;
    if (hasCutEnd(view) || (!isSynced && hasMissingSector(view))) return position;
    if (this.#checkPropertyCrc && hasPropertyCrc(view) && !isPropertyCrcRight(view))
      return position;
    this.wasRecord = true;
    this.storeTimestampMs = view.storeTimestampMs;
    return position + view.totalBytes;
  }

  /** Where the first valid record after `position` stands, in its segment or a later one; -1 where there is none. */
  findNext(position: number): number {
    const segmentBytes = this.#segments.segmentBytes;
    let candidate = position + 1;
    while (candidate < this.#allocated) {
      const at = candidate % segmentBytes;
      const base = candidate - at;
      const segment = this.#segments.segmentAt(base);
      if (segment === null) return -1;
      let found = -1;
      for (const magic of MAGICS) {
        // What an earlier magic has found bounds the search for the next one.
        const end = found < 0 ? segmentBytes : found + recordHead.magic;
        found = this.#findMagic(segment.bytes.subarray(0, end), at, base, magic) ?? found;
      }
      if (found >= 0) return base + found;
      candidate = base + segmentBytes;
    }
    return -1;
  }

  /** Searches in native code: a gap may be as long as a segment, and most of it zeroes. */
  #findMagic(bytes: Buffer, start: number, base: number, magic: Buffer): number | undefined {
    let at = bytes.indexOf(magic, start + recordHead.magic);
    while (at >= 0) {
      const offset = at - recordHead.magic;
      if (this.next(base + offset) > base + offset) return offset;
      at = bytes.indexOf(magic, at + 1);
    }
    return undefined;
  }
}

/**
 * Lengths and the body's CRC do not cover topic and properties. A copy that stopped there leaves
 * zeroes up to the end; no topic holds a zero byte, and no property string ends in one.
 */
function hasCutEnd(view: RecordView): boolean {
  const { buffer, topicStart, propertiesStart, propertiesBytes } = view;
  const topicEnd = topicStart + view.topicBytes;
  // A loop: topics are short, and a part of the buffer for each record costs more than the search.
  for (let at = topicStart; at < topicEnd; at++) if (buffer[at] === 0) return true;
  return propertiesBytes > 0 && buffer[propertiesStart + propertiesBytes - 1] === 0;
}

/** The smallest unit that a device writes whole. */
const SECTOR_BYTES = 512;

/**
 * The loss of power leaves out whole sectors, also in the middle of properties. Only those are looked
 * for, and only in what was not synced: a user may have put zero bytes into a property, and a record is
 * not to be refused for its content.
 */
function hasMissingSector(view: RecordView): boolean {
  const { buffer, propertiesStart } = view;
  const end = propertiesStart + view.propertiesBytes;
  // The buffer is a whole file: its sectors are the device's.
  for (let from = propertiesStart; from < end;) {
    const to = Math.min(end, from + SECTOR_BYTES - (from % SECTOR_BYTES));
    if (isZero(buffer, from, to)) return true;
    from = to;
  }
  return false;
}

function isZero(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
