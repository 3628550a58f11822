/**
 * @agent control
 *
 * Opens a store before any agent runs: finds the end of the log, cuts what was torn, brings the
 * derived files up to it, and says where everything stands.
 */
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { DelayLevels } from '../broker/delay-level.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import { Checkpoint } from '../store/checkpoint.ts';
import { type DamagedRange, recoverCommitLog, truncateLog } from '../store/commit-log-recovery.ts';
import { CommitLogSegments } from '../store/commit-log-segments.ts';
import { ConsumeQueueStore } from '../store/consume-queue-store.ts';
import { IndexStore } from '../store/index-store.ts';
import type { StoreFiles } from '../store/segment.ts';
import type { StoreDirectory } from '../store/store-directory.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import { RecordDispatcher } from './record-dispatcher.ts';
import type { RecoveredQueue } from './ring-messages.ts';
import { TopicStates } from './topic-state.ts';

/** ConsumeQueues and index, ready for the dispatcher. */
export interface DerivedFiles {
  consumeQueues: ConsumeQueueStore;
  index: IndexStore | null;
  /** They hold everything below. */
  position: number;
  damage: DamagedRange[];
  /** Places of half messages whose commits recovery has read. */
  commits: number[];
}

export interface StoreRecoveryOptions {
  files: StoreFiles;
  directory: StoreDirectory;
  positions: StorePositions;
  segmentBytes: number;
  checkCrc: boolean;
  checkPropertyCrc: boolean;
  messageIndexEnable: boolean;
  messageDelayLevel: string;
  wallClock: WallClock;
  logger: Logger;
}

export interface RecoveredStore {
  derived: DerivedFiles;
  queues: RecoveredQueue[];
}

/** Records dispatched between two looks at the buffers. */
const REBUILD_BATCH = 100_000;

/**
 * Opens the derived files as they are, for a dispatcher on a thread of its own. `isWhole`: nothing of
 * them is missing, since the broker before has stopped in order or they were recovered already.
 */
export function openDerivedFiles(
  options: Pick<
    StoreRecoveryOptions,
    'files' | 'directory' | 'messageIndexEnable' | 'wallClock' | 'logger'
  >,
  position: number,
  damage: DamagedRange[],
  isWhole: boolean,
): DerivedFiles {
  const { files, directory, logger, wallClock } = options;
  const consumeQueues = new ConsumeQueueStore({ files, directory: directory.consumeQueue, logger });
  consumeQueues.load(isWhole);
  const index = options.messageIndexEnable
    ? new IndexStore({ files, directory: directory.index, logger, wallClock })
    : null;
  index?.load(position);
  return { consumeQueues, index, position, damage, commits: [] };
}

export function recoverStore(options: StoreRecoveryOptions): RecoveredStore {
  const { files, directory, positions, segmentBytes, logger } = options;
  const startedMs = options.wallClock.nowMs();
  const segments = new CommitLogSegments({ files, directory: directory.commitLog, segmentBytes });
  const unfinished = segments.removeUnfinished();
  if (unfinished !== undefined) {
    logger.info({ file: unfinished }, 'removed a segment whose allocation was cut short');
  }
  const checkpoint = Checkpoint.read(files, directory.checkpoint);
  const isAbnormal = directory.wasAbnormal;
  const scanFrom = firstToScan(segments, checkpoint, isAbnormal);
  const log = recoverCommitLog({
    segments,
    scanFrom,
    flushedPosition: checkpoint.flushedPosition,
    checkCrc: options.checkCrc,
    checkPropertyCrc: options.checkPropertyCrc,
    logger,
  });
  truncateLog(segments, log.end);
  const allocated =
    segments.listBases().length === 0 ? log.end - (log.end % segmentBytes) : lastEnd(segments);
  positions.publish(
    PositionSlot.APPENDED_TIMESTAMP,
    Math.max(log.lastStoreTimestampMs, checkpoint.physicTimestampMs),
  );
  positions.publish(PositionSlot.APPENDED, log.end);
  // Synced by the flusher's first turn where it was not: what the page cache held is on its way.
  positions.publish(PositionSlot.FLUSHED, Math.min(log.end, scanFrom));
  positions.publish(PositionSlot.ALLOCATED, allocated);
  positions.publish(PositionSlot.MINIMUM, log.minimum);

  const derived = openDerivedFiles(options, scanFrom, log.damage, !isAbnormal);
  const { consumeQueues, index } = derived;
  consumeQueues.truncateTo(scanFrom, isAbnormal);
  consumeQueues.expireBelow(log.minimum);
  const topics = new TopicStates(consumeQueues, 0);
  const delayLevels = new DelayLevels(options.messageDelayLevel);
  const records = new RecordDispatcher({
    statistics: null,
    onTimerRecord: null,
    segments,
    topics,
    index,
    delayLevels,
    position: scanFrom,
    damage: log.damage,
  });
  let recordCount = 0;
  for (;;) {
    const count = records.dispatch(log.end, REBUILD_BATCH);
    if (count === 0) break;
    recordCount += count;
    consumeQueues.writePending();
  }
  derived.position = log.end;
  derived.commits = records.commits;
  positions.publish(PositionSlot.DISPATCHED, log.end);
  const queues = [...consumeQueues.queues()].map(({ topic, queueId, minOffset, maxOffset }) => ({
    topic,
    queueId,
    minOffset,
    maxOffset,
  }));
  segments.close();
  logger.info(
    {
      abnormal: isAbnormal,
      from: scanFrom,
      end: log.end,
      records: recordCount,
      damagedRanges: log.damage.length,
      ms: options.wallClock.nowMs() - startedMs,
    },
    'store recovered',
  );
  return { derived, queues };
}

/**
 * Where scanning starts: at the place up to which log and derived files are known to be on disk, or,
 * where another broker wrote the store, at the segment that RocketMQ's own rule chooses.
 */
function firstToScan(
  segments: CommitLogSegments,
  checkpoint: Checkpoint,
  isAbnormal: boolean,
): number {
  const bases = segments.listBases();
  const first = bases[0] ?? 0;
  const known = Math.min(checkpoint.flushedPosition, checkpoint.dispatchedPosition);
  const end = (bases.at(-1) ?? 0) + segments.segmentBytes;
  if (checkpoint.dispatchedPosition > 0 && known >= first && known <= end) return known;
  const view = new RecordView();
  for (const base of [...bases].reverse()) {
    const segment = segments.segmentAt(base);
    if (segment === null) continue;
    const kind = view.read(segment.bytes, 0, segments.segmentBytes, false);
    if (kind !== RecordKind.MESSAGE || view.physicalOffset !== base) continue;
    // A clean stop leaves only the newest segment in doubt; else it is told by the checkpoint.
    if (!isAbnormal || view.storeTimestampMs <= checkpoint.recoverTimestampMs) return base;
  }
  return first;
}

function lastEnd(segments: CommitLogSegments): number {
  return (segments.listBases().at(-1) as number) + segments.segmentBytes;
}
