/** The kernel writes the answers that the encoder writes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ANSWER_STATE_BYTES, AnswerKernel } from '../../src/kernel/answer-kernel.ts';
import { allocateKernelMemory, type KernelMemory } from '../../src/kernel/kernel-memory.ts';
import { encodeHost } from '../../src/protocol/record-encoder.ts';
import { AnswerEncoder, emptySendAnswer } from '../../src/reactor/answer-encoder.ts';

test.each([
  ['IPv4', encodeHost('10.0.0.1', 10_911)],
  ['IPv6', encodeHost('2001:db8::1', 10_911)],
])('it writes what the encoder writes, for a broker with %s', (_name, storeHost) => {
  const encoder = new AnswerEncoder(storeHost, 'DefaultRegion', true);
  const memory = allocateKernelMemory(ANSWER_STATE_BYTES) as KernelMemory;
  const kernel = new AnswerKernel(memory, 0, encoder.plainParts);
  const expected = Buffer.alloc(1000);
  const offset = fc.oneof(
    fc.constantFrom(0, 9, 10, 99, 100, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER),
    fc.maxSafeNat(),
  );
  fc.assert(
    fc.property(
      fc.integer(),
      fc.nat(70_000),
      offset,
      offset,
      (opaque, queueId, queueOffset, at) => {
        const answer = emptySendAnswer();
        Object.assign(answer, {
          opaque,
          queueId,
          queueOffset,
          offsets: Float64Array.of(at),
          count: 1,
        });
        const end = encoder.writeSend(expected, 0, answer);
        if (kernel.isFull) kernel.bytes = 0;
        const start = kernel.bytes;
        kernel.write(opaque, queueId, queueOffset, at);
        const written = kernel.answers.toString('latin1', start, kernel.bytes);
        expect(written).toBe(expected.toString('latin1', 0, end));
      },
    ),
    { numRuns: 3000 },
  );
});

test('a region that has no room is refused', () => {
  const encoder = new AnswerEncoder(encodeHost('10.0.0.1', 1), 'r'.repeat(600), true);
  const memory = allocateKernelMemory(ANSWER_STATE_BYTES) as KernelMemory;
  expect(() => new AnswerKernel(memory, 0, encoder.plainParts)).toThrow(RangeError);
});
