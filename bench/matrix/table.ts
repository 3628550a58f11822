/**
 * The table of a run: for each workload and figure what each system came to, and how much better
 * Millrace is.
 */
import {
  type Figure,
  type FigureTable,
  runFigures,
  type Spread,
  spreadOf,
  START_ROW,
  startFigures,
} from './figures.ts';
import type { SystemKey } from './systems.ts';

export interface Cell {
  readonly value: Spread;
  /** Millrace against this system, above 1 where Millrace is better; null for Millrace itself. */
  readonly ratio: Spread | null;
}

export interface TableRow {
  readonly workload: string;
  readonly figure: string;
  readonly format: (value: number) => string;
  readonly cells: Readonly<Partial<Record<SystemKey, Cell>>>;
}

export interface Column {
  readonly key: SystemKey;
  readonly name: string;
}

export function tableOf(
  table: FigureTable,
  workloads: readonly string[],
  columns: readonly Column[],
): TableRow[] {
  const rowsOf = (workload: string, figures: readonly Figure[]): TableRow[] =>
    figures.flatMap((figure) => {
      const cells: Partial<Record<SystemKey, Cell>> = {};
      for (const { key } of columns) {
        const value = spreadOf(table.values(key, workload, figure.name));
        if (value === null) continue;
        const ratio =
          key === 'millrace' || figure.isOfMachine
            ? null
            : spreadOf(table.ratios('millrace', key, workload, figure));
        cells[key] = { value, ratio };
      }
      const isEmpty = Object.keys(cells).length === 0;
      return isEmpty ? [] : [{ workload, figure: figure.name, format: figure.format, cells }];
    });
  return [
    ...rowsOf(
      START_ROW,
      startFigures.map(([figure]) => figure),
    ),
    ...workloads.flatMap((workload) =>
      rowsOf(
        workload,
        runFigures.map(([figure]) => figure),
      ),
    ),
  ];
}

const FIGURE_WIDTH = 28;
const VALUE_WIDTH = 14;
const RATIO_WIDTH = 15;

/** @param marksOf of a row, all systems */
export function formatTable(
  rows: readonly TableRow[],
  columns: readonly Column[],
  marksOf: (workload: string) => readonly string[],
): string {
  const widthOf = ({ key }: Column): number =>
    key === 'millrace' ? VALUE_WIDTH : VALUE_WIDTH + RATIO_WIDTH;
  const lines = [
    ''.padEnd(FIGURE_WIDTH) +
      columns.map((column) => column.name.padStart(widthOf(column))).join(''),
  ];
  let workload = '';
  for (const row of rows) {
    if (row.workload !== workload) {
      workload = row.workload;
      lines.push('', workload, ...marksOf(workload).map((mark) => `  (${mark})`));
    }
    const cells = columns.map((column) => cellText(row, column).padStart(widthOf(column)));
    lines.push(`  ${row.figure}`.padEnd(FIGURE_WIDTH) + cells.join(''));
  }
  return lines.join('\n');
}

function cellText(row: TableRow, column: Column): string {
  const cell = row.cells[column.key];
  if (cell === undefined) return '';
  const value = `${row.format(cell.value.median)}${spreadText(cell.value)}`;
  if (column.key === 'millrace') return value;
  const ratio = cell.ratio === null ? '' : ratioText(cell.ratio);
  return value + ratio.padStart(RATIO_WIDTH);
}

export function ratioText(ratio: Spread): string {
  const digits = ratio.median < 10 ? 2 : ratio.median < 100 ? 1 : 0;
  return `${ratio.median.toFixed(digits)}x${spreadText(ratio)}`;
}

/** Half of the distance between the best and the worst round. */
export function spreadText({ spread, count }: Spread): string {
  return count < 2 ? '' : ` ±${Math.round(50 * spread)}%`;
}
