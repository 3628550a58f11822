/**
 * @agent any
 *
 * What commands print: aligned tables for people, JSON for programs. A reader that has gone (EPIPE)
 * ends the command quietly. Text from messages can not move the cursor of a terminal.
 */
import { ExitCode } from './command-errors.ts';

export interface Column<Row> {
  readonly title: string;
  /** Numbers stand at the right. */
  readonly align?: 'left' | 'right';
  readonly text: (row: Row) => string | number | null;
}

/**
 * Whoever read this has gone: nothing more to say, and nobody to say it to. What can not be written for
 * another reason, such as a full disk, is a failure.
 */
export function endQuietlyWithoutReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(ExitCode.OK);
      if (stream === process.stdout)
        process.stderr.write(`millrace: the output can not be written: ${error.message}\n`);
      process.exit(ExitCode.FAILED);
    });
  }
}

/** Resolves when the line is taken, so that a slow reader slows the command. */
export async function printLine(line: string): Promise<void> {
  if (process.stdout.write(`${line}\n`)) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
}

export function printJson(value: unknown): Promise<void> {
  return printLine(JSON.stringify(value));
}

/** Lines of a table, each without space at its end. */
export function tableLines<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[] {
  const cells = rows.map((row) => columns.map(({ text }) => plainText(String(text(row) ?? '-'))));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((line) => displayWidth(line[index]))),
  );
  return [columns.map(({ title }) => title), ...cells].map((line) =>
    line
      .map((cell, index) => {
        const space = ' '.repeat(widths[index] - displayWidth(cell));
        return columns[index].align === 'right' ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Columns that a terminal gives a text: Chinese, Japanese, Korean characters and emoji take two. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mark}|\p{Format}/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}

/** Control characters are shown, not obeyed. */
export function plainText(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    const known = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character];
    return known ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

export function timeText(ms: number | null): string {
  return ms === null ? '-' : new Date(ms).toISOString();
}

export function countText(count: number): string {
  return count.toLocaleString('en-US');
}
