/**
 * The first bytes of a body whose way is timed from the intended send to the receipt.
 *
 * ```
 * | intended send time, f64 (8) | run (4) | filler |
 * ```
 */
import { layout } from '../../src/base/layout.ts';

export const bodyStamp = layout({ intendedMs: 'f64', runId: 'i32' });

export function writeStamp(target: Buffer, at: number, intendedMs: number, runId: number): void {
  target.writeDoubleBE(intendedMs, at + bodyStamp.intendedMs);
  target.writeInt32BE(runId, at + bodyStamp.runId);
}
