/**
 * What a run comes to, and the marks that say why a figure is not what it seems.
 */
import { availableParallelism } from 'node:os';
import type { LatencySummary } from './latency.ts';
import type { ErrorCount, LoadMode, LoadOptions } from './load-options.ts';
import type { Run } from './load-plan.ts';
import type { StageResult } from './load-stage.ts';
import type { MemoryGrowth } from './memory-watch.ts';

/** A thread or broker above this share of a core counts as busy. */
const BUSY_SHARE = 0.9;
/** Cores used by others, above which a run counts as disturbed. */
const DISTURBED_CORES = 0.1;
/** Share of all cores' time that a hypervisor may give to others; a guess, well above what is usual. */
const STOLEN_SHARE_MAX = 0.05;
/** Part of the send latency's p99 that the generator's own delay may be. */
const LATE_SHARE = 0.5;

/**
 * Why a figure is not what it seems. `generator-limited`: it is a bound of this program, not of the
 * broker. `generator-late`: half of the tail or more is this program's own delay. `disturbed`: other
 * processes took CPU meanwhile. `stolen`: the hypervisor did. `fill-overran`: the first timed messages were due before the last was
 * sent. `not-asked`: the broker has not asked for all that was undecided in the time given.
 */
export type Mark =
  | 'generator-limited'
  | 'generator-late'
  | 'disturbed'
  | 'stolen'
  | 'rate-not-held'
  | 'errors'
  | 'unanswered'
  | 'lost'
  | 'early'
  | 'duplicates'
  | 'fill-overran'
  | 'not-asked';

/** What became of messages that waited for their time. */
export interface TimedFigures {
  /** From when a message was due to its receipt. */
  readonly lateness: LatencySummary | null;
  /** Received before they were due, and by how many milliseconds at most. */
  readonly earlyCount: number;
  readonly earliestMs: number;
  readonly duplicateCount: number;
  /** Of the time in which messages became due. */
  readonly brokerCpuUsPerMessage: number | null;
  readonly generatorThreadShares: readonly number[];
}

/** What became of transactions. */
export interface TransactionFigures {
  /** From the send of a half to the answer to its end. */
  readonly latency: LatencySummary | null;
  /** Left undecided, and of these asked for (and then committed). */
  readonly unknownCount: number;
  readonly checkedCount: number;
  /** Asked for though decided, or though asked for before. */
  readonly strayCheckCount: number;
  /** Messages committed, and messages that consumers can read. */
  readonly expectedCount: number;
  readonly readableCount: number;
}

export interface LoadResult {
  readonly mode: LoadMode;
  readonly options: LoadOptions;
  readonly seconds: number;
  /** Messages, or transactions, acknowledged in the window; in backlog, messages read. */
  readonly messageCount: number;
  readonly ratePerSecond: number;
  /** From the send, or the intended send of a paced run, to the answer. */
  readonly sendLatency: LatencySummary | null;
  /** From the intended send to the receipt by a consumer. */
  readonly endToEndLatency: LatencySummary | null;
  /** Delay that the generator itself added to its schedule; part of the latencies above. */
  readonly scheduleLateness: LatencySummary | null;
  /** Its threads that keep a schedule have real-time priority. */
  readonly isGeneratorRealTime: boolean;
  readonly brokerCpuUsPerMessage: number | null;
  /** Cores that the broker used. */
  readonly brokerCores: number | null;
  readonly brokerRssAnonBytes: number | null;
  readonly generatorCpuUsPerMessage: number;
  /** Share of a core of each generator thread. */
  readonly generatorThreadShares: readonly number[];
  /** Cores that all other processes used meanwhile; null where the broker's are not known. */
  readonly otherCores: number | null;
  /** Share of all cores' time that the hypervisor gave to others. */
  readonly stolenShare: number;
  readonly errors: readonly ErrorCount[];
  readonly unansweredCount: number;
  /** Acknowledged, or committed, messages that no consumer got before the run gave up. */
  readonly lostCount: number;
  /** backlog: how fast the messages were sent, and first read. */
  readonly backlog: {
    readonly sendRatePerSecond: number;
    readonly firstReadRatePerSecond: number;
  } | null;
  readonly timed: TimedFigures | null;
  readonly transactions: TransactionFigures | null;
  /** What the broker's memory grew to from the first send to the last receipt (timed, waiting). */
  readonly memory: MemoryGrowth | null;
  /** Highest latency in ms of a send, by TIMELINE_STEP_MS; empty unless asked for. */
  readonly timeline: readonly number[];
  /** What the hypervisor gave to others in each of these steps, ms. */
  readonly stolenTimeline: readonly number[];
  readonly marks: readonly Mark[];
}

