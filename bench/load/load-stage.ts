/**
 * One stage of a run: starts the threads, begins them together, watches their totals, takes the CPU of
 * broker and generator over the measured window, and adds the threads' results up.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { mergeErrors } from './error-counter.ts';
import { type LatencySummary, summarize } from './latency.ts';
import {
  counterIndex,
  counterNames,
  DRAIN_MS,
  type CounterName,
  type ErrorCount,
  type MainMessage,
  type ThreadMessage,
  type ThreadPlan,
  type ThreadResult,
  type Window,
  TIMELINE_STEP_MS,
} from './load-options.ts';
import {
  type ProcessUsage,
  readMachineCpuUs,
  readProcessUsage,
  readStolenUs,
} from './process-usage.ts';
import { steadyNowMs } from './steady-clock.ts';

/** From `begin` to the start of a schedule: threads hear of it in time. */
const LEAD_MS = 50;
const WATCH_INTERVAL_MS = 20;
/** A stage by count that makes no progress for this long is given up. */
const STALL_MS = 60_000;

export type StageThread = Omit<ThreadPlan, 'counters' | 'tickFlags' | 'threadIndex'>;

export interface StageOptions {
  readonly threads: readonly StageThread[];
  /** Seconds of warm-up and of measurement; null: until all is sent and `receiveCount` received. */
  readonly span: { readonly warmupSeconds: number; readonly seconds: number } | null;
  /** Messages that consumers will get; null: as many as were answered. */
  readonly receiveCount: number | null;
  /** How long answers, messages and checks are awaited after the window; DRAIN_MS unless given. */
  readonly drainMs?: number;
  /** A stage by count ends here, with what has come; unless given, it fails when nothing comes. */
  readonly endByMs?: number;
  /** Goes on for this long when all has come: for what should not. */
  readonly settleMs?: number;
  readonly brokerPid: number | null;
  readonly onProgress: (totals: Readonly<Record<CounterName, number>>) => void;
}

/** Totals and CPU at a moment. */
interface Snapshot {
  readonly atMs: number;
  readonly totals: Readonly<Record<CounterName, number>>;
  readonly broker: ProcessUsage | null;
  readonly generatorCpuUs: number;
  readonly machineCpuUs: number;
  readonly stolenUs: number;
}

export interface StageResult {
  /** Length of the window, or to the last event of a stage by count. */
  readonly seconds: number;
  readonly answeredCount: number;
  readonly receivedCount: number;
  readonly intendedCount: number;
  readonly unansweredCount: number;
  /** Of the whole stage, warm-up included. */
  readonly totals: Readonly<Record<CounterName, number>>;
  readonly errors: readonly ErrorCount[];
  readonly sendLatency: LatencySummary | null;
  readonly receiveLatency: LatencySummary | null;
  readonly earlyCount: number;
  readonly earliestMs: number;
  readonly duplicateCount: number;
  readonly committedCount: number;
  readonly strayCheckCount: number;
  readonly lateness: LatencySummary | null;
  /** All threads that keep a schedule have real-time priority. */
  readonly isRealTime: boolean;
  /** Highest latency in ms of a send, by TIMELINE_STEP_MS of the window; empty unless asked for. */
  readonly timeline: readonly number[];
  /** What the hypervisor gave to others in each of these steps, ms of all cores; it is read every WATCH_INTERVAL_MS. */
  readonly stolenTimeline: readonly number[];
  /** CPU between the snapshots at the window's ends, and what was done between them. */
  readonly between: {
    readonly answeredCount: number;
    readonly receivedCount: number;
    readonly brokerCpuUs: number | null;
    readonly generatorCpuUs: number;
    /** Of all processes, broker and generator included. */
    readonly machineCpuUs: number;
    /** What the hypervisor gave to others while this machine wanted to run. */
    readonly stolenUs: number;
    readonly seconds: number;
  };
  readonly rssAnonBytes: number | null;
  /** Share of one core that each thread that sends or consumes used in the window. */
  readonly threadCoreShares: readonly number[];
}

interface RunningThread {
  readonly worker: Worker;
  readonly ready: Promise<void>;
  readonly done: Promise<ThreadResult>;
}

