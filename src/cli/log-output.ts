/**
 * @agent reactor
 *
 * Where the lines of the log go: a file descriptor. A log that can not be written, because the disk is
 * full or its reader has gone, must never end or stop the broker: such lines are counted, and the
 * count is told once there is room again.
 *
 * ```
 * write ─▶ written
 *    └───▶ refused (ENOSPC, EAGAIN, EIO …) ─▶ lostLineCount ─▶ told before the next line that fits
 *    └───▶ EPIPE: nobody reads any more ─▶ closed, lines are dropped from here on
 * ```
 */
import fs from 'node:fs';

/** The one call that can fail; tests give their own. */
export type WriteBytes = (descriptor: number, bytes: Buffer, offset: number) => number;

export class LogOutput {
  readonly #descriptor: number;
  readonly #writeBytes: WriteBytes;
  /** Makes the line that tells how many were lost. */
  readonly #lostLine: (count: number) => string;
  #lostLineCount = 0;
  #isClosed = false;
  /** A line was written in part: what follows must begin on a line of its own. */
  #isMidLine = false;

  constructor(
    descriptor: number,
    lostLine: (count: number) => string,
    writeBytes: WriteBytes = (to, bytes, offset) => fs.writeSync(to, bytes, offset),
  ) {
    this.#descriptor = descriptor;
    this.#lostLine = lostLine;
    this.#writeBytes = writeBytes;
  }

  /** Writes a line that ends with a newline, or counts it as lost. Never throws. */
  write(line: string): void {
    if (this.#isClosed) return;
    if (this.#lostLineCount > 0) {
      if (!this.#tryWrite(this.#lostLine(this.#lostLineCount))) {
        this.#lostLineCount++;
        return;
      }
      this.#lostLineCount = 0;
    }
    if (!this.#tryWrite(line)) this.#lostLineCount++;
  }

  #tryWrite(line: string): boolean {
    const bytes = Buffer.from(this.#isMidLine ? `\n${line}` : line);
    let written = 0;
    try {
      while (written < bytes.length) {
        written += this.#writeBytes(this.#descriptor, bytes, written);
      }
      this.#isMidLine = false;
      return true;
    } catch (error) {
      if (written > 0) this.#isMidLine = bytes[written - 1] !== 0x0a;
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') this.#isClosed = true;
      return false;
    }
  }
}
