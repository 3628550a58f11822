/**
 * What this generator sends to a NATS server. Publications to JetStream name a subject to answer to,
 * whose last word is the slot that waits.
 *
 * ```
 * PUB topic.0000003 _INBOX.<connection>.000012 128 CR LF body CR LF
 * ```
 */
import { digitsInto } from '../decimal-digits.ts';

const FILLER = 0x6d;
/** Enough for 50,000 queues, and for the slots of a paced connection. */
export const QUEUE_DIGITS = 6;
export const SLOT_DIGITS = 6;
const CR_LF = '\r\n';

export const CONNECT =
  'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"millrace-bench","version":"1","protocol":1}\r\n';
export const PING = 'PING\r\n';
export const PONG = 'PONG\r\n';

/** A stream may hold no dots in its name. */
export const streamOf = (topic: string): string => topic.replaceAll(/[^A-Za-z0-9_-]/g, '-');
/** All queues of a topic. */
export const subjectsOf = (topic: string): string => `${streamOf(topic)}.*`;
export const subjectOf = (topic: string, queueId: number): string =>
  `${streamOf(topic)}.${String(queueId).padStart(QUEUE_DIGITS, '0')}`;

export const subscribe = (subject: string, sid: number): string => `SUB ${subject} ${sid}${CR_LF}`;

export function publish(subject: string, reply: string, payload: string): string {
  return `PUB ${subject} ${reply} ${Buffer.byteLength(payload)}${CR_LF}${payload}${CR_LF}`;
}

/** Publications of one connection, from a template. */
export class PublishFrames {
  readonly frameBytes: number;
  /** Where the body starts in a frame. */
  readonly bodyStart: number;
  readonly #template: Buffer;
  readonly #queueStart: number;
  readonly #slotStart: number;

  constructor(options: { topic: string; inbox: string; bodyBytes: number }) {
    const subject = subjectOf(options.topic, 0);
    const reply = `${options.inbox}.${'0'.repeat(SLOT_DIGITS)}`;
    const head = `PUB ${subject} ${reply} ${options.bodyBytes}${CR_LF}`;
    this.bodyStart = head.length;
    this.frameBytes = head.length + options.bodyBytes + CR_LF.length;
    this.#template = Buffer.alloc(this.frameBytes, FILLER);
    this.#template.write(head, 'latin1');
    this.#template.write(CR_LF, this.frameBytes - CR_LF.length, 'latin1');
    this.#queueStart = 4 + subject.length - QUEUE_DIGITS;
    this.#slotStart = 4 + subject.length + 1 + reply.length - SLOT_DIGITS;
  }

  writeInto(target: Buffer, at: number, queueId: number, slot: number): void {
    target.set(this.#template, at);
    digitsInto(target, queueId, at + this.#queueStart, QUEUE_DIGITS);
    digitsInto(target, slot, at + this.#slotStart, SLOT_DIGITS);
  }
}
