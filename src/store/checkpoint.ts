/**
 * @agent flusher
 *
 * How far each part of the store is on disk: `checkpoint`, 4096 bytes. The first five fields are
 * RocketMQ's (StoreCheckpoint.java), which reads no further; Millrace's own stand behind them, with
 * a check of their own, since Apache leaves them as they are while it moves the store on.
 *
 * The file is replaced, not written in place: a torn write must not raise a position.
 */
import { layout } from '../base/layout.ts';
import { crc32Masked } from '../protocol/crc32.ts';
import { readLong, writeLong } from '../protocol/message-record.ts';
import type { StoreFiles } from './segment.ts';

const FILE_BYTES = 4096;
/** Where Millrace's fields start: far behind anything that RocketMQ may add. */
const OWN_START = 2048;
const OWN_MAGIC = 0x4d49_4c4c; // "MILL"

const checkpointLayout = layout({
  physicMsgTimestamp: 'i64',
  logicsMsgTimestamp: 'i64',
  indexMsgTimestamp: 'i64',
  masterFlushedOffset: 'i64',
  confirmPhyOffset: 'i64',
});

const ownLayout = layout({
  magic: 'i32',
  crc: 'i32',
  flushedPosition: 'i64',
  dispatchedPosition: 'i64',
  physicMsgTimestamp: 'i64',
});

export class Checkpoint {
  /** Store timestamp of the last record that is on disk. */
  physicTimestampMs = 0;
  /** Store timestamp of the last record whose ConsumeQueue unit is on disk. */
  logicsTimestampMs = 0;
  /** The same for the index. */
  indexTimestampMs = 0;
  confirmPosition = 0;
  /** Everything below is on disk; 0 where it is not known. */
  flushedPosition = 0;
  /** ConsumeQueue and index on disk hold everything below; 0 where it is not known. */
  dispatchedPosition = 0;

  /** What the file says; zeroes where there is none, or it is not one. */
  static read(files: StoreFiles, path: string): Checkpoint {
    const checkpoint = new Checkpoint();
    const bytes = files.readFile(path);
    if (bytes === undefined || bytes.length < checkpointLayout.totalBytes) return checkpoint;
    checkpoint.physicTimestampMs = readLong(bytes, checkpointLayout.physicMsgTimestamp);
    checkpoint.logicsTimestampMs = readLong(bytes, checkpointLayout.logicsMsgTimestamp);
    checkpoint.indexTimestampMs = readLong(bytes, checkpointLayout.indexMsgTimestamp);
    checkpoint.confirmPosition = readLong(bytes, checkpointLayout.confirmPhyOffset);
    if (bytes.length < OWN_START + ownLayout.totalBytes) return checkpoint;
    const own = bytes.subarray(OWN_START, OWN_START + ownLayout.totalBytes);
    const isOwn =
      own.readInt32BE(ownLayout.magic) === OWN_MAGIC &&
      own.readInt32BE(ownLayout.crc) === crc32Masked(own.subarray(ownLayout.flushedPosition)) &&
      // Another broker has run since when its timestamp has moved.
      readLong(own, ownLayout.physicMsgTimestamp) === checkpoint.physicTimestampMs;
    if (!isOwn) return checkpoint;
    checkpoint.flushedPosition = readLong(own, ownLayout.flushedPosition);
    checkpoint.dispatchedPosition = readLong(own, ownLayout.dispatchedPosition);
    return checkpoint;
  }

  write(files: StoreFiles, path: string): void {
    const bytes = Buffer.alloc(FILE_BYTES);
    writeLong(bytes, this.physicTimestampMs, checkpointLayout.physicMsgTimestamp);
    writeLong(bytes, this.logicsTimestampMs, checkpointLayout.logicsMsgTimestamp);
    writeLong(bytes, this.indexTimestampMs, checkpointLayout.indexMsgTimestamp);
    writeLong(bytes, this.flushedPosition, checkpointLayout.masterFlushedOffset);
    writeLong(bytes, this.confirmPosition, checkpointLayout.confirmPhyOffset);
    const own = bytes.subarray(OWN_START, OWN_START + ownLayout.totalBytes);
    own.writeInt32BE(OWN_MAGIC, ownLayout.magic);
    writeLong(own, this.flushedPosition, ownLayout.flushedPosition);
    writeLong(own, this.dispatchedPosition, ownLayout.dispatchedPosition);
    writeLong(own, this.physicTimestampMs, ownLayout.physicMsgTimestamp);
    own.writeInt32BE(crc32Masked(own.subarray(ownLayout.flushedPosition)), ownLayout.crc);
    files.replaceFile(path, bytes);
  }

  /** Everything stored before is surely in the derived files; three seconds of margin, as RocketMQ has. */
  get recoverTimestampMs(): number {
    return Math.max(0, Math.min(this.physicTimestampMs, this.logicsTimestampMs) - 3000);
  }
}
