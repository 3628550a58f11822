import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { indexKeyHash, javaStringHash, javaTextHash } from '../../src/protocol/java-string-hash.ts';

/** String.hashCode as its definition says, in arithmetic without overflow. */
function hashByDefinition(text: string): number {
  let hash = 0n;
  for (let index = 0; index < text.length; index++)
    hash = hash * 31n + BigInt(text.charCodeAt(index));
  return Number(BigInt.asIntN(32, hash));
}

describe('Java string hash', () => {
  // Values of String.hashCode that Java's documentation and programs show.
  it.each([
    ['', 0],
    ['a', 97],
    ['TagA', 2_598_919],
    ['hello', 99_162_322],
    ['polygenelubricants', -2_147_483_648],
    ['中文', 646_394],
    ['😀', 1_772_899],
  ])('of %j is %i', (text, hash) => {
    const bytes = Buffer.from(text);
    expect(javaStringHash(bytes, 0, bytes.length)).toBe(hash);
    expect(javaTextHash(text)).toBe(hash);
  });

  it('of bytes is that of the text they decode to, whatever they are', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
          fc.uint8Array(),
        ),
        (value) => {
          const bytes = Buffer.from(value);
          expect(javaStringHash(bytes, 0, bytes.length)).toBe(
            hashByDefinition(bytes.toString('utf8')),
          );
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('goes on from the hash of what stands before', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        (topic, key) => {
          const bytes = Buffer.from(`${topic}${key}`);
          const middle = Buffer.byteLength(topic);
          const seed = javaStringHash(bytes, 0, middle);
          expect(javaStringHash(bytes, middle, bytes.length, seed)).toBe(
            hashByDefinition(topic + key),
          );
          expect(javaTextHash(key, seed)).toBe(hashByDefinition(topic + key));
        },
      ),
    );
  });
});

describe('index key hash', () => {
  it.each([
    [0, 0],
    [7, 7],
    [-7, 7],
    [0x7fff_ffff, 0x7fff_ffff],
    [-0x8000_0000, 0],
  ])('of %i is %i', (hash, expected) => {
    expect(indexKeyHash(hash)).toBe(expected);
  });
});
