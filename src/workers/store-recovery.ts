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
import { DeletedTopics } from '../store/deleted-topics.ts';
import { IndexStore } from '../store/index-store.ts';
import { decodeQueueSnapshot, type QueueSnapshot } from '../store/queue-snapshot.ts';
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
  /** That of the stored snapshot which the queues were taken from; -1 where they were not. */
  snapshotPosition: number;
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

/** Log that is looked through again to start from a snapshot of the queues: more costs more than it spares. */
const SNAPSHOT_LAG_BYTES_MAX = 512 * 1024 * 1024;
/** Records dispatched between two looks at the snapshot. */
const REBUILD_BATCH = 100_000;
/** Records whose units are kept in memory, 20 bytes each; fewer are left for the dispatcher to write. */
const REBUILD_KEPT_COUNT = 4_000_000;

type DerivedFilesOptions = Pick<
  StoreRecoveryOptions,
  'files' | 'directory' | 'messageIndexEnable' | 'wallClock' | 'logger'
>;

/**
 * Opens the derived files as recovery left them, for a dispatcher on a thread of its own. `queues`: what
 * `ConsumeQueueStore.snapshot` said of them then.
 */
export function openDerivedFiles(
  options: DerivedFilesOptions,
  position: number,
  damage: DamagedRange[],
  queues: Uint8Array,
): DerivedFiles {
  const consumeQueues = openQueues(options);
  const snapshot = decodeQueueSnapshot(
    Buffer.from(queues.buffer, queues.byteOffset, queues.length),
  );
  // Without one nothing of the queues is missing all the same.
  if (snapshot === null || !consumeQueues.restore(snapshot, false)) consumeQueues.load(true);
  const index = openIndex(options, position);
  return { consumeQueues, index, position, damage, commits: [], snapshotPosition: -1 };
}

function openQueues({ files, directory, logger }: DerivedFilesOptions): ConsumeQueueStore {
  return new ConsumeQueueStore({
    files,
    directory: directory.consumeQueue,
    deletedTopics: new DeletedTopics(files, directory.deletedTopics),
    logger,
  });
}

function openIndex(options: DerivedFilesOptions, position: number): IndexStore | null {
  const { files, directory, logger, wallClock, messageIndexEnable } = options;
  if (!messageIndexEnable) return null;
  const index = new IndexStore({ files, directory: directory.index, logger, wallClock });
  index.load(position);
  return index;
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
  // A broker that was killed may have made a segment whose name is not on the disk.
  if (isAbnormal) files.syncDirectory(directory.commitLog);
  const known = firstToScan(segments, checkpoint, isAbnormal);
  let snapshot =
    checkpoint.dispatchedPosition > 0 ? usableSnapshot(options, known, segments) : null;
  const scanFrom = Math.min(known, snapshot?.position ?? known);
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

  // A snapshot that speaks of more than the log has kept is of another log.
  if (snapshot !== null && snapshot.end > log.end) snapshot = null;
  const rebuilt =
    rebuild(options, { segments, log, scanFrom, snapshot, isAbnormal }) ??
    rebuild(options, { segments, log, scanFrom, snapshot: null, isAbnormal });
  if (rebuilt === null) throw new Error('queues that were read from their files are always taken');
  const { derived, recordCount, waitedFor } = rebuilt;
  const { consumeQueues } = derived;
  positions.publish(PositionSlot.DISPATCHED, log.end);
  const queues = [...consumeQueues.queues()].map(({ topic, queueId, minOffset, maxOffset }) => ({
    topic,
    queueId,
    minOffset,
    maxOffset,
  }));
  // One by one: they may be more than a call takes arguments.
  for (const queue of queuesWaitedFor(waitedFor, consumeQueues)) queues.push(queue);
  segments.close();
  logger.info(
    {
      abnormal: isAbnormal,
      from: scanFrom,
      end: log.end,
      records: recordCount,
      snapshot: derived.snapshotPosition >= 0,
      damagedRanges: log.damage.length,
      ms: options.wallClock.nowMs() - startedMs,
    },
    'store recovered',
  );
  return { derived, queues };
}

