/**
 * Medians, spreads and ratios of a comparison, as rows and as text.
 */
import type { Sitting } from './comparison.ts';
import type { LatencySummary } from './latency.ts';
import type { LoadResult } from './load-result.ts';
import { count, milliseconds } from './report.ts';

const MIB = 1024 * 1024;

export interface Figure {
  readonly median: number;
  /** (largest - smallest) / median over the pairs. */
  readonly spread: number;
  readonly runCount: number;
  /** Marks of the runs behind it, each once. */
  readonly marks: readonly string[];
}

export interface TableRow {
  readonly workload: string;
  readonly figure: string;
  /** By contender; null where no run gave it. */
  readonly values: Readonly<Record<string, Figure | null>>;
  /** Second contender against the first, above 1 where the second is better. */
  readonly betterBy: number | null;
}

interface FigureSpec {
  readonly name: string;
  readonly isMoreBetter: boolean;
  readonly format: (value: number) => string;
}

const rate: FigureSpec = { name: 'msg/s', isMoreBetter: true, format: count };
const cpu: FigureSpec = {
  name: 'broker CPU us/msg',
  isMoreBetter: false,
  format: (value) => value.toFixed(2),
};
const memory: FigureSpec = {
  name: 'broker RssAnon MiB',
  isMoreBetter: false,
  format: (value) => count(value),
};
const duration = (name: string): FigureSpec => ({
  name: `${name} ms`,
  isMoreBetter: false,
  format: milliseconds,
});

const number = (name: string): FigureSpec => ({ name, isMoreBetter: false, format: count });

/** Messages that wait at the broker are the ones that it may lose sight of. */
function isWaiting(result: LoadResult): boolean {
  return result.timed !== null || result.transactions !== null;
}

type Reader = (result: LoadResult) => number | null | undefined;

function latencyFigures(
  prefix: string,
  of: (result: LoadResult) => LatencySummary | null,
): [FigureSpec, Reader][] {
  return [
    [duration(`${prefix} p50`), (result) => of(result)?.p50Ms],
    [duration(`${prefix} p99`), (result) => of(result)?.p99Ms],
    [duration(`${prefix} p99.9`), (result) => of(result)?.p999Ms],
  ];
}

const workloadFigures: readonly [FigureSpec, Reader][] = [
  [rate, (result) => (result.transactions === null ? result.ratePerSecond : null)],
  [
    { ...rate, name: 'transactions/s' },
    (result) => (result.transactions === null ? null : result.ratePerSecond),
  ],
  ...latencyFigures('send', (result) => result.sendLatency),
  ...latencyFigures('end-to-end', (result) => result.endToEndLatency),
  ...latencyFigures('transaction', (result) => result.transactions?.latency ?? null),
  [cpu, (result) => (result.transactions === null ? result.brokerCpuUsPerMessage : null)],
  [
    { ...cpu, name: 'broker CPU us each' },
    (result) => (result.transactions === null ? null : result.brokerCpuUsPerMessage),
  ],
  [duration('late p50'), (result) => result.timed?.lateness?.p50Ms],
  [duration('late p99'), (result) => result.timed?.lateness?.p99Ms],
  [duration('late at most'), (result) => result.timed?.lateness?.maxMs],
  [{ ...cpu, name: 'CPU us/delivery' }, (result) => result.timed?.brokerCpuUsPerMessage],
  [number('early'), (result) => result.timed?.earlyCount],
  [number('twice'), (result) => result.timed?.duplicateCount],
  [number('lost'), (result) => (isWaiting(result) ? result.lostCount : null)],
  [
    { ...memory, name: 'RssAnon grows MiB' },
    ({ memory: of }) => of && (of.peakRssAnonBytes - of.beforeRssAnonBytes) / MIB,
  ],
  [
    { ...memory, name: 'resident grows MiB' },
    ({ memory: of }) => of && (of.peakRssBytes - of.beforeRssBytes) / MIB,
  ],
  [
    memory,
    (result) => (result.brokerRssAnonBytes === null ? null : result.brokerRssAnonBytes / MIB),
  ],
];

