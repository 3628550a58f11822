/**
 * @agent any
 *
 * A member of a consumer group. Messages come to a listener (`run`, `runBatch`) or are taken from an
 * iterator (`messages`, `batches`); each comes at least once, and comes again until it is acknowledged,
 * by the listener's end or by `ack`.
 *
 * ```
 *  Rebalancer ──queues──▶ QueueAssignments ──▶ QueuePuller ──▶ ProcessQueue ──▶ ReadyQueues
 *   38, 40                 offsets, locks        11              what is open        │ take
 *                                                                  ▲                 ▼
 *                                        36 ◀── Settlement ◀── failed ── ListenerRunner, MessageStream
 * ```
 * What may come twice: messages that were not finished, or whose offset was not said (every 5 s), when a
 * queue changes hands or this program dies. `onRevoked` tells when a queue goes; a message that fails
 * comes with a higher `deliveryAttempt`. While a broker is away nothing is forgotten here, so that a
 * lost connection alone makes nothing come twice.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import { type ConsumedObserver, type ListenerCall, serveBroker } from './broker-questions.ts';
import type { ConsumerData } from './client-core.ts';
import { ClientError } from './client-error.ts';
import { ConnectedCore } from './connected-core.ts';
import { ConcurrentSettlement, type Settlement } from './consume-concurrently.ts';
import { OrderedSettlement } from './consume-ordered.ts';
import {
  type ConsumedMessage,
  type ConsumedRecord,
  type MessageBatch,
  type MessageHome,
  RecordBatch,
} from './consumed-message.ts';
import {
  type ConsumerOptions,
  type ConsumerSettings,
  consumerSettings,
} from './consumer-options.ts';
import { ListenerRunner } from './listener-runner.ts';
import type { MessageProperties, MessageQueue } from './message.ts';
import { MessageStream } from './message-stream.ts';
import { boundOffset, LocalOffsetStore, queueKey, RemoteOffsetStore } from './offset-store.ts';
import { type BackgroundTimer, startBackgroundTimer } from './platform.ts';
import type { ProcessQueue } from './process-queue.ts';
import { QueueAssignments, type RevokeReason } from './queue-assignments.ts';
import { LOCK_RENEWAL_MS, QueueLocks } from './queue-locks.ts';
import { ReadyQueues } from './ready-queues.ts';
import { Rebalancer } from './rebalance.ts';
import { RetrySender } from './retry-sender.ts';
import {
  RETRY_PREFIX,
  retryTopicOf,
  type Subscription,
  type SubscriptionFilter,
  subscriptionOf,
} from './subscription.ts';

export type AssignedListener = (queues: readonly MessageQueue[]) => void;
export type RevokedListener = (queues: readonly MessageQueue[], reason: RevokeReason) => void;

/** Deliveries in a group whose own setting is not known here (16 retries). */
const ATTEMPTS_MAX = 17;

/** The same trouble is told again after so long. Guesses. */
const TOLD_AGAIN_MS = 5000;
const TOLD_COUNT_MAX = 100;

/** What is done with any iterator. */
interface Stream {
  pump(): void;
  close(): void;
}

type AnyListener = ListenerCall['call'];

const encoder = new TextEncoder();

export class Consumer<Properties extends MessageProperties = MessageProperties> {
  readonly #settings: ConsumerSettings;
  readonly #core: ConnectedCore;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #retrySubscription: Subscription;
  readonly #ready = new ReadyQueues<ConsumedRecord>();
  readonly #onConsumed: ConsumedObserver;
  readonly #settlement: Settlement;
  readonly #assignments: QueueAssignments;
  readonly #rebalancer: Rebalancer;
  readonly #onAssigned: AssignedListener[] = [];
  readonly #onRevoked: RevokedListener[] = [];
  readonly #streams = new Set<Stream>();
  readonly #pausedQueues = new Set<string>();
  #isPaused = false;
  #listener: ListenerCall | null = null;
  #runner: ListenerRunner | null = null;
  #starting: Promise<void> | null = null;
  #isJoined = false;
  #closing: Promise<void> | null = null;
  readonly #timers = new Map<string, BackgroundTimer>();
  /** By message, when it was told last. */
  readonly #toldMs = new Map<string, number>();

