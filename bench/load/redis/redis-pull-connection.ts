/**
 * A reader of streams. A backlog is read with one XRANGE in flight for each queue, 32 entries each, as a
 * RocketMQ consumer pulls; what is yet to come with one XREAD BLOCK on all queues.
 *
 * ```
 * XRANGE   [ [id, [field, body]] … ]                       depths: entries 1, id 2, field and body 3
 * XREAD    [ [key, [ [id, [field, body]] … ]] … ]          the same, 2 deeper; key at depth 2
 * ```
 */
import { bodyStamp } from '../body-stamp.ts';
import { type ConnectionOwner, LoadConnection } from '../load-connection.ts';
import type { ConsumerPlan } from '../load-options.ts';
import { steadyNowMs } from '../steady-clock.ts';
import type { ThreadState } from '../thread-state.ts';
import { command, keyOf } from './redis-frames.ts';
import { RedisReader } from './redis-reader.ts';

const PULL_COUNT = 32;
const BLOCK_MS = 5000;

interface ReadQueue {
  readonly key: string;
  /** Entries yet to read. */
  leftCount: number;
  lastId: string;
}

export class RedisPullConnection implements ConnectionOwner {
  readonly #state: ThreadState;
  readonly #queues: readonly ReadQueue[];
  readonly #queueByKey: ReadonlyMap<string, ReadQueue>;
  readonly #isBlocking: boolean;
  /** Queues whose XRANGE is on its way, oldest first. */
  readonly #asked: ReadQueue[] = [];
  /** Whose entries come now. */
  #current: ReadQueue | null = null;
  /** The last value at the depth of entries' ids; read at the end of their list. */
  #lastId = '';
  #isField = true;
  #connection: LoadConnection | null = null;
  #turnMs = 0;

  constructor(state: ThreadState, plan: ConsumerPlan) {
    this.#state = state;
    this.#queues = plan.queues.map(({ queueId, fromOffset, toOffset }) => {
      if (fromOffset !== 0) throw new Error('a stream is read from its beginning');
      return { key: keyOf(state.plan.topic, queueId), leftCount: toOffset, lastId: '0-0' };
    });
    this.#queueByKey = new Map(this.#queues.map((queue) => [queue.key, queue]));
    this.#isBlocking = this.#queues.some((queue) => queue.leftCount === Infinity);
  }

  async connect(): Promise<void> {
    const { plan, pool } = this.#state;
    const base = this.#isBlocking ? 2 : 0;
    const reader = new RedisReader({
      onArray: (depth) => {
        if (depth === base + 1) this.#isField = true;
      },
      onValue: (depth, bytes, start, end) => {
        if (depth === base + 3) {
          this.#isField = !this.#isField;
          if (this.#isField) this.#onBody(bytes, start);
        } else if (depth === base + 2) this.#onId(bytes, start, end);
        else if (depth === 2)
          this.#current = this.#queueByKey.get(bytes.toString('latin1', start, end)) ?? null;
      },
      onError: (text) => {
        throw new Error(`Redis: ${text}`);
      },
      onReplyEnd: () => this.#onReplyEnd(),
    });
    this.#connection = await LoadConnection.connectWith(plan.broker, pool, this, reader.feed);
  }

  close(): void {
    this.#connection?.close();
  }

  begin(): void {
    if (this.#isBlocking) this.#readAll();
    else {
      for (const queue of this.#queues) this.#readRange(queue);
      this.#takeNextAsked();
    }
    this.#connection?.flush();
  }

  onTurnEnd(): void {
    this.#connection?.flush();
    if (this.#turnMs !== 0) this.#state.publish(this.#turnMs);
    this.#turnMs = 0;
  }

  onLost(reason: string): void {
    this.#state.fail(reason);
  }

  #onId(bytes: Buffer, start: number, end: number): void {
    this.#lastId = bytes.toString('latin1', start, end);
    if (this.#current !== null) this.#current.lastId = this.#lastId;
  }

  #onBody(bytes: Buffer, start: number): void {
    const state = this.#state;
    if (this.#turnMs === 0) this.#turnMs = steadyNowMs();
    if (this.#current !== null) this.#current.leftCount--;
    if (!state.plan.isStamped) state.receivedCount++;
    else if (bytes.readInt32BE(start + bodyStamp.runId) === state.plan.runId)
      state.noteReceipt(bytes.readDoubleBE(start + bodyStamp.timeMs), this.#turnMs);
  }

  #onReplyEnd(): void {
    if (this.#isBlocking) {
      this.#readAll();
      return;
    }
    const queue = this.#current;
    if (queue !== null && queue.leftCount > 0) this.#readRange(queue);
    this.#takeNextAsked();
  }

  #takeNextAsked(): void {
    this.#current = this.#asked.shift() ?? null;
  }

  #readRange(queue: ReadQueue): void {
    if (queue.leftCount <= 0) return;
    this.#asked.push(queue);
    this.#write(command('XRANGE', queue.key, `(${queue.lastId}`, '+', 'COUNT', `${PULL_COUNT}`));
  }

  #readAll(): void {
    const keys = this.#queues.map((queue) => queue.key);
    const ids = this.#queues.map((queue) => queue.lastId);
    const limits = ['COUNT', `${PULL_COUNT}`, 'BLOCK', `${BLOCK_MS}`];
    this.#write(command('XREAD', ...limits, 'STREAMS', ...keys, ...ids));
  }

  #write(text: string): void {
    const connection = this.#connection;
    if (connection === null) return;
    const at = connection.claim(text.length);
    connection.commit(connection.output.write(text, at, 'latin1'));
  }
}
