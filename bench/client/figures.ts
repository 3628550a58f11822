/**
 * From runs to a table, and to the bars that it must reach. Ratios are those of one round, where both
 * clients ran one after the other; the median of them counts.
 */
import type { Mode } from './contender.ts';
import type { LatencyResult } from './latency-run.ts';
import type { WindowResult } from './window.ts';

export interface Run {
  readonly round: number;
  readonly servers: string;
  readonly contender: string;
  readonly mode: Mode;
  readonly result: WindowResult;
}

export interface LatencyRun {
  readonly processes: number;
  readonly ratePerSecond: number;
  /** What the hypervisor gave to others, of all cores' time. */
  readonly stolenShare: number;
  readonly result: LatencyResult;
}

export interface Bar {
  readonly what: string;
  /** Null where it was not measured. */
  readonly value: number | null;
  readonly unit: string;
  readonly holds: boolean | null;
}

export const OURS = 'millrace/client';
const modes: readonly Mode[] = ['send', 'consume'];

const rateOf = ({ messages, ms }: WindowResult): number => messages / (ms / 1000);
/** /proc counts in steps of 10 ms: less than one was half of it, on average. */
const perCpuOf = ({ messages, cpuMs }: WindowResult): number =>
  messages / (Math.max(cpuMs, 5) / 1000);

export function medianOf(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function ratio(
  runs: readonly Run[],
  rival: string,
  mode: Mode,
  read: (result: WindowResult) => number,
  servers?: string,
): number | null {
  const ratios = runs
    .filter((run) => run.contender === OURS && run.mode === mode)
    .filter((run) => servers === undefined || run.servers === servers)
    .flatMap((ours) =>
      runs
        .filter((run) => run.contender === rival && run.mode === mode)
        .filter((run) => run.round === ours.round && run.servers === ours.servers)
        .map((theirs) => read(ours.result) / read(theirs.result)),
    );
  return medianOf(ratios);
}

export function formatRuns(runs: readonly Run[]): string {
  const lines: string[] = [];
  for (const servers of new Set(runs.map((run) => run.servers))) {
    for (const mode of modes) {
      const here = runs.filter((run) => run.servers === servers && run.mode === mode);
      if (here.length === 0) continue;
      lines.push('', `${mode}, ${servers}`);
      lines.push(
        `  ${'client'.padEnd(24)}${'msg/s'.padStart(12)}${'client CPU us/msg'.padStart(20)}${'msg/CPU s'.padStart(12)}${'ours per CPU'.padStart(14)}${'ours rate'.padStart(12)}  errors`,
      );
      for (const name of new Set(here.map((run) => run.contender))) {
        const results = here.filter((run) => run.contender === name).map((run) => run.result);
        const perCpu = medianOf(results.map(perCpuOf)) ?? 0;
        const errors = results.reduce((sum, result) => sum + result.errors, 0);
        const than = (read: (result: WindowResult) => number): string =>
          name === OURS ? '' : `${(ratio(here, name, mode, read) ?? 0).toFixed(2)} x`;
        lines.push(
          `  ${name.padEnd(24)}${Math.round(medianOf(results.map(rateOf)) ?? 0)
            .toLocaleString('en')
            .padStart(12)}${(1e6 / perCpu).toFixed(2).padStart(20)}${Math.round(perCpu)
            .toLocaleString('en')
            .padStart(
              12,
            )}${than(perCpuOf).padStart(14)}${than(rateOf).padStart(12)}  ${errors === 0 ? '' : errors}`,
        );
      }
    }
  }
  return lines.join('\n');
}

export function formatLatency(runs: readonly LatencyRun[]): string {
  return runs
    .map(({ processes, ratePerSecond, stolenShare, result: { latency, lost, unsent } }) => {
      const figures =
        latency === null
          ? 'nothing came'
          : `p50 ${latency.p50Ms.toFixed(2)} ms, p99 ${latency.p99Ms.toFixed(2)} ms, p99.9 ${latency.p999Ms.toFixed(2)} ms, max ${latency.maxMs.toFixed(1)} ms`;
      return `  ${ratePerSecond} msg/s, ${processes} process${processes === 1 ? '' : 'es'}: ${figures}${lost === 0 ? '' : `, lost ${lost}`}${unsent === 0 ? '' : `, unsent ${unsent}`}; stolen ${(stolenShare * 100).toFixed(1)} %`;
    })
    .join('\n');
}

const PER_CPU_RATIO_MIN = 2;
const RATE_RATIO_MIN = 1;
const LATENCY_P99_MS_MAX = 5;
/** A run in which the hypervisor took more than this says more about its other guests than about us. */
export const STOLEN_SHARE_MAX = 0.01;

export function barsOf(runs: readonly Run[], latencies: readonly LatencyRun[]): Bar[] {
  const bars: Bar[] = [];
  const atLeast = (what: string, value: number | null, least: number): void => {
    const holds = value === null ? null : value >= least;
    bars.push({ what: `${what}, at least ${least} x`, value, unit: 'x', holds });
  };
  for (const servers of new Set(runs.map((run) => run.servers))) {
    const here = runs.filter((run) => run.servers === servers);
    for (const mode of modes) {
      for (const rival of new Set(here.map((run) => run.contender))) {
        if (rival === OURS) continue;
        const where = `${mode}, ${servers}`;
        if (rival === 'Java client') {
          atLeast(
            `${where}: rate beside ${rival}`,
            ratio(here, rival, mode, rateOf),
            RATE_RATIO_MIN,
          );
        } else {
          const value = ratio(here, rival, mode, perCpuOf);
          atLeast(`${where}: messages per CPU beside ${rival}`, value, PER_CPU_RATIO_MIN);
        }
      }
    }
  }
  for (const processes of new Set(latencies.map((run) => run.processes))) {
    const here = latencies.filter((run) => run.processes === processes);
    const undisturbed = here.filter((run) => run.stolenShare <= STOLEN_SHARE_MAX);
    const value = medianOf(undisturbed.map(({ result }) => result.latency?.p99Ms ?? Infinity));
    const isWhole = here.every(({ result }) => result.lost === 0 && result.unsent === 0);
    bars.push({
      what: `end to end p99 at ${here[0]?.ratePerSecond} msg/s, ${processes} process(es), at most ${LATENCY_P99_MS_MAX} ms`,
      value,
      unit: 'ms',
      holds: value === null ? null : isWhole && value <= LATENCY_P99_MS_MAX,
    });
  }
  return bars;
}

export function formatBars(bars: readonly Bar[]): string {
  return bars
    .map(({ what, value, unit, holds }) => {
      const mark = holds === null ? 'not measured' : holds ? 'holds ' : 'MISSED';
      return `  ${mark}  ${what}: ${value === null ? '-' : `${value.toFixed(2)} ${unit}`}`;
    })
    .join('\n');
}
