/**
 * A run of transactions in a closed loop; afterwards it waits until the broker has asked for what was
 * left undecided, and counts what consumers could read.
 */
import { type Run, threadsOf } from './load-plan.ts';
import { type LoadResult, toResult } from './load-result.ts';
import type { LoadSetup } from './load-setup.ts';
import { runStage } from './load-stage.ts';

export async function runTransactions(run: Run): Promise<LoadResult> {
  const { options, setup } = run;
  const before = await lengthOf(setup);
  const stage = await runStage({
    threads: threadsOf(run, {
      loop: 'closed',
      isStamped: true,
      consumers: [],
      sendCount: Infinity,
      hasSenders: true,
      work: 'transactions',
    }),
    span: { warmupSeconds: options.warmupSeconds, seconds: options.seconds },
    receiveCount: null,
    drainMs: 1000 * options.checkWaitSeconds,
    brokerPid: options.brokerPid,
    onProgress: (totals) => run.onProgress({ stage: options.mode, totals }),
  });
  const expectedCount = stage.committedCount + stage.totals.checkedCount;
  const readableCount = await readable(setup, before, expectedCount, 1000 * options.lateSeconds);
  return toResult(run, stage, {
    messageCount: stage.answeredCount,
    doneBetween: stage.between.answeredCount,
    lostCount: Math.max(0, expectedCount - readableCount),
    transactions: {
      latency: stage.receiveLatency,
      unknownCount: stage.totals.unknownCount,
      checkedCount: stage.totals.checkedCount,
      strayCheckCount: stage.strayCheckCount,
      expectedCount,
      readableCount,
    },
  });
}

/** How many messages there are that were not before; waits until they are as many as expected. */
async function readable(
  setup: LoadSetup,
  before: number,
  expected: number,
  timeoutMs: number,
): Promise<number> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const count = (await lengthOf(setup)) - before;
    if (count >= expected || performance.now() > deadlineMs) return count;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function lengthOf(setup: LoadSetup): Promise<number> {
  return (await setup.maxOffsets()).reduce((sum, offset) => sum + offset, 0);
}