  /** Connects when first needed. @throws ClientError INVALID_ARGUMENT */
  constructor(options: ConsumerOptions) {
    const settings = consumerSettings(options);
    this.#settings = settings;
    const { group, isBroadcasting, isOrdered } = settings;
    this.#core = new ConnectedCore(options);
    const core = this.#core;
    this.#retrySubscription = subscriptionOf(retryTopicOf(group));
    const onError = (error: ClientError): void => this.#reportOnce(error);
    const onReady = (processQueue: ProcessQueue<ConsumedRecord>): void =>
      this.#onReady(processQueue);
    const retries = new RetrySender({ core, group, maxAttempts: settings.maxAttempts, onError });
    this.#settlement = isOrdered
      ? new OrderedSettlement({
          retries,
          maxAttempts: settings.maxAttempts ?? Infinity,
          suspendMs: settings.suspendMs,
          onReady,
        })
      : new ConcurrentSettlement({
          isBroadcasting,
          retries,
          maxAttempts: settings.maxAttempts ?? ATTEMPTS_MAX,
          onReady,
          onError,
        });
    const home: MessageHome = { settlement: this.#settlement, onFinished: onReady };
    this.#rebalancer = new Rebalancer({
      core,
      group,
      isBroadcasting,
      strategy: settings.strategy,
      topics: () => this.#topics(),
      apply: (topic, queues) => this.#assignments.apply(topic, queues),
      retain: (topics) => this.#assignments.retain(topics),
      onError,
    });
    this.#assignments = new QueueAssignments({
      core,
      group,
      from: settings.from,
      offsets: isBroadcasting
        ? new LocalOffsetStore(
            core,
            settings.offsetStorage,
            `${options.clientId ?? 'DEFAULT'}/${group}`,
          )
        : new RemoteOffsetStore(core, group),
      isOrdered,
      locks: isOrdered && !isBroadcasting ? new QueueLocks(core, group, onError) : null,
      limits: settings.limits,
      pullCountMax: settings.pullCountMax,
      home,
      subscriptionOf: (topic) => this.#subscriptions.get(topic) ?? this.#retrySubscription,
      isPaused: (queue) => this.#isPausedQueue(queue),
      onReady,
      onAssigned: (queues) => this.#tell(this.#onAssigned, queues, undefined),
      onRevoked: (queues, reason) => this.#tell(this.#onRevoked, queues, reason),
      onUnknown: () => this.#rebalancer.greet(),
      onUnbalanced: () => this.#rebalancer.reconnect(),
      onError,
    });
    core.onDisconnected((address) => this.#assignments.onDisconnected(address));
    this.#onConsumed = serveBroker({
      core,
      group,
      servers: options.servers,
      isOrdered,
      concurrency: settings.concurrency,
      startTimestampMs: Date.now(),
      assignments: this.#assignments,
      describe: () => this.#describe(),
      onMembersChanged: () => {
        if (this.#isJoined) this.#rebalancer.trigger();
      },
      listener: () => this.#listener,
    });
  }

  /** What brokers and tools know this member by. */
  get clientId(): string {
    return this.#core.clientId;
  }

  /** Background trouble so far, told to `onError` or not. */
  get errorCount(): number {
    return this.#core.errorCount;
  }

  /** Tags (`a || b`), `{ tags }`, or `{ sql }`; all messages unless said. Before or after the start. */
  subscribe(topic: string, filter?: SubscriptionFilter): void {
    this.#subscriptions.set(topic, subscriptionOf(topic, filter));
    this.#resubscribe();
  }

  unsubscribe(topic: string): void {
    this.#subscriptions.delete(topic);
    this.#resubscribe();
  }

  /**
   * Joins the group: resolves with the first queues. Every other call does it by itself; this one tells
   * early what is wrong. @throws ClientError
   */
  async start(): Promise<void> {
    if (this.#closing !== null) throw new ClientError('CLOSED', 'the consumer was closed');
    this.#starting ??= this.#start();
    try {
      await this.#starting;
    } catch (error) {
      this.#starting = null;
      throw error;
    }
  }

  /**
   * Calls the listener with each message, `concurrency` at once. When it ends, or its promise resolves,
   * the message is done with; where it throws, the message comes again. Resolves when the first queues
   * are there. @throws ClientError
   */
  async run(listener: (message: ConsumedMessage<Properties>) => unknown): Promise<void> {
    await this.#run(listener as unknown as AnyListener, null);
  }

  /** The same with up to `batchSize` messages of one queue; they fail and are done with together. */
  async runBatch(
    listener: (messages: readonly ConsumedMessage<Properties>[]) => unknown,
  ): Promise<void> {
    await this.#run(listener as unknown as AnyListener, this.#settings.batchSize);
  }

  /** Messages one by one, each to be ended by `ack` or `retry`. Ends when the consumer is closed. */
  messages(): AsyncIterableIterator<ConsumedMessage<Properties>, undefined> {
    return this.#stream((processQueue) => {
      const message = processQueue.takeOne();
      return (message ?? null) as ConsumedMessage<Properties> | null;
    });
  }

  /** What is there, up to `max` messages of one queue at once. */
  batches(
    options: { readonly max?: number } = {},
  ): AsyncIterableIterator<MessageBatch<Properties>, undefined> {
    const max = options.max ?? this.#settings.batchSize;
    return this.#stream((processQueue) => {
      const messages = processQueue.take(max) as unknown as ConsumedRecord<Properties>[];
      return messages.length === 0 ? null : new RecordBatch(messages);
    });
  }

  /** Nothing more is pulled or handed out, of all queues or of these, until `resume`. */
  pause(queues?: readonly MessageQueue[]): void {
    if (queues === undefined) this.#isPaused = true;
    else for (const queue of queues) this.#pausedQueues.add(queueKey(queue));
    this.#assignments.updatePauses();
  }

  /** Without queues: all, also those that were paused one by one. */
  resume(queues?: readonly MessageQueue[]): void {
    if (queues === undefined) {
      this.#isPaused = false;
      this.#pausedQueues.clear();
    } else for (const queue of queues) this.#pausedQueues.delete(queueKey(queue));
    this.#assignments.updatePauses();
  }

  /**
   * The queue goes on at this offset, or with the first message of that time. Messages of it that are
   * still worked on end without effect. @throws ClientError INVALID_ARGUMENT where it is not assigned
   */
  async seek(queue: MessageQueue, to: number | Date): Promise<void> {
    await this.start();
    const isTime = to instanceof Date;
    if (!isTime && (!Number.isSafeInteger(to) || to < 0))
      throw new ClientError('INVALID_ARGUMENT', `an offset is 0 or more, not ${to}`);
    const offset = isTime ? await boundOffset(this.#core, queue, to) : to;
    if (!(await this.#assignments.move(queue, offset, 'seek'))) {
      const text = `queue ${queueKey(queue)} is not assigned to this member`;
      throw new ClientError('INVALID_ARGUMENT', text);
    }
  }

  /** All queues of a topic that this member has. */
  async seekToTime(topic: string, time: Date): Promise<void> {
    await this.start();
    const queues = this.assignment.filter((queue) => queue.topic === topic);
    await Promise.all(queues.map((queue) => this.seek(queue, time)));
  }

  /** The queues that this member reads now. */
  get assignment(): readonly MessageQueue[] {
    return [...this.#assignments.all]
      .map(({ queue }) => queue)
      .filter(({ topic }) => !topic.startsWith(RETRY_PREFIX));
  }

  /** Where the group would go on in a queue without this member; undefined where it is not assigned. */
  position(queue: MessageQueue): number | undefined {
    return this.#assignments.get(queue)?.processQueue.commitOffset;
  }

  /** Called before the first message of queues that have come to this member. */
  onAssigned(listener: AssignedListener): void {
    this.#onAssigned.push(listener);
  }

  /** Called when queues are this member's no more, or move: what is not acknowledged comes again, here or elsewhere. */
  onRevoked(listener: RevokedListener): void {
    this.#onRevoked.push(listener);
  }

  /** Lets calls that run end (5 s), says offsets, unlocks, leaves the group. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    const topics = [...this.#subscriptions.keys()];
    if (topics.length === 0)
      throw new ClientError('INVALID_ARGUMENT', 'subscribe to a topic before the consumer starts');
    await Promise.all(topics.map((topic) => this.#checkTopic(topic)));
    await this.#core.setConsumer(this.#describe());
    this.#isJoined = true;
    await this.#rebalancer.round();
    this.#repeat('commit', this.#settings.commitIntervalMs, () => {
      this.#runner?.expire();
      return this.#assignments.commit({ mustAnswer: false });
    });
    if (this.#settings.isOrdered)
      this.#repeat('locks', LOCK_RENEWAL_MS, () => this.#assignments.renewLocks());
  }

  /** A topic may come later; servers that can not be reached, and filters that are refused, are told. */
  async #checkTopic(topic: string): Promise<void> {
    const subscription = this.#subscriptions.get(topic);
    try {
      const { brokers } = await this.#core.route(topic);
      if (subscription?.data.expressionType !== 'SQL92') return;
      const [address] = [...brokers.values()].flatMap(({ addresses }) => addresses);
      if (address !== undefined) await this.#checkFilter(address, subscription);
    } catch (error) {
      if (!ClientError.is(error) || error.code !== 'TOPIC_NOT_FOUND') throw error;
    }
  }

  /** CHECK_CLIENT_CONFIG, as Java's client asks for conditions other than tags. */
  async #checkFilter(address: string, { data }: Subscription): Promise<void> {
    const { clientId } = this.#core;
    const { group } = this.#settings;
    const subscriptionData = { classFilterMode: false, ...data };
    const answer = await this.#core.ask(address, {
      code: RequestCode.CHECK_CLIENT_CONFIG,
      body: encoder.encode(JSON.stringify({ clientId, group, namespace: '', subscriptionData })),
    });
    if (answer.code === ResponseCode.SUCCESS) return;
    const { message } = answerError(answer, `the filter of ${data.topic}`);
    throw new ClientError('FILTER_REFUSED', message, { responseCode: answer.code });
  }

  /** Never two at once of the same kind. */
  #repeat(name: string, intervalMs: number, work: () => Promise<void>): void {
    if (this.#closing !== null) return;
    const once = async (): Promise<void> => {
      try {
        await work();
      } catch (error) {
        this.#report(error);
      }
      this.#repeat(name, intervalMs, work);
    };
    this.#timers.set(
      name,
      startBackgroundTimer(() => void once(), intervalMs),
    );
  }

  #topics(): string[] {
    const topics = [...this.#subscriptions.keys()];
    // Nobody gives a member of a broadcasting group anything back.
    return this.#settings.isBroadcasting ? topics : [...topics, retryTopicOf(this.#settings.group)];
  }

  #describe(): ConsumerData {
    const { group, isBroadcasting, from } = this.#settings;
    const whereNames = {
      last: 'CONSUME_FROM_LAST_OFFSET',
      first: 'CONSUME_FROM_FIRST_OFFSET',
    } as const;
    const subscriptions = [...this.#subscriptions.values()];
    if (!isBroadcasting) subscriptions.push(this.#retrySubscription);
    return {
      groupName: group,
      consumeType: 'CONSUME_PASSIVELY',
      messageModel: isBroadcasting ? 'BROADCASTING' : 'CLUSTERING',
      consumeFromWhere: from instanceof Date ? 'CONSUME_FROM_TIMESTAMP' : whereNames[from],
      subscriptionDataSet: subscriptions.map(({ data }) => data),
    };
  }

  #resubscribe(): void {
    if (!this.#isJoined || this.#closing !== null) return;
    const tell = async (): Promise<void> => {
      try {
        await this.#core.setConsumer(this.#describe());
        await this.#rebalancer.round();
      } catch (error) {
        this.#report(error);
      }
    };
    void tell();
  }

  async #run(listener: AnyListener, batchSize: number | null): Promise<void> {
    if (this.#listener !== null || this.#streams.size > 0)
      throw new ClientError('INVALID_ARGUMENT', 'this consumer has a listener or an iterator');
    if (typeof listener !== 'function')
      throw new ClientError('INVALID_ARGUMENT', 'a listener is a function');
    this.#listener = { call: listener, isBatch: batchSize !== null };
    this.#runner = new ListenerRunner({
      ready: this.#ready,
      listener,
      batchSize,
      concurrency: this.#settings.concurrency,
      policy: this.#settlement,
      onError: (error) => this.#report(error),
      onConsumed: this.#onConsumed,
      consumeTimeoutMs: this.#settings.isOrdered ? Infinity : this.#settings.consumeTimeoutMs,
    });
    try {
      await this.start();
    } catch (error) {
      this.#listener = null;
      this.#runner = null;
      throw error;
    }
    this.#assignments.updatePauses();
  }

  #stream<Item>(
    take: (processQueue: ProcessQueue<ConsumedRecord>) => Item | null,
  ): AsyncIterableIterator<Item, undefined> {
    if (this.#listener !== null)
      throw new ClientError('INVALID_ARGUMENT', 'this consumer has a listener');
    const stream = new MessageStream<Item>(() => {
      const processQueue = this.#ready.next();
      if (processQueue === null) return null;
      const item = take(processQueue);
      this.#ready.offer(processQueue);
      return item;
    });
    return stream.iterator(
      async () => {
        await this.start();
        if (this.#closing !== null) stream.close();
        else this.#streams.add(stream);
        this.#assignments.updatePauses();
      },
      () => {
        this.#streams.delete(stream);
        this.#assignments.updatePauses();
      },
    );
  }

  /** Nothing is read ahead where nobody takes it. */
  #isPausedQueue(queue: MessageQueue): boolean {
    const isTaken = this.#runner !== null || this.#streams.size > 0;
    return !isTaken || this.#isPaused || this.#pausedQueues.has(queueKey(queue));
  }

  #onReady(processQueue: ProcessQueue<ConsumedRecord>): void {
    this.#ready.offer(processQueue);
    this.#runner?.pump();
    for (const stream of this.#streams) stream.pump();
  }

  #tell(
    listeners: readonly RevokedListener[],
    queues: readonly MessageQueue[],
    reason: RevokeReason,
  ): void;
  #tell(
    listeners: readonly AssignedListener[],
    queues: readonly MessageQueue[],
    reason: undefined,
  ): void;
  #tell(
    listeners: readonly ((queues: readonly MessageQueue[], reason: never) => void)[],
    queues: readonly MessageQueue[],
    reason: RevokeReason | undefined,
  ): void {
    const own = queues.filter(({ topic }) => !topic.startsWith(RETRY_PREFIX));
    if (own.length === 0) return;
    for (const listener of listeners) {
      try {
        listener(own, reason as never);
      } catch (cause) {
        const text = `a listener of assignments failed: ${String(cause)}`;
        this.#report(new ClientError('LISTENER_FAILED', text, { cause }));
      }
    }
  }

  /** What many queues have to tell of one lost broker is told once. */
  #reportOnce(error: ClientError): void {
    const nowMs = performance.now();
    const isListeners = error.code === 'LISTENER_FAILED';
    if (!isListeners && nowMs - (this.#toldMs.get(error.message) ?? -Infinity) < TOLD_AGAIN_MS)
      return;
    if (this.#toldMs.size >= TOLD_COUNT_MAX) this.#toldMs.clear();
    this.#toldMs.set(error.message, nowMs);
    this.#report(error);
  }

  #report(error: unknown): void {
    if (!this.#core.isClosed) this.#core.report(error);
  }

  async #close(): Promise<void> {
    // Where neither a listener nor a loop is at work, nobody will acknowledge anything more.
    const isWorking = this.#runner !== null || this.#streams.size > 0;
    this.#runner?.stop();
    for (const stream of this.#streams) stream.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    try {
      await this.#starting?.catch(() => {});
      await this.#rebalancer.close();
      await this.#assignments.close(isWorking ? this.#settings.closeTimeoutMs : 0);
    } catch (error) {
      this.#report(error);
    }
    try {
      await this.#core.close();
    } catch (error) {
      this.#core.report(error);
    }
  }
}
