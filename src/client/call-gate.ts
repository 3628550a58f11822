/**
 * @agent any
 *
 * Calls of the program that are not settled, so that a `close` can let them finish. Counts them in
 * clientActivity, too.
 */
import { clientActivity } from './client-activity.ts';

export class CallGate {
  #openCount = 0;
  #onIdle: (() => void) | null = null;

  begin(): void {
    this.#openCount++;
    clientActivity.begin();
  }

  end(): void {
    this.#openCount--;
    clientActivity.end();
    if (this.#openCount === 0) this.#onIdle?.();
  }

  /** Counts a call until it is settled. */
  async around<Value>(call: () => Promise<Value>): Promise<Value> {
    this.begin();
    try {
      return await call();
    } finally {
      this.end();
    }
  }

  /** When nothing is open, or the time is over. */
  async idle(timeoutMs: number): Promise<void> {
    if (this.#openCount === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onIdle = null;
  }
}
