/**
 * @agent dispatcher
 *
 * All ConsumeQueues: `consumequeue/<topic>/<queueId>/`.
 */
import path from 'node:path';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { ConsumeQueue, type HandedOver, SLOT_BYTES } from './consume-queue.ts';
import type { ConsumeQueueContext } from './consume-queue-context.ts';
import { UNIT_BYTES } from './consume-queue-units.ts';
import type { DeletedTopics } from './deleted-topics.ts';
import { DescriptorCache } from './descriptor-cache.ts';
import { failedWith } from './file-calls.ts';
import { type QueueNumbers, type QueueSnapshot, QueueSnapshotEncoder } from './queue-snapshot.ts';
import { QueueList, QueueTable, UnitSlots } from './queue-table.ts';
import { QueueWrites } from './queue-writes.ts';
import type { StoreFiles } from './segment.ts';
import { syncPaths } from './sync-paths.ts';
import { UnitBlocks } from './unit-blocks.ts';

export interface ConsumeQueueStoreOptions {
  files: StoreFiles;
  directory: string;
  /** Where files of deleted topics go. */
  deletedTopics: DeletedTopics;
  logger: Logger;
  /** A multiple of 20; RocketMQ opens only files of its own size, 6,000,000. */
  fileBytes?: number;
  descriptorCountMax?: number;
}

const QUEUE_NAME = /^(0|[1-9]\d{0,8})$/;
/** RocketMQ opens only files of its own size. */
export const QUEUE_FILE_BYTES = 300_000 * UNIT_BYTES;
/** Looking at a queue's memory costs so much less than a write to its file. */
const RESTS_PER_WRITE = 256;
/** Queues of a round at least, where more have something to write: a write for a unit or two costs what one for many does. */
const ROUND_COUNT_MIN = 128;
/** Of a batch that another writes: some 0.1 ms here, up to 10 ms there. */
const BATCH_QUEUES_MAX = 64;
const BATCH_BYTES_MAX = 64 * 1024;
/** Queues whose first record is looked for in one step, some 0.1 ms each; a look at one that has none costs so much less. */
const EXPIRED_PER_STEP = 32;
const VISITS_PER_EXPIRED = 128;
/**
 * Log that a start after a crash may have to look through because units were not written: some 5 s. Rounds take
 * so many queues that each has its turn within so much log, evenly spread; one that lags further all the same is
 * written at once.
 */
const LAG_BYTES_MAX = 1024 * 1024 * 1024;

export class ConsumeQueueStore {
  readonly #options: ConsumeQueueStoreOptions;
  readonly #context: ConsumeQueueContext;
  /** By queue id. */
  readonly #topics = new Map<string, (ConsumeQueue | undefined)[]>();
  /** By place. */
  readonly #queues: ConsumeQueue[] = [];
  /** Queues of the present round that are still to be written. */
  #toWriteCount = 0;
  /** `end` of the last round that was not of everything; -1 before the first. */
  #roundEnd = -1;
  #writtenBytes = 0;
  #deletedCount = 0;
  readonly #writes = new QueueWrites();
  /** What another writes, in the order of the batch. */
  #handedOver: HandedOver[] = [];
  /** Where the log begins. */
  #expireTo = 0;
  /** The queue that is looked at next for it, and how many are left to look at. */
  #expireAt = 0;
  #expireLeft = 0;
  /** The present round looks for memory to give back; the cursor of `buffered` says how far it is. */
  #isResting = false;
  /** Records that did not follow what a queue holds. */
  #mismatchCount = 0;
  /** Directories that may hold queues which the snapshot does not know. */
  #unlistedTopics: string[] = [];
  /** A queue that is made now may have files all the same: what a crash has left. */
  #mayHaveRemains = false;

