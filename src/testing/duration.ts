/**
 * @agent any
 *
 * Lengths of time as people write them: `30m`, `1h30m`, `250ms`.
 */

/** Milliseconds, or numbers with units from days to milliseconds. */
export type Duration = number | string;

const unitMs: Readonly<Record<string, number>> = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/** @throws RangeError for what is none, and for what goes backwards */
export function durationMs(duration: Duration): number {
  const ms = typeof duration === 'number' ? duration : textMs(duration);
  if (ms === null || !Number.isFinite(ms) || ms < 0)
    throw new RangeError(
      `${JSON.stringify(duration)} is no duration: milliseconds, or text such as '30m' or '1h30m' (d, h, m, s, ms)`,
    );
  return ms;
}

function textMs(text: string): number | null {
  if (!/^(\d+(\.\d+)?(ms|d|h|m|s)\s*)+$/.test(text)) return null;
  let ms = 0;
  for (const [, count, unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ms|d|h|m|s)/g))
    ms += Number(count) * unitMs[unit];
  return ms;
}
