/**
 * A connection that sends, whatever it speaks. Each send takes a slot, which keeps the time from which
 * the answer's latency counts: the moment of the send in a closed loop, the intended moment in a paced
 * one, so that a stall of broker or generator is never left out.
 */
import type { AnswerReader } from './answer-reader.ts';
import { writeStamp } from './body-stamp.ts';
import { dueMsOf } from './due-schedule.ts';
import type { LoadConnection } from './load-connection.ts';
import type { SendOwner, SendWire } from './send-wire.ts';
import { steadyNowMs } from './steady-clock.ts';
import type { ThreadState } from './thread-state.ts';

/**
 * Sends in flight on a connection of a paced run before the schedule has to wait: over six seconds of
 * 20,000 a second on 8 connections. Late sends keep their intended time.
 */
const PACED_SLOT_COUNT = 16_384;

export class SendConnection implements SendOwner {
  readonly #state: ThreadState;
  readonly #wire: SendWire;
  readonly #isClosedLoop: boolean;
  readonly #sinceMs: Float64Array;
  readonly #freeSlots: Int32Array;
  /** Written anew for each message. */
  readonly #message = { slot: 0, queueId: 0, bornMs: 0, dueMs: 0 };
  #freeCount: number;
  #nextQueue: number;
  #connection: LoadConnection | null = null;
  /** Clock of this turn; 0 until it is needed. One reading serves all answers of a read. */
  #turnMs = 0;

  constructor(state: ThreadState, wire: SendWire, connectionIndex: number) {
    const { plan } = state;
    this.#state = state;
    this.#wire = wire;
    this.#isClosedLoop = plan.loop === 'closed';
    const slotCount = this.#isClosedLoop ? plan.outstandingCount : PACED_SLOT_COUNT;
    this.#sinceMs = new Float64Array(slotCount);
    this.#freeSlots = Int32Array.from({ length: slotCount }, (_, slot) => slotCount - 1 - slot);
    this.#freeCount = slotCount;
    // Connections start at different queues, as producers with a random start do; far apart where
    // queues are many, so that they do not go through them side by side.
    const step = Math.max(1, Math.floor(plan.queueCount / Math.max(1, plan.connectionCount)));
    this.#nextQueue = (connectionIndex * step) % plan.queueCount;
  }

  get inFlightCount(): number {
    return this.#sinceMs.length - this.#freeCount;
  }

  async connect(): Promise<void> {
    const { plan, pool } = this.#state;
    this.#connection = await this.#wire.connect(plan.broker, pool, this);
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
    const connection = this.#connection;
    if (this.#freeCount === 0 || connection === null) return false;
    const state = this.#state;
    const { due, runId, isStamped, firstNumber, batchCount } = state.plan;
    const message = this.#message;
    const number = firstNumber + state.sentCount;
    message.slot = this.#freeSlots[--this.#freeCount];
    message.queueId = this.#takeQueue();
    message.bornMs = state.bornMs(nowMs);
    message.dueMs = due === null ? 0 : dueMsOf(due, number);
    this.#sinceMs[message.slot] = sinceMs;
    const at = connection.claim(this.#wire.frameBytesMax);
    const frameBytes = this.#wire.writeInto(connection.output, at, message);
    if (isStamped || due !== null) {
      const stampMs = due === null ? sinceMs : message.dueMs;
      writeStamp(connection.output, this.#wire.bodyStart, stampMs, runId, number);
    }
    connection.commit(frameBytes);
    state.sentCount += batchCount;
    return true;
  }

  flush(): void {
    this.#connection?.flush();
  }

  onAcknowledged(slot: number): void {
    if (this.#turnMs === 0) this.#turnMs = steadyNowMs();
    const nowMs = this.#turnMs;
    this.#state.noteAnswer(this.#freed(slot), nowMs, this.#state.plan.batchCount);
    this.#goOn(nowMs);
  }

  onRefused(slot: number, code: number, why: AnswerReader | string): void {
    const state = this.#state;
    if (this.#turnMs === 0) this.#turnMs = steadyNowMs();
    this.#freed(slot);
    for (let index = 0; index < state.plan.batchCount; index++) {
      if (typeof why === 'string') state.errors.addCode(code, () => why);
      else state.errors.add(why);
    }
    this.#goOn(this.#turnMs);
  }

  onTurnEnd(): void {
    if (this.#state.relay === null) this.flush();
    else this.#state.relay.flush();
    if (this.#turnMs !== 0) this.#state.publish(this.#turnMs);
    this.#turnMs = 0;
  }

  onLost(reason: string): void {
    this.#state.fail(reason);
  }

  /** Closed loop: an answer lets the next send go. */
  #goOn(nowMs: number): void {
    if (!this.#isClosedLoop || !this.#mayGoOn(nowMs)) return;
    const { relay } = this.#state;
    if (relay === null) this.send(nowMs, nowMs);
    else relay.send(nowMs);
  }

  /** Gives a slot back; returns what the latency of its message counts from. */
  #freed(slot: number): number {
    const sinceMs = this.#sinceMs[slot];
    if (sinceMs === undefined || sinceMs === 0)
      throw new Error(`answer for slot ${slot}, of which nothing was sent`);
    this.#sinceMs[slot] = 0;
    this.#freeSlots[this.#freeCount++] = slot;
    return sinceMs;
  }

  #takeQueue(): number {
    const { queueCount, queueOrder, sendCountMax } = this.#state.plan;
    if (queueOrder === 'by-queue')
      return Math.floor((this.#state.sentCount * queueCount) / sendCountMax);
    const queueId = this.#nextQueue;
    this.#nextQueue = queueId + 1 === queueCount ? 0 : queueId + 1;
    return queueId;
  }

  #mayGoOn(nowMs: number): boolean {
    const { window, sentCount, plan } = this.#state;
    if (nowMs < window.measureToMs && sentCount < plan.sendCountMax) return true;
    this.#state.isSendingDone = true;
    return false;
  }
}
