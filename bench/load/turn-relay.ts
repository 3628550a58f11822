/**
 * Lets connections take turns, so that a number of sends is in flight over all of them, however many
 * they are.
 */
import type { SendConnection } from './send-connection.ts';
import type { SendRelay } from './thread-state.ts';

export class TurnRelay implements SendRelay {
  readonly #connections: readonly SendConnection[];
  #next = 0;
  /** Hold sends that are not written. */
  readonly #unwritten = new Set<SendConnection>();

  constructor(connections: readonly SendConnection[]) {
    this.#connections = connections;
  }

  send(nowMs: number): void {
    const count = this.#connections.length;
    for (let attempt = 0; attempt < count; attempt++) {
      const connection = this.#connections[this.#next];
      this.#next = this.#next + 1 === count ? 0 : this.#next + 1;
      if (!connection.send(nowMs, nowMs)) continue;
      this.#unwritten.add(connection);
      return;
    }
  }

  flush(): void {
    for (const connection of this.#unwritten) connection.flush();
    this.#unwritten.clear();
  }
}
