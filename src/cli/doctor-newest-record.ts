/**
 * @agent any
 *
 * Finds the store timestamp of the newest record of a log by reading its end, without mapping or changing
 * anything; and says what it means for the clock.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Report } from './doctor-report.ts';
import { spanText } from './doctor-report.ts';
import {
  BLANK_MAGIC,
  bornHostBytes,
  MAGIC_V1,
  MAGIC_V2,
  readInt32,
  readLong,
  recordHead,
} from '../protocol/message-record.ts';
import { Checkpoint } from '../store/checkpoint.ts';
import { segmentName } from '../store/commit-log-segments.ts';
import { createPlainFiles } from '../store/plain-files.ts';
import type { StoreLayout } from './doctor-store.ts';

/** All of a record up to its store timestamp, with hosts of IPv6. */
const HEAD_BYTES = recordHead.totalBytes + 20 + 8;
/** Records that are looked at: what came after the checkpoint is a second's worth. */
const RECORD_COUNT_MAX = 1_000_000;

/** Milliseconds since the epoch; 0 where nothing tells. */
export function newestStoreTimestampMs(root: string, layout: StoreLayout): number {
  const { segmentBytes, bases } = layout;
  const checkpoint = Checkpoint.read(createPlainFiles(), path.join(root, 'checkpoint'));
  let newestMs = checkpoint.physicTimestampMs;
  if (segmentBytes === null || bases.length === 0) return newestMs;
  const end = (bases.at(-1) as number) + segmentBytes;
  let position = checkpoint.flushedPosition;
  if (position < bases[0] || position > end) position = bases.at(-1) as number;
  const head = Buffer.alloc(HEAD_BYTES);
  let descriptor = -1;
  let openBase = -1;
  try {
    for (let count = 0; count < RECORD_COUNT_MAX && position < end; count++) {
      const at = position % segmentBytes;
      if (position - at !== openBase) {
        if (descriptor >= 0) fs.closeSync(descriptor);
        descriptor = -1;
        openBase = position - at;
        descriptor = fs.openSync(path.join(root, 'commitlog', segmentName(openBase)), 'r');
      }
      fs.readSync(descriptor, head.fill(0), 0, HEAD_BYTES, at);
      const bytes = readInt32(head, 0);
      const magic = readInt32(head, recordHead.magic);
      if (magic === BLANK_MAGIC && bytes > 0) {
        position = openBase + segmentBytes;
        continue;
      }
      const isRecord =
        (magic === MAGIC_V1 || magic === MAGIC_V2) &&
        bytes > HEAD_BYTES - 12 &&
        bytes <= segmentBytes - at &&
        readLong(head, recordHead.physicalOffset) === position;
      if (!isRecord) break;
      const bornBytes = bornHostBytes(readInt32(head, recordHead.sysFlag));
      newestMs = Math.max(newestMs, readLong(head, recordHead.totalBytes + bornBytes));
      position += bytes;
    }
  } catch {
    // A segment that went meanwhile: what was seen so far counts.
  } finally {
    if (descriptor >= 0) fs.closeSync(descriptor);
  }
  return newestMs;
}

/** Clocks that are set over the network differ by less. */
const TOLERANCE_MS = 2000;
/** No message is that old and the newest, unless the clock went back or the store was long unused. */
const LONG_UNUSED_MS = 400 * 86_400_000;

export function checkClock(report: Report, newestMs: number, nowMs: number): void {
  if (newestMs === 0) {
    report.ok('clock.store', 'the store has no message to compare the clock with');
    return;
  }
  const aheadMs = newestMs - nowMs;
  const newest = new Date(newestMs).toISOString();
  if (aheadMs > TOLERANCE_MS)
    report.problem(
      'clock.store',
      `the newest message was stored at ${newest}, ${spanText(aheadMs)} after now: the clock went back since, or is wrong`,
      'set the clock (timedatectl, chronyc tracking). Until it has passed that time, new messages carry that time as theirs, and searches by time find them there',
    );
  else if (-aheadMs > LONG_UNUSED_MS)
    report.warning(
      'clock.store',
      `the newest message was stored at ${newest}, ${spanText(-aheadMs)} ago`,
      'see that the clock is right before a start: with a clock too far ahead all messages expire at once (fileReservedTime)',
    );
  else
    report.ok(
      'clock.store',
      `the newest message was stored ${spanText(Math.max(0, -aheadMs))} ago`,
    );
}
