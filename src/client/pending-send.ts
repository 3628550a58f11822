/**
 * @agent any
 *
 * One send on its way, from the call until its promise is settled: what is written, by which limit,
 * how often it may be tried again. The only object that a send makes besides its promise and result.
 */
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import type { ClientError } from './client-error.ts';
import type { FrameWriter, HeaderCodec } from './frame-codec.ts';
import type { FrameReader } from './frame-reader.ts';
import type { MessageQueue, OutgoingMessage, SendResult, SendStatus } from './message.ts';
import type { PropertyTexts } from './outgoing-message.ts';
import type { PendingRequest, RemotingConnection } from './remoting-connection.ts';
import type { SendRequest, SendTemplate } from './send-template.ts';
import type { QueueTarget } from './topic-sender.ts';
import { uniqueIdText } from './unique-id.ts';

/** Stored, whatever else. */
const statuses: ReadonlyMap<number, SendStatus> = new Map([
  [ResponseCode.SUCCESS, 'ok'],
  [ResponseCode.FLUSH_DISK_TIMEOUT, 'flush-disk-timeout'],
  [ResponseCode.FLUSH_SLAVE_TIMEOUT, 'flush-slave-timeout'],
  [ResponseCode.SLAVE_NOT_AVAILABLE, 'slave-not-available'],
]);

export interface SendOwner {
  answered(send: PendingSend): void;
  failed(send: PendingSend, error: ClientError): void;
}

export class PendingSend implements FrameWriter, PendingRequest, SendRequest {
  readonly isWork = true;
  readonly message: OutgoingMessage;
  readonly body: Uint8Array | string;
  readonly properties: PropertyTexts;
  readonly resolve: (result: SendResult) => void;
  readonly reject: (error: ClientError) => void;
  readonly #owner: SendOwner;
  isBatch = false;
  sysFlag = 0;
  /** 2 where no answer is wanted. */
  flag = 0;
  bornTimestampMs = 0;
  /** The message's id; the prefix is empty for a batch. */
  idPrefix = '';
  idCounter = 0;
  deadlineMs = 0;
  /** Tries that are left after the present one. */
  retriesLeft = 0;
  attemptCount = 0;
  /** Of the present attempt. */
  startedMs = 0;
  isSettled = false;
  /** Where the present attempt goes; null before the first. */
  target: QueueTarget | null = null;
  connection: RemotingConnection | null = null;
  opaque = 0;
  /** Of the last attempt that failed. */
  lastError: ClientError | null = null;
  /** Undoes what the call has set up besides, such as listening to its signal. */
  onSettled: (() => void) | null = null;

  // Arguments side by side, and fields set after: an object for them would be made for each send.
  constructor(
    owner: SendOwner,
    message: OutgoingMessage,
    body: Uint8Array | string,
    properties: PropertyTexts,
    resolve: (result: SendResult) => void,
    reject: (error: ClientError) => void,
  ) {
    this.#owner = owner;
    this.message = message;
    this.body = body;
    this.properties = properties;
    this.resolve = resolve;
    this.reject = reject;
  }

  get queueId(): number {
    return this.#chosenTarget().queue.queueId;
  }

  get messageId(): string {
    return uniqueIdText(this.idPrefix, this.idCounter);
  }

  /** For messages of errors. */
  get what(): string {
    const queue = this.target?.queue;
    const where = queue === undefined ? '' : ` (${queue.brokerName}, queue ${queue.queueId})`;
    return `send to ${this.message.topic}${where}`;
  }

  frameBytesMax(): number {
    return this.#template().frameBytesMax(this);
  }

  writeInto(target: Uint8Array, at: number, opaque: number, codec: HeaderCodec): number {
    return this.#template().writeInto(target, at, opaque, codec, this);
  }

  onAnswer(reader: FrameReader): void {
    if (this.isSettled) return;
    const status = reader.code === 0 ? 'ok' : statuses.get(reader.code);
    if (status === undefined) {
      this.#owner.failed(this, answerError(reader, this.what));
      return;
    }
    const result = this.#result(reader, status);
    this.#owner.answered(this);
    this.resolve(result);
  }

  onFailure(error: ClientError): void {
    if (!this.isSettled) this.#owner.failed(this, error);
  }

  /** What stands for an answer where none is wanted. */
  onewayResult(): SendResult {
    const { queue } = this.#chosenTarget();
    const messageId = this.messageId;
    return { status: 'ok', messageId, offsetMessageId: '', queue, queueOffset: -1 };
  }

  #chosenTarget(): QueueTarget {
    if (this.target === null) throw new Error('a send was written before it had a queue');
    return this.target;
  }

  #template(): SendTemplate {
    return this.isBatch ? this.#chosenTarget().batch : this.#chosenTarget().single;
  }

  #result(reader: FrameReader, status: SendStatus): SendResult {
    let offsetMessageId: string;
    let queueOffset: number;
    let queueId: number;
    let recallHandle: string | undefined;
    if (reader.hasPlaces) {
      offsetMessageId = idAt(reader);
      queueOffset = integerAt(reader, 'queueOffset');
      queueId = integerAt(reader, 'queueId');
      recallHandle = textAt(reader, 'recallHandle');
    } else {
      const { fields } = reader;
      offsetMessageId = fields.get('msgId') ?? '';
      queueOffset = Number(fields.get('queueOffset') ?? Number.NaN);
      queueId = Number(fields.get('queueId') ?? Number.NaN);
      recallHandle = fields.get('recallHandle');
    }
    const wanted = this.#chosenTarget().queue;
    const queue: MessageQueue =
      queueId === wanted.queueId || Number.isNaN(queueId) ? wanted : { ...wanted, queueId };
    const messageId = this.messageId;
    return recallHandle === undefined
      ? { status, messageId, offsetMessageId, queue, queueOffset }
      : { status, messageId, offsetMessageId, queue, queueOffset, recallHandle };
  }
}

function textAt(reader: FrameReader, name: string): string | undefined {
  const index = reader.findField(name);
  return index < 0 ? undefined : reader.asciiAt(index);
}

function idAt(reader: FrameReader): string {
  const index = reader.findField('msgId');
  return index < 0 ? '' : reader.hexAt(index);
}

function integerAt(reader: FrameReader, name: string): number {
  const index = reader.findField(name);
  return index < 0 ? Number.NaN : reader.integerAt(index);
}
