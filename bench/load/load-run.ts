/**
 * A whole run in one of the modes, and what it comes to.
 *
 * ```
 * send         closed loop: warm-up, window
 * paced        open loop:   warm-up, window
 * end-to-end   open loop with consumers on all queues
 * backlog      send a count, then read it twice: the first reading warms up, the second is measured
 * fill, read   the two halves of a backlog, each by itself
 * ```
 * The others are in `waiting-runs.ts` and `transaction-run.ts`.
 */
import { randomInt } from 'node:crypto';
import type { LoadMode, LoadOptions, QueueRange } from './load-options.ts';
import {
  consumerPlan,
  type Progress,
  rangesFrom,
  type Run,
  shareQueues,
  threadsOf,
} from './load-plan.ts';
import { type LoadResult, toResult } from './load-result.ts';
import type { LoadSetup } from './load-setup.ts';
import { runStage, type StageResult, type StageThread } from './load-stage.ts';
import { runTransactions } from './transaction-run.ts';
import { runTimed, runWaiting } from './waiting-runs.ts';
import { openSetup } from './wires.ts';

/** A paced run below this part of its rate did not hold it. */
const HELD_SHARE = 0.99;
const DISPATCH_TIMEOUT_MS = 60_000;

const runners: Readonly<Record<LoadMode, (run: Run) => Promise<LoadResult>>> = {
  send: runSpan,
  paced: runSpan,
  'end-to-end': runSpan,
  backlog: runBacklog,
  fill: runFill,
  read: runRead,
  timed: runTimed,
  transactions: runTransactions,
  waiting: runWaiting,
};

export async function runLoad(
  options: LoadOptions,
  onProgress: (progress: Progress) => void = () => {},
): Promise<LoadResult> {
  const setup = await openSetup(options);
  try {
    const run = { options, setup, onProgress, runId: randomInt(2 ** 31 - 1) };
    return await runners[options.mode](run);
  } finally {
    setup.close();
  }
}

/** Sends for a span of time. */
async function runSpan(run: Run): Promise<LoadResult> {
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
    isRateHeld: options.mode === 'send' || heldShare >= HELD_SHARE,
  });
}

/** Sends a count; leaves it there. */
async function runFill(run: Run): Promise<LoadResult> {
  const { sending } = await fill(run);
  return toResult(run, sending, {
    messageCount: sending.totals.answeredCount,
    doneBetween: sending.between.answeredCount,
    lostCount: 0,
  });
}

async function runBacklog(run: Run): Promise<LoadResult> {
  const { sending, ranges } = await fill(run);
  return readAll(run, ranges, sending);
}

/** Reads all that the topic holds. */
async function runRead(run: Run): Promise<LoadResult> {
  const lastOffsets = await run.setup.maxOffsets();
  const ranges = lastOffsets.map((toOffset, queueId) => ({ queueId, fromOffset: 0, toOffset }));
  return readAll(run, ranges, null);
}

const closedLoop = { loop: 'closed', isStamped: false, consumers: [] } as const;

async function fill(run: Run): Promise<{ sending: StageResult; ranges: QueueRange[] }> {
  const { options, setup } = run;
  const firstOffsets = await setup.maxOffsets();
  const sending = await stageByCount(
    run,
    'send',
    threadsOf(run, { ...closedLoop, sendCount: options.messageCount, hasSenders: true }),
    0,
  );
  const sentCount = sending.totals.answeredCount;
  const lastOffsets = await dispatchedOffsets(setup, firstOffsets, sentCount);
  const ranges = firstOffsets.map((fromOffset, queueId) => ({
    queueId,
    fromOffset,
    toOffset: lastOffsets[queueId],
  }));
  return { sending, ranges };
}

/** Reads ranges as often as the options say; the last reading is what counts. */
async function readAll(
  run: Run,
  ranges: readonly QueueRange[],
  sending: StageResult | null,
): Promise<LoadResult> {
  const { consumerCount, readingCount } = run.options;
  const storedCount = ranges.reduce((sum, range) => sum + range.toOffset - range.fromOffset, 0);
  const readings: StageResult[] = [];
  for (let reading = 1; reading <= readingCount; reading++) {
    const consumers = Array.from({ length: consumerCount }, (_, index) =>
      consumerPlan(run, `${reading}-${index}`, ranges),
    );
    const threads = threadsOf(run, {
      ...closedLoop,
      consumers,
      sendCount: 0,
      hasSenders: false,
    });
    const name = `reading ${reading} of ${readingCount}`;
    readings.push(await stageByCount(run, name, threads, storedCount * consumerCount));
  }
  const [first] = readings;
  const last = readings.at(-1) ?? first;
  return toResult(run, last, {
    messageCount: last.receivedCount,
    doneBetween: last.between.receivedCount,
    lostCount: Math.max(0, storedCount * consumerCount - last.receivedCount),
    ...(sending === null
      ? {}
      : {
          sending,
          backlog: {
            sendRatePerSecond: sending.answeredCount / sending.seconds,
            firstReadRatePerSecond: first.receivedCount / first.seconds,
          },
        }),
  });
}

function stageByCount(
  run: Run,
  name: string,
  threads: StageThread[],
  receiveCount: number,
): Promise<StageResult> {
  const { mode, brokerPid } = run.options;
  return runStage({
    threads,
    span: null,
    receiveCount,
    brokerPid,
    onProgress: (totals) => run.onProgress({ stage: `${mode}: ${name}`, totals }),
  });
}

/** Offsets after the messages sent, once all of them can be pulled. */
async function dispatchedOffsets(
  setup: LoadSetup,
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
