/**
 * @agent any
 *
 * Sends messages. Starts with the first call; `close` lets finish what is under way.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import { type BatchItem, encodeBatchItem, joinItems, splitBatch } from './batch-encoder.ts';
import { BrokerLatency } from './broker-latency.ts';
import { CallGate } from './call-gate.ts';
import { ClientError } from './client-error.ts';
import { ConnectedCore, type CoreOptions } from './connected-core.ts';
import { FLAG_ONEWAY } from './frame-codec.ts';
import type { MessageProperties, OutgoingMessage, SendResult } from './message.ts';
import {
  BODY_BYTES_MAX,
  checkBody,
  checkGroup,
  checkTopic,
  invalid,
  outgoingProperties,
} from './outgoing-message.ts';
import { PendingSend } from './pending-send.ts';
import { currentPlatform } from './platform.ts';
import { abortedError } from './remoting-connection.ts';
import { INLINE_TEXT_LENGTH_MAX } from './send-template.ts';
import { encodeText } from '../protocol/text-bytes.ts';
import { type SelectQueue, TopicSender } from './topic-sender.ts';
import {
  type CheckTransaction,
  TRANSACTION_PREPARED,
  type TransactionDecision,
  TransactionEnder,
  type TransactionResult,
} from './transaction.ts';
import { UniqueIdSource } from './unique-id.ts';

export interface ProducerOptions extends CoreOptions {
  readonly group: string;
  /** For all of a send, its retries included; 3000 unless said. */
  readonly timeoutMs?: number | undefined;
  /** How often a send that failed is tried again; 2 unless said. */
  readonly retryTimes?: number | undefined;
  /** Chooses the queue of each message that neither names one nor has an order key. */
  readonly selectQueue?: SelectQueue | undefined;
  /** Leaves brokers that were slow or failed alone for a while; on unless said. */
  readonly faultAvoidance?: boolean | undefined;
  /** Bodies from this size on are sent compressed, where Node's zlib is at hand; 4096 unless said. */
  readonly compressAboveBytes?: number | undefined;
  /** Says what became of a half message when the broker asks. */
  readonly checkTransaction?: CheckTransaction | undefined;
}

export interface SendOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Said here, it also holds for messages whose queue is fixed, which are else tried once. */
  readonly retryTimes?: number | undefined;
}

const RETRY_TIMES = 2;
const COMPRESS_ABOVE_BYTES = 4096;
/** Compressed, by zlib. */
const COMPRESSED_ZLIB = 0x1 | 0x300;
const RETRY_TOPIC_PREFIX = '%RETRY%';
const noOptions: SendOptions = {};

export class Producer implements AsyncDisposable {
  readonly #options: ProducerOptions;
  readonly #core: ConnectedCore;
  readonly #senders = new Map<string, TopicSender>();
  readonly #latency: BrokerLatency | null;
  readonly #ids = new UniqueIdSource();
  readonly #calls = new CallGate();
  readonly #transactions: TransactionEnder;
  readonly #retryTimes: number;
  readonly #compressAboveBytes: number;
  #closed: Promise<void> | null = null;

