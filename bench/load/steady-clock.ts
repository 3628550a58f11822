/**
 * One clock for all threads of the generator: milliseconds with fractions, from the machine's
 * monotonic clock. `performance.now()` alone has another zero in each thread.
 */
const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

export function steadyNowMs(): number {
  return performance.now() + offsetMs;
}
