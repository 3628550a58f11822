/**
 * @agent any
 *
 * How far long work is and how fast it goes: one line on standard error that is written over where it
 * is a terminal, and a line each second where somebody asked for it (--progress). Silent otherwise.
 */
import { countText } from './command-output.ts';

const TERMINAL_INTERVAL_MS = 200;
const LINES_INTERVAL_MS = 1000;

export interface ProgressOptions {
  /** What is counted: `sent`, `received`. */
  readonly verb: string;
  /** How many there will be, where that is known. */
  readonly total?: number | undefined;
  /** Also where standard error is no terminal. */
  readonly isWanted: boolean;
  readonly count: () => number;
}

export class Progress {
  readonly #options: ProgressOptions;
  readonly #isTerminal = process.stderr.isTTY;
  readonly #timer: NodeJS.Timeout | null = null;
  readonly #startedMs = performance.now();
  #lastMs = this.#startedMs;
  #lastCount = 0;

  constructor(options: ProgressOptions) {
    this.#options = options;
    if (!this.#isTerminal && !options.isWanted) return;
    const intervalMs = this.#isTerminal ? TERMINAL_INTERVAL_MS : LINES_INTERVAL_MS;
    this.#timer = setInterval(() => this.#show(), intervalMs);
    this.#timer.unref();
  }

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  /** Takes the line away where it was written over; with --progress the last count stays. */
  end(): void {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    if (this.#isTerminal) process.stderr.write('\r\x1b[K');
    else this.#show();
  }

  #show(): void {
    const nowMs = performance.now();
    const { verb, total } = this.#options;
    const count = this.#options.count();
    const rate = ((count - this.#lastCount) * 1000) / Math.max(1, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    this.#lastCount = count;
    const of = total === undefined ? '' : ` of ${countText(total)}`;
    const line = `${countText(count)}${of} ${verb}, ${countText(Math.round(rate))}/s`;
    process.stderr.write(this.#isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
  }
}
