/**
 * @agent any
 *
 * Sends to one topic: to which queue each goes, and what becomes of one that failed.
 *
 * ```
 *  submit ──▶ waiting (no route yet, in the order of the calls) ──▶ posted ──▶ settled
 *     └──────────────── route known ─────────────────────────────────▲  │
 *                    ▲── again: another broker, or after a pause ───────┘ failed
 * ```
 * A send whose queue is its caller's choice, or an order key's, is tried again only where its call says
 * so: what was sent to that queue after it would overtake it.
 */
import * as ResponseCode from '../protocol/response-code.ts';
import { javaTextHash } from '../protocol/java-string-hash.ts';
import type { BrokerLatency } from './broker-latency.ts';
import type { TopicRoute } from './client-core.ts';
import { ClientError } from './client-error.ts';
import type { ConnectedCore } from './connected-core.ts';
import type { MessageQueue, OutgoingMessage } from './message.ts';
import { invalid } from './outgoing-message.ts';
import type { PendingSend, SendOwner } from './pending-send.ts';
import { pause } from './platform.ts';
import type { RemotingConnection } from './remoting-connection.ts';
import { SendTemplate } from './send-template.ts';

export type SelectQueue = (
  queues: readonly MessageQueue[],
  message: OutgoingMessage,
) => MessageQueue;

export interface TopicSenderOptions {
  readonly core: ConnectedCore;
  readonly topic: string;
  readonly group: string;
  /** Null where slow brokers are not avoided. */
  readonly latency: BrokerLatency | null;
  readonly selectQueue: SelectQueue | undefined;
  /** A send has been settled, either way. */
  readonly onSettled: () => void;
}

/** A queue that may be sent to, with what is needed for it. */
export interface QueueTarget {
  readonly queue: MessageQueue;
  readonly single: SendTemplate;
  readonly batch: SendTemplate;
  readonly address: string;
  connection: RemotingConnection | null;
}

/** Answers after which Java's producer tries again: CODES of DefaultMQProducer.java. */
const NO_BUYER_ID = 204;
const NOT_IN_CURRENT_UNIT = 205;
const retriedCodes = new Set<number>([
  ResponseCode.TOPIC_NOT_EXIST,
  ResponseCode.SERVICE_NOT_AVAILABLE,
  ResponseCode.SYSTEM_ERROR,
  ResponseCode.SYSTEM_BUSY,
  ResponseCode.NO_PERMISSION,
  NO_BUYER_ID,
  NOT_IN_CURRENT_UNIT,
  ResponseCode.GO_AWAY,
]);
/** Before the same broker is tried again; four times as long each time. */
const RETRY_PAUSE_MS = 200;

export class TopicSender implements SendOwner {
  readonly #options: TopicSenderOptions;
  #targets: QueueTarget[] = [];
  #queues: readonly MessageQueue[] = [];
  readonly #waiting = new Set<PendingSend>();
  #isLoading = false;
  #nextIndex = Math.floor(Math.random() * 1024);
  /** The topic was not there when it was last asked for. */
  #isInherited = false;

  constructor(options: TopicSenderOptions) {
    this.#options = options;
  }

  /** A queue that the caller or an order key has chosen. */
  hasFixedQueue(message: OutgoingMessage): boolean {
    return (
      message.queue !== undefined ||
      message.orderKey !== undefined ||
      this.#options.selectQueue !== undefined
    );
  }

