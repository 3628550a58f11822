/**
 * @agent any
 *
 * What follows where a queue is consumed in order and a message fails: the queue waits, then the same
 * message comes again, before any other. Only one that has come `maxAttempts` times goes to the dead
 * letters, and the queue goes on.
 *
 * ```
 *  handed out ──failed──▶ put back, suspended ──1 s──▶ handed out, attempt + 1
 *                 └──maxAttempts──▶ dead letter ──▶ the next one
 * ```
 * Source: ConsumeMessageOrderlyService.java (processConsumeResult, checkReconsumeTimes).
 */
import type { Settlement } from './consume-concurrently.ts';
import type { ConsumedRecord } from './consumed-message.ts';
import { startBackgroundTimer } from './platform.ts';
import type { ProcessQueue } from './process-queue.ts';
import type { RetrySender } from './retry-sender.ts';

export interface OrderedSettlementOptions {
  readonly retries: RetrySender;
  /** Infinity where a message comes until it is done. */
  readonly maxAttempts: number;
  /** Before a failed message comes again. */
  readonly suspendMs: number;
  /** Something may be handed out again. */
  readonly onReady: (processQueue: ProcessQueue<ConsumedRecord>) => void;
}

export class OrderedSettlement implements Settlement {
  readonly #options: OrderedSettlementOptions;

  constructor(options: OrderedSettlementOptions) {
    this.#options = options;
  }

  onFailed(processQueue: ProcessQueue<ConsumedRecord>, messages: readonly ConsumedRecord[]): void {
    void this.#settle(processQueue, messages);
  }

  async retry(message: ConsumedRecord): Promise<void> {
    await this.#settle(message.processQueue, [message]);
  }

  async #settle(
    processQueue: ProcessQueue<ConsumedRecord>,
    messages: readonly ConsumedRecord[],
  ): Promise<void> {
    const { retries, maxAttempts } = this.#options;
    // Nothing is handed out before all are put back: they come again in their order.
    const settling = messages.filter((message) => processQueue.settle(message));
    if (settling.length === 0) return;
    const again: ConsumedRecord[] = [];
    for (const message of settling) {
      const isDead =
        message.deliveryAttempt >= maxAttempts &&
        !processQueue.isDropped &&
        (await retries.sendDead(message));
      if (isDead) processQueue.finish(message);
      else again.push(message);
    }
    if (again.length > 0) processQueue.suspend(true);
    for (const message of again) {
      message.localAttempts++;
      processQueue.putBack(message);
    }
    if (again.length === 0) this.#options.onReady(processQueue);
    else {
      startBackgroundTimer(() => {
        processQueue.suspend(false);
        this.#options.onReady(processQueue);
      }, this.#options.suspendMs);
    }
  }
}
