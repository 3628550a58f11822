/**
 * Publications to JetStream: each is acknowledged when the server has written it to its file. Answers
 * come to an inbox of the connection, in any order.
 */
import { digitsAt } from '../decimal-digits.ts';
import type { BlockPool, LoadConnection } from '../load-connection.ts';
import type { Endpoint, ThreadPlan } from '../load-options.ts';
import type { SendOwner, SendWire } from '../send-wire.ts';
import { connectNats } from './nats-connection.ts';
import { PublishFrames, SLOT_DIGITS, subscribe } from './nats-frames.ts';
import type { NatsReader } from './nats-reader.ts';

/** Acknowledgements begin with `{"stream"`, refusals with `{"error"`. */
const LOWER_E = 0x65;
const INBOX_SID = 1;

export class NatsSendWire implements SendWire {
  readonly frameBytesMax: number;
  bodyStart = 0;
  readonly #inbox: string;
  readonly #frames: PublishFrames;

  constructor(plan: ThreadPlan, connectionIndex: number) {
    this.#inbox = `_INBOX.load${plan.runId}c${connectionIndex}`;
    this.#frames = new PublishFrames({
      topic: plan.topic,
      inbox: this.#inbox,
      bodyBytes: plan.bodyBytes,
    });
    this.frameBytesMax = this.#frames.frameBytes;
  }

  connect(endpoint: Endpoint, pool: BlockPool, owner: SendOwner): Promise<LoadConnection> {
    return connectNats(endpoint, pool, owner, {
      subscriptions: subscribe(`${this.#inbox}.*`, INBOX_SID),
      onMessage: (reader) => onAnswer(reader, owner),
    });
  }

  writeInto(target: Buffer, at: number, message: { slot: number; queueId: number }): number {
    this.#frames.writeInto(target, at, message.queueId, message.slot);
    this.bodyStart = at + this.#frames.bodyStart;
    return this.#frames.frameBytes;
  }
}

function onAnswer(reader: NatsReader, owner: SendOwner): void {
  const { bytes, subjectEnd, payloadStart, payloadEnd } = reader;
  const slot = digitsAt(bytes, subjectEnd - SLOT_DIGITS, subjectEnd);
  const isAcknowledged = payloadEnd - payloadStart > 2 && bytes[payloadStart + 2] !== LOWER_E;
  if (isAcknowledged) {
    owner.onAcknowledged(slot);
    return;
  }
  // Without a stream for the subject there is a header alone: 503, no responders.
  const text = bytes.toString('latin1', reader.headerStart, payloadEnd).trim();
  const code = /"code":(\d+)/.exec(text)?.[1] ?? /NATS\/1\.0 (\d+)/.exec(text)?.[1];
  owner.onRefused(slot, Number(code ?? -1), text);
}
