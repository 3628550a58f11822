/**
 * @agent reactor
 *
 * Parts of long frames that have arrived: how many bytes of all connections, and who goes on where that is too
 * much. Above the bound, whoever's frame grows is not read any more; one after the other has a turn of
 * `TURN_MS` to bring its frame to an end, or is closed. So frames that arrive go on arriving, and frames that
 * never end cost a bounded memory.
 *
 * Short frames, and all that arrives whole, are not held up.
 */
import type { Connection } from './connection.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { CloseReason } from './peer.ts';

/** Frames of which less has arrived are read on. */
const SHORT_BYTES = 64 * 1024;
/** A guess: 15 MiB at 15 MB/s. */
const TURN_MS = 1000;
/** Read again at once where there is room: each may need a larger buffer. */
const RESUMED_COUNT = 16;

export class RequestBacklog {
  readonly #buffers: BufferPool;
  readonly #bytesMax: number;
  readonly #resume: (connection: Connection) => void;
  readonly #end: (connection: Connection, reason: CloseReason) => void;
  /** Not read, in the order of their turns. */
  readonly #waiting = new Set<Connection>();
  /** May go on whatever is held. */
  #turn: Connection | null = null;
  #turnEndMs = Infinity;

  constructor(options: {
    buffers: BufferPool;
    bytesMax: number;
    resume: (connection: Connection) => void;
    end: (connection: Connection, reason: CloseReason) => void;
  }) {
    this.#buffers = options.buffers;
    this.#bytesMax = options.bytesMax;
    this.#resume = options.resume;
    this.#end = options.end;
  }

  get bytes(): number {
    return this.#buffers.heldBytes;
  }

  nextDeadlineMs(): number {
    return this.#turnEndMs;
  }

  /** Something of a connection has arrived, and its whole frames have gone. */
  onInput(connection: Connection): void {
    if (this.bytes <= this.#bytesMax || connection === this.#turn || connection.isClosed) return;
    if (connection.inputEnd - connection.inputStart < SHORT_BYTES) return;
    connection.isHeldUp = true;
    connection.peer.pause();
    this.#waiting.add(connection);
  }

  onClose(connection: Connection): void {
    this.#waiting.delete(connection);
    if (connection === this.#turn) this.#endTurn();
  }

  /** Gives turns; cheap where nobody waits. */
  doWork(nowMs: number): void {
    const turn = this.#turn;
    if (turn !== null) {
      if (turn.isBlocked || turn.partialSinceMs === Infinity) this.#endTurn();
      else if (nowMs >= this.#turnEndMs) this.#end(turn, 'request-memory');
    }
    if (this.#waiting.size === 0) return;
    for (let count = 0; count < RESUMED_COUNT && this.bytes <= this.#bytesMax * 0.75; count++)
      if (this.#next() === null) return;
    if (this.#turn !== null || this.bytes <= this.#bytesMax * 0.75) return;
    this.#turn = this.#next();
    this.#turnEndMs = nowMs + TURN_MS;
  }

  #endTurn(): void {
    this.#turn = null;
    this.#turnEndMs = Infinity;
  }

  #next(): Connection | null {
    for (const connection of this.#waiting) {
      this.#waiting.delete(connection);
      connection.isHeldUp = false;
      this.#resume(connection);
      return connection;
    }
    return null;
  }
}
