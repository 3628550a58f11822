/**
 * The first bytes of a body whose way is timed: from the intended send, on the generator's clock, or
 * from when it is due, on the wall clock; and which message of the run it is.
 *
 * ```
 * | time in ms, f64 (8) | run (4) | number (4) | filler |
 * ```
 */
import { layout } from '../../src/base/layout.ts';

export const bodyStamp = layout({ timeMs: 'f64', runId: 'i32', number: 'i32' });

export function writeStamp(
  target: Buffer,
  at: number,
  timeMs: number,
  runId: number,
  number: number,
): void {
  target.writeDoubleBE(timeMs, at + bodyStamp.timeMs);
  target.writeInt32BE(runId, at + bodyStamp.runId);
  target.writeInt32BE(number, at + bodyStamp.number);
}
