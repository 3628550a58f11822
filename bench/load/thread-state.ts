/**
 * What the connections of one generator thread share: the plan, the window, totals that the main
 * thread can watch, and the histograms of the end.
 */
import { ErrorCounter } from './error-counter.ts';
import { createHistogram, encodeHistogram, recordMs } from './latency.ts';
import { BlockPool } from './load-connection.ts';
import {
  counterIndex,
  TIMELINE_STEP_MS,
  type ThreadPlan,
  type ThreadResult,
  type Window,
} from './load-options.ts';
import { steadyNowMs } from './steady-clock.ts';

/** Connections that take turns: whose turn it is sends. */
export interface SendRelay {
  send(nowMs: number): void;
  /** Writes what was sent since the last call. */
  flush(): void;
}

export class ThreadState {
  readonly plan: ThreadPlan;
  readonly pool: BlockPool;
  readonly errors = new ErrorCounter();
  readonly sendLatency = createHistogram();
  readonly receiveLatency = createHistogram();
  readonly lateness = createHistogram();
  readonly fail: (reason: string) => void;
  window: Window = { startMs: Infinity, measureFromMs: Infinity, measureToMs: Infinity };
  /** Null where each connection answers for itself. */
  relay: SendRelay | null = null;
  sentCount = 0;
  answeredCount = 0;
  receivedCount = 0;
  answeredInWindow = 0;
  receivedInWindow = 0;
  intendedInWindow = 0;
  lastEventMs = 0;
  unknownCount = 0;
  checkedCount = 0;
  committedCount = 0;
  strayCheckCount = 0;
  earlyCount = 0;
  earliestMs = 0;
  duplicateCount = 0;
  /** Timed messages received, by number; one thread has all messages of a queue. */
  readonly #received: Uint8Array;
  readonly #timeline: number[] = [];
  readonly #checked = new Set<number>();
  /** Nothing will be sent any more. */
  isSendingDone = false;
  /** Has real-time priority. */
  isRealTime = false;
  readonly #counters: Float64Array;
  /** Wall clock minus shared clock, for the born times that frames state. */
  readonly #wallOffsetMs = Date.now() - steadyNowMs();
  readonly #cpuUs: [from: number, to: number] = [0, 0];
  #cpuFromMs = 0;
  #cpuToMs = 0;

  constructor(plan: ThreadPlan, frameBytesMax: number, fail: (reason: string) => void) {
    this.plan = plan;
    this.fail = fail;
    this.pool = new BlockPool(frameBytesMax);
    this.#counters = new Float64Array(plan.counters);
    const isReceiver = plan.due !== null && plan.consumers.length > 0;
    this.#received = new Uint8Array(isReceiver ? plan.due.messageCount : 0);
  }

  bornMs(nowMs: number): number {
    return Math.floor(nowMs + this.#wallOffsetMs);
  }

  isInWindow(ms: number): boolean {
    return ms >= this.window.measureFromMs && ms < this.window.measureToMs;
  }

  /** A send of `count` messages was acknowledged at `nowMs`; `sinceMs` is what its latency counts from. */
  noteAnswer(sinceMs: number, nowMs: number, count: number): void {
    this.answeredCount += count;
    const atMs = this.plan.loop === 'closed' ? nowMs : sinceMs;
    if (!this.isInWindow(atMs)) return;
    this.answeredInWindow += count;
    const latencyMs = nowMs - sinceMs;
    recordMs(this.sendLatency, latencyMs);
    if (this.plan.hasTimeline) {
      const step = Math.floor((atMs - this.window.measureFromMs) / TIMELINE_STEP_MS);
      while (this.#timeline.length <= step) this.#timeline.push(0);
      if (this.#timeline[step] < latencyMs) this.#timeline[step] = latencyMs;
    }
  }

  /** A message that states when it was meant to go has been received. */
  noteReceipt(intendedMs: number, nowMs: number): void {
    this.receivedCount++;
    if (!this.isInWindow(intendedMs)) return;
    this.receivedInWindow++;
    recordMs(this.receiveLatency, nowMs - intendedMs);
  }

  /**
   * A timed message has been received. `nowMs` and `storedMs` are of the wall clock, when it was
   * received and when the broker says that it delivered it.
   */
  noteTimed(number: number, dueMs: number, storedMs: number, nowMs: number): void {
    if (this.#received[number] !== 0) {
      this.duplicateCount++;
      return;
    }
    this.#received[number] = 1;
    this.receivedCount++;
    const aheadMs = dueMs - Math.min(storedMs, nowMs);
    if (aheadMs > 0) {
      this.earlyCount++;
      this.earliestMs = Math.max(this.earliestMs, aheadMs);
    }
    recordMs(this.receiveLatency, nowMs - dueMs);
  }

  /** The broker has asked for a transaction. */
  noteCheck(number: number, isUnknown: boolean): void {
    if (!isUnknown || this.#checked.has(number)) this.strayCheckCount++;
    else {
      this.#checked.add(number);
      this.checkedCount++;
    }
  }

  /** Makes the totals visible to the main thread; once a turn. */
  publish(nowMs: number): void {
    this.lastEventMs = nowMs;
    this.#counters[counterIndex.sentCount] = this.sentCount;
    this.#counters[counterIndex.answeredCount] = this.answeredCount;
    this.#counters[counterIndex.errorCount] = this.errors.totalCount;
    this.#counters[counterIndex.receivedCount] = this.receivedCount;
    this.#counters[counterIndex.unknownCount] = this.unknownCount;
    this.#counters[counterIndex.checkedCount] = this.checkedCount;
    // Last, so that who sees it sees the count of all sends.
    this.#counters[counterIndex.isSendingDone] = this.isSendingDone ? 1 : 0;
  }

  startCpu(): void {
    this.#cpuUs[0] = threadCpuUs();
    this.#cpuFromMs = steadyNowMs();
    this.#cpuToMs = 0;
  }

  stopCpu(): void {
    if (this.#cpuToMs !== 0) return;
    this.#cpuUs[1] = threadCpuUs();
    this.#cpuToMs = steadyNowMs();
  }

  result(unansweredCount: number): ThreadResult {
    this.stopCpu();
    const spanUs = 1000 * (this.#cpuToMs - this.#cpuFromMs);
    return {
      answeredInWindow: this.answeredInWindow,
      receivedInWindow: this.receivedInWindow,
      intendedInWindow: this.intendedInWindow,
      unansweredCount,
      errors: this.errors.list(),
      sendLatency: encodeHistogram(this.sendLatency),
      receiveLatency: encodeHistogram(this.receiveLatency),
      earlyCount: this.earlyCount,
      earliestMs: this.earliestMs,
      duplicateCount: this.duplicateCount,
      committedCount: this.committedCount,
      strayCheckCount: this.strayCheckCount,
      timeline: this.#timeline,
      lateness: encodeHistogram(this.lateness),
      isRealTime: this.isRealTime,
      coreShare: spanUs > 0 ? (this.#cpuUs[1] - this.#cpuUs[0]) / spanUs : 0,
      lastEventMs: this.lastEventMs,
    };
  }
}

function threadCpuUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}
