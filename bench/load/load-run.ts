/**
 * A whole run in one of the modes, and what it comes to.
 *
 * ```
 * send         closed loop: warm-up, window
 * paced        open loop:   warm-up, window
 * end-to-end   open loop with consumers on all queues
 * backlog      send a count, then read it twice: the first reading warms up, the second is measured
 * ```
 * The others are in `waiting-runs.ts` and `transaction-run.ts`.
 */
import { randomInt } from 'node:crypto';
import { BrokerSetup } from './broker-setup.ts';
import type { LoadMode, LoadOptions } from './load-options.ts';
import {
  consumerPlan,
  type Progress,
  rangesFrom,
  type Run,
  shareQueues,
  threadsOf,
} from './load-plan.ts';
import { type LoadResult, toResult } from './load-result.ts';
import { runStage, type StageResult, type StageThread } from './load-stage.ts';
import { runTransactions } from './transaction-run.ts';
import { runTimed, runWaiting } from './waiting-runs.ts';

/** A paced run below this part of its rate did not hold it. */
const HELD_SHARE = 0.99;
const DISPATCH_TIMEOUT_MS = 60_000;

const runners: Readonly<Record<LoadMode, (run: Run) => Promise<LoadResult>>> = {
  send: runSpan,
  paced: runSpan,
  'end-to-end': runSpan,
  backlog: runBacklog,
  timed: runTimed,
  transactions: runTransactions,
  waiting: runWaiting,
};

export async function runLoad(
  options: LoadOptions,
  onProgress: (progress: Progress) => void = () => {},
): Promise<LoadResult> {
  const setup = await BrokerSetup.open(options);
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
    threadsOf(run, { ...none, sendCount: options.messageCount, hasSenders: true }),
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
