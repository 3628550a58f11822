/**
 * @agent any
 *
 * The queues that have something to hand out, each once, in the order in which they came to have it:
 * a queue that has been taken from goes to the end, so that none waits for a busy one.
 */
import type { ProcessQueue, TrackedMessage } from './process-queue.ts';

export class ReadyQueues<Message extends TrackedMessage> {
  readonly #queues: ProcessQueue<Message>[] = [];

  /** Takes note of a queue that may have something now. */
  offer(processQueue: ProcessQueue<Message>, nowMs = performance.now()): void {
    if (processQueue.isListed || !processQueue.canTake(nowMs)) return;
    processQueue.isListed = true;
    this.#queues.push(processQueue);
  }

  /** The queue whose turn it is; it is out of the list until it is offered again. */
  next(nowMs = performance.now()): ProcessQueue<Message> | null {
    for (;;) {
      const processQueue = this.#queues.shift();
      if (processQueue === undefined) return null;
      processQueue.isListed = false;
      if (processQueue.canTake(nowMs)) return processQueue;
    }
  }
}