  /** @throws ClientError INVALID_ARGUMENT */
  constructor(options: ProducerOptions) {
    checkGroup(options.group);
    this.#options = options;
    this.#core = new ConnectedCore(options);
    this.#latency = options.faultAvoidance === false ? null : new BrokerLatency();
    this.#retryTimes = options.retryTimes ?? RETRY_TIMES;
    this.#compressAboveBytes = options.compressAboveBytes ?? COMPRESS_ABOVE_BYTES;
    const { group, checkTransaction } = options;
    this.#transactions = new TransactionEnder({ core: this.#core, group, checkTransaction });
    this.#core.onRouteChanged((route) => {
      if (route.writeQueues.length > 0) this.#senders.get(route.topic)?.setRoute(route, false);
    });
    // There is no broker yet that could be told.
    void this.#core.setProducerGroup(group);
  }

  get clientId(): string {
    return this.#core.clientId;
  }

  /** Not needed: finds out early whether any of the servers answers. */
  async start(): Promise<void> {
    await this.#call(async () => {
      try {
        await this.#core.route('TBW102');
      } catch (error) {
        if (!ClientError.is(error) || error.code !== 'TOPIC_NOT_FOUND') throw error;
      }
    });
  }

  /** Resolves when the broker has stored the message. Its body may not be changed until then. */
  send<Properties extends MessageProperties>(
    message: OutgoingMessage<Properties>,
    options: SendOptions = noOptions,
  ): Promise<SendResult> {
    return this.#send(message, options, 0, 0);
  }

  /** Resolves when the message was handed to the connection; whether it is stored nobody says. */
  async sendOneway(message: OutgoingMessage, options: SendOptions = noOptions): Promise<void> {
    await this.#send(message, options, FLAG_ONEWAY, 0);
  }

  /** Messages of one topic, stored in their order in one queue. Results are in the same order. */
  async sendBatch(
    messages: readonly OutgoingMessage[],
    options: SendOptions = noOptions,
  ): Promise<SendResult[]> {
    return this.#call(async () => {
      const [first] = messages;
      if (first === undefined) throw invalid('a batch has no message');
      checkBatch(messages, first);
      const parts = splitBatch(
        messages.map((message) => encodeBatchItem(this.#batchItem(message))),
        BODY_BYTES_MAX,
      );
      const results: SendResult[] = [];
      let { queue } = first;
      for (const part of parts) {
        const { topic, orderKey } = first;
        const message: OutgoingMessage = {
          topic,
          body: '',
          ...(orderKey !== undefined && { orderKey }),
          ...(queue !== undefined && { queue }),
        };
        const result = await this.#sendPart(message, joinItems(part), options);
        // What follows goes behind it.
        ({ queue } = result);
        const offsetIds = result.offsetMessageId.split(',');
        for (const [index, { messageId }] of part.entries()) {
          const offsetMessageId = offsetIds[index] ?? '';
          const queueOffset = result.queueOffset + index;
          results.push({ ...result, messageId, offsetMessageId, queueOffset });
        }
      }
      return results;
    });
  }

  /**
   * Stores a message that consumers do not see, runs the local part, and commits or rolls it back. Where
   * the local part throws, what became of it is left open, the broker asks `checkTransaction` later, and
   * the error is the caller's.
   */
  async sendInTransaction(
    message: OutgoingMessage,
    localPart: (half: SendResult) => TransactionDecision | Promise<TransactionDecision>,
    options: SendOptions = noOptions,
  ): Promise<TransactionResult> {
    return this.#call(async () => {
      if (isTimed(message)) throw invalid('a message of a transaction can not be timed');
      const half = await this.#send(message, options, 0, TRANSACTION_PREPARED);
      // A half that may yet be lost commits to nothing.
      const decision = half.status === 'ok' ? await localPart(half) : 'rollback';
      await this.#transactions.end(half, decision);
      return { ...half, decision };
    });
  }

  /** Takes a timed message back before its time; returns its id. */
  async recall(
    topic: string,
    recallHandle: string,
    options: SendOptions = noOptions,
  ): Promise<string> {
    return this.#call(async () => {
      checkTopic(topic);
      const brokerName = brokerNameOf(recallHandle);
      await this.#core.route(topic, options.signal === undefined ? {} : { signal: options.signal });
      const answer = await this.#core.ask(this.#core.masterAddress(brokerName), {
        code: RequestCode.RECALL_MESSAGE,
        fields: { producerGroup: this.#options.group, topic, recallHandle },
        ...(options.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }),
        ...(options.signal !== undefined && { signal: options.signal }),
      });
      if (answer.code !== ResponseCode.SUCCESS) throw answerError(answer, `recall from ${topic}`);
      return answer.fields.get('msgId') ?? '';
    });
  }

  /** What is under way is finished, within the time limit of a send. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await this.#calls.idle(this.#core.timeoutMs);
    await this.#core.close();
  }

  #call<Value>(call: () => Promise<Value>): Promise<Value> {
    if (this.#closed !== null) return Promise.reject(closedError());
    return this.#calls.around(call);
  }

  #send(
    message: OutgoingMessage,
    options: SendOptions,
    flag: number,
    transactionFlag: number,
  ): Promise<SendResult> {
    return new Promise((resolve, reject) => {
      // One that calls may still need the connection while the producer closes.
      if (this.#closed !== null && transactionFlag === 0) {
        reject(closedError());
        return;
      }
      this.#calls.begin();
      try {
        const properties = outgoingProperties(message);
        let { body } = message;
        checkBody(body);
        let sysFlag = transactionFlag;
        if (body.length >= Math.min(INLINE_TEXT_LENGTH_MAX, this.#compressAboveBytes)) {
          const bytes = bodyBytes(body);
          body = this.#compressed(bytes) ?? bytes;
          if (body !== bytes) sysFlag |= COMPRESSED_ZLIB;
        }
        const ownProperties =
          transactionFlag === 0
            ? properties
            : [...properties, 'TRAN_MSG', 'true', 'PGROUP', this.#options.group];
        const sender = this.#sender(message.topic);
        const send = new PendingSend(sender, message, body, ownProperties, resolve, reject);
        send.sysFlag = sysFlag;
        send.flag = flag;
        this.#submit(send, sender, options);
      } catch (error) {
        this.#calls.end();
        reject(asClientError(error));
      }
    });
  }

  #sendPart(message: OutgoingMessage, body: Uint8Array, options: SendOptions): Promise<SendResult> {
    return new Promise((resolve, reject) => {
      this.#calls.begin();
      try {
        const sender = this.#sender(message.topic);
        const send = new PendingSend(sender, message, body, [], resolve, reject);
        send.isBatch = true;
        this.#submit(send, sender, options);
      } catch (error) {
        this.#calls.end();
        reject(asClientError(error));
      }
    });
  }

  /** @throws ClientError */
  #submit(send: PendingSend, sender: TopicSender, options: SendOptions): void {
    const { signal } = options;
    if (signal?.aborted === true) throw abortedError(signal);
    const nowMs = performance.now();
    send.bornTimestampMs = Date.now();
    if (!send.isBatch) {
      send.idPrefix = this.#ids.prefixAt(send.bornTimestampMs);
      send.idCounter = this.#ids.nextCounter();
    }
    send.startedMs = nowMs;
    send.deadlineMs = nowMs + (options.timeoutMs ?? this.#core.timeoutMs);
    send.retriesLeft =
      options.retryTimes ?? (sender.hasFixedQueue(send.message) ? 0 : this.#retryTimes);
    if (signal !== undefined) {
      const onAbort = (): void => sender.abandon(send, abortedError(signal));
      signal.addEventListener('abort', onAbort);
      send.onSettled = () => signal.removeEventListener('abort', onAbort);
    }
    sender.submit(send);
  }

  /** @throws ClientError INVALID_ARGUMENT */
  #sender(topic: string): TopicSender {
    return this.#senders.get(topic) ?? this.#makeSender(topic);
  }

  #makeSender(topic: string): TopicSender {
    checkTopic(topic);
    const sender = new TopicSender({
      core: this.#core,
      topic,
      group: this.#options.group,
      latency: this.#latency,
      selectQueue: this.#options.selectQueue,
      onSettled: () => this.#calls.end(),
    });
    this.#senders.set(topic, sender);
    return sender;
  }

  /** Null where it would not help, or can not be done at once. */
  #compressed(bytes: Uint8Array): Uint8Array | null {
    const { deflate } = currentPlatform();
    if (bytes.length < this.#compressAboveBytes || deflate === null) return null;
    const compressed = deflate(bytes);
    return compressed.length < bytes.length ? compressed : null;
  }

  #batchItem(message: OutgoingMessage): BatchItem {
    checkBody(message.body);
    return {
      body: bodyBytes(message.body),
      properties: outgoingProperties(message),
      idPrefix: this.#ids.prefixAt(Date.now()),
      idCounter: this.#ids.nextCounter(),
    };
  }
}

