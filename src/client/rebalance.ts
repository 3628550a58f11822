/**
 * @agent any
 *
 * Which queues this member reads: asks for the route of each topic and for the members of the group
 * (38), divides, and hands the result on. Looks again when a broker says that members have changed (40),
 * when a route has changed, after a connection was lost, and every 20 s.
 *
 * ```
 *  trigger ──▶ round: heartbeat where needed ─▶ each topic: route, members, division, apply
 *     ▲                                                    │ something failed, is not there yet,
 *     └──────── 20 s; 0.1 to 1 s ◀─────────────────────────┘ or was not granted
 * ```
 * Where the members can not be asked, the old division stays: a broker that was just started knows
 * nobody, and taking its word would give every queue to everybody.
 *
 * Source: RebalanceImpl.java, RebalanceService.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { type AllocateStrategy, compareQueues } from './allocate-strategy.ts';
import { answerError } from './answer-error.ts';
import type { ClientCore, TopicRoute } from './client-core.ts';
import { ClientError } from './client-error.ts';
import type { MessageQueue } from './message.ts';
import { type BackgroundTimer, startBackgroundTimer } from './platform.ts';
import { RETRY_PREFIX } from './subscription.ts';

export interface RebalancerOptions {
  readonly core: ClientCore;
  readonly group: string;
  readonly isBroadcasting: boolean;
  readonly strategy: AllocateStrategy;
  /** Topics to read, the group's retry topic among them. */
  readonly topics: () => readonly string[];
  /** Takes what this member has to read of a topic. False where not all of it could be had yet. */
  readonly apply: (topic: string, queues: readonly MessageQueue[]) => Promise<boolean>;
  /** What is none of these topics is not to be read any more. */
  readonly retain: (topics: readonly string[]) => Promise<void>;
  readonly onError: (error: ClientError) => void;
}

const INTERVAL_MS = 20_000;
/** Where something is missing: doubles from the first to the last (Java: 1 s). */
const UNBALANCED_MS_MIN = 100;
const UNBALANCED_MS_MAX = 1000;
/** What is missing for that many rounds is not expected at any moment: then so seldom. Guesses. */
const PATIENT_ROUND_COUNT = 60;
const PATIENT_MS = 5000;
const decoder = new TextDecoder();

export class Rebalancer {
  readonly #options: RebalancerOptions;
  #timer: BackgroundTimer | null = null;
  #running: Promise<void> | null = null;
  #isStale = false;
  #isClosed = false;
  #isHeartbeatDue = false;
  #failedRoundCount = 0;
  /** Topics that no broker had when last asked; told once. */
  readonly #missing = new Set<string>();
  readonly #failing = new Set<string>();
  /** Brokers that have had a heartbeat since they were first seen. */
  readonly #greeted = new Set<string>();

  constructor(options: RebalancerOptions) {
    this.#options = options;
    const { core, isBroadcasting } = options;
    core.onRouteChanged(({ topic }) => {
      if (options.topics().includes(topic)) this.trigger();
    });
    if (!isBroadcasting) core.onDisconnected(() => this.reconnect());
  }

  /** A round soon, or right after the one that runs. */
  trigger(): void {
    void this.round();
  }

  /** A broker may have forgotten this member: tell it before asking it. */
  reconnect(): void {
    this.#isHeartbeatDue = true;
    this.#schedule(UNBALANCED_MS_MIN * Math.random());
  }

