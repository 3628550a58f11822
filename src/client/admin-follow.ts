/**
 * @agent any
 *
 * A live view of a topic for Admin: each queue is read by long pulls from its end, or from where it is
 * asked for. Nobody joins a group, so nobody's messages or offsets are touched, and every viewer sees
 * all messages.
 */
import type { AdminContext } from './admin-answers.ts';
import { type MessageFilter, pullQueue, queueBound, timeOffset } from './admin-messages.ts';
import { ClientError } from './client-error.ts';
import type { MessageQueue, ReceivedMessage } from './message.ts';

export interface FollowOptions {
  /** Where to begin: the end of each queue unless said. */
  readonly from?: 'last' | 'first' | Date | undefined;
  /** Tags (`a || b`), or SQL92. */
  readonly filter?: MessageFilter | undefined;
  /** Ends the view, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** Told when every queue's beginning is known: what is sent from now on is seen. */
  readonly onReady?: ((queueCount: number) => void) | undefined;
  /** Told of trouble that is tried again, such as a broker that is down. */
  readonly onError?: ((error: ClientError) => void) | undefined;
}

/** Below the 20 s of RocketMQ's own pull consumers: an end that nobody tells is noticed sooner. */
const HOLD_MS = 15_000;
const PULL_COUNT = 32;
/** Messages that wait for the reader before pulls pause. */
const WAITING_MAX = 1000;
const RETRY_MS = 1000;
/** How often a topic is looked at for new queues. */
const ROUTE_MS = 10_000;

/** Ends when the signal says so, or its reader stops. @throws ClientError TOPIC_NOT_FOUND, FILTER_REFUSED … */
export async function* followTopic(
  context: AdminContext,
  topic: string,
  options: FollowOptions = {},
): AsyncGenerator<ReceivedMessage, void, undefined> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  options.signal?.addEventListener('abort', end);
  if (options.signal?.aborted === true) end();
  const view = new TopicView(context, topic, options, ending.signal);
  try {
    await view.start();
    for (;;) {
      const message = await view.next();
      if (message === null) return;
      yield message;
    }
  } finally {
    options.signal?.removeEventListener('abort', end);
    ending.abort();
    await view.ended();
  }
}

class TopicView {
  readonly #context: AdminContext;
  readonly #topic: string;
  readonly #options: FollowOptions;
  readonly #signal: AbortSignal;
  readonly #waiting: ReceivedMessage[] = [];
  readonly #known = new Set<string>();
  readonly #loops: Promise<void>[] = [];
  /** What ends the view for its reader. */
  #failure: Error | null = null;
  /** Wakes the reader. */
  #wakeReader: (() => void) | null = null;
  /** Wake the loops that wait for the reader. */
  readonly #wakeLoops = new Set<() => void>();

  constructor(context: AdminContext, topic: string, options: FollowOptions, signal: AbortSignal) {
    this.#context = context;
    this.#topic = topic;
    this.#options = options;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wakeAll());
  }

  async start(): Promise<void> {
    const count = await this.#addQueues(this.#options.from ?? 'last');
    this.#options.onReady?.(count);
    this.#loops.push(this.#watchRoute());
  }

  /** Null at the end. @throws ClientError */
  async next(): Promise<ReceivedMessage | null> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        if (this.#waiting.length < WAITING_MAX) this.#release();
        return message;
      }
      if (this.#failure !== null) throw this.#failure;
      if (this.#signal.aborted) return null;
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  async ended(): Promise<void> {
    await Promise.all(this.#loops);
  }

  /** Queues that were not there before are read from their beginning. */
  async #addQueues(from: 'last' | 'first' | Date): Promise<number> {
    const route = await this.#context.core.route(this.#topic, { fresh: true });
    const added = route.readQueues.filter((queue) => !this.#known.has(nameOf(queue)));
    const starts = await Promise.all(
      added.map(async (queue) => ({ queue, offset: await this.#startOf(queue, from) })),
    );
    for (const { queue, offset } of starts) {
      this.#known.add(nameOf(queue));
      this.#loops.push(this.#follow(queue, offset));
    }
    return added.length;
  }

  async #startOf(queue: MessageQueue, from: 'last' | 'first' | Date): Promise<number> {
    if (from === 'last') return queueBound(this.#context, queue, 'max');
    if (from === 'first') return Math.max(0, await queueBound(this.#context, queue, 'min'));
    return timeOffset(this.#context, queue, from.getTime());
  }

  async #watchRoute(): Promise<void> {
    while (!this.#signal.aborted) {
      await pauseFor(ROUTE_MS, this.#signal);
      if (this.#signal.aborted) return;
      try {
        await this.#addQueues('first');
      } catch (error) {
        this.#onTrouble(error);
      }
    }
  }

  async #follow(queue: MessageQueue, start: number): Promise<void> {
    let offset = start;
    while (!this.#signal.aborted && this.#failure === null) {
      if (this.#waiting.length >= WAITING_MAX) {
        await new Promise<void>((resolve) => this.#wakeLoops.add(resolve));
        continue;
      }
      try {
        const pulled = await pullQueue(this.#context, queue, offset, {
          countMax: PULL_COUNT,
          filter: this.#options.filter,
          holdMs: HOLD_MS,
          signal: this.#signal,
        });
        if (this.#signal.aborted) return;
        offset = pulled.nextOffset;
        for (const message of pulled.messages) this.#waiting.push(message);
        if (pulled.messages.length > 0) this.#wakeReader?.();
      } catch (error) {
        if (this.#signal.aborted) return;
        if (!this.#onTrouble(error)) return;
        await pauseFor(RETRY_MS, this.#signal);
      }
    }
  }

  /** True where it may pass. */
  #onTrouble(error: unknown): boolean {
    if (ClientError.is(error) && error.canRetry) {
      this.#options.onError?.(error);
      return true;
    }
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    this.#wakeAll();
    return false;
  }

  #release(): void {
    for (const wake of this.#wakeLoops) wake();
    this.#wakeLoops.clear();
  }

  #wakeAll(): void {
    this.#wakeReader?.();
    this.#release();
  }
}

function nameOf({ brokerName, queueId }: MessageQueue): string {
  return `${queueId}@${brokerName}`;
}

function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