  submit(send: PendingSend): void {
    if (this.#targets.length > 0 && this.#waiting.size === 0) {
      this.#post(send);
      return;
    }
    this.#wait(send);
    if (!this.#isLoading) void this.#load(false);
  }

  setRoute(route: TopicRoute, isInherited: boolean): void {
    const { core, group, topic } = this.#options;
    const { signer } = core;
    const templates = new Map<string, [SendTemplate, SendTemplate]>();
    const template = (brokerName: string): [SendTemplate, SendTemplate] => {
      const known = templates.get(brokerName) ?? [
        new SendTemplate({ group, topic, brokerName, isBatch: false, signer }),
        new SendTemplate({ group, topic, brokerName, isBatch: true, signer }),
      ];
      templates.set(brokerName, known);
      return known;
    };
    this.#isInherited = isInherited;
    this.#queues = route.writeQueues;
    this.#targets = route.writeQueues.map((queue) => {
      const [single, batch] = template(queue.brokerName);
      const address = core.masterAddress(queue.brokerName);
      return { queue, single, batch, address, connection: null };
    });
  }

  /** Ends a send with an error of its caller's making, wherever it is. */
  abandon(send: PendingSend, error: ClientError): void {
    if (send.isSettled) return;
    send.connection?.forget(send.opaque);
    this.#reject(send, error);
  }

  answered(send: PendingSend): void {
    const { latency, core, topic } = this.#options;
    if (latency !== null && send.target !== null) {
      const nowMs = performance.now();
      latency.answered(send.target.queue.brokerName, nowMs - send.startedMs, nowMs);
    }
    if (this.#isInherited) {
      // The broker has made the topic: its own route may have other queues.
      this.#isInherited = false;
      core.refreshRoute(topic);
    }
    this.#settle(send);
  }

  failed(send: PendingSend, error: ClientError): void {
    const isTransport = error.code === 'CONNECTION_FAILED' || error.code === 'TIMEOUT';
    const isBusy = error.code === 'BROKER_BUSY' || error.code === 'BROKER_STOPPING';
    if ((isTransport || isBusy) && send.target !== null)
      this.#options.latency?.failed(send.target.queue.brokerName, performance.now());
    const mayHelp =
      error.code === 'CONNECTION_FAILED' || retriedCodes.has(error.responseCode ?? -1);
    send.lastError = error;
    if (!mayHelp || send.retriesLeft === 0 || this.#options.core.isClosed) {
      this.#reject(send, error);
      return;
    }
    send.retriesLeft--;
    void this.#again(send, error);
  }

  #settle(send: PendingSend): void {
    send.isSettled = true;
    send.onSettled?.();
    this.#options.onSettled();
  }

  #reject(send: PendingSend, error: ClientError): void {
    this.#waiting.delete(send);
    this.#settle(send);
    send.reject(error);
  }

  #post(send: PendingSend): void {
    try {
      const target = this.#choose(send);
      let { connection } = target;
      if (connection === null || connection.isClosed) {
        connection = this.#options.core.connection(target.address);
        target.connection = connection;
      }
      send.target = target;
      send.connection = connection;
      send.attemptCount++;
      if (send.flag === 0) {
        send.opaque = connection.post(send, send);
        return;
      }
      connection.post(send, null);
      if (connection.isOpen) this.#handedOver(send);
      else
        connection.opened.then(
          () => this.#handedOver(send),
          (error: unknown) => send.onFailure(ClientError.is(error) ? error : failedInside(error)),
        );
    } catch (error) {
      this.#reject(send, ClientError.is(error) ? error : failedInside(error));
    }
  }

  /** Of one without an answer. */
  #handedOver(send: PendingSend): void {
    if (send.isSettled) return;
    const result = send.onewayResult();
    this.#settle(send);
    send.resolve(result);
  }

  /** @throws ClientError INVALID_ARGUMENT where the queue that is wanted is none */
  #choose(send: PendingSend): QueueTarget {
    const targets = this.#targets;
    const { message } = send;
    const { latency, selectQueue } = this.#options;
    if (message.queue !== undefined) return this.#targetOf(message.queue);
    if (message.orderKey !== undefined)
      return targets[Math.abs(javaTextHash(message.orderKey) % targets.length)];
    if (selectQueue !== undefined) return this.#targetOf(selectQueue(this.#queues, message));
    const failedBroker = send.target?.queue.brokerName;
    const start = this.#nextIndex++;
    const first = targets[start % targets.length];
    if (failedBroker === undefined && (latency === null || latency.isEmpty)) return first;
    const nowMs = performance.now();
    const isBetter = ({ queue }: QueueTarget, avoided: boolean): boolean =>
      queue.brokerName !== failedBroker &&
      (!avoided || latency?.isAvoided(queue.brokerName, nowMs) !== true);
    for (const avoided of [true, false]) {
      for (let index = 0; index < targets.length; index++) {
        const target = targets[(start + index) % targets.length];
        if (isBetter(target, avoided)) return target;
      }
    }
    return first;
  }

  #targetOf(wanted: MessageQueue): QueueTarget {
    const target = this.#targets.find(
      ({ queue }) =>
        queue.queueId === wanted.queueId &&
        queue.brokerName === wanted.brokerName &&
        queue.topic === wanted.topic,
    );
    if (target !== undefined) return target;
    throw invalid(
      `queue ${wanted.queueId} of ${wanted.brokerName} is not one of ${this.#options.topic} that may be sent to`,
    );
  }

  /** Keeps a send until there is a route, or its time is over. */
  #wait(send: PendingSend): void {
    this.#waiting.add(send);
    const timer = setTimeout(
      () => {
        const error = new ClientError('TIMEOUT', `${send.what}: no route to it came in time`);
        this.#reject(send, send.lastError ?? error);
      },
      // A timer may fire a little early by the clock that limits are compared with.
      Math.max(Math.ceil(send.deadlineMs - performance.now()) + 1, 0),
    );
    const formerly = send.onSettled;
    send.onSettled = () => {
      clearTimeout(timer);
      formerly?.();
    };
  }

  async #load(fresh: boolean): Promise<void> {
    const { core, topic } = this.#options;
    this.#isLoading = true;
    try {
      const { route, isInherited } = await core.publishRoute(topic, fresh);
      this.setRoute(route, isInherited);
      if (this.#targets.length === 0)
        throw new ClientError('NO_PERMISSION', `topic ${topic} has no queue that may be sent to`);
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const send of waiting) this.#post(send);
    } catch (error) {
      const failure = ClientError.is(error) ? error : failedInside(error);
      for (const send of this.#waiting) this.#reject(send, failure);
    } finally {
      this.#isLoading = false;
    }
  }

  async #again(send: PendingSend, error: ClientError): Promise<void> {
    const { core, topic, latency } = this.#options;
    const isRouteStale =
      error.code === 'CONNECTION_FAILED' ||
      error.code === 'TOPIC_NOT_FOUND' ||
      error.code === 'NO_PERMISSION';
    if (isRouteStale) {
      // Where it can not be asked for, the old one is as good as any.
      const found = await core.publishRoute(topic, true).catch(() => null);
      if (found !== null && found.route.writeQueues.length > 0)
        this.setRoute(found.route, found.isInherited);
    }
    const nowMs = performance.now();
    const failedBroker = send.target?.queue.brokerName;
    const isElsewhere =
      !this.hasFixedQueue(send.message) &&
      this.#targets.some(
        ({ queue }) =>
          queue.brokerName !== failedBroker && latency?.isAvoided(queue.brokerName, nowMs) !== true,
      );
    if (!isElsewhere) {
      const longestMs = RETRY_PAUSE_MS * 4 ** (send.attemptCount - 1);
      const pauseMs = longestMs / 2 + (Math.random() * longestMs) / 2;
      await pause(Math.min(pauseMs, Math.max(send.deadlineMs - nowMs, 0)));
    }
    if (send.isSettled) return;
    send.startedMs = performance.now();
    if (send.startedMs >= send.deadlineMs || core.isClosed) this.#reject(send, error);
    else this.submit(send);
  }
}

function failedInside(cause: unknown): ClientError {
  return new ClientError('INVALID_ARGUMENT', 'the queue could not be chosen', { cause });
}
