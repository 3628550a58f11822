/**
 * @agent any
 *
 * A message as a consumer hands it out: what was received, and how it ends. One object each, and
 * nothing of it decoded before it is asked for.
 */
import type { Settlement } from './consume-concurrently.ts';
import type { MessageProperties, ReceivedMessage } from './message.ts';
import { MessageState, type ProcessQueue, type TrackedMessage } from './process-queue.ts';
import { StoredMessage } from './record-reader.ts';
import type { Subscription } from './subscription.ts';

export interface RetryOptions {
  /** 1 to 18: seconds to hours; the broker chooses where there is none. Not of an ordered consumer. */
  readonly delayLevel?: number;
}

export interface ConsumedMessage<
  Properties extends MessageProperties = MessageProperties,
> extends ReceivedMessage<Properties> {
  /**
   * Done with: the group goes on behind it as soon as all before it are done with, too. Brokers are told
   * within 5 s, and when the consumer is closed. Of no effect where the queue was taken away.
   */
  ack(): Promise<void>;
  /** Not done with: it comes again, or goes to the dead letters. Resolves when that is settled. */
  retry(options?: RetryOptions): Promise<void>;
}

/** Messages of one queue, in order. */
export interface MessageBatch<
  Properties extends MessageProperties = MessageProperties,
> extends Iterable<ConsumedMessage<Properties>> {
  readonly messages: readonly ConsumedMessage<Properties>[];
  readonly length: number;
  /** All of them, those already settled aside. */
  ack(): Promise<void>;
  retry(options?: RetryOptions): Promise<void>;
}

/** What a message needs of its consumer. */
export interface MessageHome {
  readonly settlement: Settlement;
  /** The queue may have something to hand out again. */
  onFinished(processQueue: ProcessQueue<ConsumedRecord>): void;
}

const done: Promise<void> = Promise.resolve();

export class ConsumedRecord<Properties extends MessageProperties = MessageProperties>
  extends StoredMessage<Properties>
  implements ConsumedMessage<Properties>, TrackedMessage
{
  state: MessageState = MessageState.WAITING;
  /** How often it was handed out again without the broker's doing. */
  localAttempts = 0;
  readonly processQueue: ProcessQueue<ConsumedRecord>;
  readonly #home: MessageHome;

  constructor(
    bytes: Uint8Array,
    start: number,
    processQueue: ProcessQueue<ConsumedRecord>,
    home: MessageHome,
  ) {
    super(bytes, start, processQueue.queue);
    this.processQueue = processQueue;
    this.#home = home;
  }

  override get deliveryAttempt(): number {
    return this.reconsumeTimes + 1 + this.localAttempts;
  }

  ack(): Promise<void> {
    if (this.state !== MessageState.HANDED_OUT) return done;
    this.processQueue.finish(this);
    this.#home.onFinished(this.processQueue);
    return done;
  }

  async retry(options: RetryOptions = {}): Promise<void> {
    await this.#home.settlement.retry(this, options.delayLevel);
    this.#home.onFinished(this.processQueue);
  }
}

export class RecordBatch<
  Properties extends MessageProperties = MessageProperties,
> implements MessageBatch<Properties> {
  readonly messages: readonly ConsumedRecord<Properties>[];

  constructor(messages: readonly ConsumedRecord<Properties>[]) {
    this.messages = messages;
  }

  get length(): number {
    return this.messages.length;
  }

  [Symbol.iterator](): Iterator<ConsumedRecord<Properties>> {
    return this.messages[Symbol.iterator]();
  }

  ack(): Promise<void> {
    for (const message of this.messages) void message.ack();
    return done;
  }

  async retry(options: RetryOptions = {}): Promise<void> {
    await Promise.all(this.messages.map((message) => message.retry(options)));
  }
}

/**
 * The messages of a pull's answer that the subscription lets pass, from `fromOffset` on. A promise only
 * where a body has to be decompressed later. @throws ClientError PROTOCOL_ERROR
 */
export function readConsumed(
  bytes: Uint8Array,
  processQueue: ProcessQueue<ConsumedRecord>,
  subscription: Subscription,
  home: MessageHome,
): ConsumedRecord[] | Promise<ConsumedRecord[]> {
  const { tags } = subscription;
  const fromOffset = processQueue.nextOffset;
  const messages: ConsumedRecord[] = [];
  const waits: Promise<void>[] = [];
  for (let at = 0; at < bytes.length;) {
    const message = new ConsumedRecord(bytes, at, processQueue, home);
    at += message.storeBytes;
    if (message.queueOffset < fromOffset) continue;
    if (tags !== null && !tags.has(message.tag ?? '')) continue;
    messages.push(message);
    const wait = message.startDecompressing();
    if (wait !== null) waits.push(wait);
  }
  return waits.length === 0 ? messages : Promise.all(waits).then(() => messages);
}
