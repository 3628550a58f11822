/**
 * @agent reactor
 *
 * Buffers in which frames are put together that arrive in parts. They are used again: memory outside
 * of the heap that is new for each large frame makes V8 mark the whole heap, several times a second for
 * 10 MB/s of such frames, 10 ms each time.
 */

const BUFFER_BYTES_MIN = 4096;
/** Kept while nobody uses it, at most: a guess, several frames of the usual largest size. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

export class InputBuffers {
  /** By the logarithm of their size. */
  readonly #kept: Buffer[][] = [];
  #keptBytes = 0;
  /** Of those that are in use. */
  heldBytes = 0;

  /** A buffer of at least so many bytes; its size is a power of two. */
  take(bytes: number): Buffer {
    const sizeLog = Math.ceil(Math.log2(Math.max(bytes, BUFFER_BYTES_MIN)));
    const kept = this.#kept[sizeLog]?.pop();
    this.heldBytes += 2 ** sizeLog;
    if (kept === undefined) return Buffer.allocUnsafeSlow(2 ** sizeLog);
    this.#keptBytes -= kept.length;
    return kept;
  }

  /** Takes a buffer back that nobody reads any more. */
  give(buffer: Buffer): void {
    this.heldBytes -= buffer.length;
    if (this.#keptBytes + buffer.length > KEPT_BYTES_MAX) return;
    this.#keptBytes += buffer.length;
    const sizeLog = Math.log2(buffer.length);
    (this.#kept[sizeLog] ??= []).push(buffer);
  }
}
