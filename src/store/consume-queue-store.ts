/**
 * @agent dispatcher
 *
 * All ConsumeQueues: `consumequeue/<topic>/<queueId>/`.
 */
import path from 'node:path';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { ConsumeQueue, type ConsumeQueueContext, UNIT_BYTES } from './consume-queue.ts';
import { DescriptorCache } from './descriptor-cache.ts';
import type { StoreFiles } from './segment.ts';
import { syncPaths } from './sync-paths.ts';

export interface ConsumeQueueStoreOptions {
  files: StoreFiles;
  directory: string;
  logger: Logger;
  /** A multiple of 20; RocketMQ opens only files of its own size, 6,000,000. */
  fileBytes?: number;
  descriptorCountMax?: number;
}

const FILE_BYTES = 300_000 * UNIT_BYTES;
/** Looking at a queue's memory costs so much less than a write to its file. */
const RESTS_PER_WRITE = 16;
/** Queues of a round, where more have something to write: a write for a unit or two costs what one for many does. */
const ROUND_COUNT_MAX = 128;
/**
 * Log that a start after a crash may have to look through because units were not written: a fraction of a
 * second. Queues that lag further are written however many they are.
 */
const LAG_BYTES_MAX = 256 * 1024 * 1024;

export class ConsumeQueueStore {
  readonly #options: ConsumeQueueStoreOptions;
  readonly #context: ConsumeQueueContext;
  readonly #topics = new Map<string, Map<number, ConsumeQueue>>();
  /** Queues of the present round that are still to be written. */
  #toWriteCount = 0;
  #writtenBytes = 0;
  /** Queues that the present round still looks at for memory to give back. */
  #resting: SetIterator<ConsumeQueue> | null = null;

  constructor(options: ConsumeQueueStoreOptions) {
    this.#options = options;
    this.#context = {
      files: options.files,
      descriptors: new DescriptorCache(options.files, options.descriptorCountMax ?? 256),
      fileBytes: options.fileBytes ?? FILE_BYTES,
      logger: options.logger,
      unsynced: new Set(),
      pending: new Set(),
      buffered: new Set(),
    };
  }

  /** Finds every queue on disk. `wasClean`: the broker before has stopped in order, so that nothing is missing. */
  load(wasClean = false): void {
    const { files, directory, logger } = this.#options;
    for (const topic of files.list(directory)) {
      for (const name of this.#namesIn(path.join(directory, topic))) {
        if (/^(0|[1-9]\d{0,8})$/.test(name)) this.getOrCreate(topic, Number(name)).load(wasClean);
        else logger.warn({ topic, name }, 'ignored a foreign file among the consume queues');
      }
    }
  }

  queue(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#topics.get(topic)?.get(queueId);
  }

  getOrCreate(topic: string, queueId: number): ConsumeQueue {
    let queues = this.#topics.get(topic);
    if (queues === undefined) {
      // Topic names are checked where they enter; a name that leaves the directory is a fault of ours.
      if (topic === '' || topic === '.' || topic === '..' || /[/\0]/.test(topic)) {
        throw new BrokerError('STORE_DAMAGED', `${JSON.stringify(topic)} is no topic name`);
      }
      queues = new Map();
      this.#topics.set(topic, queues);
    }
    let queue = queues.get(queueId);
    if (queue === undefined) {
      const directory = path.join(this.#options.directory, topic, String(queueId));
      queue = new ConsumeQueue(topic, queueId, directory, this.#context);
      queues.set(queueId, queue);
    }
    return queue;
  }

  *queues(): Iterable<ConsumeQueue> {
    for (const queues of this.#topics.values()) yield* queues.values();
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
   * write, all of them; else those that wait longest. Returns the place in the log below which all
   * records have their units on file once the round is over; `end` is that of what was dispatched,
   * Infinity for a round of everything.
   */
  startRound(end: number): number {
    const { pending } = this.#context;
    this.#writtenBytes = 0;
    this.#resting = null;
    this.#toWriteCount = pending.size;
    if (pending.size <= ROUND_COUNT_MAX || end === Infinity) return end;
    this.#toWriteCount = 0;
    // In the order of the log: a queue comes in with the first record that it has not written.
    for (const queue of pending) {
      const isLagging = queue.firstPendingOffset < end - LAG_BYTES_MAX;
      if (this.#toWriteCount >= ROUND_COUNT_MAX && !isLagging) return queue.firstPendingOffset;
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
    for (const queue of pending) {
      if (this.#toWriteCount === 0) break;
      if (leftCount-- === 0) return false;
      this.#writtenBytes += queue.writePending();
      this.#toWriteCount--;
    }
    this.#resting ??= buffered.values();
    leftCount *= RESTS_PER_WRITE;
    while (leftCount-- > 0) {
      const next = this.#resting.next();
      if (next.done === true) return true;
      if (next.value.rest()) buffered.delete(next.value);
    }
    return false;
  }

  /** Queues that the present round is still to write. */
  get toWriteCount(): number {
    return this.#toWriteCount;
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

  /** Follows retention of the log. To be called after `load` too, which knows only what is on disk. */
  expireBelow(minimumPhysicalOffset: number): void {
    for (const queue of this.queues()) queue.expireBelow(minimumPhysicalOffset);
  }

  deleteTopic(topic: string): void {
    const queues = this.#topics.get(topic);
    if (queues === undefined) return;
    for (const queue of queues.values()) queue.forget();
    this.#topics.delete(topic);
    this.#options.files.remove(path.join(this.#options.directory, topic));
    this.#context.unsynced.add(`${this.#options.directory}/`);
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
      if (!BrokerError.is(error) || !isNoDirectory(error.cause)) throw error;
      logger.warn({ file: directory }, 'ignored a foreign file among the consume queues');
      return [];
    }
  }
}

function isNoDirectory(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'ENOTDIR';
}
