/**
 * @agent any
 *
 * A search among what ascends.
 */

/** The first index below `count` for which `isAtOrPast` holds, given that it holds from there on; else `count`. */
export function binarySearch(count: number, isAtOrPast: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (isAtOrPast(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
