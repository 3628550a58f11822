/**
 * A connection that sends. Each send takes a slot, its opaque says which, and the slot keeps the time
 * from which the answer's latency counts: the moment of the send in a closed loop, the intended
 * moment in a paced one, so that a stall of broker or generator is never left out.
 */
import type { AnswerReader } from './answer-reader.ts';
import { writeStamp } from './body-stamp.ts';
import { dueMsOf } from './due-schedule.ts';
import { recordMs } from './latency.ts';
import { type ConnectionOwner, LoadConnection } from './load-connection.ts';
import type { ThreadPlan } from './load-options.ts';
import { OPAQUE_MIN, SendFrames, UNIQUE_KEY_PREFIX_DIGITS } from './send-frames.ts';
import { steadyNowMs } from './steady-clock.ts';
import type { ThreadState } from './thread-state.ts';

/**
 * Sends in flight on a connection of a paced run before the schedule has to wait: over six seconds of
 * 20,000 a second on 8 connections. Late sends keep their intended time.
 */
const PACED_SLOT_COUNT = 16_384;
export const PRODUCER_GROUP = 'load-producer';
const LOOPBACK_HEX = '7F000001';
const FLAG_RESPONSE = 1;

export class SendConnection implements ConnectionOwner {
  readonly #state: ThreadState;
  readonly #isClosedLoop: boolean;
  readonly #frames: readonly SendFrames[];
  readonly #sinceMs: Float64Array;
  readonly #freeSlots: Int32Array;
  #freeCount: number;
  #nextQueue: number;
  #connection: LoadConnection | null = null;
  /** Clock of this turn; 0 until it is needed. One reading serves all answers of a read. */
  #turnMs = 0;

  constructor(state: ThreadState, connectionIndex: number) {
    const { plan } = state;
    this.#state = state;
    this.#isClosedLoop = plan.loop === 'closed';
    this.#frames = framesOf(plan, connectionIndex, plan.due === null ? undefined : 'timed');
    const slotCount = this.#isClosedLoop ? plan.outstandingCount : PACED_SLOT_COUNT;
    this.#sinceMs = new Float64Array(slotCount);
    this.#freeSlots = Int32Array.from({ length: slotCount }, (_, slot) => slotCount - 1 - slot);
    this.#freeCount = slotCount;
    // Connections start at different queues, as producers with a random start do.
    this.#nextQueue = connectionIndex % plan.queueCount;
  }

  get inFlightCount(): number {
    return this.#sinceMs.length - this.#freeCount;
  }

  async connect(): Promise<void> {
    const { plan, pool } = this.#state;
    this.#connection = await LoadConnection.connect(plan.broker, pool, this);
  }

  close(): void {
    this.#connection?.close();
  }

  /** Closed loop: fills all slots. */
  begin(): void {
    const nowMs = steadyNowMs();
    while (this.#mayGoOn(nowMs) && this.send(nowMs, nowMs));
    this.flush();
    this.#state.publish(nowMs);
  }

  /** Puts one message into the next write; false where all slots are taken. */
  send(sinceMs: number, nowMs: number): boolean {
    if (this.#freeCount === 0 || this.#connection === null) return false;
    const state = this.#state;
    const slot = this.#freeSlots[--this.#freeCount];
    this.#sinceMs[slot] = sinceMs;
    const frames = this.#frames[this.#nextQueue];
    this.#nextQueue = this.#nextQueue + 1 === this.#frames.length ? 0 : this.#nextQueue + 1;
    const at = this.#connection.claim(frames.frameBytes);
    const output = this.#connection.output;
    const { due, runId } = state.plan;
    const number = state.plan.firstNumber + state.sentCount;
    const dueMs = due === null ? 0 : dueMsOf(due, number);
    if (due !== null) frames.setDue(dueMs);
    frames.writeInto(output, at, OPAQUE_MIN + slot, state.bornMs(nowMs));
    const stampMs = due === null ? sinceMs : dueMs;
    if (state.plan.isStamped || due !== null)
      writeStamp(output, at + frames.bodyStart, stampMs, runId, number);
    this.#connection.commit(frames.frameBytes);
    state.sentCount++;
    return true;
  }

  flush(): void {
    this.#connection?.flush();
  }

  onFrame(answer: AnswerReader): void {
    if ((answer.flag & FLAG_RESPONSE) === 0) return;
    const state = this.#state;
    if (this.#turnMs === 0) this.#turnMs = steadyNowMs();
    const nowMs = this.#turnMs;
    const slot = answer.opaque - OPAQUE_MIN;
    const sinceMs = this.#sinceMs[slot];
    if (sinceMs === undefined || sinceMs === 0) {
      throw new Error(`answer to opaque ${answer.opaque}, which was not sent`);
    }
    this.#sinceMs[slot] = 0;
    this.#freeSlots[this.#freeCount++] = slot;
    if (answer.code === 0) {
      state.answeredCount++;
      if (state.isInWindow(this.#isClosedLoop ? nowMs : sinceMs)) {
        state.answeredInWindow++;
        recordMs(state.sendLatency, nowMs - sinceMs);
      }
    } else state.errors.add(answer);
    if (this.#isClosedLoop && this.#mayGoOn(nowMs)) this.send(nowMs, nowMs);
  }

  onTurnEnd(): void {
    this.flush();
    if (this.#turnMs !== 0) this.#state.publish(this.#turnMs);
    this.#turnMs = 0;
  }

  onLost(reason: string): void {
    this.#state.fail(reason);
  }

  #mayGoOn(nowMs: number): boolean {
    const { window, sentCount, plan } = this.#state;
    if (nowMs < window.measureToMs && sentCount < plan.sendCountMax) return true;
    this.#state.isSendingDone = true;
    return false;
  }
}

/** Templates of one connection, one for each queue. */
export function framesOf(
  plan: ThreadPlan,
  connectionIndex: number,
  kind: 'half' | 'timed' | undefined,
): SendFrames[] {
  return Array.from(
    { length: plan.queueCount },
    (_, queueId) =>
      new SendFrames({
        codec: plan.codec,
        producerGroup: PRODUCER_GROUP,
        topic: plan.topic,
        brokerName: plan.brokerName,
        queueId,
        bodyBytes: plan.bodyBytes,
        tag: 'TagA',
        uniqueKeyPrefix: uniqueKeyPrefix(plan.runId, connectionIndex, queueId),
        ...(kind === undefined ? {} : { kind }),
      }),
  );
}

/** Run, connection and queue in the places of process id, class loader and time. */
function uniqueKeyPrefix(runId: number, connectionIndex: number, queueId: number): string {
  const hex = (value: number, digits: number): string =>
    (value >>> 0).toString(16).toUpperCase().padStart(digits, '0').slice(-digits);
  const prefix = LOOPBACK_HEX + hex(runId, 8) + hex(connectionIndex, 4) + hex(queueId, 4);
  return prefix.padEnd(UNIQUE_KEY_PREFIX_DIGITS, '0');
}
