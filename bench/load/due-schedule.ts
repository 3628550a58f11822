/**
 * When each timed message of a run is due: spread over a span, and not in the order in which they are
 * sent.
 */

export interface DuePlan {
  /** Wall clock. */
  readonly fromMs: number;
  readonly spanMs: number;
  /** `even`: any thousand messages in a row are spread as evenly as all of them; `random`: by chance. */
  readonly order: 'even' | 'random';
  readonly messageCount: number;
}

/** Fractional part of the golden ratio: its multiples, modulo 1, lie as far apart as any can. */
const GOLDEN = 0.618_033_988_749_895;

/** Due time of message `number` of the run, a whole millisecond. */
export function dueMsOf(plan: DuePlan, number: number): number {
  const share = plan.order === 'even' ? (number * GOLDEN) % 1 : chanceOf(number);
  return Math.floor(plan.fromMs + share * plan.spanMs);
}

/** Finalizer of murmur3, 0 to 1: the same for the same number. */
function chanceOf(number: number): number {
  let mixed = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 0x1_0000_0000;
}
