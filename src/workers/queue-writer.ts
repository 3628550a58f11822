/**
 * @agent queueWriter
 *
 * Writes the files of ConsumeQueues for the dispatcher, which has messages to serve meanwhile: to make one
 * takes 0.15 ms, and ten thousands of queues may want theirs in the same seconds. It takes one batch
 * after the other and says how many are done; the dispatcher keeps units until it knows. In between it removes
 * the files of deleted topics.
 */
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import type { Agent } from '../ring/agent.ts';
import type { Doorbell } from '../ring/doorbell.ts';
import { PartAssembler } from '../ring/queued-producer.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import { QUEUE_FILE_BYTES } from '../store/consume-queue-store.ts';
import type { DeletedTopics } from '../store/deleted-topics.ts';
import { throwUnlessNoSpace } from '../store/file-calls.ts';
import { type QueueFilesPlace, writeEntry } from '../store/queue-writes.ts';
import type { StoreFiles } from '../store/segment.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';

export interface QueueWriterOptions {
  /** Batches of the dispatcher, see queue-writes.ts. */
  inbound: SpscRingConsumer;
  files: StoreFiles;
  /** `consumequeue/` */
  directory: string;
  deletedTopics: DeletedTopics;
  positions: StorePositions;
  logger: Logger;
  /** Woken when a batch is done. */
  dispatcherDoorbell: Doorbell;
}

/** Files written in one turn; others on this thread are looked at after 0.5 ms, or 2.5 ms where all are made. */
const WRITES_PER_TURN = 16;
/** Files and directories removed in one turn, some 0.5 ms. */
const REMOVALS_PER_TURN = 8;

export class QueueWriter implements Agent {
  readonly name = 'queueWriter';
  readonly #options: QueueWriterOptions;
  readonly #place: QueueFilesPlace;
  readonly #assembler = new PartAssembler();
  #batch: Buffer | null = null;
  /** In the batch: the next entry. */
  #at = 0;
  #batchCount = 0;
  /** Topics of which it knows that they were deleted; what is left of those before this run is looked for at once. */
  #deletedCount = -1;
  #isRemoving = false;

  constructor(options: QueueWriterOptions) {
    this.#options = options;
    const { files, directory } = options;
    this.#place = { files, directory, fileBytes: QUEUE_FILE_BYTES };
  }

  doWork(): number {
    return this.#write() + this.#remove();
  }

  #write(): number {
    this.#batch ??= this.#takeBatch();
    const batch = this.#batch;
    if (batch === null) return 0;
    try {
      for (let left = WRITES_PER_TURN; left > 0 && this.#at < batch.length; left--)
        this.#at = writeEntry(this.#place, batch, this.#at);
    } catch (error) {
      throwUnlessNoSpace(error);
      // The dispatcher has all of it still, and tries again when it likes.
      this.#options.positions.publish(PositionSlot.QUEUE_BATCH_REFUSED, this.#batchCount + 1);
      this.#at = batch.length;
    }
    if (this.#at === batch.length) this.#finish();
    return 1;
  }

  #remove(): number {
    const { positions, deletedTopics, logger } = this.#options;
    const deletedCount = positions.load(PositionSlot.TOPICS_DELETED);
    if (!this.#isRemoving && deletedCount === this.#deletedCount) return 0;
    this.#deletedCount = deletedCount;
    try {
      this.#isRemoving = deletedTopics.removeSome(REMOVALS_PER_TURN);
    } catch (error) {
      if (!BrokerError.is(error)) throw error;
      this.#isRemoving = false;
      logger.warn({ error: error.message }, 'files of deleted topics stay until the next start');
    }
    return 1;
  }

  nextDeadlineMs(): number {
    return Infinity;
  }

  close(): void {}

  #finish(): void {
    this.#batch = null;
    this.#at = 0;
    this.#options.positions.publish(PositionSlot.QUEUE_BATCHES_DONE, ++this.#batchCount);
    this.#options.dispatcherDoorbell.ring();
  }

  #takeBatch(): Buffer | null {
    const { inbound } = this.#options;
    let batch: Buffer | null = null;
    while (batch === null && inbound.peek()) {
      batch = this.#assembler.take(inbound);
      inbound.skip();
    }
    inbound.release();
    return batch;
  }
}
