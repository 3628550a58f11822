/**
 * @agent reactor
 *
 * Writes answers to sends that went well, in JSON, as WebAssembly (`assembly/kernel.ts`): constant bytes with
 * digits in between, sixteen bytes a step.
 */
import { kernelLayout } from './kernel-code.ts';
import { instantiate, type KernelMemory } from './kernel-memory.ts';

const { ANSWER_PART_COUNT, ANSWER_PARTS_BYTES, ANSWER_PARTS, ANSWER_PART_PLACE } = kernelLayout;
const { ANSWERS, ANSWERS_BYTES } = kernelLayout;

/** Bytes of a state, in whole pages. */
export const ANSWER_STATE_BYTES = Math.ceil(kernelLayout.ANSWER_STATE_BYTES / 4096) * 4096;
/** Longest answer: its parts and four numbers. */
const ANSWER_BYTES_MAX = ANSWER_PART_COUNT * ANSWER_PART_PLACE + 100;

type WriteAnswer = (
  state: number,
  offset: number,
  opaque: number,
  queueId: number,
  queueOffset: number,
  physicalOffset: number,
) => number;

export class AnswerKernel {
  /** What was written: `answers[0, bytes)`. */
  readonly answers: Buffer;
  /** To be set to 0 once they have gone. */
  bytes = 0;
  readonly #state: number;
  readonly #writeAnswer: WriteAnswer;

  /**
   * `parts`: what stands before the hex digits of the message's id, the queue's id, the queue's offset and
   * the opaque, and behind that.
   * @throws RangeError where a part has no room
   */
  constructor(memory: KernelMemory, stateOffset: number, parts: readonly Uint8Array[]) {
    this.#state = stateOffset;
    this.#writeAnswer = instantiate(memory)['writeAnswer'] as WriteAnswer;
    this.answers = Buffer.from(memory.buffer, stateOffset + ANSWERS, ANSWERS_BYTES);
    const state = new Uint8Array(memory.buffer, stateOffset, ANSWERS);
    const lengths = new Int32Array(memory.buffer, stateOffset + ANSWER_PARTS_BYTES, parts.length);
    if (parts.length !== ANSWER_PART_COUNT) throw new RangeError('an answer has other parts');
    for (const [index, part] of parts.entries()) {
      if (part.length > ANSWER_PART_PLACE) throw new RangeError('a part of answers is too long');
      lengths[index] = part.length;
      state.set(part, ANSWER_PARTS + index * ANSWER_PART_PLACE);
    }
  }

  /** What is there has to go before another is written. */
  get isFull(): boolean {
    return this.bytes + ANSWER_BYTES_MAX > ANSWERS_BYTES;
  }

  /** Writes a whole frame behind those that are there. */
  write(opaque: number, queueId: number, queueOffset: number, physicalOffset: number): void {
    this.bytes = this.#writeAnswer(
      this.#state,
      this.bytes,
      opaque,
      queueId,
      queueOffset,
      physicalOffset,
    );
  }
}
