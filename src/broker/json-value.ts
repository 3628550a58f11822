/**
 * @agent any
 *
 * Reading values of parsed JSON that come from files and from the network: a field of the wrong
 * kind counts as absent, so that a client's odd value can't become an odd state.
 */
export type JsonObject = { readonly [name: string]: unknown };

export function objectOf(value: unknown): JsonObject | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : null;
}

export function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown, absent: string): string {
  return typeof value === 'string' ? value : absent;
}

/** A safe integer, also written as a string of digits, as some clients do. */
export function integerOf(value: unknown, absent: number): number {
  const number = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : absent;
}

export function booleanOf(value: unknown, absent: boolean): boolean {
  if (typeof value === 'boolean') return value;
  return typeof value === 'string' ? value.toLowerCase() === 'true' : absent;
}
