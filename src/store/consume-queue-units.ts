/**
 * @agent dispatcher
 *
 * The unit of a ConsumeQueue, 20 bytes for each message, and units that were read. Source: ConsumeQueue.java.
 */
import { layout } from '../base/layout.ts';

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
      const bytes = source.readInt32BE(at + unitLayout.recordBytes);
      this.physicalOffset[index] =
        source.readUInt32BE(at) * 0x1_0000_0000 + source.readUInt32BE(at + 4);
      this.bytes[index] = bytes === GAP_RECORD_BYTES || bytes < 0 ? 0 : bytes;
      this.tagsHigh[index] = source.readInt32BE(at + unitLayout.tagsHigh);
      this.tagsLow[index] = source.readInt32BE(at + unitLayout.tagsLow);
      at += UNIT_BYTES;
    }
  }
}
