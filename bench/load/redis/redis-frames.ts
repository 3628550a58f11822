/**
 * What this generator sends to a Redis server. Each queue is a stream of its own, each message an entry
 * with one field.
 *
 * ```
 * *5 $4 XADD $n topic:000003 $1 * $1 b $128 body      each word followed by CR LF
 * ```
 */
import { digitsInto } from '../decimal-digits.ts';

const FILLER = 0x6d;
/** Enough for 50,000 queues. */
const QUEUE_DIGITS = 6;
const CR_LF = '\r\n';

export const keyOf = (topic: string, queueId: number): string =>
  `${topic}:${String(queueId).padStart(QUEUE_DIGITS, '0')}`;

/** A command in latin-1. */
export function command(...words: readonly string[]): string {
  const bulks = words.map((word) => `$${word.length}${CR_LF}${word}${CR_LF}`);
  return `*${words.length}${CR_LF}${bulks.join('')}`;
}

/** XADDs of one topic, from a template. */
export class AddFrames {
  readonly frameBytes: number;
  /** Where the body starts in a frame. */
  readonly bodyStart: number;
  readonly #template: Buffer;
  readonly #queueStart: number;

  constructor(options: { topic: string; bodyBytes: number }) {
    const key = keyOf(options.topic, 0);
    const words = command('XADD', key, '*', 'b').replace('*4', '*5');
    const head = `${words}$${options.bodyBytes}${CR_LF}`;
    this.bodyStart = head.length;
    this.frameBytes = head.length + options.bodyBytes + CR_LF.length;
    this.#template = Buffer.alloc(this.frameBytes, FILLER);
    this.#template.write(head, 'latin1');
    this.#template.write(CR_LF, this.frameBytes - CR_LF.length, 'latin1');
    this.#queueStart = head.indexOf(key) + key.length - QUEUE_DIGITS;
  }

  writeInto(target: Buffer, at: number, queueId: number): void {
    target.set(this.#template, at);
    digitsInto(target, queueId, at + this.#queueStart, QUEUE_DIGITS);
  }
}
