/**
 * What a comparison runs on each broker, in this order, and how long.
 */
import type { Flush } from './contenders.ts';
import { defaultOptions, type LoadOptions } from './load-options.ts';

export interface Workload {
  readonly name: string;
  /** Setting of the broker; each flush has a broker process of its own. */
  readonly flush: Flush;
  readonly options: LoadOptions;
}

export interface Durations {
  /** Sends before the first workload of a broker process, which no figure holds: compilers warm up. */
  readonly heatSeconds: number;
  readonly warmupSeconds: number;
  readonly seconds: number;
  readonly backlogMessageCount: number;
  readonly timed: Pick<LoadOptions, 'messageCount' | 'leadSeconds' | 'dueSeconds'>;
  /** For the broker to ask for undecided transactions; the stock one does each half minute. */
  readonly checkWaitSeconds: number;
}

export const standardDurations: Durations = {
  heatSeconds: 15,
  warmupSeconds: 3,
  seconds: 10,
  backlogMessageCount: 1_000_000,
  timed: { messageCount: 1_000_000, leadSeconds: 60, dueSeconds: 50 },
  checkWaitSeconds: 45,
};
export const quickDurations: Durations = {
  heatSeconds: 5,
  warmupSeconds: 1,
  seconds: 4,
  backlogMessageCount: 200_000,
  timed: { messageCount: 100_000, leadSeconds: 15, dueSeconds: 10 },
  checkWaitSeconds: 45,
};

export function workloads(durations: Durations, threadCount: number): Workload[] {
  const base: LoadOptions = {
    ...defaultOptions,
    warmupSeconds: durations.warmupSeconds,
    seconds: durations.seconds,
    threadCount,
  };
  const backlog: LoadOptions = {
    ...base,
    mode: 'backlog',
    outstandingCount: 64,
    messageCount: durations.backlogMessageCount,
  };
  const list: [string, Flush, LoadOptions][] = [
    ['send 8x16', 'async', base],
    ['send 8x128', 'async', { ...base, outstandingCount: 128 }],
    ['paced 20,000', 'async', { ...base, mode: 'paced' }],
    ['end-to-end 20,000', 'async', { ...base, mode: 'end-to-end' }],
    ['backlog, 1 consumer', 'async', backlog],
    [
      'backlog, 16 consumers',
      'async',
      { ...backlog, consumerCount: 16, messageCount: durations.backlogMessageCount / 5 },
    ],
    ['timed', 'async', { ...base, mode: 'timed', outstandingCount: 64, ...durations.timed }],
    [
      'transactions 8x16',
      'async',
      { ...base, mode: 'transactions', checkWaitSeconds: durations.checkWaitSeconds },
    ],
    ['sync flush 8x16', 'sync', base],
  ];
  return list.map(([name, flush, options]) => ({
    name,
    flush,
    // A topic of its own, so that no workload finds the queues of another.
    options: { ...options, topic: `Load-${name.replaceAll(/[^A-Za-z0-9]+/g, '-')}` },
  }));
}

/** Load that makes a broker process warm. */
export function heatOptions(durations: Durations): LoadOptions {
  return {
    ...defaultOptions,
    topic: 'Load-heat',
    warmupSeconds: 0,
    seconds: durations.heatSeconds,
  };
}
