/**
 * Latency histograms in microseconds: three significant digits up to ten minutes, so that a stall is
 * never cut off. Threads send theirs to the main thread compressed.
 */
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from 'hdr-histogram-js';

const HIGHEST_US = 600_000_000;

export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly p9999Ms: number;
  readonly maxMs: number;
  /** In ms, at each of `curvePercentiles`. */
  readonly curveMs: readonly number[];
}

/** Twenty for each factor of ten in the part that is above: 0 to 99.999. */
export const curvePercentiles: readonly number[] = Array.from(
  { length: 101 },
  (_, index) => 100 * (1 - 10 ** (-index / 20)),
);

export function createHistogram(): Histogram {
  return build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 3,
    useWebAssembly: false,
  });
}

/** Records a span; what lies outside the histogram's range counts as its bound. */
export function recordMs(histogram: Histogram, ms: number): void {
  const us = Math.round(ms * 1000);
  histogram.recordValue(us < 1 ? 1 : us > HIGHEST_US ? HIGHEST_US : us);
}

export const encodeHistogram = (histogram: Histogram): string =>
  encodeIntoCompressedBase64(histogram);

/** All histograms as one; null where nothing was recorded. */
export function summarize(encoded: readonly string[]): LatencySummary | null {
  const total = createHistogram();
  for (const one of encoded) total.add(decodeFromCompressedBase64(one));
  if (total.totalCount === 0) return null;
  const at = (percentile: number): number => total.getValueAtPercentile(percentile) / 1000;
  return {
    count: total.totalCount,
    meanMs: total.mean / 1000,
    p50Ms: at(50),
    p90Ms: at(90),
    p99Ms: at(99),
    p999Ms: at(99.9),
    p9999Ms: at(99.99),
    maxMs: total.maxValue / 1000,
    curveMs: curvePercentiles.map(at),
  };
}