export async function runStage(options: StageOptions): Promise<StageResult> {
  const counterBytes = counterNames.length * Float64Array.BYTES_PER_ELEMENT;
  const counters = options.threads.map(() => new SharedArrayBuffer(counterBytes));
  const tickFlags = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * options.threads.length);
  const isPaced = options.threads.some((thread) => thread.loop === 'paced');
  const channels = options.threads.map(() => (isPaced ? new MessageChannel() : null));
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {});
  const threads = options.threads.map((thread, threadIndex) =>
    startThread(
      { ...thread, threadIndex, counters: counters[threadIndex], tickFlags },
      channels[threadIndex]?.port1 ?? null,
      fail,
    ),
  );
  let stopPacer = (): void => {};
  try {
    await Promise.race([failed, Promise.all(threads.map((thread) => thread.ready))]);
    const window = windowOf(options.span);
    if (isPaced) {
      const ports = channels.flatMap((channel) => (channel === null ? [] : [channel.port2]));
      stopPacer = startPacer({ tickFlags, ports, startMs: window.startMs });
    }
    for (const thread of threads) post(thread.worker, { kind: 'begin', window });
    const stolen = new StolenTimeline(window.measureFromMs);
    const snapshots = await Promise.race([failed, watch(options, window, counters, stolen)]);
    stopPacer();
    for (const thread of threads) post(thread.worker, { kind: 'finish' });
    const results = await Promise.race([failed, Promise.all(threads.map((thread) => thread.done))]);
    const stage = addUp(window, snapshots, results, options.threads, readTotals(counters));
    return { ...stage, stolenTimeline: stage.timeline.map((_, step) => stolen.steps[step] ?? 0) };
  } finally {
    stopPacer();
    await Promise.all(threads.map((thread) => thread.worker.terminate()));
  }
}

function windowOf(span: StageOptions['span']): Window {
  const nowMs = steadyNowMs();
  // A stage by count counts from now; threads begin as soon as they hear of it.
  if (span === null) return { startMs: nowMs, measureFromMs: nowMs, measureToMs: Infinity };
  const startMs = nowMs + LEAD_MS;
  const measureFromMs = startMs + 1000 * span.warmupSeconds;
  return { startMs, measureFromMs, measureToMs: measureFromMs + 1000 * span.seconds };
}

function post(worker: Worker, message: MainMessage): void {
  worker.postMessage(message);
}

function startThread(
  plan: ThreadPlan,
  tickPort: MessagePort | null,
  fail: (error: Error) => void,
): RunningThread {
  const worker = new Worker(new URL('./load-thread.ts', import.meta.url), {
    workerData: { plan, tickPort },
    transferList: tickPort === null ? [] : [tickPort],
  });
  let onReady = (): void => {};
  let onDone: (result: ThreadResult) => void = () => {};
  const ready = new Promise<void>((resolve) => {
    onReady = resolve;
  });
  const done = new Promise<ThreadResult>((resolve) => {
    onDone = resolve;
  });
  worker.on('message', (message: ThreadMessage) => {
    if (message.kind === 'ready') onReady();
    else if (message.kind === 'done') onDone(message.result);
    else fail(new Error(message.reason));
  });
  worker.on('error', fail);
  return { worker, ready, done };
}

/** Starts the thread that ticks; returns what stops it. */
function startPacer(options: {
  tickFlags: SharedArrayBuffer;
  ports: MessagePort[];
  startMs: number;
}): () => void {
  const stop = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const pacer = new Worker(new URL('./pacer-thread.ts', import.meta.url), {
    workerData: {
      stop,
      tickFlags: options.tickFlags,
      tickPorts: options.ports,
      startMs: options.startMs,
    },
    transferList: options.ports,
  });
  pacer.unref();
  return () => {
    Atomics.store(new Int32Array(stop), 0, 1);
    Atomics.notify(new Int32Array(stop), 0);
  };
}

/** What the hypervisor gave to others, by TIMELINE_STEP_MS. */
class StolenTimeline {
  readonly steps: number[] = [];
  readonly #fromMs: number;
  #lastUs = readStolenUs();

  constructor(fromMs: number) {
    this.#fromMs = fromMs;
  }

