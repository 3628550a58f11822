/**
 * @agent reactor
 *
 * Answers that peers have not taken: how many bytes of all connections, who holds them, and since when
 * nothing of them went. A socket keeps the whole of a write until the last byte of it has gone, so these
 * bytes are memory of the process.
 *
 * ```
 *  bytes, of all     0 ───────── 1/2 ───────────── 3/4 ──────────── max
 *  pull answers      written      │ wait, of peers  │ all wait        │
 *                                 │ that hold some  │                 │
 *  other answers     written ───────────────────────────────────────▶│ who took none for longest is closed
 * ```
 * A pull answer that waits is a descriptor of some 300 bytes. While one waits for room, peers that took
 * nothing for `STILL_MS` are closed, the longest first, until a quarter is left and the first one fits.
 * Whether anything waits or not, who takes nothing for `STALLED_CLOSE_MS` is closed.
 */
import type { Connection } from './connection.ts';
import type { CloseReason } from './peer.ts';

/** Time without any progress after which a peer that does not read is cut off. */
const STALLED_CLOSE_MS = 60_000;
/** The same while others wait for the memory: a guess, longer than a pause of a collector. */
const STILL_MS = 1000;
const CHECK_INTERVAL_MS = 100;

export class AnswerBacklog {
  readonly #bytesMax: number;
  readonly #end: (connection: Connection, reason: CloseReason) => void;
  /** Of connections as they were counted last. */
  #bytes = 0;
  /** Written to outputs since the last flush: not counted for their connections yet. */
  #unflushedBytes = 0;
  readonly #holders = new Set<Connection>();
  // Their first pull answer waits for room, in this order: peers that have taken all they got, and others.
  readonly #waitingTakers = new Set<Connection>();
  readonly #waitingOthers = new Set<Connection>();
  #nextCheckMs = Infinity;

  constructor(bytesMax: number, end: (connection: Connection, reason: CloseReason) => void) {
    this.#bytesMax = bytesMax;
    this.#end = end;
  }

  get bytes(): number {
    return this.#bytes + this.#unflushedBytes;
  }

  get waitingCount(): number {
    return this.#waitingTakers.size + this.#waitingOthers.size;
  }

  nextDeadlineMs(): number {
    return this.#nextCheckMs;
  }

  /** True where a pull answer of so many bytes may be written to this connection now. */
  hasRoom(connection: Connection, bytes: number): boolean {
    const { bytes: held } = this;
    const max = this.#bytesMax * (connection.isTaking ? 0.75 : 0.5);
    // One that is longer than that goes when nothing else is held.
    return held + bytes <= max || held === 0;
  }

  onWritten(bytes: number): void {
    this.#unflushedBytes += bytes;
  }

  /** Its first pull answer waits for room. */
  await(connection: Connection, nowMs: number): void {
    (connection.isTaking ? this.#waitingTakers : this.#waitingOthers).add(connection);
    if (this.#nextCheckMs === Infinity) this.#nextCheckMs = nowMs + CHECK_INTERVAL_MS;
  }

  /** Counts what the connection holds after a write, or after its peer has taken something. */
  count(connection: Connection, pendingBytes: number, nowMs: number): void {
    const changed = pendingBytes - connection.heldBytes;
    if (connection.heldBytes === 0) {
      this.#holders.add(connection);
      connection.takenMs = nowMs;
      connection.takenMark = connection.peer.bytesWritten;
    } else if (pendingBytes === 0) this.#holders.delete(connection);
    connection.isTaking = pendingBytes === 0;
    connection.heldBytes = pendingBytes;
    this.#bytes += changed;
  }

  /** All outputs are with their sockets, and counted. */
  onFlushed(): void {
    this.#unflushedBytes = 0;
    if (this.#bytes <= this.#bytesMax) return;
    for (const connection of this.#longestStill(Infinity)) {
      this.#end(connection, 'answer-memory');
      if (this.#bytes <= this.#bytesMax) return;
    }
  }

  onClose(connection: Connection): void {
    this.#bytes -= connection.heldBytes;
    connection.heldBytes = 0;
    this.#holders.delete(connection);
    this.#waitingTakers.delete(connection);
    this.#waitingOthers.delete(connection);
  }

  /**
   * Has answers written that waited for room, as long as there is any. `write` writes what it can, and
   * calls `await` again where room is missing.
   */
  serveWaiting(write: (connection: Connection) => void, nowMs: number): void {
    if (nowMs >= this.#nextCheckMs) this.#makeRoom(nowMs);
    for (const waiting of [this.#waitingTakers, this.#waitingOthers]) {
      for (const connection of waiting) {
        if (!this.hasRoom(connection, connection.firstPullBytes)) break;
        waiting.delete(connection);
        write(connection);
      }
    }
    if (this.waitingCount === 0) this.#nextCheckMs = Infinity;
  }

  #makeRoom(nowMs: number): void {
    this.#nextCheckMs = nowMs + CHECK_INTERVAL_MS;
    this.#look(nowMs);
    for (const connection of this.#longestStill(nowMs - STILL_MS)) {
      if (this.#bytes <= this.#bytesMax / 4 && this.#isFirstServed()) return;
      this.#end(connection, 'answer-memory');
    }
  }

  /** Whether there is room for whoever waits longest. */
  #isFirstServed(): boolean {
    for (const waiting of [this.#waitingTakers, this.#waitingOthers])
      for (const connection of waiting) return this.hasRoom(connection, connection.firstPullBytes);
    return true;
  }

  /** Closes peers that do not read, and looks who does. */
  sweep(nowMs: number): void {
    this.#look(nowMs);
    for (const connection of this.#holders) {
      if (nowMs - connection.takenMs > STALLED_CLOSE_MS) this.#end(connection, 'not-reading');
    }
  }

  #look(nowMs: number): void {
    for (const connection of this.#holders) {
      const mark = connection.peer.bytesWritten;
      if (mark === connection.takenMark) continue;
      connection.takenMark = mark;
      connection.takenMs = nowMs;
    }
  }

  /** Holders that took nothing since then, the longest still first, the largest of those that are equal. */
  #longestStill(sinceMs: number): Connection[] {
    const still = [...this.#holders].filter(({ takenMs }) => takenMs <= sinceMs);
    return still.sort((a, b) => a.takenMs - b.takenMs || b.heldBytes - a.heldBytes);
  }
}
