/**
 * Figures of runs: medians over the rounds with their spread, and ratios between systems, each of two
 * runs of the same round.
 */
import type { LatencySummary } from '../load/latency.ts';
import type { LoadResult } from '../load/load-result.ts';
import { count, milliseconds } from '../load/report.ts';
import type { Rounds, StartFigures } from './rounds.ts';
import type { SystemKey } from './systems.ts';

const MIB = 1024 * 1024;

export interface Spread {
  readonly median: number;
  /** (largest - smallest) / median over the rounds. */
  readonly spread: number;
  readonly count: number;
}

export interface Figure {
  readonly name: string;
  readonly isMoreBetter: boolean;
  readonly format: (value: number) => string;
  /** Says something of the machine; no ratio is made of it. */
  readonly isOfMachine?: true;
}

type Reader<Of> = (of: Of) => number | null | undefined;

const ms = (name: string): Figure => ({
  name: `${name}, ms`,
  isMoreBetter: false,
  format: milliseconds,
});
const mib: Figure = { name: 'memory (RssAnon), MiB', isMoreBetter: false, format: count };

export const rate: Figure = { name: 'msg/s', isMoreBetter: true, format: count };
export const cpu: Figure = {
  name: 'broker CPU, us/msg',
  isMoreBetter: false,
  format: (value) => value.toFixed(2),
};
const stolen: Figure = {
  name: 'stolen by the host, %',
  isOfMachine: true,
  isMoreBetter: false,
  format: (value) => value.toFixed(1),
};

const generatorDelay: Figure = { ...ms('generator late p99.9'), isOfMachine: true };

export const generatorCpu: Figure = { ...cpu, name: 'generator CPU, us/msg' };

function latencyFigures(
  prefix: string,
  of: (result: LoadResult) => LatencySummary | null,
): [Figure, Reader<LoadResult>][] {
  return [
    [ms(`${prefix} p50`), (result) => of(result)?.p50Ms],
    [ms(`${prefix} p99`), (result) => of(result)?.p99Ms],
    [ms(`${prefix} p99.9`), (result) => of(result)?.p999Ms],
    [ms(`${prefix} p99.99`), (result) => of(result)?.p9999Ms],
  ];
}

export const runFigures: readonly (readonly [Figure, Reader<LoadResult>])[] = [
  [rate, (result) => result.ratePerSecond],
  ...latencyFigures('send', (result) => result.sendLatency),
  ...latencyFigures('end to end', (result) => result.endToEndLatency),
  [cpu, (result) => result.brokerCpuUsPerMessage],
  [generatorCpu, (result) => result.generatorCpuUsPerMessage],
  [generatorDelay, (result) => result.scheduleLateness?.p999Ms],
  [mib, (result) => bytesInMib(result.brokerRssAnonBytes)],
  [stolen, (result) => 100 * result.stolenShare],
];

export const startFigures: readonly (readonly [Figure, Reader<StartFigures>])[] = [
  [ms('port accepts after'), (start) => start.acceptMs],
  [ms('first send answered after'), (start) => start.firstSendMs],
  [mib, (start) => bytesInMib(start.idleRssAnonBytes)],
];

export const START_ROW = 'start';

const bytesInMib = (bytes: number | null): number | null => (bytes === null ? null : bytes / MIB);

/** By round; what was not measured is absent. */
export type Values = ReadonlyMap<number, number>;

export class FigureTable {
  readonly #rounds: Rounds;

  constructor(rounds: Rounds) {
    this.#rounds = rounds;
  }

  values(system: SystemKey, row: string, figureName: string): Values {
    return row === START_ROW
      ? this.#startValues(system, figureName)
      : this.#runValues(system, row, figureName);
  }

  /** `system` against `other`, above 1 where `system` is better. */
  ratios(system: SystemKey, other: SystemKey, row: string, figure: Figure): Values {
    const own = this.values(system, row, figure.name);
    const theirs = this.values(other, row, figure.name);
    return ratiosOf(own, theirs, figure.isMoreBetter);
  }

  /** Why figures of a row may not be what they seem, each once. */
  marks(system: SystemKey, row: string): string[] {
    const marks = new Set<string>();
    for (const run of this.#rounds.runs) {
      if (run.system !== system || run.workload !== row) continue;
      if (run.failure !== null) marks.add(`FAILED: ${run.failure.split('\n')[0]}`);
      for (const mark of run.result?.marks ?? []) marks.add(mark);
    }
    return [...marks];
  }

  /** In ms at each of `curvePercentiles`: medians over the rounds; empty where nothing was measured. */
  curve(
    system: SystemKey,
    row: string,
    of: (result: LoadResult) => LatencySummary | null,
  ): number[] {
    const curves: (readonly number[])[] = [];
    for (const run of this.#rounds.runs) {
      if (run.system !== system || run.workload !== row || run.result === null) continue;
      const latency = of(run.result);
      if (latency !== null) curves.push(latency.curveMs);
    }
    const first: readonly number[] = curves[0] ?? [];
    return first.map((_, index) =>
      medianOf(curves.map((curve) => curve[index]).sort((left, right) => left - right)),
    );
  }

  #runValues(system: SystemKey, row: string, figureName: string): Values {
    const read = runFigures.find(([figure]) => figure.name === figureName)?.[1];
    const values = new Map<number, number>();
    for (const run of this.#rounds.runs) {
      if (run.system !== system || run.workload !== row || run.result === null) continue;
      const value = read?.(run.result);
      if (value !== null && value !== undefined) values.set(run.round, value);
    }
    return values;
  }

  /** Of the process with background flush; the other one is the same start once more. */
  #startValues(system: SystemKey, figureName: string): Values {
    const read = startFigures.find(([figure]) => figure.name === figureName)?.[1];
    const values = new Map<number, number>();
    for (const start of this.#rounds.starts) {
      if (start.system !== system || values.has(start.round)) continue;
      const value = read?.(start.figures);
      if (value !== null && value !== undefined) values.set(start.round, value);
    }
    return values;
  }
}

/** Of the rounds that both have. */
export function ratiosOf(own: Values, theirs: Values, isMoreBetter: boolean): Values {
  const ratios = new Map<number, number>();
  for (const [round, value] of own) {
    const other = theirs.get(round);
    // Nothing is no multiple of anything.
    if (other === undefined || other === 0 || value === 0) continue;
    ratios.set(round, isMoreBetter ? value / other : other / value);
  }
  return ratios;
}

/** Null of nothing. */
export function spreadOf(values: Values): Spread | null {
  const sorted = [...values.values()].sort((left, right) => left - right);
  if (sorted.length === 0) return null;
  const median = medianOf(sorted);
  return {
    median,
    spread: median === 0 ? 0 : ((sorted.at(-1) ?? 0) - sorted[0]) / median,
    count: sorted.length,
  };
}

/** Of a sorted list that is not empty. */
function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
