/**
 * @agent dispatcher
 *
 * A TAG subscription, ready to be compared with the tagsCode of ConsumeQueue units. A tagsCode is
 * the int32 hash of the message's tag, sign-extended to 64 bits; only its low half counts. Equal
 * hashes of unequal tags pass: clients compare the tag itself.
 *
 * Source: FilterAPI.java, DefaultMessageFilter.java.
 */
import { javaTextHash } from '../protocol/java-string-hash.ts';

export interface TagFilter {
  /** Every message passes, whatever its tag. */
  readonly matchesAll: boolean;
  /** Takes the two int32 halves of a tagsCode. Allocates nothing. */
  matches(tagsHigh: number, tagsLow: number): boolean;
}

/** Up to so many hashes, walking an array is quicker than a Set (a guess). */
const LINEAR_COUNT_MAX = 16;

const allTags: TagFilter = { matchesAll: true, matches: () => true };

/** Compiles `*`, nothing, or tags joined by `||`. An expression without any tag matches nothing. */
export function compileTagExpression(expression: string | null | undefined): TagFilter {
  const tags = parseTags(expression);
  if (tags === null) return allTags;
  // As a message has them: what is no UTF-8 stands there as U+FFFD.
  const hashes = new Set(tags.map((tag) => javaTextHash(tag.toWellFormed())));
  if (hashes.size > LINEAR_COUNT_MAX) {
    return { matchesAll: false, matches: (_high, low) => hashes.has(low) };
  }
  const list = Int32Array.from(hashes);
  return { matchesAll: false, matches: (_high, low) => list.includes(low) };
}

/** The distinct tags of an expression; null where it means all. */
export function parseTags(expression: string | null | undefined): string[] | null {
  if (expression === undefined || expression === null) return null;
  if (expression === '' || expression === '*') return null;
  const tags = expression.split('||').map((tag) => tag.trim());
  return [...new Set(tags.filter((tag) => tag !== ''))];
}
