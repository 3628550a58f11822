/**
 * @agent reactor
 *
 * How fast connections come in: so many a second, and a second's worth at once. What comes faster waits, in
 * order and unread, and is not refused: clients that all come back after a restart come in over some
 * seconds, and what is connected already has the processor in between.
 */
const TURN_MS = 10;

export interface AcceptPaceOptions {
  readonly perSecond: number;
  readonly nowMs: () => number;
  /** A connection has to wait. */
  readonly onWait: () => void;
}

/** What comes in: a socket, or whatever carries a connection. */
interface Coming {
  readonly destroyed: boolean;
  destroy(): void;
}

export class AcceptPace {
  readonly #options: AcceptPaceOptions;
  #tokens: number;
  #refilledMs: number;
  #waiting: { readonly socket: Coming; readonly enter: () => void }[] = [];
  /** Of `#waiting`: those before have come in. */
  #next = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: AcceptPaceOptions) {
    this.#options = options;
    this.#tokens = options.perSecond;
    this.#refilledMs = options.nowMs();
  }

  get waitingCount(): number {
    return this.#waiting.length - this.#next;
  }

  /** Lets a connection in: now, or when it is its turn. */
  take(socket: Coming, enter: () => void): void {
    if (this.waitingCount === 0 && this.#hasToken()) {
      enter();
      return;
    }
    this.#options.onWait();
    this.#waiting.push({ socket, enter });
    this.#timer ??= setTimeout(this.#onTurn, TURN_MS);
  }

  /** Nobody comes in any more: who waits is sent away. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const { socket } of this.#waiting.splice(this.#next)) socket.destroy();
  }

  readonly #onTurn = (): void => {
    this.#timer = null;
    while (this.waitingCount > 0) {
      const { socket, enter } = this.#waiting[this.#next];
      if (!socket.destroyed) {
        if (!this.#hasToken()) break;
        enter();
      }
      this.#next++;
    }
    if (this.waitingCount > 0) this.#timer = setTimeout(this.#onTurn, TURN_MS);
    // Not for each one: it copies what is left.
    if (this.#next > this.#waiting.length / 2) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
  };

  #hasToken(): boolean {
    const { perSecond, nowMs } = this.#options;
    const now = nowMs();
    this.#tokens = Math.min(
      perSecond,
      this.#tokens + ((now - this.#refilledMs) / 1000) * perSecond,
    );
    this.#refilledMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
