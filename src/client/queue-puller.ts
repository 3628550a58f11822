/**
 * @agent any
 *
 * Pulls one queue, again and again, until it is stopped. The next pull goes out before the messages of
 * the last one are handed out, and waits at the broker where there is nothing new.
 *
 * ```
 *  room? ──▶ pull ─┬─ 0, 20, 19  messages, or further on ──▶ append ──▶ room?
 *    ▲             ├─ 21         the offset is none: moved ──▶ the end; a new puller takes over
 *    │             ├─ 24…28, 26  the broker does not know the group (yet): heartbeat, pause
 *    └── pause ◀───┴─ others, no connection: pause, longer each time
 * ```
 * Source: DefaultMQPushConsumerImpl.java (pullMessage), PullAPIWrapper.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import type { ClientCore, CoreAnswer } from './client-core.ts';
import { asClientError, ClientError } from './client-error.ts';
import type { MessageQueue } from './message.ts';
import type { ProcessQueue, TrackedMessage } from './process-queue.ts';
import type { Subscription } from './subscription.ts';

export interface QueuePullerOptions<Message extends TrackedMessage> {
  readonly core: ClientCore;
  readonly group: string;
  readonly processQueue: ProcessQueue<Message>;
  /** Asked for each pull: a program may subscribe anew. */
  readonly subscription: () => Subscription;
  /** Messages of one pull. */
  readonly countMax: number;
  /** Whether the broker takes offsets along with pulls. */
  readonly commits: boolean;
  /** The messages of an answer that the subscription lets pass. */
  readonly read: (
    body: Uint8Array,
    queue: MessageQueue,
    subscription: Subscription,
  ) => Message[] | Promise<Message[]>;
  /** There is something to hand out. */
  readonly onMessages: (processQueue: ProcessQueue<Message>) => void;
  /** The broker has no such offset, or somebody has set another one. The puller has stopped. */
  readonly onMoved: (processQueue: ProcessQueue<Message>, offset: number) => void;
  /** The broker does not know the group as it is now. Done when it has been told. */
  readonly onUnknown: () => Promise<void>;
  readonly onError: (error: ClientError) => void;
}

interface StartedPull {
  readonly subscription: Subscription;
  readonly offset: number;
  readonly startMs: number;
  readonly asked: Promise<CoreAnswer>;
}

const PullFlag = { COMMIT_OFFSET: 1, SUSPEND: 2 } as const;

/** Of push consumers (brokerSuspendMaxTimeMillis, consumerTimeoutMillisWhenSuspend). */
const SUSPEND_MS = 15_000;
const TIMEOUT_MS = 30_000;
/** Pauses after what went wrong; guesses, the last is Java's (pullTimeDelayMillsWhenException). */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1000;
const FLOW_CONTROL_MS = 20;
/** A refused filter stays refused until the program or the broker is changed. */
const REFUSED_MS = 3000;
/** An answer "nothing new" that comes sooner was not held: do not ask again at once. */
const HELD_MS_MIN = 20;
const NOT_HELD_PAUSE_MS = 100;

export class QueuePuller<Message extends TrackedMessage> {
  readonly #options: QueuePullerOptions<Message>;
  readonly #processQueue: ProcessQueue<Message>;
  #isStopped = false;
  /** Since the last pull that went well. */
  #failureCount = 0;
  /** Of these, those that did not know the group. */
  #unknownCount = 0;
  #toldKind = '';
  /** What was last said along with a pull that was answered, or by `commit`. */
  committedOffset = -1;
  #wake: (() => void) | null = null;
  /** The next pull, which went out before the messages of the last one were handed out. */
  #ahead: StartedPull | null = null;

  constructor(options: QueuePullerOptions<Message>) {
    this.#options = options;
    this.#processQueue = options.processQueue;
    this.#processQueue.onRoom = () => this.#wake?.();
  }

  /** Runs until `stop`; never rejects. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      if (this.#ahead !== null || this.#mayPull) {
        const pauseMs = await this.#pull();
        if (pauseMs > 0 && !this.#isStopped) await this.#waitFor(pauseMs);
      } else await this.#waitFor(Infinity);
    }
  }

  /** A pull that the broker holds is left to end by itself; its answer is passed over. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
  }

  /** Ends a pause: things may have changed. */
  wake(): void {
    this.#wake?.();
  }

  async #waitFor(pauseMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = pauseMs === Infinity ? null : setTimeout(() => this.#wake?.(), pauseMs);
      this.#wake = () => {
        this.#wake = null;
        if (timer !== null) clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One pull and what follows from it; the pause that is due then. */
  async #pull(): Promise<number> {
    const processQueue = this.#processQueue;
    const { subscription, offset, startMs, asked } = this.#ahead ?? this.#start();
    this.#ahead = null;
    try {
      const answer = await asked;
      if (this.#isStopped) return 0;
      const next = Number(answer.fields.get('nextBeginOffset'));
      switch (answer.code) {
        case ResponseCode.SUCCESS:
          return await this.#take(answer, subscription, offset, next);
        case ResponseCode.PULL_RETRY_IMMEDIATELY:
        case ResponseCode.PULL_NOT_FOUND: {
          this.#succeeded();
          if (next > offset) processQueue.append([], next);
          const isHeld =
            answer.code === ResponseCode.PULL_RETRY_IMMEDIATELY ||
            next > offset ||
            performance.now() - startMs > HELD_MS_MIN;
          return isHeld ? 0 : NOT_HELD_PAUSE_MS;
        }
        case ResponseCode.PULL_OFFSET_MOVED:
          // An offset that is none, and no other instead: an empty queue that says so too often.
          if (!Number.isSafeInteger(next) || next === offset) return this.#retryMs();
          this.#isStopped = true;
          this.#options.onMoved(processQueue, next);
          return 0;
        default:
          return await this.#refused(answer);
      }
    } catch (error) {
      if (this.#isStopped) return 0;
      this.#tell(asClientError(error, `a pull of ${this.#name} failed`));
      return this.#retryMs();
    }
  }

  get #mayPull(): boolean {
    return this.#processQueue.hasRoom && !this.#processQueue.isPaused;
  }

