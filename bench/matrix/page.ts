/**
 * The page of a run: bars, table, and latency by percentile of each workload. One file that loads
 * nothing.
 */
import { curvePercentiles, type LatencySummary } from '../load/latency.ts';
import type { LoadResult } from '../load/load-result.ts';
import type { Verdict } from './bars.ts';
import type { FigureTable } from './figures.ts';
import { type Machine, machineText } from './machine.ts';
import { type Axis, escapeText, lineChart } from './plot.ts';
import type { Rounds } from './rounds.ts';
import type { SystemKey } from './systems.ts';
import { type Column, ratioText, spreadText, type TableRow } from './table.ts';

const colors: Readonly<Record<SystemKey, string>> = {
  millrace: '#0b6e4f',
  pipelined: '#7bc8a4',
  apache: '#c8553d',
  nats: '#2e6fb7',
  redis: '#8e5ba6',
};

export const style = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #1d2b26; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .6rem; border-bottom: 1px solid #e2e8e5; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.row th { background: #eef3f1; } .passed { color: #0b6e4f; } .missed { color: #b3261e; font-weight: 600; }
.ratio, .mark { color: #5d6f68; } .mark { font-weight: 400; font-size: 13px; }
figure { display: inline-block; width: 580px; margin: 0 0 1rem; vertical-align: top; }
svg { width: 100%; } svg text { font-size: 11px; fill: #44544e; } svg .grid { stroke: #dfe6e3; }
`;

export interface PageOptions {
  readonly machine: Machine;
  readonly columns: readonly Column[];
  readonly rounds: Rounds;
  readonly rows: readonly TableRow[];
  readonly verdicts: readonly Verdict[];
  readonly table: FigureTable;
  readonly marksOf: (workload: string) => readonly string[];
}

export function pageOf(options: PageOptions): string {
  return document(
    'Millrace beside other brokers',
    [
      `<h1>Millrace beside other brokers</h1><p>${escapeText(machineText(options.machine))}; ${options.rounds.roundCount} rounds; medians, and half of the distance between the best and the worst round. A ratio is of two runs of the same round, above 1 where Millrace is better.</p>`,
      '<h2>Bars</h2>',
      verdictTable(options.verdicts),
      '<h2>Latency by percentile</h2>',
      ...charts(options),
      '<h2>Figures</h2>',
      figureTable(options),
    ].join('\n'),
  );
}

export function document(title: string, body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escapeText(title)}</title><style>${style}</style>\n${body}\n</html>\n`;
}

function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(
    ({ what, limit, text, verdict }) =>
      `<tr><td>${escapeText(what)}</td><td>${escapeText(text)}</td><td>${escapeText(limit)}</td><td class="${verdict}">${verdict}</td></tr>`,
  );
  return `<table><tr><th>what</th><th>median</th><th>bar</th><th></th></tr>${rows.join('')}</table>`;
}

/** The axis of an HDR plot: each step to the right is a tenth of what is left above. */
const percentileAxis: Axis = {
  isLog: true,
  label: 'percentile',
  ticks: [
    [1, '0'],
    [10, '90'],
    [100, '99'],
    [1000, '99.9'],
    [10_000, '99.99'],
    [100_000, '99.999'],
  ],
};

function charts({ rows, columns, table }: PageOptions): string[] {
  const ways: [string, (result: LoadResult) => LatencySummary | null][] = [
    ['send', (result) => result.sendLatency],
    ['end to end', (result) => result.endToEndLatency],
  ];
  return [...new Set(rows.map(({ workload }) => workload))].flatMap((workload) =>
    ways.flatMap(([way, of]) => {
      const lines = columns.map(({ key, name }) => ({
        name,
        color: colors[key],
        points: table
          .curve(key, workload, of)
          .map((ms, index) => [1 / (1 - curvePercentiles[index] / 100), ms] as const),
      }));
      const drawn = lines.filter(({ points }) => points.length > 0);
      if (drawn.length === 0) return [];
      const svg = lineChart(drawn, percentileAxis, { isLog: true, label: 'ms' });
      return `<figure><figcaption>${escapeText(workload)}, ${way}</figcaption>${svg}</figure>`;
    }),
  );
}

function figureTable({ rows, columns, marksOf }: PageOptions): string {
  const head = columns.map(({ name }) => `<th>${escapeText(name)}</th>`).join('');
  const lines: string[] = [`<tr><th></th>${head}</tr>`];
  let workload = '';
  for (const row of rows) {
    if (row.workload !== workload) {
      workload = row.workload;
      const marks = marksOf(workload).join('; ');
      lines.push(
        `<tr class="row"><th colspan="${columns.length + 1}">${escapeText(workload)} <span class="mark">${escapeText(marks)}</span></th></tr>`,
      );
    }
    const cells = columns.map(({ key }) => {
      const cell = row.cells[key];
      if (cell === undefined) return '<td></td>';
      const ratio =
        cell.ratio === null ? '' : ` <span class="ratio">${ratioText(cell.ratio)}</span>`;
      return `<td>${row.format(cell.value.median)}${spreadText(cell.value)}${ratio}</td>`;
    });
    lines.push(`<tr><td>${escapeText(row.figure)}</td>${cells.join('')}</tr>`);
  }
  return `<table>${lines.join('\n')}</table>`;
}
