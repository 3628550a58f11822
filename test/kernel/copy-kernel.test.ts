/** The kernel copies what it is asked to, and nothing else changes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CopyKernel } from '../../src/kernel/copy-kernel.ts';
import { allocateKernelMemory, type KernelMemory } from '../../src/kernel/kernel-memory.ts';

const SPACE_BYTES = 16 * 1024;

test('it copies to the byte, either way', () => {
  const memory = allocateKernelMemory(2 * SPACE_BYTES) as KernelMemory;
  const kernel = new CopyKernel(memory, SPACE_BYTES, SPACE_BYTES);
  const ring = Buffer.from(memory.buffer, 0, SPACE_BYTES);
  expect(kernel.space.length).toBe(SPACE_BYTES);
  for (let at = 0; at < SPACE_BYTES; at++) {
    ring[at] = at % 251;
    kernel.space[at] = 255 - (at % 241);
  }
  const length = fc.oneof(fc.nat(40), fc.nat(5000));
  fc.assert(
    fc.property(length, fc.nat(8000), fc.nat(8000), fc.boolean(), (bytes, from, at, isToRing) => {
      const [source, target] = isToRing ? [kernel.space, ring] : [ring, kernel.space];
      const sourceBefore = Buffer.from(source);
      const expected = Buffer.from(target);
      sourceBefore.copy(expected, at, from, from + bytes);
      kernel.copy(target, at, source, from, from + bytes);
      expect(target.equals(expected)).toBe(true);
      expect(source.equals(sourceBefore)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});
