/**
 * A client of an inline broker: frames go to its reactor and come back by a call. It keeps no opinion of
 * what is sent.
 */
import {
  decodeFrame,
  encodeRequest,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import type { Connection } from '../../src/reactor/connection.ts';
import type { CloseReason, Peer } from '../../src/reactor/peer.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';
import type { RawRequest } from '../workers/raw-client.ts';

export type OnAnswer = (answer: RemotingCommand) => void;

let nextPort = 10_000;

export class InlineClient implements Peer {
  readonly remoteAddress = '127.0.0.1';
  readonly remotePort = 10_000 + (nextPort++ % 50_000);
  readonly localAddress = '127.0.0.1';
  readonly pendingBytes = 0;
  bytesWritten = 0;
  /** Why the broker ended the connection; null while it is open. */
  closed: CloseReason | 'ended' | null = null;
  /** What the broker has asked so far, by code. */
  readonly requestCounts = new Map<number, number>();
  readonly #reactor: Reactor;
  readonly #connection: Connection;
  readonly #waiting = new Map<number, OnAnswer>();
  #input: Buffer[] = [];
  readonly #written: (() => void)[] = [];
  #nextOpaque = 1;
  readonly #mutate: ((frame: Buffer) => Buffer) | null;

  constructor(reactor: Reactor, listener: number, mutate?: (frame: Buffer) => Buffer) {
    this.#reactor = reactor;
    this.#mutate = mutate ?? null;
    const connection = reactor.accept(this, listener);
    if (connection === null) throw new Error('the broker takes no connection');
    this.#connection = connection;
  }

  /** Sends a request; `onAnswer` is called in a later turn, or never. */
  request(request: RawRequest, onAnswer: OnAnswer): void {
    const opaque = this.#nextOpaque++;
    this.#waiting.set(opaque, onAnswer);
    this.send(
      encodeRequest({
        code: request.code,
        opaque,
        flag: request.flag ?? 0,
        extFields: Object.entries(request.fields ?? {}).map(([name, value]) => [
          name,
          String(value),
        ]),
        body: request.body,
        serializeType: request.serializeType ?? 0,
      }),
    );
  }

  /** Bytes as they are. */
  send(bytes: Buffer): void {
    if (this.closed !== null) return;
    this.#reactor.onInput(this.#connection, this.#mutate?.(bytes) ?? bytes);
  }

  /** Hands on the answers that were written; returns how many. */
  deliver(): number {
    for (const onWritten of this.#written.splice(0)) onWritten();
    // As a socket that has got the end of the other side closes.
    if (this.closed === 'ended') this.#reactor.onClosed(this.#connection);
    if (this.#input.length === 0) return 0;
    let input = this.#input.length === 1 ? this.#input[0] : Buffer.concat(this.#input);
    this.#input = [];
    let count = 0;
    while (input.length >= 4) {
      const frameBytes = input.readInt32BE(0);
      if (input.length < 4 + frameBytes) break;
      const frame = decodeFrame(input.subarray(4, 4 + frameBytes));
      input = input.subarray(4 + frameBytes);
      count++;
      if ((frame.flag & 1) === 0) {
        this.requestCounts.set(frame.code, (this.requestCounts.get(frame.code) ?? 0) + 1);
        continue;
      }
      const onAnswer = this.#waiting.get(frame.opaque);
      this.#waiting.delete(frame.opaque);
      onAnswer?.(frame);
    }
    if (input.length > 0) this.#input.unshift(input);
    return count;
  }

  close(): void {
    this.closed = 'ended';
    this.#reactor.onClosed(this.#connection);
  }

  write(bytes: Buffer, onWritten: () => void): boolean {
    this.bytesWritten += bytes.length;
    this.#input.push(Buffer.from(bytes));
    this.#written.push(onWritten);
    return false;
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.closed = 'ended';
  }

  destroy(reason: CloseReason): void {
    this.closed = reason;
  }
}
