/**
 * @agent dispatcher
 *
 * The unit of a ConsumeQueue, 20 bytes for each message, and units that were read. Source: ConsumeQueue.java.
 */
import { layout } from '../base/layout.ts';
import { readInt32 } from '../protocol/message-record.ts';

export const unitLayout = layout(
  { physicalOffset: 'i64', recordBytes: 'i32', tagsHigh: 'i32', tagsLow: 'i32' },
  20,
);
export const UNIT_BYTES = unitLayout.totalBytes;

/** The size that RocketMQ gives to units which fill a queue up to its first offset. */
export const GAP_RECORD_BYTES = 0x7fff_ffff;

/** Units that were read, in parallel arrays; one for each reader, reused. */
export class ConsumeQueueUnits {
  readonly capacity: number;
  readonly physicalOffset: Float64Array;
  /** Bytes of the record; 0 where the unit stands for no message. */
  readonly bytes: Int32Array;
  readonly tagsHigh: Int32Array;
  readonly tagsLow: Int32Array;
  /** Where units from files are read to. */
  readonly scratch: Buffer;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.physicalOffset = new Float64Array(capacity);
    this.bytes = new Int32Array(capacity);
    this.tagsHigh = new Int32Array(capacity);
    this.tagsLow = new Int32Array(capacity);
    this.scratch = Buffer.alloc(capacity * UNIT_BYTES);
  }

  /** Takes units [from, to) over from stored bytes. */
  decode(source: Buffer, position: number, from: number, to: number): void {
    let at = position;
    for (let index = from; index < to; index++) {
      const bytes = readInt32(source, at + unitLayout.recordBytes);
      this.physicalOffset[index] =
        (readInt32(source, at) >>> 0) * 0x1_0000_0000 + (readInt32(source, at + 4) >>> 0);
      this.bytes[index] = bytes === GAP_RECORD_BYTES || bytes < 0 ? 0 : bytes;
      this.tagsHigh[index] = readInt32(source, at + unitLayout.tagsHigh);
      this.tagsLow[index] = readInt32(source, at + unitLayout.tagsLow);
      at += UNIT_BYTES;
    }
  }
}

/** A queue, or what looks like one. */
interface UnitSource {
  readonly minOffset: number;
  readonly maxOffset: number;
  read(fromOffset: number, countMax: number, into: ConsumeQueueUnits): number;
}

/**
 * The first offset whose record is not `isBefore` any more, given that records ascend; the end where all
 * are. Units that say nothing go with the next one that does. `into` is what it reads with.
 */
export function searchUnits(
  queue: UnitSource,
  into: ConsumeQueueUnits,
  isBefore: (physicalOffset: number) => boolean,
): number {
  let low = queue.minOffset;
  let high = queue.maxOffset;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    let at = middle;
    let physicalOffset = 0;
    while (at < high && physicalOffset === 0) {
      const count = queue.read(at, Math.min(high - at, at === middle ? 1 : into.capacity), into);
      let index = 0;
      while (index < count && isNothing(into, index)) index++;
      at += index;
      if (index < count) {
        physicalOffset = into.physicalOffset[index];
        break;
      }
    }
    if (at < high && isBefore(physicalOffset)) low = at + 1;
    else high = middle;
  }
  return low;
}

function isNothing(units: ConsumeQueueUnits, index: number): boolean {
  return units.bytes[index] === 0 && units.physicalOffset[index] === 0;
}
