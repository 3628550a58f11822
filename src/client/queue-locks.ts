/**
 * @agent any
 *
 * Queues for ordered consumption belong to one member at a time: brokers give locks (41) that live 60 s,
 * and take them back (42). This member believes in a lock for 30 s from when it asked, and asks anew
 * each 20 s, so that it has stopped long before somebody else can have the queue.
 *
 * Source: RebalanceImpl.java (lock, lockAll, unlock), ProcessQueue.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import type { ClientCore } from './client-core.ts';
import { asClientError, type ClientError } from './client-error.ts';
import type { MessageQueue } from './message.ts';
import { queueKey } from './offset-store.ts';

/** ProcessQueue.REBALANCE_LOCK_MAX_LIVE_TIME and …_INTERVAL. */
export const LOCK_LIVE_MS = 30_000;
export const LOCK_RENEWAL_MS = 20_000;
const TIMEOUT_MS = 3000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface LockOutcome {
  /** Monotonic time until which the granted ones may be trusted. */
  readonly untilMs: number;
  readonly granted: ReadonlySet<string>;
  /** Asked for and not given: somebody else has them. The rest could not be asked for. */
  readonly refused: ReadonlySet<string>;
}

export class QueueLocks {
  readonly #core: ClientCore;
  readonly #group: string;
  readonly #onError: (error: ClientError) => void;

  constructor(core: ClientCore, group: string, onError: (error: ClientError) => void) {
    this.#core = core;
    this.#group = group;
    this.#onError = onError;
  }

  /** Asks for queues, or renews them. By queueKey. Never rejects. */
  async lock(queues: readonly MessageQueue[]): Promise<LockOutcome> {
    const untilMs = performance.now() + LOCK_LIVE_MS;
    const granted = new Set<string>();
    const refused = new Set<string>();
    await Promise.all(
      byBroker(queues).map(async ([brokerName, own]) => {
        const answer = await this.#ask(brokerName, RequestCode.LOCK_BATCH_MQ, own);
        const given = answer === null ? null : this.#queuesOf(answer);
        if (given === null) return;
        for (const queue of given) granted.add(queueKey(queue));
        for (const queue of own) if (!granted.has(queueKey(queue))) refused.add(queueKey(queue));
      }),
    );
    return { untilMs, granted, refused };
  }

  /** Never rejects: a lock that could not be given back ends by itself. */
  async unlock(queues: readonly MessageQueue[]): Promise<void> {
    await Promise.all(
      byBroker(queues).map(([brokerName, own]) =>
        this.#ask(brokerName, RequestCode.UNLOCK_BATCH_MQ, own),
      ),
    );
  }

  async #ask(
    brokerName: string,
    code: number,
    queues: readonly MessageQueue[],
  ): Promise<Uint8Array | null> {
    const body = {
      clientId: this.#core.clientId,
      consumerGroup: this.#group,
      mqSet: queues.map(({ topic, queueId }) => ({ brokerName, queueId, topic })),
      onlyThisBroker: false,
    };
    try {
      const answer = await this.#core.ask(this.#core.masterAddress(brokerName), {
        code,
        body: encoder.encode(JSON.stringify(body)),
        timeoutMs: TIMEOUT_MS,
      });
      if (answer.code === ResponseCode.SUCCESS) return answer.body;
      this.#onError(answerError(answer, `locks of ${this.#group} at ${brokerName}`));
    } catch (error) {
      if (code === RequestCode.LOCK_BATCH_MQ)
        this.#onError(asClientError(error, `locks of ${this.#group}`));
    }
    return null;
  }

  /** Of LockBatchResponseBody; null where it is none. */
  #queuesOf(body: Uint8Array): MessageQueue[] | null {
    try {
      const { lockOKMQSet } = JSON.parse(decoder.decode(body)) as { lockOKMQSet?: MessageQueue[] };
      return lockOKMQSet ?? [];
    } catch (error) {
      this.#onError(asClientError(error, `locks of ${this.#group}`));
      return null;
    }
  }
}

function byBroker(queues: readonly MessageQueue[]): [string, MessageQueue[]][] {
  const groups = new Map<string, MessageQueue[]>();
  for (const queue of queues) {
    const group = groups.get(queue.brokerName);
    if (group === undefined) groups.set(queue.brokerName, [queue]);
    else group.push(queue);
  }
  return [...groups];
}
