/**
 * @agent reactor
 *
 * Buffers of connections: in which frames are put together that arrive in parts, and in which answers wait
 * for their write. They are used again: memory outside of the heap that is new for each large frame, or for
 * each of thousands of connections that come and go, makes V8 mark the whole heap, several times a second
 * for 10 MB/s, 10 ms each time.
 */

const BUFFER_BYTES_MIN = 4096;
/** Of free buffers: guesses, several frames of the usual largest size, and a thousand short answers. */
export const INPUT_KEPT_BYTES_MAX = 16 * 1024 * 1024;
export const OUTPUT_KEPT_BYTES_MAX = 8 * 1024 * 1024;

export class BufferPool {
  readonly #keptBytesMax: number;
  /** By the logarithm of their size. */
  readonly #kept: Buffer[][] = [];
  #keptBytes = 0;
  /** Of those that are in use. */
  heldBytes = 0;

  /** `keptBytesMax`: kept while nobody uses it, at most. */
  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax;
  }

  /** A buffer of at least so many bytes; its size is a power of two. */
  take(bytes: number): Buffer {
    const sizeLog = Math.ceil(Math.log2(Math.max(bytes, BUFFER_BYTES_MIN)));
    const kept = this.#kept[sizeLog]?.pop();
    this.heldBytes += 2 ** sizeLog;
    if (kept === undefined) return Buffer.allocUnsafeSlow(2 ** sizeLog);
    this.#keptBytes -= kept.length;
    return kept;
  }

  /** Counts a buffer off that somebody else reads, and nobody gives back. */
  forget(buffer: Buffer): void {
    this.heldBytes -= buffer.length;
  }

  /** Takes a buffer back that nobody reads any more. */
  give(buffer: Buffer): void {
    this.heldBytes -= buffer.length;
    if (this.#keptBytes + buffer.length > this.#keptBytesMax) return;
    this.#keptBytes += buffer.length;
    const sizeLog = Math.log2(buffer.length);
    (this.#kept[sizeLog] ??= []).push(buffer);
  }
}
