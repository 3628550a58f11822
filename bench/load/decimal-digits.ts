/**
 * Whole numbers as decimal digits in bytes, without a string.
 */
const ZERO = 0x30;

/** Exactly `digits` digits, with zeros in front; `value` has no more. */
export function digitsInto(target: Buffer, value: number, start: number, digits: number): void {
  let rest = value;
  for (let at = start + digits - 1; at >= start; at--) {
    const tenth = Math.floor(rest / 10);
    target[at] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
}

/** The number that [start, end) spells; all of it must be digits. */
export function digitsAt(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9)
      throw new Error(`${bytes.toString('latin1', start, end).slice(0, 40)} is no number`);
    value = 10 * value + digit;
  }
  return value;
}