  #start(): StartedPull {
    const subscription = this.#options.subscription();
    const offset = this.#processQueue.nextOffset;
    this.#processQueue.lastPullMs = Date.now();
    const asked = this.#ask(subscription, offset);
    // It is awaited later, or not at all where the puller is stopped before.
    asked.catch(() => {});
    return { subscription, offset, startMs: performance.now(), asked };
  }

  get #name(): string {
    const { topic, brokerName, queueId } = this.#processQueue.queue;
    return `${topic} ${brokerName} ${queueId}`;
  }

  async #ask(subscription: Subscription, queueOffset: number): Promise<CoreAnswer> {
    const { core, group, countMax, commits } = this.#options;
    const { topic, brokerName, queueId } = this.#processQueue.queue;
    const { commitOffset } = this.#processQueue;
    const isCommitting = commits && commitOffset !== this.committedOffset;
    const { subVersion, expressionType, subString } = subscription.data;
    const answer = await core.ask(core.masterAddress(brokerName), {
      code: RequestCode.PULL_MESSAGE,
      fields: {
        consumerGroup: group,
        topic,
        queueId,
        queueOffset,
        maxMsgNums: countMax,
        sysFlag: PullFlag.SUSPEND | (isCommitting ? PullFlag.COMMIT_OFFSET : 0),
        commitOffset: isCommitting ? commitOffset : 0,
        suspendTimeoutMillis: SUSPEND_MS,
        subscription: subString,
        subVersion,
        expressionType,
      },
      timeoutMs: TIMEOUT_MS,
      mayBeHeld: true,
    });
    if (isCommitting && isPullAnswer(answer.code) && commitOffset > this.committedOffset)
      this.committedOffset = commitOffset;
    return answer;
  }

  async #take(
    answer: CoreAnswer,
    subscription: Subscription,
    offset: number,
    next: number,
  ): Promise<number> {
    const processQueue = this.#processQueue;
    if (!(next > offset)) {
      throw new ClientError(
        'PROTOCOL_ERROR',
        `a pull of ${this.#name} at ${offset} found messages and goes on at ${next}`,
      );
    }
    const found = this.#options.read(answer.body, processQueue.queue, subscription);
    const messages = Array.isArray(found) ? found : await found;
    if (this.#isStopped) return 0;
    this.#succeeded();
    processQueue.append(messages, next);
    if (this.#mayPull) this.#ahead = this.#start();
    if (messages.length > 0) this.#options.onMessages(processQueue);
    return 0;
  }

  async #refused(answer: CoreAnswer): Promise<number> {
    const error = answerError(answer, `a pull of ${this.#name}`);
    switch (answer.code) {
      case ResponseCode.FLOW_CONTROL:
      case ResponseCode.SYSTEM_BUSY:
        return FLOW_CONTROL_MS;
      case ResponseCode.SUBSCRIPTION_NOT_EXIST:
      case ResponseCode.SUBSCRIPTION_NOT_LATEST:
      case ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST:
      case ResponseCode.FILTER_DATA_NOT_EXIST:
      case ResponseCode.FILTER_DATA_NOT_LATEST: {
        // The first time it is only late: a broker that was started again knows nobody.
        if (this.#unknownCount++ > 0) this.#tell(error);
        const pauseMs = this.#retryMs();
        await this.#options.onUnknown();
        return pauseMs;
      }
      case ResponseCode.SUBSCRIPTION_PARSE_FAILED:
        this.#tell(error);
        this.#failureCount++;
        return REFUSED_MS;
      default:
        this.#tell(error);
        return this.#retryMs();
    }
  }

  /** Of a row of the same failures the first is told. */
  #tell(error: ClientError): void {
    const kind = `${error.code} ${error.responseCode ?? ''}`;
    if (kind === this.#toldKind) return;
    this.#toldKind = kind;
    this.#options.onError(error);
  }

  #succeeded(): void {
    this.#failureCount = 0;
    this.#unknownCount = 0;
    this.#toldKind = '';
  }

  #retryMs(): number {
    const boundMs = Math.min(RETRY_MS_MIN * 2 ** this.#failureCount++, RETRY_MS_MAX);
    return boundMs * (0.5 + Math.random() / 2);
  }
}

/** Answers that a broker gives after it has taken the offset. */
function isPullAnswer(code: number): boolean {
  return code === ResponseCode.SUCCESS || (code >= 19 && code <= 21);
}
