/**
 * @agent dispatcher
 *
 * The records that a ConsumeQueue points to, one after the other: for who has to know again what was
 * stored before a start.
 */
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import { ConsumeQueueUnits } from '../store/consume-queue-units.ts';

const UNITS_AT_ONCE = 1024;

/** Hands on every record of a queue from an offset on that the log still has; returns how many. */
export function readQueue(
  queue: ConsumeQueue,
  segments: CommitLogSegments,
  from: number,
  onRecord: (view: RecordView) => void,
): number {
  const units = new ConsumeQueueUnits(UNITS_AT_ONCE);
  const view = new RecordView();
  let count = 0;
  for (let offset = from; offset < queue.maxOffset;) {
    const unitCount = queue.read(offset, UNITS_AT_ONCE, units);
    if (unitCount === 0) break;
    for (let index = 0; index < unitCount; index++) {
      const bytes = units.bytes[index];
      const record = bytes === 0 ? null : segments.recordAt(units.physicalOffset[index], bytes);
      if (record === null) continue;
      if (view.read(record, 0, record.length, false) !== RecordKind.MESSAGE) continue;
      onRecord(view);
      count++;
    }
    offset += unitCount;
  }
  return count;
}
