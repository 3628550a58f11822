/**
 * One clock for all threads of the generator: milliseconds with fractions, from the machine's
 * monotonic clock. `performance.now()` alone has another zero in each thread.
 */
let offsetMs = -Infinity;
// A thread that is set aside between the two readings sees too little: of several the largest is right.
for (let attempt = 0; attempt < 20; attempt++)
  offsetMs = Math.max(offsetMs, Number(process.hrtime.bigint()) / 1e6 - performance.now());

export function steadyNowMs(): number {
  return performance.now() + offsetMs;
}
