import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Connection } from '../../src/reactor/connection.ts';
import { BufferPool } from '../../src/reactor/buffer-pool.ts';
import type { Peer } from '../../src/reactor/peer.ts';

const silentPeer: Peer = {
  remoteAddress: '127.0.0.1',
  remotePort: 1,
  localAddress: '127.0.0.1',
  pendingBytes: 0,
  bytesWritten: 0,
  write: () => true,
  pause: () => {},
  resume: () => {},
  end: () => {},
  destroy: () => {},
};

const connectionOf = (id: number, buffers: BufferPool): Connection =>
  new Connection({
    id,
    listener: 0,
    peer: silentPeer,
    nowMs: 0,
    inputBuffers: buffers,
    outputBuffers: buffers,
  });

describe('input of connections', () => {
  test('is what arrived at each, in whatever parts, though they use the same buffers in turn', () => {
    const step = fc.record({
      connection: fc.nat({ max: 2 }),
      bytes: fc.nat({ max: 20_000 }),
      /** Of all that is there. */
      share: fc.constantFrom(0, 0, 0.4, 1, 1),
      closes: fc.nat({ max: 9 }).map((one) => one === 0),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const buffers = new BufferPool(16 * 1024 * 1024);
        const open = [0, 1, 2].map((id) => connectionOf(id, buffers));
        const expected = open.map(() => Buffer.alloc(0));
        let fill = 1;
        for (const { connection: at, bytes, share, closes } of steps) {
          const connection = open[at];
          const chunk = Buffer.alloc(bytes, fill++);
          connection.addInput(chunk, chunk.length);
          const held = Buffer.concat([expected[at], chunk]);
          const taken = Math.floor(held.length * share);
          connection.inputStart += taken;
          connection.endInput();
          expected[at] = held.subarray(taken);
          if (closes) {
            connection.releaseInput();
            connection.releaseInput();
            expected[at] = Buffer.alloc(0);
          }
          open.forEach(({ input, inputStart, inputEnd }, index) => {
            expect(input.subarray(inputStart, inputEnd).equals(expected[index])).toBe(true);
          });
        }
      }),
    );
  });

  test('goes to buffers that are used again, and no more are kept than a bound', () => {
    const buffers = new BufferPool(16 * 1024 * 1024);
    const first = buffers.take(70_000);
    expect(first.length).toBe(131_072);
    buffers.give(first);
    expect(buffers.take(131_073)).not.toBe(first);
    expect(buffers.take(131_072)).toBe(first);
    expect(buffers.take(131_072)).not.toBe(first);
    const many = Array.from({ length: 40 }, () => buffers.take(1 << 20));
    many.forEach((buffer) => buffers.give(buffer));
    const again = Array.from({ length: 40 }, () => buffers.take(1 << 20));
    expect(again.filter((buffer) => many.includes(buffer)).length).toBe(16);
  });
});

describe('output of connections', () => {
  test('goes to buffers that are used again, unless the peer still holds them', () => {
    const buffers = new BufferPool(16 * 1024 * 1024);
    const first = connectionOf(1, buffers);
    first.reserveOutput(100);
    const { output } = first;
    first.reserveOutput(10_000);
    expect(first.output.length).toBe(16_384);
    const second = connectionOf(2, buffers);
    second.reserveOutput(1);
    expect(second.output).toBe(output);
    second.outputBytes = 1;
    second.handOverOutput();
    first.releaseOutput();
    second.reserveOutput(1);
    expect(second.output).not.toBe(output);
    second.releaseOutput();
    expect([first.output.length, second.output.length, buffers.heldBytes]).toEqual([0, 0, 0]);
  });
});
