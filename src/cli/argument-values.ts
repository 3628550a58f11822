/**
 * @agent any
 *
 * What people write after flags, as values: durations, times, sizes, counts, names with values. Each
 * parser says what may stand there; commander names the flag before it and ends with a usage error.
 */
import { InvalidArgumentError } from 'commander';

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
};

/** `500ms`, `10s`, `1h30m`: milliseconds. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const isWhole = parts.map(([part]) => part).join('') === text && parts.length > 0;
  if (!isWhole)
    throw new InvalidArgumentError(
      'It is a duration with its unit, such as 500ms, 10s, 30m, 1h30m or 2d.',
    );
  const ms = parts.reduce(
    (sum, [, count = '', unit = '']) => sum + Number(count) * (durationUnits[unit] ?? 0),
    0,
  );
  return Math.round(ms);
}

/** Above 0. */
export function parsePositiveDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms > 0) return ms;
  throw new InvalidArgumentError('It must be above 0.');
}

/** `2026-11-28T04:00:00Z`, milliseconds since the epoch, `now`, or `-10m` for ten minutes ago. */
export function parseTime(text: string): Date {
  const nowMs = Date.now();
  if (text === 'now') return new Date(nowMs);
  const [, sign, duration] = /^([-+])(\d.*)$/.exec(text) ?? [];
  if (duration !== undefined)
    return new Date(nowMs + (sign === '-' ? -1 : 1) * parseDuration(duration));
  if (/^\d{12,14}$/.test(text)) return new Date(Number(text));
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? new Date(text) : new Date(Number.NaN);
  if (!Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError(
    'It is a time such as 2026-11-28T04:00:00Z, milliseconds since 1970, now, or -10m for ten minutes ago.',
  );
}

/** `first`, `last`, or a time. */
export function parseFrom(text: string): 'first' | 'last' | Date {
  if (text === 'first' || text === 'last') return text;
  try {
    return parseTime(text);
  } catch {
    throw new InvalidArgumentError(
      'It is first, last, or a time such as 2026-11-28T04:00:00Z, or -10m for ten minutes ago.',
    );
  }
}

/** `512`, `4k`, `1m`: bytes. */
export function parseSize(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})([a-z]{0,2})$/i.exec(text) ?? [];
  const factor = sizeUnits[unit.toLowerCase()];
  if (count === undefined || factor === undefined)
    throw new InvalidArgumentError('It is a number of bytes, such as 512, 4k or 1m.');
  return Number(count) * factor;
}

/** A whole number from `least` on. */
export function parseCount(
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  return (text) => {
    const count = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (count >= least && count <= most) return count;
    const end = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`It is a whole number ${end}.`);
  };
}

/** `name=value`, given as often as needed. */
export function parseNamed(
  text: string,
  known: Readonly<Record<string, string>> | undefined,
): Record<string, string> {
  const equals = text.indexOf('=');
  if (equals <= 0) throw new InvalidArgumentError('It is name=value.');
  return { ...known, [text.slice(0, equals)]: text.slice(equals + 1) };
}

/** A word, given as often as needed. */
export function parseWords(text: string, known: readonly string[] | undefined): string[] {
  return [...(known ?? []), text];
}
