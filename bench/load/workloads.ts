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
}

export const standardDurations: Durations = {
  heatSeconds: 15,
  warmupSeconds: 3,
  seconds: 10,
  backlogMessageCount: 1_000_000,
};
export const quickDurations: Durations = {
  heatSeconds: 5,
  warmupSeconds: 1,
  seconds: 4,
  backlogMessageCount: 200_000,
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
    backlogMessageCount: durations.backlogMessageCount,
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
      { ...backlog, consumerCount: 16, backlogMessageCount: durations.backlogMessageCount / 5 },
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