  /** Resolves when a round that began from now on is over; never rejects. */
  async round(): Promise<void> {
    if (this.#isClosed) return;
    this.#isStale = true;
    this.#running ??= this.#run();
    await this.#running;
  }

  /** The group has never been told of, or a broker says that it does not know it. */
  async greet(): Promise<void> {
    this.#isHeartbeatDue = true;
    await this.round();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    let isBalanced = true;
    while (this.#isStale && !this.#isClosed) {
      this.#isStale = false;
      isBalanced = true;
      for (const topic of this.#options.topics()) {
        if (this.#isClosed) break;
        isBalanced = (await this.#divide(topic)) && isBalanced;
      }
      // Also a topic that was taken back while it was divided.
      await this.#options.retain(this.#options.topics());
    }
    this.#running = null;
    this.#failedRoundCount = isBalanced ? 0 : this.#failedRoundCount + 1;
    this.#schedule(isBalanced && !this.#isHeartbeatDue ? INTERVAL_MS : this.#unbalancedMs);
  }

  get #unbalancedMs(): number {
    if (this.#failedRoundCount > PATIENT_ROUND_COUNT) return PATIENT_MS;
    return Math.min(UNBALANCED_MS_MIN * 2 ** this.#failedRoundCount, UNBALANCED_MS_MAX);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = this.#isClosed ? null : startBackgroundTimer(() => this.trigger(), delayMs);
  }

  /** False where it has to be tried again soon. */
  async #divide(topic: string): Promise<boolean> {
    const { core, group, isBroadcasting, strategy, apply } = this.#options;
    try {
      const isMissing = this.#missing.has(topic);
      const route = await core.route(topic, { fresh: isMissing || this.#failing.has(topic) });
      this.#missing.delete(topic);
      await this.#heartbeatIfDue(route);
      const queues = [...route.readQueues].sort(compareQueues);
      let own: readonly MessageQueue[] = queues;
      if (!isBroadcasting) {
        const members = await this.#members(route);
        if (members === null) return false;
        own = strategy({ group, clientId: core.clientId, queues, members });
      }
      const isApplied = await apply(topic, own);
      this.#failing.delete(topic);
      return isApplied;
    } catch (error) {
      this.#onFailed(topic, error);
      return false;
    }
  }

  #onFailed(topic: string, cause: unknown): void {
    const { onError } = this.#options;
    if (this.#isClosed) return;
    const isKnown = ClientError.is(cause);
    if (isKnown && cause.code === 'TOPIC_NOT_FOUND') {
      const isTold = this.#missing.has(topic) || topic.startsWith(RETRY_PREFIX);
      this.#missing.add(topic);
      if (!isTold) onError(cause);
      return;
    }
    const isTold = this.#failing.has(topic);
    this.#failing.add(topic);
    if (isTold) return;
    const message = `the queues of ${topic} could not be divided: ${String(cause)}`;
    onError(isKnown ? cause : new ClientError('INVALID_ARGUMENT', message, { cause }));
  }

  async #heartbeatIfDue(route: TopicRoute): Promise<void> {
    let isNew = false;
    for (const { addresses } of route.brokers.values()) {
      for (const address of addresses) {
        isNew ||= !this.#greeted.has(address);
        this.#greeted.add(address);
      }
    }
    if (!isNew && !this.#isHeartbeatDue) return;
    this.#isHeartbeatDue = false;
    await this.#options.core.heartbeat();
  }

  /** Sorted; null where no broker of the topic can say, or none has heard of this member yet. */
  async #members(route: TopicRoute): Promise<string[] | null> {
    const { core, group } = this.#options;
    let failure: ClientError | null = null;
    for (const address of shuffled(addressesOf(route))) {
      try {
        const answer = await core.ask(address, {
          code: RequestCode.GET_CONSUMER_LIST_BY_GROUP,
          fields: { consumerGroup: group },
        });
        if (answer.code === ResponseCode.SUCCESS) {
          const members = memberIdsOf(answer.body);
          if (members.includes(core.clientId)) return members;
        } else if (answer.code !== ResponseCode.SYSTEM_ERROR)
          failure = answerError(answer, `the members of ${group}`);
        this.#isHeartbeatDue = true;
      } catch (error) {
        if (!ClientError.is(error)) throw error;
        failure = error;
      }
    }
    if (failure !== null) throw failure;
    return null;
  }
}

function addressesOf(route: TopicRoute): string[] {
  return [...route.brokers.values()].flatMap(({ masterAddress, addresses }) =>
    masterAddress === null ? addresses.slice(0, 1) : [masterAddress],
  );
}

function shuffled(addresses: readonly string[]): string[] {
  const start = Math.floor(Math.random() * addresses.length);
  return [...addresses.slice(start), ...addresses.slice(0, start)];
}

/** GetConsumerListByGroupResponseBody.java; once each, sorted by UTF-16 units as Java does. */
function memberIdsOf(body: Uint8Array): string[] {
  const parsed = JSON.parse(decoder.decode(body)) as { consumerIdList?: unknown };
  const list: unknown[] = Array.isArray(parsed.consumerIdList) ? parsed.consumerIdList : [];
  return [...new Set(list.filter((id) => typeof id === 'string'))].sort();
}