/** Queues by topic. */
type WaitedFor = ReadonlyMap<string, ReadonlySet<number>>;

interface Rebuild {
  segments: CommitLogSegments;
  log: ReturnType<typeof recoverCommitLog>;
  scanFrom: number;
  /** Null: the queues are read from their files. */
  snapshot: QueueSnapshot | null;
  isAbnormal: boolean;
}

/**
 * Brings the derived files up to the end of the log. Null where the records do not go on where the
 * snapshot says that their queues end: it is not of these files.
 */
function rebuild(
  options: StoreRecoveryOptions,
  { segments, log, scanFrom, snapshot, isAbnormal }: Rebuild,
): { derived: DerivedFiles; recordCount: number; waitedFor: WaitedFor } | null {
  const { logger } = options;
  const consumeQueues = openQueues(options);
  const isRestored = snapshot !== null && consumeQueues.restore(snapshot, isAbnormal);
  if (snapshot !== null && !isRestored) return null;
  if (!isRestored) consumeQueues.load(!isAbnormal);
  // What may stand behind the ends that a snapshot names is cleared later, or before it is written over.
  consumeQueues.truncateTo(scanFrom, isAbnormal && !isRestored);
  consumeQueues.expireBelow(log.minimum);
  const index = openIndex(options, scanFrom);
  const records = new RecordDispatcher({
    statistics: null,
    onTimerRecord: null,
    segments,
    kernel: null,
    topics: new TopicStates(consumeQueues, 0),
    index,
    delayLevels: new DelayLevels(options.messageDelayLevel),
    position: scanFrom,
    damage: log.damage,
  });
  let recordCount = 0;
  let keptCount = 0;
  for (;;) {
    const count = records.dispatch(log.end, REBUILD_BATCH);
    if (isRestored && consumeQueues.mismatchCount > 0) {
      logger.warn(
        {},
        'the stored ends of queues do not fit the log; the queues are read from their files',
      );
      index?.close();
      consumeQueues.close();
      return null;
    }
    if (count === 0) break;
    recordCount += count;
    keptCount += count;
    if (keptCount < REBUILD_KEPT_COUNT) continue;
    keptCount = 0;
    consumeQueues.writePending();
  }
  const derived: DerivedFiles = {
    consumeQueues,
    index,
    position: log.end,
    damage: log.damage,
    commits: records.commits,
    snapshotPosition: isRestored ? snapshot.position : -1,
  };
  return { derived, recordCount, waitedFor: records.waitedFor };
}

/**
 * A message that waits, for its time or its commit, may be all that is on the disk of a new topic: it could
 * not be delivered if the topic did not come back.
 */
function* queuesWaitedFor(
  waitedFor: WaitedFor,
  consumeQueues: ConsumeQueueStore,
): Generator<RecoveredQueue> {
  for (const [topic, queueIds] of waitedFor)
    for (const queueId of queueIds)
      if (consumeQueues.queue(topic, queueId) === undefined)
        yield { topic, queueId, minOffset: 0, maxOffset: 0 };
}

/** The stored snapshot of the queues, where the checkpoint is of the same store and not far ahead of it. */
function usableSnapshot(
  options: StoreRecoveryOptions,
  known: number,
  segments: CommitLogSegments,
): QueueSnapshot | null {
  const { files, directory } = options;
  const snapshot = decodeQueueSnapshot(files.readFile(directory.queueSnapshot));
  if (snapshot === null) return null;
  const isNear =
    snapshot.position >= (segments.listBases()[0] ?? 0) &&
    known - snapshot.position <= SNAPSHOT_LAG_BYTES_MAX;
  return isNear ? snapshot : null;
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
