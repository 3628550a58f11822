/**
 * @agent any
 *
 * What follows where messages are consumed in any order and one fails: the broker delivers it again
 * later, to any member of the group, and the queue goes on. Where the broker does not take it back it
 * stays here and comes again after a while. Members of a broadcasting group have nobody to give it
 * back to: it comes again here, up to `maxAttempts` times.
 *
 * Source: ConsumeMessageConcurrentlyService.java (processConsumeResult).
 */
import { ClientError } from './client-error.ts';
import type { ConsumedRecord } from './consumed-message.ts';
import type { FailurePolicy } from './listener-runner.ts';
import { startBackgroundTimer } from './platform.ts';
import { MessageState, type ProcessQueue } from './process-queue.ts';
import type { RetrySender } from './retry-sender.ts';

/** How a message that was handed out ends other than by being done. */
export interface Settlement extends FailurePolicy {
  /** Resolves when it is on its way to come again. Never rejects. */
  retry(message: ConsumedRecord, delayLevel: number | undefined): Promise<void>;
}

export interface ConcurrentSettlementOptions {
  readonly isBroadcasting: boolean;
  readonly retries: RetrySender;
  readonly maxAttempts: number;
  /** Something may be handed out again. */
  readonly onReady: (processQueue: ProcessQueue<ConsumedRecord>) => void;
  readonly onError: (error: ClientError) => void;
}

/** Before a message that the broker did not take back is tried again here (Java). */
const LOCAL_RETRY_MS = 5000;
/** In a broadcasting group: longer with each attempt, up to the last. A guess. */
const BROADCAST_RETRY_MS = 1000;
const BROADCAST_RETRY_MS_MAX = 30_000;

export class ConcurrentSettlement implements Settlement {
  readonly #options: ConcurrentSettlementOptions;

  constructor(options: ConcurrentSettlementOptions) {
    this.#options = options;
  }

  onFailed(
    _processQueue: ProcessQueue<ConsumedRecord>,
    messages: readonly ConsumedRecord[],
    delayLevel: number | undefined,
  ): void {
    for (const message of messages) void this.retry(message, delayLevel);
  }

  async retry(message: ConsumedRecord, delayLevel: number | undefined): Promise<void> {
    const { processQueue } = message;
    if (!processQueue.settle(message)) return;
    if (processQueue.isDropped) {
      // Whoever has the queue now reads it again.
      processQueue.finish(message);
      return;
    }
    if (this.#options.isBroadcasting) {
      this.#tryAgainHere(message);
      return;
    }
    if (await this.#options.retries.sendBack(message, delayLevel ?? 0))
      processQueue.finish(message);
    else this.#later(message, LOCAL_RETRY_MS);
  }

  #tryAgainHere(message: ConsumedRecord): void {
    const { maxAttempts, onError } = this.#options;
    if (message.deliveryAttempt < maxAttempts) {
      const delayMs = BROADCAST_RETRY_MS * message.deliveryAttempt;
      this.#later(message, Math.min(delayMs, BROADCAST_RETRY_MS_MAX));
      return;
    }
    const text = `a message of ${message.topic} failed ${maxAttempts} times and is given up: ${message.messageId}`;
    onError(new ClientError('LISTENER_FAILED', text));
    message.processQueue.finish(message);
  }

  #later(message: ConsumedRecord, delayMs: number): void {
    const { processQueue } = message;
    if (!processQueue.postpone(message)) return;
    startBackgroundTimer(() => {
      if (message.state !== MessageState.WAITING) return;
      message.localAttempts++;
      processQueue.resume(message);
      this.#options.onReady(processQueue);
    }, delayMs);
  }
}
