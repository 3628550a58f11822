/**
 * @agent control
 *
 * Requests of the broker to its clients: oneway notices, and questions whose answers are waited for.
 * A question ends once: with the client's answer, when its time is over, or when the connection goes.
 *
 * Source: Broker2Client.java.
 */
import type { MonotonicClock } from '../base/clock.ts';
import { encodeRequest, FLAG_ONEWAY, type RemotingCommand } from '../protocol/remoting-command.ts';

export interface ClientRequest {
  code: number;
  extFields?: Iterable<readonly [string, string]> | undefined;
  body?: Uint8Array | undefined;
}

/** What became of a question. */
export type ClientReply = RemotingCommand | 'timeout' | 'closed' | 'too many calls';

interface Call {
  readonly connectionId: number;
  readonly deadlineMs: number;
  readonly onReply: (reply: ClientReply) => void;
}

/** A guess: each holds a few hundred bytes, and for 10 s at most. */
const CALL_COUNT_MAX = 10_000;

export class ClientCalls {
  readonly #clock: MonotonicClock;
  readonly #send: (connectionId: number, frame: Buffer) => void;
  /** By opaque, which no two calls share. */
  readonly #calls = new Map<number, Call>();
  #nextOpaque = 0;
  #nextDeadlineMs = Infinity;

  constructor(clock: MonotonicClock, send: (connectionId: number, frame: Buffer) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /** Monotonic time at which the next question ends without an answer. */
  get nextDeadlineMs(): number {
    return this.#nextDeadlineMs;
  }

  /** Tells a client something; nobody waits for an answer. */
  tell(connectionId: number, request: ClientRequest): void {
    const opaque = this.#takeOpaque();
    this.#send(connectionId, encodeRequest({ ...request, opaque, flag: FLAG_ONEWAY }));
  }

  /** Asks a client; `onReply` is called once, later, or at once where too many calls are open. */
  ask(
    connectionId: number,
    request: ClientRequest,
    timeoutMs: number,
    onReply: (reply: ClientReply) => void,
  ): void {
    if (this.#calls.size >= CALL_COUNT_MAX) {
      onReply('too many calls');
      return;
    }
    const opaque = this.#takeOpaque();
    const deadlineMs = this.#clock.nowMs() + timeoutMs;
    this.#calls.set(opaque, { connectionId, deadlineMs, onReply });
    this.#nextDeadlineMs = Math.min(this.#nextDeadlineMs, deadlineMs);
    this.#send(connectionId, encodeRequest({ ...request, opaque }));
  }

  /** Takes an answer frame; one that nobody waits for, or from another client, is passed over. */
  onAnswer(connectionId: number, answer: RemotingCommand): void {
    const call = this.#calls.get(answer.opaque);
    if (call?.connectionId !== connectionId) return;
    this.#calls.delete(answer.opaque);
    call.onReply(answer);
  }

  onConnectionClosed(connectionId: number): void {
    this.#end('closed', (call) => call.connectionId === connectionId);
  }

  /** Ends questions whose time is over; returns how many. */
  expire(nowMs: number): number {
    if (nowMs < this.#nextDeadlineMs) return 0;
    return this.#end('timeout', (call) => call.deadlineMs <= nowMs);
  }

  #end(how: 'timeout' | 'closed', isOver: (call: Call) => boolean): number {
    const ended: Call[] = [];
    this.#nextDeadlineMs = Infinity;
    for (const [opaque, call] of this.#calls) {
      if (isOver(call)) {
        this.#calls.delete(opaque);
        ended.push(call);
      } else this.#nextDeadlineMs = Math.min(this.#nextDeadlineMs, call.deadlineMs);
    }
    for (const call of ended) call.onReply(how);
    return ended.length;
  }

  #takeOpaque(): number {
    this.#nextOpaque = (this.#nextOpaque + 1) & 0x7fffffff;
    while (this.#calls.has(this.#nextOpaque))
      this.#nextOpaque = (this.#nextOpaque + 1) & 0x7fffffff;
    return this.#nextOpaque;
  }
}
