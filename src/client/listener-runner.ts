/**
 * @agent any
 *
 * Calls a program's listener with what is ready, so many calls at once. A listener that returns no
 * promise costs none. What follows from a failed call is the failure policy's: another delivery by the
 * broker (consume-concurrently.ts), or the same queue once more (consume-ordered.ts).
 */
import type { ConsumedObserver } from './broker-questions.ts';
import { ClientError } from './client-error.ts';
import type { ConsumedRecord } from './consumed-message.ts';
import { MessageState, type ProcessQueue } from './process-queue.ts';
import type { ReadyQueues } from './ready-queues.ts';

/** Thrown by a listener that wants the message again, without being wrong. */
export class RetryLater extends Error {
  /** 1 to 18: seconds to hours; the broker's choice where there is none. */
  readonly delayLevel: number | undefined;

  constructor(delayLevel?: number) {
    super('the listener wants the message again later');
    this.name = 'RetryLater';
    this.delayLevel = delayLevel;
  }
}

export interface FailurePolicy {
  /** The messages of one call that failed, none of them finished yet. Never throws. */
  onFailed(
    processQueue: ProcessQueue<ConsumedRecord>,
    messages: readonly ConsumedRecord[],
    delayLevel: number | undefined,
  ): void;
}

export interface ListenerRunnerOptions {
  readonly ready: ReadyQueues<ConsumedRecord>;
  /** Called with one message, or with an array of up to batchSize. */
  readonly listener: (messages: ConsumedRecord | ConsumedRecord[]) => unknown;
  /** Null: one message a call. */
  readonly batchSize: number | null;
  readonly concurrency: number;
  readonly policy: FailurePolicy;
  readonly onError: (error: ClientError) => void;
  readonly onConsumed: ConsumedObserver;
  /** After this long a call's messages are handed to the failure policy; the call keeps its place. */
  readonly consumeTimeoutMs: number;
}

interface RunningCall {
  readonly processQueue: ProcessQueue<ConsumedRecord>;
  readonly messages: readonly ConsumedRecord[];
  readonly startMs: number;
  isOverdue: boolean;
}

/** Calls in a row before others of the program get their turn. */
const TURN_MS = 10;
/** Calls between two looks at the clock. */
const LOOK_COUNT = 32;

export class ListenerRunner {
  readonly #options: ListenerRunnerOptions;
  readonly #running = new Set<RunningCall>();
  #isPumping = false;
  #isYielding = false;
  #isStopped = false;

  constructor(options: ListenerRunnerOptions) {
    this.#options = options;
  }

  /** Calls the listener for what is ready, as far as concurrency allows. */
  pump(): void {
    if (this.#isPumping || this.#isYielding || this.#isStopped) return;
    this.#isPumping = true;
    const { ready, concurrency, batchSize } = this.#options;
    const startMs = performance.now();
    let nowMs = startMs;
    let callCount = 0;
    while (this.#running.size < concurrency && !this.#isStopped) {
      if (callCount++ % LOOK_COUNT === LOOK_COUNT - 1) {
        nowMs = performance.now();
        if (nowMs - startMs > TURN_MS) {
          this.#isYielding = true;
          break;
        }
      }
      const processQueue = ready.next(nowMs);
      if (processQueue === null) break;
      if (batchSize === null) {
        const message = processQueue.takeOne();
        if (message !== undefined) this.#call(processQueue, [message], message, nowMs);
      } else {
        const messages = processQueue.take(batchSize);
        this.#call(processQueue, messages, messages, nowMs);
      }
      ready.offer(processQueue, nowMs);
    }
    this.#isPumping = false;
    if (this.#isYielding) {
      setTimeout(() => {
        this.#isYielding = false;
        this.pump();
      }, 0);
    }
  }

  /** No further call. */
  stop(): void {
    this.#isStopped = true;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** Gives up on calls that take too long. */
  expire(nowMs = performance.now()): void {
    const { consumeTimeoutMs, onError } = this.#options;
    for (const call of this.#running) {
      if (call.isOverdue || nowMs - call.startMs < consumeTimeoutMs) continue;
      call.isOverdue = true;
      const message = `the listener has not finished ${call.messages.length} message(s) of ${call.processQueue.queue.topic} within ${consumeTimeoutMs} ms`;
      onError(new ClientError('TIMEOUT', message));
      this.#fail(call.processQueue, call.messages, undefined);
    }
  }

  #call(
    processQueue: ProcessQueue<ConsumedRecord>,
    messages: readonly ConsumedRecord[],
    argument: ConsumedRecord | ConsumedRecord[],
    startMs: number,
  ): void {
    let outcome: unknown;
    try {
      outcome = this.#options.listener(argument);
    } catch (error) {
      this.#onThrown(processQueue, messages, error, startMs);
      return;
    }
    if (!isThenable(outcome)) {
      this.#onDone(processQueue, messages, startMs);
      return;
    }
    const call: RunningCall = { processQueue, messages, startMs, isOverdue: false };
    this.#running.add(call);
    void this.#follow(call, outcome);
  }

  async #follow(call: RunningCall, outcome: PromiseLike<unknown>): Promise<void> {
    const { processQueue, messages, startMs } = call;
    try {
      await outcome;
    } catch (error) {
      this.#running.delete(call);
      this.#onThrown(processQueue, messages, error, startMs);
      this.#after(processQueue);
      return;
    }
    this.#running.delete(call);
    this.#onDone(processQueue, messages, startMs);
    this.#after(processQueue);
  }

  #after(processQueue: ProcessQueue<ConsumedRecord>): void {
    this.#options.ready.offer(processQueue);
    this.pump();
  }

  #onDone(
    processQueue: ProcessQueue<ConsumedRecord>,
    messages: readonly ConsumedRecord[],
    startMs: number,
  ): void {
    processQueue.lastConsumeMs = startMs;
    // One that the listener has settled itself is finished when the broker has answered.
    for (const message of messages) {
      if (message.state === MessageState.HANDED_OUT) processQueue.finish(message);
    }
    const { topic } = processQueue.queue;
    this.#options.onConsumed(topic, messages.length, true, performance.now() - startMs);
  }

  #onThrown(
    processQueue: ProcessQueue<ConsumedRecord>,
    messages: readonly ConsumedRecord[],
    cause: unknown,
    startMs: number,
  ): void {
    const { onError, onConsumed } = this.#options;
    onConsumed(processQueue.queue.topic, messages.length, false, performance.now() - startMs);
    const isWanted = cause instanceof RetryLater;
    if (!isWanted) {
      const { topic } = messages[0];
      const text = cause instanceof Error ? cause.message : String(cause);
      onError(
        new ClientError('LISTENER_FAILED', `the listener failed for ${topic}: ${text}`, { cause }),
      );
    }
    this.#fail(processQueue, messages, isWanted ? cause.delayLevel : undefined);
  }

  #fail(
    processQueue: ProcessQueue<ConsumedRecord>,
    messages: readonly ConsumedRecord[],
    delayLevel: number | undefined,
  ): void {
    const open = messages.filter((message) => message.state === MessageState.HANDED_OUT);
    if (open.length > 0) this.#options.policy.onFailed(processQueue, open, delayLevel);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  );
}
