/**
 * @agent any
 *
 * What a program sends and receives. Nothing here is of Node: browsers use it too.
 */

/** Properties by name. Names and values that RocketMQ keeps for itself (MessageConst.java) are refused. */
export type MessageProperties = { readonly [name: string]: string | undefined };

/** One queue of a topic on one broker. */
export interface MessageQueue {
  readonly topic: string;
  readonly brokerName: string;
  /** 0 and up. */
  readonly queueId: number;
}

export interface OutgoingMessage<Properties extends MessageProperties = MessageProperties> {
  readonly topic: string;
  /** Text goes as UTF-8. */
  readonly body: Uint8Array | string;
  /** What consumers subscribe by; without `|`. */
  readonly tag?: string;
  /** Words by which the message can be found; without spaces. */
  readonly keys?: string | readonly string[];
  readonly properties?: Properties;
  /** Messages with the same order key go to the same queue, in the order of their sends. */
  readonly orderKey?: string;
  /** This queue and no other; a failed send is not tried on another one. */
  readonly queue?: MessageQueue;
  /** Delivered at this time (milliseconds since the epoch, or a Date), at once if it is past. */
  readonly deliverAt?: Date | number;
  /** Delivered so many milliseconds after the broker has it. */
  readonly delayMs?: number;
  /** Delay level of RocketMQ, 1 to 18. At most one of deliverAt, delayMs and delayLevel. */
  readonly delayLevel?: number;
}

/** `ok` is stored as the broker is set up to store; the others are stored, but not (yet) flushed or copied. */
export type SendStatus =
  | 'ok'
  | 'flush-disk-timeout'
  | 'flush-slave-timeout'
  | 'slave-not-available';

export interface SendResult {
  readonly status: SendStatus;
  /** Made by this client (UNIQ_KEY); finds the message again. */
  readonly messageId: string;
  /** Made by the broker: its address and the place in its log. */
  readonly offsetMessageId: string;
  readonly queue: MessageQueue;
  readonly queueOffset: number;
  /** Of a timed message: what `recall` takes. */
  readonly recallHandle?: string;
}

export interface ReceivedMessage<Properties extends MessageProperties = MessageProperties> {
  /** Of a message that comes again: the topic it was sent to, not the group's retry topic. */
  readonly topic: string;
  /** Where it was read from. */
  readonly queue: MessageQueue;
  readonly queueOffset: number;
  /** Decompressed. A view that may be kept. */
  readonly body: Uint8Array;
  /** The body as text, of UTF-8. */
  text(): string;
  /** The body as JSON. @throws SyntaxError */
  json(): unknown;
  readonly tag: string | undefined;
  readonly keys: readonly string[];
  /** All of them, RocketMQ's own included. */
  readonly properties: Properties;
  readonly messageId: string;
  readonly offsetMessageId: string;
  readonly bornTimestampMs: number;
  readonly storeTimestampMs: number;
  /** `address:port` of its producer. */
  readonly bornHost: string;
  /** 1 the first time. */
  readonly deliveryAttempt: number;
}
