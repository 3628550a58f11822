/**
 * @agent any
 *
 * Where a group goes on in a queue. A clustering group's offsets are the broker's: asked for by 14,
 * said by 15 or along with a pull. Members of a broadcasting group keep their own, in a file or in the
 * browser's storage.
 *
 * An offset that was never said: the broker answers 14 with 22 (or 0, where the queue's beginning is
 * still there), and the consumer's `from` decides.
 *
 * Source: RemoteBrokerOffsetStore.java, LocalFileOffsetStore.java, RebalancePushImpl.java
 * (computePullFromWhere).
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import type { ClientCore, CoreAnswer } from './client-core.ts';
import { ClientError } from './client-error.ts';
import type { MessageQueue } from './message.ts';
import { RETRY_PREFIX } from './subscription.ts';

/** Where a group begins that was never in a queue. */
export type ConsumeFrom = 'last' | 'first' | Date;

export interface QueueOffset {
  readonly queue: MessageQueue;
  readonly offset: number;
}

export interface OffsetStore {
  /** Whether brokers take offsets along with pulls. */
  readonly isRemote: boolean;
  /** Where to go on. @throws ClientError */
  initialOffset(queue: MessageQueue, from: ConsumeFrom): Promise<number>;
  /** Stores offsets; awaited only where somebody must be sure. @throws ClientError, of the first that failed */
  commit(offsets: readonly QueueOffset[], options: { mustAnswer: boolean }): Promise<void>;
}

/** Texts by name, for the offsets of broadcasting members. */
export interface OffsetStorage {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

const COMMIT_TIMEOUT_MS = 3000;

export class RemoteOffsetStore implements OffsetStore {
  readonly isRemote = true;
  readonly #core: ClientCore;
  readonly #group: string;

  constructor(core: ClientCore, group: string) {
    this.#core = core;
    this.#group = group;
  }

  async initialOffset(queue: MessageQueue, from: ConsumeFrom): Promise<number> {
    const { topic, queueId } = queue;
    const answer = await this.#core.ask(this.#core.masterAddress(queue.brokerName), {
      code: RequestCode.QUERY_CONSUMER_OFFSET,
      fields: {
        consumerGroup: this.#group,
        topic,
        queueId,
        // A time means that time, also where the queue's beginning is still there.
        setZeroIfNotFound: from instanceof Date ? false : undefined,
      },
    });
    if (answer.code === ResponseCode.SUCCESS) return offsetOf(answer);
    if (answer.code !== ResponseCode.QUERY_NOT_FOUND)
      throw answerError(answer, `the offset of ${this.#group} in ${topic} ${queueId}`);
    // Whatever is on the retry topic was sent for this group alone.
    return boundOffset(this.#core, queue, topic.startsWith(RETRY_PREFIX) ? 'first' : from);
  }

  async commit(offsets: readonly QueueOffset[], options: { mustAnswer: boolean }): Promise<void> {
    await Promise.all(offsets.map((entry) => this.#commitOne(entry, options.mustAnswer)));
  }

  async #commitOne({ queue, offset }: QueueOffset, mustAnswer: boolean): Promise<void> {
    const address = this.#core.masterAddress(queue.brokerName);
    const request = {
      code: RequestCode.UPDATE_CONSUMER_OFFSET,
      fields: {
        consumerGroup: this.#group,
        topic: queue.topic,
        queueId: queue.queueId,
        commitOffset: offset,
      },
      timeoutMs: COMMIT_TIMEOUT_MS,
    };
    if (!mustAnswer) {
      await this.#core.tell(address, request);
      return;
    }
    const answer = await this.#core.ask(address, request);
    if (answer.code !== ResponseCode.SUCCESS)
      throw answerError(answer, `the offset of ${this.#group} in ${queue.topic} ${queue.queueId}`);
  }
}

/** For broadcasting: all offsets of a member as one text, `{"topic@broker@queue": offset}`. */
export class LocalOffsetStore implements OffsetStore {
  readonly isRemote = false;
  readonly #core: ClientCore;
  readonly #storage: OffsetStorage;
  readonly #name: string;
  #offsets: Promise<Map<string, number>> | null = null;
  /** Writes one after the other, so that the last one stays. */
  #writing: Promise<void> = Promise.resolve();

  constructor(core: ClientCore, storage: OffsetStorage, name: string) {
    this.#core = core;
    this.#storage = storage;
    this.#name = name;
  }

  async initialOffset(queue: MessageQueue, from: ConsumeFrom): Promise<number> {
    const offsets = await this.#load();
    const stored = offsets.get(queueKey(queue));
    return stored ?? (await boundOffset(this.#core, queue, from));
  }

  async commit(entries: readonly QueueOffset[]): Promise<void> {
    const offsets = await this.#load();
    for (const { queue, offset } of entries) offsets.set(queueKey(queue), offset);
    const text = JSON.stringify(Object.fromEntries(offsets));
    const written = this.#writing.then(() => this.#storage.write(this.#name, text));
    this.#writing = written.catch(() => {});
    try {
      await written;
    } catch (cause) {
      throw new ClientError('BROKER_ERROR', `offsets could not be written: ${String(cause)}`, {
        cause,
      });
    }
  }

  async #load(): Promise<Map<string, number>> {
    this.#offsets ??= this.#read();
    return this.#offsets;
  }

  /** What can not be read counts as never written: the member begins where `from` says. */
  async #read(): Promise<Map<string, number>> {
    const offsets = new Map<string, number>();
    try {
      const text = await this.#storage.read(this.#name);
      const parsed: unknown = text === null ? {} : JSON.parse(text);
      for (const [key, offset] of Object.entries(Object(parsed) as object)) {
        if (Number.isSafeInteger(offset) && (offset as number) >= 0)
          offsets.set(key, offset as number);
      }
    } catch {
      offsets.clear();
    }
    return offsets;
  }
}

/** Keeps offsets as long as the program runs. */
export class MemoryOffsetStorage implements OffsetStorage {
  readonly #texts = new Map<string, string>();

  read(name: string): Promise<string | null> {
    return Promise.resolve(this.#texts.get(name) ?? null);
  }

  write(name: string, text: string): Promise<void> {
    this.#texts.set(name, text);
    return Promise.resolve();
  }
}

/** The end of a queue, its beginning, or the first message of a time. @throws ClientError */
export async function boundOffset(
  core: ClientCore,
  queue: MessageQueue,
  from: ConsumeFrom,
): Promise<number> {
  const { topic, queueId } = queue;
  const isTime = from instanceof Date;
  let code: number = from === 'first' ? RequestCode.GET_MIN_OFFSET : RequestCode.GET_MAX_OFFSET;
  if (isTime) code = RequestCode.SEARCH_OFFSET_BY_TIMESTAMP;
  const answer = await core.ask(core.masterAddress(queue.brokerName), {
    code,
    fields: { topic, queueId, timestamp: isTime ? from.getTime() : undefined },
  });
  if (answer.code !== ResponseCode.SUCCESS)
    throw answerError(answer, `an offset of ${topic} ${queueId}`);
  // A queue that has no file yet begins at -1.
  return Math.max(0, offsetOf(answer));
}

function offsetOf(answer: CoreAnswer): number {
  const offset = Number(answer.fields.get('offset'));
  if (!Number.isSafeInteger(offset))
    throw new ClientError('PROTOCOL_ERROR', 'an answer that should hold an offset has none');
  return offset;
}

/** One text for each queue. */
export function queueKey({ topic, brokerName, queueId }: MessageQueue): string {
  return `${topic}@${brokerName}@${queueId}`;
}
