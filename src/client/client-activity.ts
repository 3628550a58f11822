/**
 * @agent any
 *
 * What the clients of this process are about, so that a test can wait until they have nothing left to
 * do: work that was begun and not ended, and the connections over which bytes may still be on their
 * way. Costs a client two additions a piece of work.
 *
 * A piece of work is a request until its answer (but not a pull that the broker may hold), a call of
 * the program such as `send` until its promise is settled, and a message from its arrival until the
 * listener has finished with it and what follows (a retry, an offset) was said.
 */

/** A TCP connection of a client: its own counts, to be compared with those of the server's side. */
export interface ActiveConnection {
  readonly localPort: number;
  readonly remotePort: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export class ClientActivity {
  /** Pieces of work at hand. */
  pendingCount = 0;
  /** Rises with each piece of work that begins. */
  begunCount = 0;
  readonly connections = new Set<ActiveConnection>();

  begin(): void {
    this.pendingCount++;
    this.begunCount++;
  }

  end(): void {
    this.pendingCount--;
  }
}

/** Of all clients of this process. */
export const clientActivity = new ClientActivity();
