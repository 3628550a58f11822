/** Results of loads that nobody ran, for tests of what is made of them. */
import { defaultOptions } from '../../../bench/load/load-options.ts';
import { curvePercentiles, type LatencySummary } from '../../../bench/load/latency.ts';
import type { LoadResult } from '../../../bench/load/load-result.ts';

/** The same at each percentile. */
export function latencyOf(ms: number): LatencySummary {
  return {
    count: 1,
    meanMs: ms,
    p50Ms: ms,
    p90Ms: ms,
    p99Ms: ms,
    p999Ms: ms,
    p9999Ms: ms,
    maxMs: ms,
    curveMs: curvePercentiles.map(() => ms),
  };
}

export function resultOf(
  ratePerSecond: number,
  ms: number,
  others: Partial<LoadResult> = {},
): LoadResult {
  return {
    mode: 'send',
    options: defaultOptions,
    seconds: 1,
    messageCount: ratePerSecond,
    ratePerSecond,
    sendLatency: latencyOf(ms),
    endToEndLatency: null,
    scheduleLateness: null,
    isGeneratorRealTime: false,
    brokerCpuUsPerMessage: 10,
    brokerCores: 1,
    brokerRssAnonBytes: 2 ** 20,
    generatorCpuUsPerMessage: 1,
    generatorThreadShares: [0.5],
    otherCores: 0,
    stolenShare: 0,
    errors: [],
    unansweredCount: 0,
    lostCount: 0,
    backlog: null,
    timed: null,
    transactions: null,
    memory: null,
    timeline: [],
    stolenTimeline: [],
    marks: [],
    ...others,
  };
}