function closedError(): ClientError {
  return new ClientError('CLOSED', 'the producer was closed');
}

function asClientError(error: unknown): ClientError {
  return ClientError.is(error)
    ? error
    : new ClientError('INVALID_ARGUMENT', 'the message can not be sent', { cause: error });
}

function bodyBytes(body: Uint8Array | string): Uint8Array {
  if (typeof body !== 'string') return body;
  const bytes = encodeText(body);
  checkBody(bytes);
  return bytes;
}

function isTimed({ deliverAt, delayMs, delayLevel }: OutgoingMessage): boolean {
  return deliverAt !== undefined || delayMs !== undefined || delayLevel !== undefined;
}

function checkBatch(messages: readonly OutgoingMessage[], first: OutgoingMessage): void {
  if (first.topic.startsWith(RETRY_TOPIC_PREFIX))
    throw invalid('a batch can not go to a retry topic');
  for (const message of messages) {
    if (message.topic !== first.topic) throw invalid('all messages of a batch have one topic');
    if (message.orderKey !== first.orderKey)
      throw invalid('all messages of a batch have the same order key, or none');
    const isSameQueue =
      message.queue?.queueId === first.queue?.queueId &&
      message.queue?.brokerName === first.queue?.brokerName;
    if (!isSameQueue) throw invalid('all messages of a batch have the same queue, or none');
    if (isTimed(message)) throw invalid('a message of a batch can not be timed');
  }
}

/** `v1 topic brokerName timestampMs uniqueKey` in base64url. */
function brokerNameOf(recallHandle: string): string {
  try {
    const text = atob(recallHandle.replaceAll('-', '+').replaceAll('_', '/'));
    const [version, , brokerName] = text.split(' ');
    if (version === 'v1' && brokerName !== undefined && brokerName !== '') return brokerName;
  } catch {
    // No base64: said below.
  }
  throw invalid('this is no recall handle');
}
