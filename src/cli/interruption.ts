/**
 * @agent any
 *
 * SIGINT and SIGTERM, for commands that run until they are told to stop: the first ends their work
 * in order, with a summary; a second one ends the process.
 */
import { ExitCode } from './command-errors.ts';

export class Interruption {
  readonly #controller = new AbortController();

  constructor() {
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        if (this.#controller.signal.aborted) process.exit(ExitCode.INTERRUPTED);
        this.#controller.abort();
      });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hasCome(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Ends the work as a signal would. */
  end(): void {
    this.#controller.abort();
  }

  /** Resolves after the time, or when the signal comes. */
  pause(ms: number): Promise<void> {
    const { signal } = this.#controller;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
    });
  }

  /** Resolves when the signal comes. */
  come(): Promise<void> {
    const { signal } = this.#controller;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  }
}