export function toResult(
  run: Run,
  stage: StageResult,
  facts: {
    messageCount: number;
    doneBetween: number;
    lostCount: number;
    backlog?: LoadResult['backlog'];
    isRateHeld?: boolean;
    /** backlog: the stage that sent. */
    sending?: StageResult;
    /** timed: the stage in which messages became due. */
    delivery?: StageResult;
    transactions?: TransactionFigures;
    memory?: MemoryGrowth | null;
    isOverrun?: boolean;
  },
): LoadResult {
  const { between } = stage;
  const perMessage = (cpuUs: number): number => cpuUs / Math.max(1, facts.doneBetween);
  const stages = facts.delivery === undefined ? [stage] : [stage, facts.delivery];
  const timed = facts.delivery === undefined ? null : timedFigures(facts.delivery);
  const transactions = facts.transactions ?? null;
  const otherCores = stages.reduce<number | null>((most, { between: span }) => {
    const cores = otherCoresOf(span);
    return cores === null ? most : Math.max(most ?? 0, cores);
  }, null);
  const coreUs = 1e6 * between.seconds * availableParallelism();
  const stolenShare = between.stolenUs / Math.max(1, coreUs);
  const isLate =
    stage.lateness !== null &&
    stage.sendLatency !== null &&
    stage.lateness.p99Ms > LATE_SHARE * stage.sendLatency.p99Ms;
  const errors = [...(facts.sending?.errors ?? []), ...stage.errors];
  const unansweredCount = stage.unansweredCount + (facts.sending?.unansweredCount ?? 0);
  const marks: [Mark, boolean][] = [
    ['generator-limited', stages.some(isGeneratorLimited)],
    ['generator-late', isLate],
    ['disturbed', otherCores !== null && otherCores > DISTURBED_CORES],
    ['stolen', stolenShare > STOLEN_SHARE_MAX],
    ['rate-not-held', facts.isRateHeld === false],
    ['errors', errors.length > 0],
    ['unanswered', unansweredCount > 0],
    ['lost', facts.lostCount > 0],
    ['early', timed !== null && timed.earlyCount > 0],
    ['duplicates', isRepeated(timed, transactions, unansweredCount)],
    ['fill-overran', facts.isOverrun === true],
    ['not-asked', transactions !== null && transactions.checkedCount < transactions.unknownCount],
  ];
  return {
    mode: run.options.mode,
    options: run.options,
    seconds: stage.seconds,
    messageCount: facts.messageCount,
    ratePerSecond: facts.messageCount / stage.seconds,
    sendLatency: stage.sendLatency,
    endToEndLatency: transactions === null ? stage.receiveLatency : null,
    scheduleLateness: stage.lateness,
    isGeneratorRealTime: stage.isRealTime,
    brokerCpuUsPerMessage: between.brokerCpuUs === null ? null : perMessage(between.brokerCpuUs),
    brokerCores: brokerCoresOf(stage),
    brokerRssAnonBytes: stage.rssAnonBytes,
    generatorCpuUsPerMessage: perMessage(between.generatorCpuUs),
    generatorThreadShares: stage.threadCoreShares,
    otherCores,
    stolenShare,
    errors,
    unansweredCount,
    lostCount: facts.lostCount,
    backlog: facts.backlog ?? null,
    timed,
    transactions,
    memory: facts.memory ?? null,
    timeline: stage.timeline,
    stolenTimeline: stage.stolenTimeline,
    marks: marks.flatMap(([mark, applies]) => (applies ? [mark] : [])),
  };
}

function timedFigures(delivery: StageResult): TimedFigures {
  const { brokerCpuUs, receivedCount } = delivery.between;
  return {
    lateness: delivery.receiveLatency,
    earlyCount: delivery.earlyCount,
    earliestMs: delivery.earliestMs,
    duplicateCount: delivery.duplicateCount,
    brokerCpuUsPerMessage: brokerCpuUs === null ? null : brokerCpuUs / Math.max(1, receivedCount),
    generatorThreadShares: delivery.threadCoreShares,
  };
}

/** A transaction whose end has no answer yet may have been committed as well. */
function isRepeated(
  timed: TimedFigures | null,
  transactions: TransactionFigures | null,
  unansweredCount: number,
): boolean {
  if (timed !== null) return timed.duplicateCount > 0;
  if (transactions === null) return false;
  return transactions.readableCount > transactions.expectedCount + unansweredCount;
}

function brokerCoresOf({ between }: StageResult): number | null {
  return between.brokerCpuUs === null ? null : between.brokerCpuUs / 1e6 / between.seconds;
}

function isGeneratorLimited(stage: StageResult): boolean {
  const brokerCores = brokerCoresOf(stage);
  const isBrokerBusy = brokerCores !== null && brokerCores > BUSY_SHARE;
  return !isBrokerBusy && stage.threadCoreShares.every((share) => share > BUSY_SHARE);
}

function otherCoresOf(between: StageResult['between']): number | null {
  if (between.brokerCpuUs === null) return null;
  const otherUs = between.machineCpuUs - between.brokerCpuUs - between.generatorCpuUs;
  return Math.max(0, otherUs) / 1e6 / between.seconds;
}
