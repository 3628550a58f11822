/**
 * @agent any
 *
 * Byte layouts, computed once by accumulation: a structure is a list of named fields, each with
 * its size, and every offset follows from the ones before it. No literal offset stands elsewhere.
 */

export type FieldType = 'i8' | 'u8' | 'i16' | 'i32' | 'i64' | 'f64';

const typeBytes: Record<FieldType, number> = { i8: 1, u8: 1, i16: 2, i32: 4, i64: 8, f64: 8 };

/** A field's type, or a count of raw bytes. */
export type FieldSpec = FieldType | number;

export type Layout<Fields extends Record<string, FieldSpec>> = {
  readonly [Name in keyof Fields]: number;
} & { readonly totalBytes: number };

/**
 * Offsets of the fields, in the order given, without padding; `totalBytes` is their sum.
 * `expectedBytes` asserts the total, so that a slip in a table fails at load.
 */
export function layout<const Fields extends Record<string, FieldSpec>>(
  fields: Fields,
  expectedBytes?: number,
): Layout<Fields> {
  const offsets: Record<string, number> = {};
  let offset = 0;
  for (const [name, spec] of Object.entries(fields)) {
    offsets[name] = offset;
    offset += typeof spec === 'number' ? spec : typeBytes[spec];
  }
  if (expectedBytes !== undefined && expectedBytes !== offset) {
    throw new Error(
      `layout is ${offset} bytes, not ${expectedBytes}: ${Object.keys(fields).join(' ')}`,
    );
  }
  offsets['totalBytes'] = offset;
  return Object.freeze(offsets) as Layout<Fields>;
}
