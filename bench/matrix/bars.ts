/**
 * What Millrace is held to: ratios of figures of one run, and two figures by themselves.
 */
import {
  cpu,
  type Figure,
  type FigureTable,
  rate,
  ratiosOf,
  runFigures,
  spreadOf,
  START_ROW,
  startFigures,
  type Values,
} from './figures.ts';
import type { SystemKey } from './systems.ts';

export interface Bar {
  readonly what: string;
  /** What must hold for the median of the rounds. */
  readonly limit: { readonly kind: 'at least' | 'at most'; readonly value: number };
  readonly unit: string;
  readonly values: (table: FigureTable) => Values;
}

export interface Verdict {
  readonly what: string;
  readonly limit: string;
  /** Median of the rounds; null where it was not measured. */
  readonly value: number | null;
  readonly text: string;
  readonly verdict: 'passed' | 'missed' | 'not measured';
}

const names: Partial<Record<SystemKey, string>> = {
  apache: "Apache's",
  nats: "NATS's",
  redis: "Redis's",
};

function figureCalled(name: string): Figure {
  const all = [...runFigures.map(([figure]) => figure), ...startFigures.map(([figure]) => figure)];
  const found = all.find((figure) => figure.name === name);
  if (found === undefined) throw new Error(`no figure is called ${name}`);
  return found;
}

/** Millrace is at least `times` better than another system. */
function better(workload: string, figure: Figure, other: SystemKey, times: number): Bar {
  const value = figure.isMoreBetter ? times : 1 / times;
  return {
    what: `${workload}: ${figure.name} of ${names[other] ?? other}`,
    limit: { kind: figure.isMoreBetter ? 'at least' : 'at most', value },
    unit: ' x',
    values: (table) =>
      ratiosOf(
        table.values('millrace', workload, figure.name),
        table.values(other, workload, figure.name),
        true,
      ),
  };
}

/** The rate of one workload is within `times` of another's. */
function within(workload: string, few: string, times: number): Bar {
  return {
    what: `${workload}: rate of that of ${few}`,
    limit: { kind: 'at least', value: 1 / times },
    unit: ' x',
    values: (table) =>
      ratiosOf(
        table.values('millrace', workload, rate.name),
        table.values('millrace', few, rate.name),
        true,
      ),
  };
}

function atMost(figure: Figure, value: number, unit: string): Bar {
  return {
    what: `start: ${figure.name}`,
    limit: { kind: 'at most', value },
    unit,
    values: (table) => table.values('millrace', START_ROW, figure.name),
  };
}

const latency = (name: string): Figure => figureCalled(`${name}, ms`);

const syncBars = [16, 128].flatMap((outstanding) => {
  const workload = `sync flush 8x${outstanding}`;
  return [
    better(workload, rate, 'apache', 7),
    better(workload, rate, 'redis', 0.75),
    better(workload, latency('send p99'), 'apache', 6),
  ];
});

const pacedBars = ['send', 'end to end'].flatMap((way) =>
  ['p99', 'p99.9'].map((percentile) =>
    better('paced 20,000/s', latency(`${way} ${percentile}`), 'apache', 10),
  ),
);

const backlog = 'backlog interleaved, 1 consumer';

export const bars: readonly Bar[] = [
  better('send 8x16', rate, 'apache', 8),
  better('send 8x16', cpu, 'apache', 10),
  better('send 8x16', rate, 'nats', 1.5),
  better('send 8x128', rate, 'apache', 8),
  better('send 8x128', rate, 'redis', 1),
  better('send 8x16, 64 KiB', rate, 'apache', 3),
  ...pacedBars,
  better('send 8x1', latency('send p50'), 'apache', 2),
  ...syncBars,
  better(backlog, rate, 'apache', 2),
  better(backlog, cpu, 'apache', 2),
  better(backlog, rate, 'nats', 1),
  within('send 8x16, 50,000 queues', 'send 8x16', 1.3),
  within('send 8x16 beside 10,000 idle', 'send 8x16', 1.3),
  atMost(latency('first send answered after'), 500, ' ms'),
  atMost(figureCalled('memory (RssAnon), MiB'), 110e6 / 2 ** 20, ' MiB'),
];

export function judge(table: FigureTable): Verdict[] {
  return bars.map((bar) => {
    const spread = spreadOf(bar.values(table));
    const show = (value: number): string => `${threeDigits(value)}${bar.unit}`;
    const limit = `${bar.limit.kind} ${show(bar.limit.value)}`;
    if (spread === null)
      return { what: bar.what, limit, value: null, text: '', verdict: 'not measured' };
    const holds =
      bar.limit.kind === 'at least'
        ? spread.median >= bar.limit.value
        : spread.median <= bar.limit.value;
    const verdict = holds ? 'passed' : 'missed';
    return { what: bar.what, limit, value: spread.median, text: show(spread.median), verdict };
  });
}

export function formatVerdicts(verdicts: readonly Verdict[]): string {
  const width = Math.max(...verdicts.map(({ what }) => what.length)) + 2;
  const lines = verdicts.map(
    ({ what, limit, text, verdict }) =>
      `  ${verdict.padEnd(14)}${what.padEnd(width)}${text.padStart(12)}   ${limit}`,
  );
  const missedCount = verdicts.filter(({ verdict }) => verdict === 'missed').length;
  const passedCount = verdicts.filter(({ verdict }) => verdict === 'passed').length;
  return [...lines, `${passedCount} passed, ${missedCount} missed`].join('\n');
}

function threeDigits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
