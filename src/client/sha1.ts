/**
 * @agent any
 *
 * HMAC-SHA1 (RFC 2104, RFC 3174), for signatures of requests where there is none that answers at once: in a
 * browser crypto.subtle only promises one. Node's own is used in Node. Short: pages load it.
 */

const BLOCK_BYTES = 64;

function sha1(parts: readonly Uint8Array[]): Uint8Array {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  // A byte 0x80 and the length in bits stand behind the text, in whole blocks.
  const padded = new Uint8Array((((bytes + 8) >> 6) + 1) * BLOCK_BYTES);
  let end = 0;
  for (const part of parts) {
    padded.set(part, end);
    end += part.length;
  }
  padded[end] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes * 8);
  const hash = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  const words: number[] = [];
  for (let block = 0; block < padded.length; block += BLOCK_BYTES) {
    let [a, b, c, d, e] = hash;
    for (let step = 0; step < 80; step++) {
      words[step] =
        step < 16
          ? view.getInt32(block + step * 4)
          : rotated(words[step - 3] ^ words[step - 8] ^ words[step - 14] ^ words[step - 16], 1);
      const mixed = [
        ((b & c) | (~b & d)) + 0x5a827999,
        (b ^ c ^ d) + 0x6ed9eba1,
        ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc,
        (b ^ c ^ d) + 0xca62c1d6,
      ][Math.floor(step / 20)];
      const next = (rotated(a, 5) + mixed + e + words[step]) | 0;
      [e, d, c, b, a] = [d, c, rotated(b, 30), a, next];
    }
    for (const [index, word] of [a, b, c, d, e].entries()) hash[index] = (hash[index] + word) | 0;
  }
  for (const [index, word] of hash.entries()) view.setInt32(index * 4, word);
  return padded.slice(0, 20);
}

/** Of all parts one after the other; up to 512 MiB. */
export function hmacSha1(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  block.set(key.length > BLOCK_BYTES ? sha1([key]) : key);
  const inner = sha1([block.map((byte) => byte ^ 0x36), ...parts]);
  return sha1([block.map((byte) => byte ^ 0x5c), inner]);
}

function rotated(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
