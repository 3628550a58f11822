/**
 * Runs of messages that wait at the broker.
 *
 * ```
 * timed     send a count, each for a time in a later span; then consume them as they become due
 * waiting   send a count, each for a time that is days away, and leave them there
 * ```
 * A time is one of the wall clock, which broker and generator share; lateness is in whole milliseconds.
 */
import type { DuePlan } from './due-schedule.ts';
import { rangesFrom, type Run, shareQueues, threadsOf } from './load-plan.ts';
import { type LoadResult, toResult } from './load-result.ts';
import { runStage, type StageResult } from './load-stage.ts';
import { MemoryWatch } from './memory-watch.ts';
import { steadyNowMs } from './steady-clock.ts';

/** After all have come: whether some come again. */
const SETTLE_MS = 1000;
/** Consumers are at work before the first message is due; the stock broker is up to a second early. */
const AHEAD_MS = 2000;
const DAY_MS = 86_400_000;

export async function runTimed(run: Run): Promise<LoadResult> {
  const { options, setup } = run;
  const offsets = await setup.maxOffsets();
  const memory = MemoryWatch.start(options.brokerPid);
  const due: DuePlan = {
    fromMs: Date.now() + 1000 * options.leadSeconds,
    spanMs: 1000 * options.dueSeconds,
    order: 'even',
    messageCount: options.messageCount,
  };
  const fill = await runFill(run, due);
  const isOverrun = Date.now() > due.fromMs;
  // What the broker does meanwhile is no part of a delivery.
  await pause(due.fromMs - AHEAD_MS - Date.now());
  const untilEndMs = due.fromMs + due.spanMs - Date.now();
  const delivery = await runStage({
    threads: threadsOf(run, {
      loop: 'closed',
      isStamped: false,
      consumers: shareQueues(run, rangesFrom(offsets)),
      sendCount: 0,
      hasSenders: false,
      due,
    }),
    span: null,
    receiveCount: fill.totals.answeredCount,
    endByMs: steadyNowMs() + untilEndMs + 1000 * options.lateSeconds,
    settleMs: SETTLE_MS,
    brokerPid: options.brokerPid,
    onProgress: (totals) => run.onProgress({ stage: 'timed: deliver', totals }),
  });
  return toResult(run, fill, {
    messageCount: fill.answeredCount,
    doneBetween: fill.between.answeredCount,
    lostCount: Math.max(0, fill.totals.answeredCount - delivery.receivedCount),
    delivery,
    memory: memory?.stop() ?? null,
    isOverrun,
  });
}

export async function runWaiting(run: Run): Promise<LoadResult> {
  const { options } = run;
  const memory = MemoryWatch.start(options.brokerPid);
  const fill = await runFill(run, {
    fromMs: Date.now() + DAY_MS,
    spanMs: (options.dueDays - 1) * DAY_MS,
    order: 'random',
    messageCount: options.messageCount,
  });
  return toResult(run, fill, {
    messageCount: fill.answeredCount,
    doneBetween: fill.between.answeredCount,
    lostCount: 0,
    memory: memory?.stop() ?? null,
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
}

function runFill(run: Run, due: DuePlan): Promise<StageResult> {
  const { options } = run;
  return runStage({
    threads: threadsOf(run, {
      loop: 'closed',
      isStamped: false,
      consumers: [],
      sendCount: options.messageCount,
      hasSenders: true,
      due,
    }),
    span: null,
    receiveCount: 0,
    brokerPid: options.brokerPid,
    onProgress: (totals) => run.onProgress({ stage: `${options.mode}: fill`, totals }),
  });
}
