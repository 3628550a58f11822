/**
 * A whole run in one of the four modes, and what it comes to.
 *
 * ```
 * send         closed loop: warm-up, window
 * paced        open loop:   warm-up, window
 * end-to-end   open loop with consumers on all queues
 * backlog      send a count, then read it twice: the first reading warms up, the second is measured
 * ```
 */
import { randomInt } from 'node:crypto';
import { BrokerSetup } from './broker-setup.ts';
import type { LatencySummary } from './latency.ts';
import type {
  ConsumerPlan,
  CounterName,
  ErrorCount,
  LoadMode,
  LoadOptions,
  QueueRange,
} from './load-options.ts';
import { runStage, type StageResult, type StageThread } from './load-stage.ts';

/** A thread or broker above this share of a core counts as busy. */
const BUSY_SHARE = 0.9;
/** A paced run below this part of its rate did not hold it. */
const HELD_SHARE = 0.99;
const DISPATCH_TIMEOUT_MS = 60_000;

/** Cores used by others, above which a run counts as disturbed. */
const DISTURBED_CORES = 0.1;
/** Part of the send latency's p99 that the generator's own delay may be. */
const LATE_SHARE = 0.5;

/**
 * Why a figure is not what it seems. `generator-limited`: it is a bound of this program, not of the
 * broker. `generator-late`: half of the tail or more is this program's own delay. `disturbed`: other
 * processes took CPU meanwhile.
 */
export type Mark =
  | 'generator-limited'
  | 'generator-late'
  | 'disturbed'
  | 'rate-not-held'
  | 'errors'
  | 'unanswered'
  | 'lost';

export interface LoadResult {
  readonly mode: LoadMode;
  readonly options: LoadOptions;
  readonly seconds: number;
  /** Messages acknowledged in the window; in backlog, messages read. */
  readonly messageCount: number;
  readonly ratePerSecond: number;
  /** From the send, or the intended send of a paced run, to the answer. */
  readonly sendLatency: LatencySummary | null;
  /** From the intended send to the receipt by a consumer. */
  readonly endToEndLatency: LatencySummary | null;
  /** Delay that the generator itself added to its schedule; part of the latencies above. */
  readonly scheduleLateness: LatencySummary | null;
  readonly brokerCpuUsPerMessage: number | null;
  /** Cores that the broker used. */
  readonly brokerCores: number | null;
  readonly brokerRssAnonBytes: number | null;
  readonly generatorCpuUsPerMessage: number;
  /** Share of a core of each generator thread. */
  readonly generatorThreadShares: readonly number[];
  /** Cores that all other processes used meanwhile; null where the broker's are not known. */
  readonly otherCores: number | null;
  readonly errors: readonly ErrorCount[];
  readonly unansweredCount: number;
  /** Acknowledged messages that no consumer got before the run gave up (end-to-end, backlog). */
  readonly lostCount: number;
  /** backlog: how fast the messages were sent, and first read. */
  readonly backlog: {
    readonly sendRatePerSecond: number;
    readonly firstReadRatePerSecond: number;
  } | null;
  readonly marks: readonly Mark[];
}

export interface Progress {
  readonly stage: string;
  readonly totals: Readonly<Record<CounterName, number>>;
}

export async function runLoad(
  options: LoadOptions,
  onProgress: (progress: Progress) => void = () => {},
): Promise<LoadResult> {
  const setup = await BrokerSetup.open(options);
  try {
    const run = { options, setup, onProgress, runId: randomInt(2 ** 31 - 1) };
    if (options.mode === 'backlog') return await runBacklog(run);
    return await runTimed(run);
  } finally {
    setup.close();
  }
}

interface Run {
  readonly options: LoadOptions;
  readonly setup: BrokerSetup;
  readonly onProgress: (progress: Progress) => void;
  readonly runId: number;
}

