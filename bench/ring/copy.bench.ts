/**
 * Question: what does a copy between two places of shared memory cost, by `Buffer.copy`, a call into C++, and by the
 * copy kernel, a call into WebAssembly?
 * Machine: any; compare the rows of one run.
 * Command: node bench/ring/copy.bench.ts
 */
import { Bench } from 'tinybench';
import { CopyKernel } from '../../src/kernel/copy-kernel.ts';
import { allocateKernelMemory, type KernelMemory } from '../../src/kernel/kernel-memory.ts';

const SPACE_BYTES = 256 * 1024;
/** Copies in a run, to places one behind another. */
const COPIES = 200;

const memory = allocateKernelMemory(2 * SPACE_BYTES) as KernelMemory;
const kernel = new CopyKernel(memory, 0, SPACE_BYTES);
const target = Buffer.from(memory.buffer, SPACE_BYTES, SPACE_BYTES);
const source = kernel.space;
const bench = new Bench({ time: 300 });

for (const bytes of [64, 350, 1024, 4096, 16_384, 32_768]) {
  const places = Math.floor((SPACE_BYTES - bytes) / bytes);
  // Unaligned, as frames in a stream are.
  const at = (index: number): number => (index % places) * bytes + (index & 7);
  bench.add(`${COPIES} of ${bytes} B, Buffer.copy`, () => {
    for (let index = 0; index < COPIES; index++)
      source.copy(target, at(index) & ~7, at(index), at(index) + bytes);
  });
  bench.add(`${COPIES} of ${bytes} B, kernel`, () => {
    for (let index = 0; index < COPIES; index++)
      kernel.copy(target, at(index) & ~7, source, at(index), at(index) + bytes);
  });
}
await bench.run();
console.table(
  bench.tasks.map(({ name, result }) => ({
    name,
    'ns a copy':
      result.state === 'completed'
        ? ((result.latency.mean * 1e6) / COPIES).toFixed(1)
        : result.state,
  })),
);
