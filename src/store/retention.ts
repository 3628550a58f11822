/**
 * @agent flusher
 *
 * Decides which segments of the log go, and whether messages are refused for want of space. Pure.
 *
 * ```
 *  disk use   0 ────────────── 75 ───────────── 85 ──────────────── 90 ──────── 100 %
 *  expired    at deleteWhen    │ at any hour    │
 *  the oldest                                   │ whatever their age
 *  messages                                                         │ refused (14)
 * ```
 * A segment has expired when its file was not modified for fileReservedTime. The active segment
 * always stays. Source: DefaultMessageStore.java (CleanCommitLogService), MappedFileQueue.java.
 */
import { type DiskSpace, usedShare } from './segment.ts';

export interface RetentionPolicy {
  fileReservedTimeMs: number;
  /** Hours of the local day at which expired segments are deleted. */
  deleteHours: readonly number[];
  /** Percent of the disk. */
  diskMaxUsedSpaceRatio: number;
  diskSpaceCleanForciblyRatio: number;
  diskSpaceWarningLevelRatio: number;
}

export interface SegmentFile {
  base: number;
  modifiedMs: number;
}

export interface RetentionState extends DiskSpace {
  /** Milliseconds since the epoch. */
  nowMs: number;
  /** Hour of the local day, 0 to 23. */
  hour: number;
  /** Ascending; the last one of them that is not younger than `activeBase` is being written. */
  segments: readonly SegmentFile[];
  activeBase: number;
}

export type RetentionRule =
  | 'none'
  | 'age'
  | 'age, disk above diskMaxUsedSpaceRatio'
  | 'disk above diskSpaceCleanForciblyRatio';

export interface RetentionPlan {
  deleteBases: number[];
  rule: RetentionRule;
  isDiskFull: boolean;
  /** Percent of the disk in use. */
  usedRatio: number;
}

/** Planned at once (deleteFileBatchMax). */
export const DELETE_COUNT_MAX = 10;

export function planRetention(state: RetentionState, policy: RetentionPolicy): RetentionPlan {
  const usedRatio = usedShare(state) * 100;
  const isForced = usedRatio > policy.diskSpaceCleanForciblyRatio;
  const isCrowded = usedRatio > policy.diskMaxUsedSpaceRatio;
  const isTime = policy.deleteHours.includes(state.hour);
  let rule: RetentionRule = 'none';
  if (isForced) rule = 'disk above diskSpaceCleanForciblyRatio';
  else if (isCrowded) rule = 'age, disk above diskMaxUsedSpaceRatio';
  else if (isTime) rule = 'age';
  const deleteBases: number[] = [];
  if (rule !== 'none') {
    for (const { base, modifiedMs } of state.segments) {
      const hasExpired = state.nowMs - modifiedMs >= policy.fileReservedTimeMs;
      // From the oldest on: the log stays one piece.
      if (
        base >= state.activeBase ||
        deleteBases.length === DELETE_COUNT_MAX ||
        !(isForced || hasExpired)
      )
        break;
      deleteBases.push(base);
    }
  }
  return {
    deleteBases,
    rule,
    isDiskFull: usedRatio > policy.diskSpaceWarningLevelRatio,
    usedRatio,
  };
}

/** Hours named by deleteWhen, "04" or "04;16"; what is none is left out. */
export function parseDeleteWhen(text: string): number[] {
  return text
    .split(';')
    .map((hour) => hour.trim())
    .filter((hour) => /^\d{1,2}$/.test(hour))
    .map(Number)
    .filter((hour) => hour < 24);
}

const SEGMENT_BYTES_MIN = 1024 * 1024;

/** The wanted size, or a smaller power of two where two segments would take more than half of the free space. */
export function segmentBytesFor(wantedBytes: number, availableBytes: number): number {
  if (wantedBytes * 4 <= availableBytes) return wantedBytes;
  let bytes = 2 ** Math.floor(Math.log2(wantedBytes));
  while (bytes > SEGMENT_BYTES_MIN && bytes * 4 > availableBytes) bytes /= 2;
  return bytes;
}
