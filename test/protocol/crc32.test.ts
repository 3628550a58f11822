/** CRC-32, short and long: which library sums makes no difference. */
import zlib from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { crc32Masked, LONG_BYTES_MIN, welcomeNativeCrc32 } from '../../src/protocol/crc32.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';

/** By the bit, from the polynomial. */
function crc32ByBits(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0xedb88320 : 0);
  }
  return ~crc & 0x7fffffff;
}

describe.each(['by zlib alone', 'with native code'])(
  'CRC-32 with the sign bit cleared, %s',
  (which) => {
    beforeAll(() => {
      if (which === 'with native code') welcomeNativeCrc32();
    });
    const random = seededRandom(32);
    const memory = new Uint8Array(new SharedArrayBuffer(70_000));
    for (let at = 0; at < memory.length; at++) memory[at] = Math.floor(random() * 256);

    test.each([0, 1, 9, 255, LONG_BYTES_MIN - 1, LONG_BYTES_MIN, LONG_BYTES_MIN + 1, 4099, 65_536])(
      'of %d shared bytes that begin anywhere',
      (length) => {
        for (const start of [0, 1, 7, 13]) {
          const bytes = memory.subarray(start, start + length);
          expect(crc32Masked(bytes)).toBe(crc32ByBits(bytes));
          expect(crc32Masked(Buffer.from(bytes))).toBe(zlib.crc32(bytes) & 0x7fffffff);
        }
      },
    );

    test('has the check value of the catalogue', () => {
      expect(crc32Masked(Buffer.from('123456789'))).toBe(0xcbf43926 & 0x7fffffff);
    });
  },
);
