/**
 * @agent any
 *
 * The log of what strangers can cause: at most one line for each cause and second. A line says how many
 * were left out since the one before it.
 */
import type { Logger } from './logging.ts';

const INTERVAL_MS = 1000;

export class CauseLog {
  readonly #logger: Logger;
  readonly #byCause = new Map<string, { nextMs: number; notLogged: number }>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** `cause` is one of a few: each is kept. */
  log(level: 'info' | 'warn', cause: string, fields: object, message: string, nowMs: number): void {
    const known = this.#byCause.get(cause);
    if (known !== undefined && nowMs < known.nextMs) {
      known.notLogged++;
      return;
    }
    const notLogged = known?.notLogged ?? 0;
    this.#byCause.set(cause, { nextMs: nowMs + INTERVAL_MS, notLogged: 0 });
    this.#logger[level]({ ...fields, ...(notLogged === 0 ? {} : { notLogged }) }, message);
  }
}
