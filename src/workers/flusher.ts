/**
 * @agent flusher
 *
 * Everything that waits for a disk: the group commit of the CommitLog, fsync of derived files, the
 * checkpoint, metadata files, and retention. It publishes `flushed`; nobody else syncs the log.
 *
 * A sync that fails ends the broker: the pages may be lost, and a second try would report success. Where the
 * file system has become read-only, nothing can be written by anybody any more: messages are refused, what
 * there is can be read, and nothing is stored until a new start.
 */
import type { Logger } from '../base/logging.ts';
import type { Agent } from '../ring/agent.ts';
import type { Doorbell } from '../ring/doorbell.ts';
import { PartAssembler } from '../ring/queued-producer.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import type { Checkpoint } from '../store/checkpoint.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { failedWith, throwUnlessNoSpace } from '../store/file-calls.ts';
import type { StoreFiles } from '../store/segment.ts';
import { SYNC_ALL_COUNT, syncAll, syncPaths } from '../store/sync-paths.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import { writeMetadata } from '../store/metadata-file.ts';
import type { DropBehind } from './drop-behind.ts';
import type { LogRetention } from './log-retention.ts';
import { type FlusherTask, readFlusherTask } from './ring-messages.ts';

export interface FlusherOptions {
  /** Tasks from control and from the dispatcher. */
  inbound: readonly SpscRingConsumer[];
  files: StoreFiles;
  segments: CommitLogSegments;
  positions: StorePositions;
  checkpoint: Checkpoint;
  checkpointPath: string;
  /** Woken when `flushed` has moved and answers wait for it. */
  writerDoorbell: Doorbell;
  /** Woken when `flushed` has moved, where consumers see only what is flushed. */
  dispatcherDoorbell: Doorbell;
  flushesSynchronously: boolean;
  flushIntervalMs: number;
  logger: Logger;
  retention: LogRetention;
  /** Null where the page cache keeps what it has. */
  dropBehind: DropBehind | null;
}

const CHECKPOINT_INTERVAL_MS = 1000;
const RETENTION_INTERVAL_MS = 1000;
/**
 * Files synced at once, before the log is looked at again: each may take as long as a write to the disk,
 * and senders wait for the log.
 */
const SYNCS_PER_TURN = 16;
/** Of the log, synced at once: tasks and retention get a turn some four times a second, however much waits. */
const FLUSH_BYTES_MAX = 128 * 1024 * 1024;
/** Where senders always wait for the log, tasks get a turn all the same; a guess. */
const TASKS_INTERVAL_MS = 20;
/** Pause after a task found no space on the disk. */
const RETRY_MS = 1000;

/** A file that is replaced as a whole. */
type FileTask = Extract<FlusherTask, { kind: 'replace' | 'queues' }>;
type SyncTask = Omit<Extract<FlusherTask, { kind: 'sync' }>, 'paths'> & { paths: Set<string> };
type TimersTask = Omit<Extract<FlusherTask, { kind: 'timers' }>, 'paths'> & { paths: Set<string> };

export class Flusher implements Agent {
  readonly name = 'flusher';
  readonly #options: FlusherOptions;
  readonly #assemblers: PartAssembler[];
  #tasks: (FileTask | SyncTask | TimersTask)[] = [];
  #nextFlushMs = 0;
  /** The log is synced up to here, which may be within a record. */
  #synced: number;
  /** Where the log ended, and with which timestamp, when this flush of it began. */
  #flushEnd = 0;
  #flushEndTimestampMs = 0;
  #nextTasksMs = 0;
  #nextCheckpointMs = 0;
  #nextRetentionMs = 0;
  #retryAtMs = 0;
  #isCheckpointStale = false;
  #isClosing = false;
  #spaceWarned = false;
  #readOnlySaid = false;

  constructor(options: FlusherOptions) {
    this.#options = options;
    this.#synced = options.positions.load(PositionSlot.FLUSHED);
    this.#assemblers = options.inbound.map(() => new PartAssembler());
  }

  doWork(nowMs: number): number {
    if (this.#options.positions.load(PositionSlot.READ_ONLY) !== 0) {
      this.#sayReadOnly();
      this.#takeTasks();
      this.#tasks = [];
      return 0;
    }
    try {
      return this.#work(nowMs);
    } catch (error) {
      this.#onFailure(error);
      return 1;
    }
  }

