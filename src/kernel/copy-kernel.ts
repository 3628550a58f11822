/**
 * @agent reactor, writer
 *
 * Copies of some hundred bytes, as WebAssembly (`assembly/kernel.ts`): a third of what `Buffer.copy` costs, a call into
 * C++ (`bench/ring/copy.bench.ts`). Both ends are in the memory that WebAssembly sees: rings, and a space of the
 * agent's own.
 */
import { instantiate, type KernelMemory } from './kernel-memory.ts';

/** Longer ones are for `Buffer.copy`, whose steps are larger. */
const BYTES_MAX = 4096;

type CopyExactly = (target: number, source: number, bytes: number) => void;

export class CopyKernel {
  /** Of the agent; what is copied comes from it, or goes to it. */
  readonly space: Buffer;
  readonly #copyExactly: CopyExactly;

  /** The space are `spaceBytes` of memory from `spaceOffset` on. */
  constructor(memory: KernelMemory, spaceOffset: number, spaceBytes: number) {
    this.#copyExactly = instantiate(memory)['copyExactly'] as CopyExactly;
    this.space = Buffer.from(memory.buffer, spaceOffset, spaceBytes);
  }

  /** Copies `source[from, to)` to `target` at `at`: buffers of the memory, and of no other. */
  copy(target: Buffer, at: number, source: Buffer, from: number, to: number): void {
    const bytes = to - from;
    if (bytes > BYTES_MAX) source.copy(target, at, from, to);
    else this.#copyExactly(target.byteOffset + at, source.byteOffset + from, bytes);
  }
}
