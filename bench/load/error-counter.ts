/**
 * Answers with a code other than 0, counted by code, with the remark of the first of each.
 */
import { decodeFrame } from '../../src/protocol/remoting-command.ts';
import type { AnswerReader } from './answer-reader.ts';
import type { ErrorCount } from './load-options.ts';

export class ErrorCounter {
  totalCount = 0;
  readonly #byCode = new Map<number, { code: number; count: number; remark: string }>();

  add(answer: AnswerReader): void {
    this.addCode(answer.code, () => {
      const frame = decodeFrame(answer.bytes.subarray(answer.frameStart, answer.frameEnd));
      return frame.remark ?? '';
    });
  }

  /** @param remark asked for only the first time */
  addCode(code: number, remark: () => string): void {
    this.totalCount++;
    const known = this.#byCode.get(code);
    if (known === undefined) this.#byCode.set(code, { code, count: 1, remark: remark() });
    else known.count++;
  }

  list(): ErrorCount[] {
    return [...this.#byCode.values()];
  }
}

/** The same errors over several threads. */
export function mergeErrors(lists: readonly (readonly ErrorCount[])[]): ErrorCount[] {
  const merged = new Map<number, ErrorCount>();
  for (const error of lists.flat()) {
    const known = merged.get(error.code);
    merged.set(
      error.code,
      known === undefined ? error : { ...known, count: known.count + error.count },
    );
  }
  return [...merged.values()].sort((left, right) => right.count - left.count);
}