  #onFailure(error: unknown): void {
    if (!failedWith(error, 'EROFS')) throw error;
    this.#options.positions.publish(PositionSlot.READ_ONLY, 1);
    this.#sayReadOnly();
  }

  #sayReadOnly(): void {
    if (this.#readOnlySaid) return;
    this.#readOnlySaid = true;
    this.#options.logger.error(
      {},
      'the file system of the store is read-only: messages are refused (14), pulls go on, and nothing is stored, offsets of groups neither; mend it (EROFS: see the log of the kernel), and start the broker again',
    );
  }

  #work(nowMs: number): number {
    const { positions, flushIntervalMs } = this.#options;
    let work = 0;
    const isWanted =
      this.#options.flushesSynchronously &&
      positions.load(PositionSlot.SYNC_WANTED) > positions.load(PositionSlot.FLUSHED);
    if (isWanted || nowMs >= this.#nextFlushMs) {
      this.#nextFlushMs = nowMs + flushIntervalMs;
      work += this.#flush();
      if (this.#hasMuchToFlush()) this.#nextFlushMs = nowMs;
      if (isWanted && nowMs < this.#nextTasksMs) return work;
    }
    this.#nextTasksMs = nowMs + TASKS_INTERVAL_MS;
    work += this.#takeTasks();
    if (this.#tasks.length > 0 && nowMs >= this.#retryAtMs) work += this.#runTask(nowMs);
    if (this.#isCheckpointStale && nowMs >= this.#nextCheckpointMs) {
      this.#nextCheckpointMs = nowMs + CHECKPOINT_INTERVAL_MS;
      this.#whereSpace(() => this.#writeCheckpoint());
    }
    if (nowMs >= this.#nextRetentionMs || this.#options.retention.isDue) {
      this.#nextRetentionMs = nowMs + RETENTION_INTERVAL_MS;
      work += this.#options.retention.run(nowMs);
    }
    work += this.#options.dropBehind?.doWork(nowMs, this.#synced) ?? 0;
    return work;
  }

  nextDeadlineMs(): number {
    if (this.#readOnlySaid) return Infinity;
    let deadline = Math.min(this.#nextFlushMs, this.#nextRetentionMs);
    if (this.#tasks.length > 0) deadline = Math.min(deadline, this.#retryAtMs);
    if (this.#isCheckpointStale) deadline = Math.min(deadline, this.#nextCheckpointMs);
    return deadline;
  }

  nextWallDeadlineMs(): number {
    return this.#options.retention.nextWallDeadlineMs();
  }

  /** Runs what is left, syncs the rest of the log and writes the last checkpoint. */
  close(): void {
    if (this.#options.positions.load(PositionSlot.READ_ONLY) !== 0) return;
    try {
      this.#close();
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #close(): void {
    this.#isClosing = true;
    this.#takeTasks();
    while (this.#tasks.length > 0 && this.#runTask(this.#retryAtMs) > 0);
    this.#flushTo(this.#options.positions.load(PositionSlot.APPENDED));
    // Without it the next start only has more to look through.
    this.#whereSpace(() => this.#writeCheckpoint());
    this.#options.positions.publish(PositionSlot.FILES_CLOSED, this.#tasks.length === 0 ? 1 : 0);
  }

  /** The rest of a flush, or what came meanwhile and keeps the disk busy: it does not wait for the interval. */
  #hasMuchToFlush(): boolean {
    if (this.#synced < this.#flushEnd) return true;
    const appended = this.#options.positions.load(PositionSlot.APPENDED);
    return appended - this.#synced >= FLUSH_BYTES_MAX / 2;
  }

  /** Flushes all below `end`; what is appended meanwhile may go on for ever. */
  #flushTo(end: number): void {
    const { positions } = this.#options;
    while (positions.load(PositionSlot.FLUSHED) < end && this.#flush() > 0);
  }

  /**
   * Syncs a part of what was appended, of one segment; returns 1 if there was anything. `flushed` moves once
   * all is synced that had been appended when the first part was begun: there a record ends.
   */
  #flush(): number {
    const { positions, segments, writerDoorbell, dispatcherDoorbell, flushesSynchronously } =
      this.#options;
    if (this.#synced >= this.#flushEnd) {
      this.#flushEndTimestampMs = positions.load(PositionSlot.APPENDED_TIMESTAMP);
      this.#flushEnd = positions.load(PositionSlot.APPENDED);
    }
    const from = this.#synced;
    if (from >= this.#flushEnd) return 0;
    const base = from - (from % segments.segmentBytes);
    const to = Math.min(this.#flushEnd, base + segments.segmentBytes, from + FLUSH_BYTES_MAX);
    const segment = segments.segmentAt(from);
    if (segment === null) throw new Error(`no segment holds ${from}, which is not flushed yet`);
    segment.sync(from - base, to - base);
    this.#synced = to;
    if (to < this.#flushEnd) return 1;
    positions.publish(PositionSlot.FLUSHED_TIMESTAMP, this.#flushEndTimestampMs);
    positions.publish(PositionSlot.FLUSHED, to);
    this.#isCheckpointStale = true;
    if (flushesSynchronously) {
      writerDoorbell.ring();
      dispatcherDoorbell.ring();
    }
    return 1;
  }

  #takeTasks(): number {
    let count = 0;
    const { inbound } = this.#options;
    for (let index = 0; index < inbound.length; index++) {
      const ring = inbound[index];
      while (ring.peek()) {
        const payload = this.#assemblers[index].take(ring);
        if (payload !== null) this.#addTask(readFlusherTask(payload));
        ring.skip();
        count++;
      }
      ring.release();
    }
    return count;
  }

  /**
   * A newer content of the same file takes the place of one that was not written yet, and a sync goes with
   * one that waits: where the disk is slow, tasks do not pile up. One that has begun comes to its end, so
   * that the checkpoint moves on.
   */
  #addTask(task: FlusherTask): void {
    if (task.kind === 'retention') {
      this.#options.retention.change(task);
      return;
    }
    if (isFileTask(task)) {
      this.#tasks = this.#tasks.filter((other) => !isFileTask(other) || other.path !== task.path);
      this.#tasks.push(task);
      return;
    }
    const waiting = this.#tasks.find((other, index) => index > 0 && other.kind === task.kind);
    if (waiting === undefined || isFileTask(waiting)) {
      this.#tasks.push({ ...task, paths: new Set(task.paths) });
      return;
    }
    for (const path of task.paths) waiting.paths.add(path);
    if (waiting.kind === 'timers' && task.kind === 'timers') {
      waiting.text = task.text;
      waiting.removed.push(...task.removed);
      waiting.afterFlushed = task.afterFlushed;
    }
    if (waiting.kind !== 'sync' || task.kind !== 'sync') return;
    waiting.dispatchedPosition = task.dispatchedPosition;
    waiting.logicsTimestampMs = task.logicsTimestampMs;
    waiting.indexTimestampMs = task.indexTimestampMs;
  }

  #runTask(nowMs: number): number {
    const task = this.#tasks[0];
    if (task.kind !== 'sync' && task.afterFlushed !== undefined) this.#flushTo(task.afterFlushed);
    const hasSpace = this.#whereSpace(() => {
      if (task.kind === 'replace')
        writeMetadata(this.#options.files, task.path, task.text, task.isPrivate);
      else if (task.kind === 'queues') this.#options.files.replaceFile(task.path, task.bytes);
      else if (task.kind === 'timers') this.#storeTimers(task);
      else this.#syncDerived(task);
    });
    if (!hasSpace) this.#retryAtMs = nowMs + RETRY_MS;
    else if (isFileTask(task) || task.paths.size === 0) this.#tasks.shift();
    return hasSpace ? 1 : 0;
  }

  /** Runs a call that may find the disk full; then says so once, and false: it is tried again. */
  #whereSpace(call: () => void): boolean {
    try {
      call();
      this.#spaceWarned = false;
      return true;
    } catch (error) {
      throwUnlessNoSpace(error);
      if (failedWith(error, 'EROFS')) throw error;
      if (!this.#spaceWarned) {
        this.#options.logger.warn(
          { error: error.message },
          'no space to write metadata; trying again each second',
        );
      }
      this.#spaceWarned = true;
      return false;
    }
  }

  /** Syncs some of the files; true once all are. */
  #syncSome(left: Set<string>): boolean {
    const { files, flushesSynchronously } = this.#options;
    // Where senders wait for the log, files are synced a few at a time between its syncs.
    const mayTakeLong = !flushesSynchronously || this.#isClosing;
    if (mayTakeLong && left.size >= SYNC_ALL_COUNT && syncAll(files, left)) left.clear();
    const paths: string[] = [];
    for (const path of left) if (paths.push(path) === SYNCS_PER_TURN) break;
    syncPaths(files, paths);
    for (const path of paths) left.delete(path);
    return left.size === 0;
  }

  /** Makes a round of the timer wheel last; the files that it has no use for go after that. */
  #storeTimers(task: TimersTask): void {
    const { files } = this.#options;
    if (!this.#syncSome(task.paths)) return;
    files.replaceFile(task.path, Buffer.from(task.text));
    for (const path of task.removed) files.remove(path);
  }

  /** Once all derived files are synced, the checkpoint may say so. */
  #syncDerived(task: SyncTask): void {
    const { checkpoint } = this.#options;
    if (!this.#syncSome(task.paths)) return;
    checkpoint.dispatchedPosition = task.dispatchedPosition;
    checkpoint.logicsTimestampMs = task.logicsTimestampMs;
    checkpoint.indexTimestampMs = task.indexTimestampMs;
    this.#isCheckpointStale = true;
  }

  #writeCheckpoint(): void {
    const { positions, checkpoint, files, checkpointPath } = this.#options;
    checkpoint.physicTimestampMs = positions.load(PositionSlot.FLUSHED_TIMESTAMP);
    checkpoint.flushedPosition = positions.load(PositionSlot.FLUSHED);
    checkpoint.write(files, checkpointPath);
    this.#isCheckpointStale = false;
  }
}

function isFileTask<Task extends { kind: string }>(
  task: Task,
): task is Extract<Task, { kind: 'replace' | 'queues' }> {
  return task.kind === 'replace' || task.kind === 'queues';
}
