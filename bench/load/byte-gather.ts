/**
 * Bytes of a stream that are not a whole unit yet wait here for the next chunk. A unit that comes whole
 * in a chunk is never copied.
 */
export class ByteGather {
  #kept: Buffer = Buffer.allocUnsafe(4096);
  #keptBytes = 0;

  /**
   * Gives `parse` what was kept and the chunk, as one; it returns how many bytes of it were whole units.
   * `parse` must not keep the buffer.
   */
  feed(chunk: Buffer, length: number, parse: (bytes: Buffer, end: number) => number): void {
    if (this.#keptBytes === 0) {
      const takenBytes = parse(chunk, length);
      if (takenBytes < length) this.#append(chunk, takenBytes, length);
      return;
    }
    this.#append(chunk, 0, length);
    const takenBytes = parse(this.#kept, this.#keptBytes);
    this.#kept.copyWithin(0, takenBytes, this.#keptBytes);
    this.#keptBytes -= takenBytes;
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const neededBytes = this.#keptBytes + end - start;
    if (neededBytes > this.#kept.length) {
      const larger = Buffer.allocUnsafe(2 * neededBytes);
      this.#kept.copy(larger, 0, 0, this.#keptBytes);
      this.#kept = larger;
    }
    chunk.copy(this.#kept, this.#keptBytes, start, end);
    this.#keptBytes = neededBytes;
  }
}