  /** Books what was taken since the last call on the step that is now. */
  note(nowMs: number): void {
    const nowUs = readStolenUs();
    const step = Math.floor((nowMs - this.#fromMs) / TIMELINE_STEP_MS);
    if (step >= 0) this.steps[step] = (this.steps[step] ?? 0) + (nowUs - this.#lastUs) / 1000;
    this.#lastUs = nowUs;
  }
}

/** Waits until the stage is over; snapshots at the ends of the window. */
async function watch(
  options: StageOptions,
  window: Window,
  counters: readonly SharedArrayBuffer[],
  stolen: StolenTimeline,
): Promise<[from: Snapshot, to: Snapshot]> {
  const drainMs = options.drainMs ?? DRAIN_MS;
  const endByMs = options.endByMs ?? Infinity;
  const settleMs = options.settleMs ?? 0;
  let overMs = Infinity;
  const snapshot = (): Snapshot => takeSnapshot(options.brokerPid, counters);
  await delayUntil(window.measureFromMs);
  const from = snapshot();
  let to: Snapshot | null = null;
  let shownMs = 0;
  let progress = { count: -1, atMs: steadyNowMs() };
  for (;;) {
    const nowMs = steadyNowMs();
    stolen.note(nowMs);
    if (to === null && nowMs >= window.measureToMs) to = snapshot();
    const totals = readTotals(counters);
    if (nowMs - shownMs >= 1000) {
      options.onProgress(totals);
      shownMs = nowMs;
    }
    if (overMs === Infinity && isOver(options, totals)) {
      overMs = nowMs;
      to ??= snapshot();
    }
    const isEnd = nowMs >= overMs + settleMs || nowMs > endByMs;
    if (isEnd || nowMs > window.measureToMs + drainMs) return [from, to ?? snapshot()];
    const count = totals.answeredCount + totals.receivedCount + totals.errorCount;
    if (count !== progress.count) progress = { count, atMs: nowMs };
    else if (options.span === null && endByMs === Infinity && nowMs - progress.atMs > STALL_MS) {
      throw new Error(`no progress for ${STALL_MS / 1000} s after ${JSON.stringify(totals)}`);
    }
    const untilMs = Math.min(WATCH_INTERVAL_MS, window.measureToMs - nowMs);
    await delayUntil(nowMs + (to === null && untilMs > 0 ? untilMs : WATCH_INTERVAL_MS));
  }
}

function isOver(options: StageOptions, totals: Readonly<Record<CounterName, number>>): boolean {
  if (totals.isSendingDone < options.threads.length) return false;
  if (totals.answeredCount + totals.errorCount < totals.sentCount) return false;
  if (totals.checkedCount < totals.unknownCount) return false;
  const hasConsumers = options.threads.some((thread) => thread.consumers.length > 0);
  return !hasConsumers || totals.receivedCount >= (options.receiveCount ?? totals.answeredCount);
}

function readTotals(counters: readonly SharedArrayBuffer[]): Record<CounterName, number> {
  const arrays = counters.map((buffer) => new Float64Array(buffer));
  const total = (name: CounterName): number =>
    arrays.reduce((sum, array) => sum + array[counterIndex[name]], 0);
  return Object.fromEntries(counterNames.map((name) => [name, total(name)])) as Record<
    CounterName,
    number
  >;
}

function takeSnapshot(brokerPid: number | null, counters: readonly SharedArrayBuffer[]): Snapshot {
  const { user, system } = process.cpuUsage();
  return {
    atMs: steadyNowMs(),
    totals: readTotals(counters),
    broker: brokerPid === null ? null : readProcessUsage(brokerPid),
    generatorCpuUs: user + system,
    machineCpuUs: readMachineCpuUs(),
    stolenUs: readStolenUs(),
  };
}

async function delayUntil(atMs: number): Promise<void> {
  const waitMs = atMs - steadyNowMs();
  if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
}

function addUp(
  window: Window,
  [from, to]: [Snapshot, Snapshot],
  results: readonly ThreadResult[],
  threads: readonly StageThread[],
  totals: Readonly<Record<CounterName, number>>,
): Omit<StageResult, 'stolenTimeline'> {
  const sum = (value: (result: ThreadResult) => number): number =>
    results.reduce((total, result) => total + value(result), 0);
  const lastEventMs = Math.max(...results.map((result) => result.lastEventMs));
  const endMs = window.measureToMs === Infinity ? lastEventMs : window.measureToMs;
  const isByCount = window.measureToMs === Infinity;
  return {
    seconds: (endMs - window.measureFromMs) / 1000,
    answeredCount: isByCount ? totals.answeredCount : sum((result) => result.answeredInWindow),
    receivedCount: isByCount ? totals.receivedCount : sum((result) => result.receivedInWindow),
    intendedCount: sum((result) => result.intendedInWindow),
    unansweredCount: sum((result) => result.unansweredCount),
    totals,
    errors: mergeErrors(results.map((result) => result.errors)),
    sendLatency: summarize(results.map((result) => result.sendLatency)),
    receiveLatency: summarize(results.map((result) => result.receiveLatency)),
    earlyCount: sum((result) => result.earlyCount),
    earliestMs: Math.max(...results.map((result) => result.earliestMs)),
    duplicateCount: sum((result) => result.duplicateCount),
    committedCount: sum((result) => result.committedCount),
    strayCheckCount: sum((result) => result.strayCheckCount),
    lateness: summarize(results.map((result) => result.lateness)),
    isRealTime: results.every((result) => result.isRealTime),
    timeline: highest(results.map((result) => result.timeline)),
    between: {
      answeredCount: to.totals.answeredCount - from.totals.answeredCount,
      receivedCount: to.totals.receivedCount - from.totals.receivedCount,
      brokerCpuUs:
        from.broker === null || to.broker === null ? null : to.broker.cpuUs - from.broker.cpuUs,
      generatorCpuUs: to.generatorCpuUs - from.generatorCpuUs,
      machineCpuUs: to.machineCpuUs - from.machineCpuUs,
      stolenUs: to.stolenUs - from.stolenUs,
      seconds: (to.atMs - from.atMs) / 1000,
    },
    rssAnonBytes: to.broker?.rssAnonBytes ?? null,
    threadCoreShares: results
      .filter((_, index) => threads[index].idleConnectionCount === 0)
      .map((result) => result.coreShare),
  };
}

/** Of several timelines, step by step. */
function highest(timelines: readonly (readonly number[])[]): number[] {
  const length = Math.max(0, ...timelines.map((timeline) => timeline.length));
  return Array.from({ length }, (_, step) =>
    Math.max(...timelines.map((timeline) => timeline[step] ?? 0)),
  );
}
