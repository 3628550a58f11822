/**
 * @agent reactor
 *
 * Brings each request frame to the agent that serves its code, past the gate where there is one. Decodes no
 * more of it than the code; answers by itself only what is not let in.
 */
import { type AccessGate, Admission } from '../access/access-gate.ts';
import { readInt32 } from '../protocol/message-record.ts';
import { peekRequestCode, RequestScanner } from '../protocol/request-scanner.ts';
import type { FrameProxy } from '../workers/frame-proxy.ts';
import type { Connection } from './connection.ts';
import type { ConnectionNews } from './connection-news.ts';
import { goAwayAnswer } from './go-away.ts';
import { LongFrame } from './long-frame.ts';
import type { ReactorOptions } from './reactor-options.ts';
import { portOf, type RequestServer, serverOf } from './request-server.ts';

export class RequestRouter {
  readonly #options: ReactorOptions;
  readonly #news: ConnectionNews;
  readonly #answer: (connection: Connection, frame: Uint8Array) => void;
  readonly #cut: (connection: Connection, what: string) => void;
  readonly #scanner = new RequestScanner();
  readonly #serving = { server: 'control' as RequestServer, port: portOf(0), code: 0 };
  /** Requests are answered GO_AWAY where the client knows that answer (newer than 5.3.1). */
  isGoingAway = false;

  constructor(options: {
    reactor: ReactorOptions;
    news: ConnectionNews;
    answer: (connection: Connection, frame: Uint8Array) => void;
    /** Of a connection whose frame can't be read. */
    cut: (connection: Connection, what: string) => void;
  }) {
    this.#options = options.reactor;
    this.#news = options.news;
    this.#answer = options.answer;
    this.#cut = options.cut;
  }

  /**
   * Hands on the frame `bytes[start, end)`, which is the connection's `longFrame` where that has one. False when
   * there is no room, or the connection has to wait (`isWaiting`).
   */
  route(connection: Connection, bytes: Buffer, start: number, end: number): boolean {
    const { toControl, toDispatcher, gate } = this.#options;
    const code = peekRequestCode(bytes, start, end, this.#scanner);
    if (code < 0) {
      this.#cut(connection, 'header that cannot be read');
      return true;
    }
    if (this.isGoingAway && this.#answerGoAway(connection, bytes.subarray(start, end))) return true;
    let server = this.#serverOf(connection, code);
    if (gate !== null) {
      const admission = this.#admit(gate, connection, code, server, bytes, start, end);
      if (admission === Admission.WAITS) return false;
      if (admission === Admission.IS_ANSWER) server = 'control';
      else if (admission !== Admission.PASSES) return true;
    }
    const arrivalMs = connection.lastReadMs;
    if (server === 'worker') {
      const { longFrame } = connection;
      return longFrame === null
        ? this.#workerOf(connection).offer(connection, arrivalMs, bytes, start, end)
        : longFrame.offer(connection, arrivalMs);
    }
    if (server === 'dispatcher' && toDispatcher !== null)
      return toDispatcher.offer(connection, arrivalMs, bytes, start, end);
    return (
      this.#news.tellOpened(connection) && toControl.offer(connection, arrivalMs, bytes, start, end)
    );
  }

  /**
   * Where the input is the beginning of a long send: moves that to a `longFrame`, to which the rest is to be read.
   * False where it stays.
   */
  beginLongFrame(connection: Connection): boolean {
    const { input, inputStart, inputEnd } = connection;
    const start = inputStart + 4;
    if (inputEnd <= start || connection.isBlocked || connection.isClosed) return false;
    // A name server has no workers.
    if (this.#options.toWorkers.length === 0) return false;
    const frameBytes = readInt32(input, inputStart);
    const worker = this.#workerOf(connection);
    if (!worker.isForShortSlot(frameBytes)) return false;
    const code = peekRequestCode(input, start, inputEnd, this.#scanner);
    if (code < 0 || this.#serverOf(connection, code) !== 'worker') return false;
    const frame = LongFrame.begin(worker, frameBytes);
    if (frame === null) return false;
    frame.take(input, start, inputEnd);
    connection.releaseInput();
    connection.longFrame = frame;
    return true;
  }

  #serverOf({ listener }: Connection, code: number): RequestServer {
    return this.#options.toDispatcher === null ? 'control' : serverOf(code, listener);
  }

  #workerOf({ id }: Connection): FrameProxy {
    const { toWorkers } = this.#options;
    return toWorkers[id % toWorkers.length];
  }

  /** Asks the gate about a frame, and does what it says of one that does not pass. */
  #admit(
    gate: AccessGate,
    connection: Connection,
    code: number,
    server: RequestServer,
    bytes: Buffer,
    start: number,
    end: number,
  ): Admission {
    const serving = this.#serving;
    serving.server = server;
    serving.port = portOf(connection.listener);
    serving.code = code;
    const nowMs = this.#options.nowMs();
    const admission = gate.admit(connection, serving, bytes, start, end, nowMs);
    // Its wait here is not one for a broker that is busy.
    if (connection.isWaiting && admission !== Admission.WAITS) connection.lastReadMs = nowMs;
    connection.isWaiting = admission === Admission.WAITS;
    if (admission === Admission.BAD) this.#cut(connection, 'header that can be read in two ways');
    else if (admission === Admission.REFUSED && gate.answer !== null)
      this.#answer(connection, gate.answer);
    return admission;
  }

  #answerGoAway(connection: Connection, frame: Buffer): boolean {
    const answer = goAwayAnswer(frame);
    if (answer === null) return false;
    this.#answer(connection, answer);
    this.#options.refusals.add('go-away');
    return true;
  }
}