async function runTimed(run: Run): Promise<LoadResult> {
  const { options } = run;
  const isEndToEnd = options.mode === 'end-to-end';
  const offsets = isEndToEnd ? await run.setup.maxOffsets() : [];
  const consumers = isEndToEnd ? shareQueues(run, rangesFrom(offsets)) : [];
  const stage = await runStage({
    threads: threadsOf(run, {
      loop: options.mode === 'send' ? 'closed' : 'paced',
      isStamped: isEndToEnd,
      consumers,
      sendCount: Infinity,
      hasSenders: true,
    }),
    span: { warmupSeconds: options.warmupSeconds, seconds: options.seconds },
    receiveCount: null,
    brokerPid: options.brokerPid,
    onProgress: (totals) => run.onProgress({ stage: options.mode, totals }),
  });
  const lostCount = isEndToEnd
    ? Math.max(0, stage.totals.answeredCount - stage.totals.receivedCount)
    : 0;
  const heldShare = stage.answeredCount / Math.max(1, stage.intendedCount);
  return toResult(run, stage, {
    messageCount: stage.answeredCount,
    doneBetween: stage.between.answeredCount,
    lostCount,
    backlog: null,
    isRateHeld: options.mode === 'send' || heldShare >= HELD_SHARE,
  });
}

async function runBacklog(run: Run): Promise<LoadResult> {
  const { options, setup } = run;
  const firstOffsets = await setup.maxOffsets();
  const stageOf = async (
    name: string,
    threads: StageThread[],
    receiveCount: number,
  ): Promise<StageResult> =>
    runStage({
      threads,
      span: null,
      receiveCount,
      brokerPid: options.brokerPid,
      onProgress: (totals) => run.onProgress({ stage: name, totals }),
    });
  const none = { loop: 'closed', isStamped: false, consumers: [] } as const;
  const sending = await stageOf(
    'backlog: send',
    threadsOf(run, { ...none, sendCount: options.backlogMessageCount, hasSenders: true }),
    0,
  );
  const sentCount = sending.totals.answeredCount;
  const lastOffsets = await dispatchedOffsets(setup, firstOffsets, sentCount);
  const ranges = firstOffsets.map((fromOffset, queueId) => ({
    queueId,
    fromOffset,
    toOffset: lastOffsets[queueId],
  }));
  const read = async (pass: string): Promise<StageResult> => {
    const consumers = Array.from({ length: options.consumerCount }, (_, index) =>
      consumerPlan(run, `${pass}-${index}`, ranges),
    );
    const threads = threadsOf(run, { ...none, consumers, sendCount: 0, hasSenders: false });
    return stageOf(`backlog: ${pass} reading`, threads, sentCount * options.consumerCount);
  };
  const first = await read('first');
  const second = await read('second');
  return toResult(run, second, {
    messageCount: second.receivedCount,
    doneBetween: second.between.receivedCount,
    lostCount: Math.max(0, sentCount * options.consumerCount - second.receivedCount),
    backlog: {
      sendRatePerSecond: sending.answeredCount / sending.seconds,
      firstReadRatePerSecond: first.receivedCount / first.seconds,
    },
    isRateHeld: true,
    sending,
  });
}

