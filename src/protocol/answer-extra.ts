/**
 * @agent any
 *
 * The one field that some answers to sends have beyond those that all have. It travels with the record as
 * bytes: the place of its name in `extraFieldNames`, then its value in UTF-8.
 *
 * Source: SendMessageResponseHeader.java, RecallMessageResponseHeader.java.
 */

export const extraFieldNames = ['transactionId', 'recallHandle', 'msgId'] as const;

export type AnswerExtra = readonly [name: (typeof extraFieldNames)[number], value: string];

/** Longest, as it travels. */
export const EXTRA_BYTES_MAX = 1024;

/** Writes one as it travels; returns the bytes, 0 where it is too long: an answer can do without. */
export function writeExtra(target: Buffer, at: number, [name, value]: AnswerExtra): number {
  if (1 + Buffer.byteLength(value) > EXTRA_BYTES_MAX) return 0;
  target[at] = extraFieldNames.indexOf(name);
  return 1 + target.write(value, at + 1);
}
