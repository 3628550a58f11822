/**
 * One line at the bottom of a terminal: how far a benchmark is. Lines of its log go above it; where
 * there is no terminal there is only the log.
 */
const WIDTH = 30;

export class ProgressBar {
  readonly #isTerminal = process.stderr.isTTY;
  readonly #startedMs = performance.now();
  #line = '';

  show(done: number, all: number, what: string): void {
    if (!this.#isTerminal) return;
    const share = all === 0 ? 1 : done / all;
    const filled = '█'.repeat(Math.round(WIDTH * share)).padEnd(WIDTH, '░');
    const seconds = Math.round((performance.now() - this.#startedMs) / 1000);
    this.#line = `${filled} ${Math.floor(100 * share)} %  ${seconds} s  ${what}`;
    process.stderr.write(`\r${this.#line}\u001b[K`);
  }

  log(line: string): void {
    if (!this.#isTerminal) {
      console.error(line);
      return;
    }
    process.stderr.write(`\r\u001b[K${line}\n${this.#line}`);
  }

  end(): void {
    if (this.#isTerminal) process.stderr.write('\r\u001b[K');
  }
}
