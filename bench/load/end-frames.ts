/**
 * END_TRANSACTION requests with the fields of the Java client 5.3.3. Their order is that of the names;
 * a broker reads them in any.
 */
import { HeaderTemplate, slotMark } from './header-template.ts';
import type { Codec } from './load-options.ts';

const END_TRANSACTION = 37;
/** Transaction bits of MessageSysFlag.java. */
export const Decision = { UNKNOWN: '0', COMMIT: '8', ROLLBACK: '12' } as const;
export type Decision = (typeof Decision)[keyof typeof Decision];
/** A unique key has 32 digits, an offset 19 at most. */
const SLOT_BYTES_MAX = 40;

export interface EndFramesOptions {
  readonly codec: Codec;
  readonly producerGroup: string;
  readonly topic: string;
  readonly brokerName: string;
}

/** What varies: numbers as decimal text. */
export interface EndOfTransaction {
  readonly commitLogOffset: string;
  readonly tranStateTableOffset: string;
  readonly commitOrRollback: Decision;
  /** The unique key of the message. */
  readonly transactionId: string;
}

/** Ends of transactions of one group over one connection. */
export class EndFrames {
  readonly frameBytesMax: number;
  readonly #answered: HeaderTemplate<keyof EndOfTransaction>;
  readonly #oneway: HeaderTemplate<keyof EndOfTransaction>;
  readonly #fromCheck: HeaderTemplate<keyof EndOfTransaction>;

  constructor(options: EndFramesOptions) {
    const template = (isFromCheck: boolean, isOneway: boolean): HeaderTemplate<never> =>
      new HeaderTemplate({
        codec: options.codec,
        code: END_TRANSACTION,
        fields: [
          ['bname', options.brokerName],
          ['commitLogOffset', slotMark('commitLogOffset')],
          ['commitOrRollback', slotMark('commitOrRollback')],
          ['fromTransactionCheck', String(isFromCheck)],
          ['msgId', slotMark('transactionId')],
          ['producerGroup', options.producerGroup],
          ['topic', options.topic],
          ['tranStateTableOffset', slotMark('tranStateTableOffset')],
          ['transactionId', slotMark('transactionId')],
        ],
        isOneway,
        slotBytesMax: SLOT_BYTES_MAX,
      });
    this.#answered = template(false, false);
    this.#oneway = template(false, true);
    this.#fromCheck = template(true, true);
    this.frameBytesMax = this.#oneway.frameBytesMax;
  }

  /** Writes a request that is answered; returns its bytes. */
  writeAnswered(target: Buffer, at: number, opaque: number, end: EndOfTransaction): number {
    return this.#answered.writeInto(target, at, opaque, end);
  }

  /** As clients send them: nobody waits for an answer. */
  writeOneway(
    target: Buffer,
    at: number,
    opaque: number,
    end: EndOfTransaction,
    isFromCheck: boolean,
  ): number {
    const template = isFromCheck ? this.#fromCheck : this.#oneway;
    return template.writeInto(target, at, opaque, end);
  }
}