  constructor(options: ConsumeQueueStoreOptions) {
    this.#options = options;
    this.#context = {
      files: options.files,
      directory: options.directory,
      descriptors: new DescriptorCache(options.files, options.descriptorCountMax ?? 256),
      fileBytes: options.fileBytes ?? QUEUE_FILE_BYTES,
      logger: options.logger,
      unsynced: new Set(),
      lastFile: { topic: '', queueId: -1, start: -1, path: '' },
      table: new QueueTable(),
      slots: new UnitSlots(SLOT_BYTES),
      pending: new QueueList(),
      buffered: new QueueList(),
      unsettled: new QueueList(),
      blocks: new UnitBlocks(options.fileBytes ?? QUEUE_FILE_BYTES),
      topicsToMove: new Set(),
      onMismatch: () => {
        this.#mismatchCount++;
      },
    };
  }

  /** Finds every queue on disk. `wasClean`: the broker before has stopped in order, so that nothing is missing. */
  load(wasClean = false): void {
    const { files, directory, logger } = this.#options;
    for (const topic of files.list(directory)) {
      for (const name of this.#namesIn(path.join(directory, topic))) {
        if (QUEUE_NAME.test(name)) this.getOrCreate(topic, Number(name)).load(wasClean);
        else logger.warn({ topic, name }, 'ignored a foreign file among the consume queues');
      }
    }
  }

  /**
   * Takes all queues from a snapshot; false, and nothing is changed, where it names topics that are not
   * there. `isAbnormal`: the last broker crashed, so files may hold more than it says; `settle` clears that.
   */
  restore(snapshot: QueueSnapshot, isAbnormal: boolean): boolean {
    const names = new Set(this.#options.files.list(this.#options.directory));
    if (snapshot.topics.some(({ topic }) => !names.has(topic))) return false;
    for (const { topic, queues } of snapshot.topics) {
      for (const { queueId, numbers } of queues)
        this.getOrCreate(topic, queueId).restore(numbers, isAbnormal);
    }
    this.#mayHaveRemains = isAbnormal;
    this.#unlistedTopics = isAbnormal ? [...names] : [];
    return true;
  }

  /** All queues as their files have them, with what is written so far. */
  snapshot(position: number, end: number): Buffer {
    const encoder = new QueueSnapshotEncoder(this.queueCount);
    const numbers: QueueNumbers = {
      minOffset: 0,
      endOffset: 0,
      filesStart: 0,
      filesEnd: 0,
      firstPhysicalOffset: -1,
      lastPhysicalOffset: -1,
    };
    for (const [topic, queues] of this.#topics) {
      let isNamed = false;
      for (const queue of present(queues)) {
        queue.numbers(numbers);
        // One without files is built from the log.
        if (numbers.filesStart === numbers.filesEnd) continue;
        if (!isNamed) encoder.addTopic(topic);
        isNamed = true;
        encoder.addQueue(queue.queueId, numbers);
      }
    }
    return encoder.finish(position, end);
  }

  /** Records that did not follow what a queue holds: a snapshot that said so is not of these files. */
  get mismatchCount(): number {
    return this.#mismatchCount;
  }

  get queueCount(): number {
    return this.#context.table.count;
  }

  /** Whether a crash may have left something behind the ends of queues that nobody has looked at. */
  get isSettled(): boolean {
    return this.#unlistedTopics.length === 0 && this.#context.unsettled.size === 0;
  }

  /** Clears what a crash has left behind the ends of some queues. */
  settle(countMax: number): void {
    const { unsettled, topicsToMove } = this.#context;
    if (topicsToMove.size > 0) return;
    for (let left = countMax; left > 0 && !this.isSettled; left--) {
      const topic = this.#unlistedTopics.pop();
      if (topic !== undefined) {
        for (const name of this.#namesIn(path.join(this.#options.directory, topic)))
          if (QUEUE_NAME.test(name)) this.getOrCreate(topic, Number(name));
      } else this.#queues[unsettled.first].settle();
    }
  }

  queue(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#topics.get(topic)?.[queueId];
  }

  /** The queues of a topic, by id; the same array until the topic is deleted. */
  queuesOf(topic: string): readonly (ConsumeQueue | undefined)[] {
    return this.#queuesOf(topic);
  }

  #queuesOf(topic: string): (ConsumeQueue | undefined)[] {
    let queues = this.#topics.get(topic);
    if (queues === undefined) {
      // Topic names are checked where they enter; a name that leaves the directory is a fault of ours.
      if (topic === '' || topic === '.' || topic === '..' || /[/\0]/.test(topic)) {
        throw new BrokerError('STORE_DAMAGED', `${JSON.stringify(topic)} is no topic name`);
      }
      queues = [];
      this.#topics.set(topic, queues);
    }
    return queues;
  }

  getOrCreate(topic: string, queueId: number): ConsumeQueue {
    const queues = this.#queuesOf(topic);
    const known = queues[queueId];
    if (known !== undefined) return known;
    const queue = new ConsumeQueue(topic, queueId, this.#context);
    if (this.#mayHaveRemains) queue.doubtTail();
    queues[queueId] = queue;
    this.#queues[queue.place] = queue;
    return queue;
  }

  topics(): Iterable<string> {
    return this.#topics.keys();
  }

  *queues(): Iterable<ConsumeQueue> {
    for (const queues of this.#topics.values()) yield* present(queues);
  }

  /**
   * Writes all buffered units; returns the bytes.
   * @throws BrokerError STORE_NO_SPACE; what is not written stays buffered
   */
  writePending(): number {
    this.startRound(Infinity);
    this.continueRound(Infinity);
    return this.#writtenBytes;
  }

  /**
   * Begins a round of writes; one that was not finished is given up. Where few queues have something to
   * write, all of them; else those that wait longest, the more of them the more has been logged since the
   * last round. Returns the place in the log below which all
   * records have their units on file once the round is over; `end` is that of what was dispatched,
   * Infinity for a round of everything.
   */
  startRound(end: number): number {
    const { pending } = this.#context;
    this.#writtenBytes = 0;
    this.#isResting = false;
    this.#toWriteCount = pending.size;
    if (end === Infinity) return end;
    const loggedBytes = this.#roundEnd < 0 ? 0 : end - this.#roundEnd;
    this.#roundEnd = end;
    const countMin = Math.max(ROUND_COUNT_MIN, (pending.size * loggedBytes) / LAG_BYTES_MAX);
    if (pending.size <= countMin) return end;
    this.#toWriteCount = 0;
    // In the order of the log: a queue comes in with the first record that it has not written.
    for (let place = pending.first; place >= 0; place = pending.after(place)) {
      const queue = this.#queues[place];
      const isLagging = queue.firstPendingOffset < end - LAG_BYTES_MAX;
      if (this.#toWriteCount >= countMin && !isLagging) return queue.firstPendingOffset;
      this.#toWriteCount++;
    }
    return end;
  }

  /**
   * Visits up to `countMax` queues. True when the round is over: all that was buffered at its start is
   * written, and queues that rest have given their memory back.
   * @throws BrokerError STORE_NO_SPACE; what is not written stays buffered
   */
  continueRound(countMax: number): boolean {
    const { pending, buffered } = this.#context;
    let leftCount = countMax;
    // In the order in which they came, so that those which came since are behind those of the round.
    while (this.#toWriteCount > 0 && pending.size > 0) {
      if (leftCount-- === 0) return false;
      this.#writtenBytes += this.#queues[pending.first].writePending();
      this.#toWriteCount--;
    }
    if (!this.#isResting) buffered.cursor = buffered.first;
    this.#isResting = true;
    leftCount *= RESTS_PER_WRITE;
    while (leftCount-- > 0) {
      const place = buffered.cursor;
      if (place < 0) return true;
      buffered.cursor = buffered.after(place);
      if (this.#queues[place].rest()) buffered.delete(place);
    }
    return false;
  }

  /**
   * The next units of the round, for another to write with `writeEntry`; null where none are left. The outcome
   * is told by `confirm` or `giveBack`, before anything else of the round.
   * @throws BrokerError STORE_NO_SPACE where remains of a crash can't be cleared; nothing is handed over
   */
  handOver(): Buffer | null {
    try {
      this.#collect();
    } catch (error) {
      this.#writes.take();
      this.giveBack();
      throw error;
    }
    return this.isHandedOver ? this.#writes.take() : null;
  }

  #collect(): void {
    const { pending } = this.#context;
    while (
      this.#toWriteCount > 0 &&
      pending.size > 0 &&
      this.#handedOver.length < BATCH_QUEUES_MAX &&
      this.#writes.byteCount < BATCH_BYTES_MAX
    ) {
      this.#handedOver.push(this.#queues[pending.first].handOver(this.#writes));
      this.#toWriteCount--;
    }
  }

  /** Another is writing units: no files are deleted. */
  get isHandedOver(): boolean {
    return this.#handedOver.length > 0;
  }

  /** What was handed over is on file. */
  confirm(): void {
    for (const handed of this.#handedOver) handed.queue.confirm(handed);
    this.#endHandOver();
  }

  /** What was handed over is not all on file: it waits for the next round, in front of what came since. */
  giveBack(): void {
    for (const handed of this.#handedOver.reverse()) handed.queue.giveBack(handed);
    this.#endHandOver();
  }

  #endHandOver(): void {
    this.#handedOver = [];
    const { topicsToMove } = this.#context;
    for (const topic of topicsToMove) this.#moveFiles(topic);
    topicsToMove.clear();
    this.expireSome();
  }

  get unsyncedCount(): number {
    return this.#context.unsynced.size;
  }

  /** Files and directories (with a closing "/") written since the last call, for another thread to sync. */
  takeUnsynced(): string[] {
    const paths = [...this.#context.unsynced];
    this.#context.unsynced.clear();
    return paths;
  }

  /**
   * Drops units at or past this place of the log. After a crash (`isAbnormal`) also clears what may stand
   * behind the end of a queue, so that no later start takes it for units.
   */
  truncateTo(endPhysicalOffset: number, isAbnormal = false): void {
    for (const queue of this.queues()) queue.truncateTo(endPhysicalOffset, isAbnormal);
  }

  /** Follows retention of the log at once. To be called after `load` too, which knows only what is on disk. */
  expireBelow(minimumPhysicalOffset: number): void {
    this.beginExpiry(minimumPhysicalOffset);
    this.expireSome(Infinity);
  }

  /** Follows retention of the log: little by little, by `expireSome`. */
  beginExpiry(minimumPhysicalOffset: number): void {
    this.#expireTo = minimumPhysicalOffset;
    this.#expireLeft = this.#queues.length;
  }

  /** Some queues have not followed retention yet. */
  get isExpiring(): boolean {
    return this.#expireLeft > 0;
  }

  /**
   * Looks for the first record of so many queues; true where more are left. While another writes units it
   * does nothing: no files are deleted then.
   */
  expireSome(countMax = EXPIRED_PER_STEP): boolean {
    if (this.isHandedOver) return false;
    for (let left = countMax; left > 0 && this.#expireLeft > 0; this.#expireLeft--) {
      if (this.#expireAt >= this.#queues.length) this.#expireAt = 0;
      const queue = this.#queues[this.#expireAt++];
      left -= queue.expireBelow(this.#expireTo) ? 1 : 1 / VISITS_PER_EXPIRED;
    }
    return this.isExpiring;
  }

  /** Its files go to `deletedTopics`, at once or when those who write to them are done. */
  deleteTopic(topic: string): void {
    const queues = this.#topics.get(topic);
    if (queues === undefined) return;
    for (const queue of present(queues)) queue.forget();
    this.#topics.delete(topic);
    if (this.isHandedOver) this.#context.topicsToMove.add(topic);
    else this.#moveFiles(topic);
  }

  #moveFiles(topic: string): void {
    const { directory, deletedTopics } = this.#options;
    deletedTopics.take(path.join(directory, topic));
    this.#context.unsynced.add(`${directory}/`);
    this.#deletedCount++;
  }

  /** Topics that were deleted, and whose files have been moved. */
  get deletedCount(): number {
    return this.#deletedCount;
  }

  /**
   * Syncs what nobody took for it. Writes nothing: what is still pending is derived from the log again.
   */
  close(): void {
    syncPaths(this.#options.files, this.takeUnsynced());
    this.#context.descriptors.closeAll();
  }

  #namesIn(directory: string): string[] {
    const { files, logger } = this.#options;
    try {
      return files.list(directory);
    } catch (error) {
      if (!failedWith(error, 'ENOTDIR')) throw error;
      logger.warn({ file: directory }, 'ignored a foreign file among the consume queues');
      return [];
    }
  }
}

/** Without the holes, of which there are a billion where a foreign directory has such a number. */
const present = (queues: (ConsumeQueue | undefined)[]): ConsumeQueue[] =>
  Object.values(queues) as ConsumeQueue[];
