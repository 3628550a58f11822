/**
 * @agent any
 *
 * MD5 (RFC 1321) of a short text: the hash by which RocketMQ's consistent hashing places members and
 * queues on its ring. Browsers have none. It protects nothing here.
 */

/** Rotations, four for each of the four rounds. */
const rotations: readonly number[] = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
/** Whole part of |sin(i + 1)| · 2^32. */
const sines: readonly number[] = Array.from({ length: 64 }, (_, index) =>
  Math.floor(Math.abs(Math.sin(index + 1)) * 0x1_0000_0000),
);
const BLOCK_BYTES = 64;
/** A byte 0x80 and the length in bits, at least, stand behind the text. */
const TAIL_BYTES = 9;

/** The first four bytes of the digest as an unsigned big-endian integer. */
export function md5Head(text: string): number {
  const message = new TextEncoder().encode(text);
  const blockCount = Math.ceil((message.length + TAIL_BYTES) / BLOCK_BYTES);
  const padded = new Uint8Array(blockCount * BLOCK_BYTES);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, message.length * 8, true);
  let [a, b, c, d] = [0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476];
  for (let block = 0; block < padded.length; block += BLOCK_BYTES) {
    const start = [a, b, c, d] as const;
    for (let step = 0; step < 64; step++) {
      const round = step >> 4;
      let mixed: number;
      let word: number;
      if (round === 0) [mixed, word] = [(b & c) | (~b & d), step];
      else if (round === 1) [mixed, word] = [(d & b) | (~d & c), (5 * step + 1) & 15];
      else if (round === 2) [mixed, word] = [b ^ c ^ d, (3 * step + 5) & 15];
      else [mixed, word] = [c ^ (b | ~d), (7 * step) & 15];
      const sum = (a + mixed + sines[step] + view.getUint32(block + 4 * word, true)) | 0;
      const by = rotations[round * 4 + (step & 3)];
      [a, d, c, b] = [d, c, b, (b + ((sum << by) | (sum >>> (32 - by)))) | 0];
    }
    a = (a + start[0]) | 0;
    b = (b + start[1]) | 0;
    c = (c + start[2]) | 0;
    d = (d + start[3]) | 0;
  }
  // The digest begins with `a`, least significant byte first.
  return (
    (((a & 0xff) << 24) | ((a & 0xff00) << 8) | ((a >>> 8) & 0xff00) | ((a >>> 24) & 0xff)) >>> 0
  );
}
