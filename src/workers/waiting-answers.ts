/**
 * @agent writer
 *
 * Answers that wait for the disk, in the order of their records: a ring of the writer's own, from
 * which they move to the reactor's once their position is flushed, or once they have waited too long.
 */
import type { LatencyHistogram } from '../base/latency-histogram.ts';
import { layout } from '../base/layout.ts';
import type { Refusals } from '../base/refusals.ts';
import { ResponseCode } from '../protocol/codes.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { appendAnswerMessage, MessageType } from './ring-messages.ts';

/** In front of the APPEND_ANSWER: the position that it waits for, and since when (monotonic). */
const waitingHead = layout({ position: 'f64', sinceMs: 'f64' }, 16);

/** About 10,000 answers: far more than a disk lets wait, see SYSTEM_BUSY. */
const WAITING_BYTES = 1 << 20;

export class WaitingAnswers {
  readonly producer: SpscRingProducer;
  readonly #consumer: SpscRingConsumer;
  readonly #toReactor: SpscRingProducer;
  readonly #latency: LatencyHistogram;
  readonly #refusals: Refusals;

  constructor(options: {
    toReactor: SpscRingProducer;
    latency: LatencyHistogram;
    refusals: Refusals;
  }) {
    this.#latency = options.latency;
    this.#refusals = options.refusals;
    const memory = allocateRing(WAITING_BYTES);
    this.producer = new SpscRingProducer(memory, null);
    this.#consumer = new SpscRingConsumer(memory);
    this.#toReactor = options.toReactor;
  }

  /** Room for an answer; returns where its APPEND_ANSWER goes in `producer`, or BACK_PRESSURED. */
  claim(answerBytes: number): number {
    const offset = this.producer.claim(
      MessageType.APPEND_ANSWER,
      waitingHead.totalBytes + answerBytes,
    );
    return offset === BACK_PRESSURED ? BACK_PRESSURED : offset + waitingHead.totalBytes;
  }

  /** Puts the answer claimed at `answer` in the queue, to wait until `position` is flushed. */
  commit(answer: number, answerBytes: number, position: number, nowMs: number): void {
    const head = answer - waitingHead.totalBytes;
    this.producer.float64[(head + waitingHead.position) >> 3] = position;
    this.producer.float64[(head + waitingHead.sinceMs) >> 3] = nowMs;
    this.producer.commit(waitingHead.totalBytes + answerBytes);
    this.producer.publish();
  }

  /** Since when the oldest answer waits; Infinity when none does. */
  oldestSinceMs(): number {
    const ring = this.#consumer;
    return ring.peek() ? ring.float64[(ring.payloadOffset + waitingHead.sinceMs) >> 3] : Infinity;
  }

  /** Answers what is flushed, and FLUSH_DISK_TIMEOUT what waits for longer than `timeoutMs`; returns how many. */
  release(flushed: number, nowMs: number, timeoutMs: number): number {
    const ring = this.#consumer;
    const toReactor = this.#toReactor;
    let count = 0;
    while (ring.peek()) {
      const offset = ring.payloadOffset;
      const isFlushed = ring.float64[(offset + waitingHead.position) >> 3] <= flushed;
      const waitedMs = nowMs - ring.float64[(offset + waitingHead.sinceMs) >> 3];
      if (!isFlushed && waitedMs < timeoutMs) break;
      const answerBytes = ring.payloadBytes - waitingHead.totalBytes;
      const answer = toReactor.claim(MessageType.APPEND_ANSWER, answerBytes);
      if (answer === BACK_PRESSURED) break;
      const from = offset + waitingHead.totalBytes;
      ring.bytes.copy(toReactor.bytes, answer, from, from + answerBytes);
      if (!isFlushed) {
        toReactor.int32[(answer + appendAnswerMessage.code) >> 2] = ResponseCode.FLUSH_DISK_TIMEOUT;
        this.#refusals.addSend(ResponseCode.FLUSH_DISK_TIMEOUT);
      }
      toReactor.commit(answerBytes);
      this.#latency.record(waitedMs);
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }
}