/** Offsets after the messages sent, once all of them can be pulled. */
async function dispatchedOffsets(
  setup: BrokerSetup,
  firstOffsets: readonly number[],
  sentCount: number,
): Promise<number[]> {
  const deadlineMs = Date.now() + DISPATCH_TIMEOUT_MS;
  for (;;) {
    const offsets = await setup.maxOffsets();
    const added = offsets.reduce((sum, offset, queueId) => sum + offset - firstOffsets[queueId], 0);
    if (added >= sentCount) return offsets;
    if (Date.now() > deadlineMs) {
      throw new Error(`only ${added} of ${sentCount} acknowledged messages can be pulled`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function rangesFrom(offsets: readonly number[]): QueueRange[] {
  return offsets.map((fromOffset, queueId) => ({ queueId, fromOffset, toOffset: Infinity }));
}

function consumerPlan(run: Run, name: string, queues: readonly QueueRange[]): ConsumerPlan {
  return {
    group: `load-consumer-${run.runId}-${name}`,
    clientId: `127.0.0.1@load-${run.runId}-${name}`,
    queues,
  };
}

/** One group whose members share the queues, as rebalance would deal them. */
function shareQueues(run: Run, ranges: readonly QueueRange[]): ConsumerPlan[] {
  const count = Math.min(run.options.consumerCount, ranges.length);
  return Array.from({ length: count }, (_, index) => ({
    ...consumerPlan(
      run,
      'shared',
      ranges.filter((range) => range.queueId % count === index),
    ),
    clientId: `127.0.0.1@load-${run.runId}-${index}`,
  }));
}

function threadsOf(
  run: Run,
  stage: {
    loop: 'closed' | 'paced';
    isStamped: boolean;
    consumers: readonly ConsumerPlan[];
    sendCount: number;
    hasSenders: boolean;
  },
): StageThread[] {
  const { options, setup, runId } = run;
  const connectionCount = stage.hasSenders ? options.connectionCount : 0;
  const workCount = Math.max(connectionCount, stage.consumers.length);
  const threadCount = Math.max(1, Math.min(options.threadCount, workCount));
  return Array.from({ length: threadCount }, (_, threadIndex) => {
    const isMine = (_item: unknown, index: number): boolean => index % threadCount === threadIndex;
    const senders = Array.from({ length: connectionCount }, (_, connectionIndex) => ({
      connectionIndex,
    })).filter(isMine);
    return {
      broker: setup.target.endpoint,
      brokerName: setup.target.name,
      topic: options.topic,
      queueCount: options.queueCount,
      bodyBytes: options.bodyBytes,
      codec: options.codec,
      filter: options.filter,
      runId,
      senders,
      loop: stage.loop,
      outstandingCount: options.outstandingCount,
      ratePerSecond: options.ratePerSecond,
      connectionCount,
      sendCountMax: shareOf(stage.sendCount, threadIndex, threadCount),
      isStamped: stage.isStamped,
      consumers: stage.consumers.filter(isMine),
    };
  });
}

/** Part of a count for one of several; all parts add up to it. */
function shareOf(total: number, index: number, count: number): number {
  if (total === Infinity) return Infinity;
  return Math.floor((total * (index + 1)) / count) - Math.floor((total * index) / count);
}

function toResult(
  run: Run,
  stage: StageResult,
  facts: {
    messageCount: number;
    doneBetween: number;
    lostCount: number;
    backlog: LoadResult['backlog'];
    isRateHeld: boolean;
    /** backlog: the stage that sent. */
    sending?: StageResult;
  },
): LoadResult {
  const { between } = stage;
  const perMessage = (cpuUs: number): number => cpuUs / Math.max(1, facts.doneBetween);
  const brokerCores =
    between.brokerCpuUs === null ? null : between.brokerCpuUs / 1e6 / between.seconds;
  const isGeneratorBusy = stage.threadCoreShares.every((share) => share > BUSY_SHARE);
  const isBrokerBusy = brokerCores !== null && brokerCores > BUSY_SHARE;
  const otherCores =
    between.brokerCpuUs === null
      ? null
      : Math.max(0, between.machineCpuUs - between.brokerCpuUs - between.generatorCpuUs) /
        1e6 /
        between.seconds;
  const isLate =
    stage.lateness !== null &&
    stage.sendLatency !== null &&
    stage.lateness.p99Ms > LATE_SHARE * stage.sendLatency.p99Ms;
  const errors = [...(facts.sending?.errors ?? []), ...stage.errors];
  const unansweredCount = stage.unansweredCount + (facts.sending?.unansweredCount ?? 0);
  const marks: [Mark, boolean][] = [
    ['generator-limited', isGeneratorBusy && !isBrokerBusy],
    ['generator-late', isLate],
    ['disturbed', otherCores !== null && otherCores > DISTURBED_CORES],
    ['rate-not-held', !facts.isRateHeld],
    ['errors', errors.length > 0],
    ['unanswered', unansweredCount > 0],
    ['lost', facts.lostCount > 0],
  ];
  return {
    mode: run.options.mode,
    options: run.options,
    seconds: stage.seconds,
    messageCount: facts.messageCount,
    ratePerSecond: facts.messageCount / stage.seconds,
    sendLatency: stage.sendLatency,
    endToEndLatency: stage.receiveLatency,
    scheduleLateness: stage.lateness,
    brokerCpuUsPerMessage: between.brokerCpuUs === null ? null : perMessage(between.brokerCpuUs),
    brokerCores,
    brokerRssAnonBytes: stage.rssAnonBytes,
    generatorCpuUsPerMessage: perMessage(between.generatorCpuUs),
    generatorThreadShares: stage.threadCoreShares,
    otherCores,
    errors,
    unansweredCount,
    lostCount: facts.lostCount,
    backlog: facts.backlog,
    marks: marks.flatMap(([mark, applies]) => (applies ? [mark] : [])),
  };
}
