/**
 * @agent dispatcher
 *
 * What code 28 shows of the store: positions of the log, the disk, the delay levels.
 *
 * Source: DefaultMessageStore.java (getRuntimeInfo), AdminBrokerProcessor.java (prepareRuntimeInfo),
 * ScheduleMessageService.java (buildRunningStats).
 */
import type { DelayDelivery } from '../broker/delay-delivery.ts';
import { printDouble } from '../protocol/fastjson.ts';
import { type StoreFiles, usedShare } from '../store/segment.ts';
import type { StoreDirectory } from '../store/store-directory.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { QueueQueries } from './queue-queries.ts';

export interface StoreInfoSources {
  files: StoreFiles;
  directory: StoreDirectory;
  positions: StorePositions;
  queries: QueueQueries;
  delays: DelayDelivery;
}

export function* storeInfo(sources: StoreInfoSources): Generator<readonly [string, string]> {
  const { files, directory, positions, queries, delays } = sources;
  const appended = positions.load(PositionSlot.APPENDED);
  const minimum = positions.load(PositionSlot.MINIMUM);
  yield ['commitLogMinOffset', String(minimum)];
  yield ['commitLogMaxOffset', String(appended)];
  yield ['dispatchBehindBytes', String(appended - positions.load(PositionSlot.DISPATCHED))];
  const unflushedBytes = Math.max(0, appended - positions.load(PositionSlot.FLUSHED));
  yield ['remainHowManyDataToFlush', bytesText(unflushedBytes)];
  yield ['earliestMessageTimeStamp', String(queries.storeTimestampAt(minimum))];
  for (const { level, position, maxOffset } of delays.progress())
    yield [`scheduleMessageOffset_${level}`, `${position},${maxOffset}`];
  const space = files.space(directory.root);
  // In whole percent, rounded up.
  const usedRatio = printDouble(Math.ceil(usedShare(space) * 100) / 100);
  yield ['commitLogDiskRatio', usedRatio];
  yield [`commitLogDiskRatio_${directory.commitLog}`, usedRatio];
  yield ['consumeQueueDiskRatio', usedRatio];
  const { totalBytes, freeBytes } = space;
  const capacity = `Total : ${bytesText(totalBytes)}, Free : ${bytesText(freeBytes)}.`;
  yield ['commitLogDirCapacity', capacity];
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** As MixAll.humanReadableByteCount writes it: "1.5 GiB". */
function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const exponent = Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length);
  return `${(bytes / 1024 ** exponent).toFixed(1)} ${UNITS[exponent - 1]}`;
}
