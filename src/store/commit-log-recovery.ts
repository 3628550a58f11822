/**
 * @agent control
 *
 * Finds the end of the log after any kind of death, before an agent runs.
 *
 * Records are valid when their lengths add up, their own physicalOffset is where they stand,
 * the body's CRC is right, and topic and properties hold no zeroes of a write that was cut. At the first place that is not:
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
  RecordKind,
  RecordView,
} from '../protocol/message-record.ts';
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
  logger: Logger;
}

/** Looks for the end of the log. Changes nothing. */
export function recoverCommitLog(options: RecoverOptions): RecoveredLog {
  const { segments, flushedPosition, checkCrc, logger } = options;
  const bases = segments.listBases();
  const minimum = bases[0] ?? 0;
  const segmentBytes = segments.segmentBytes;
  const allocated = bases.length === 0 ? 0 : (bases.at(-1) as number) + segmentBytes;
  const scanner = new LogScanner(segments, allocated, checkCrc);
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
      position = next;
      result.end = scanner.wasRecord ? position : result.end;
      if (scanner.wasRecord)
        result.lastStoreTimestampMs = Math.max(
          result.lastStoreTimestampMs,
          scanner.storeTimestampMs,
        );
      continue;
    }
    const resumed = position < flushedPosition ? scanner.findNext(position, flushedPosition) : -1;
    if (resumed < 0) break;
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
  for (const base of segments.listBases()) {
    if (base + segmentBytes <= end) continue;
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

class LogScanner {
  wasRecord = false;
  storeTimestampMs = 0;
  readonly #segments: CommitLogSegments;
  readonly #allocated: number;
  readonly #checkCrc: boolean;
  readonly #view = new RecordView();

  constructor(segments: CommitLogSegments, allocated: number, checkCrc: boolean) {
    this.#segments = segments;
    this.#allocated = allocated;
    this.#checkCrc = checkCrc;
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
    if (kind !== RecordKind.MESSAGE || view.physicalOffset !== position || isTorn(view)) {
      return position;
    }
    this.wasRecord = true;
    this.storeTimestampMs = view.storeTimestampMs;
    return position + view.totalBytes;
  }

  /** The first valid record after `position` and below `limit`, or -1. */
  findNext(position: number, limit: number): number {
    const segmentBytes = this.#segments.segmentBytes;
    let candidate = position + 1;
    while (candidate < limit) {
      const at = candidate % segmentBytes;
      const base = candidate - at;
      const segment = this.#segments.segmentAt(base);
      if (segment === null) return -1;
      const end = Math.min(segmentBytes, limit - base);
      for (let offset = at; offset < end; offset++) {
        if (offset + 8 > segmentBytes) break;
        const magic = segment.bytes.readInt32BE(offset + 4);
        if (magic !== MAGIC_V1 && magic !== MAGIC_V2 && magic !== BLANK_MAGIC) continue;
        if (this.next(base + offset) > base + offset) return base + offset;
      }
      candidate = base + segmentBytes;
    }
    return -1;
  }
}

/** Zero bytes in a row that no property string holds, whatever its user puts into it. */
const ZERO_RUN = 8;

/**
 * Lengths and the body's CRC do not cover topic and properties: a write that was cut there leaves
 * zeroes. No topic holds a zero byte, no property string ends in one or holds many.
 */
function isTorn(view: RecordView): boolean {
  const { buffer, topicStart, propertiesStart } = view;
  const topicZero = buffer.subarray(topicStart, topicStart + view.topicBytes).indexOf(0);
  if (topicZero >= 0) return true;
  const end = propertiesStart + view.propertiesBytes;
  if (view.propertiesBytes > 0 && buffer[end - 1] === 0) return true;
  let run = 0;
  for (let at = propertiesStart; at < end && run < ZERO_RUN; at++)
    run = buffer[at] === 0 ? run + 1 : 0;
  return run === ZERO_RUN;
}