const startFigures: readonly [FigureSpec, (start: NonNullable<Sitting['start']>) => number][] = [
  [duration('accepting after'), (start) => start.acceptMs],
  [duration('first send after'), (start) => start.firstSendMs],
  [{ ...memory, name: 'all RssAnon MiB' }, (start) => start.idleRssAnonBytes / MIB],
];

const formats = new Map(
  [...workloadFigures, ...startFigures].map(([spec]) => [spec.name, spec.format]),
);

export function tableOf(
  sittings: readonly Sitting[],
  contenders: readonly string[],
  workloadNames: readonly string[],
): TableRow[] {
  const rows: TableRow[] = startFigures.map(([spec, read]) =>
    rowOf('start', spec, contenders, (contender) =>
      sittings
        // The start of a broker with sync flush is the same thing once more.
        .filter((sitting) => sitting.contender === contender)
        .flatMap(({ start }) => (start === null ? [] : [{ value: read(start), marks: [] }])),
    ),
  );
  for (const workload of workloadNames) {
    for (const [spec, read] of workloadFigures) {
      const row = rowOf(workload, spec, contenders, (contender) =>
        sittings
          .filter((sitting) => sitting.contender === contender)
          .flatMap((sitting) => {
            const result = sitting.results[workload];
            const value = result === undefined ? undefined : read(result);
            return result === undefined || value === undefined || value === null
              ? []
              : [{ value, marks: result.marks }];
          }),
      );
      if (Object.values(row.values).some((figure) => figure !== null)) rows.push(row);
    }
  }
  return rows;
}

function rowOf(
  workload: string,
  spec: FigureSpec,
  contenders: readonly string[],
  runsOf: (contender: string) => readonly { value: number; marks: readonly string[] }[],
): TableRow {
  const values: Record<string, Figure | null> = {};
  for (const contender of contenders) {
    const runs = runsOf(contender);
    const sorted = runs.map((run) => run.value).sort((left, right) => left - right);
    values[contender] =
      sorted.length === 0
        ? null
        : {
            median: medianOf(sorted),
            spread: ((sorted.at(-1) ?? 0) - sorted[0]) / medianOf(sorted),
            runCount: sorted.length,
            marks: [...new Set(runs.flatMap((run) => run.marks))],
          };
  }
  const [first, second] = contenders.map((contender) => values[contender]?.median);
  // Nothing is no multiple of anything.
  const hasRatio = (first ?? 0) !== 0 && (second ?? 0) !== 0;
  const ratio = hasRatio ? (second ?? 0) / (first ?? 0) : null;
  const betterBy = ratio === null || spec.isMoreBetter ? ratio : 1 / ratio;
  return { workload, figure: spec.name, values, betterBy };
}

/** Of a sorted list that is not empty. */
function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function formatTable(rows: readonly TableRow[], contenders: readonly string[]): string {
  const nameWidth = Math.max(...rows.map((row) => row.figure.length)) + 2;
  const columnWidth = Math.max(20, ...contenders.map((name) => name.length)) + 2;
  const second = contenders[1];
  const lines = [
    ''.padEnd(nameWidth) +
      contenders.map((name) => name.padStart(columnWidth)).join('') +
      (second === undefined ? '' : `  ${second} better by`),
  ];
  let workload = '';
  for (const row of rows) {
    if (row.workload !== workload) {
      workload = row.workload;
      const marks = contenders.flatMap((name) =>
        (row.values[name]?.marks ?? []).map((mark) => `${name}: ${mark}`),
      );
      lines.push('', marks.length === 0 ? workload : `${workload}   (${marks.join('; ')})`);
    }
    const format = formats.get(row.figure) ?? String;
    const cells = contenders.map((name) => cell(row.values[name] ?? null, format));
    const ratio = row.betterBy === null ? '' : `  ${row.betterBy.toFixed(2)} x`;
    lines.push(
      `  ${row.figure}`.padEnd(nameWidth) +
        cells.map((text) => text.padStart(columnWidth)).join('') +
        ratio,
    );
  }
  return lines.join('\n');
}

function cell(figure: Figure | null, format: (value: number) => string): string {
  if (figure === null) return '-';
  const spread = figure.runCount < 2 ? '' : ` ±${Math.round(50 * figure.spread)} %`;
  return `${format(figure.median)}${spread.padStart(7)}`;
}
