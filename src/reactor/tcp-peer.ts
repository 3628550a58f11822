/**
 * @agent reactor
 *
 * A TCP socket as the reactor sees it.
 */
import type { Socket } from 'node:net';
import type { CloseReason, Peer } from './peer.ts';
import type { Reactor } from './reactor.ts';

class TcpPeer implements Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '0.0.0.0';
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? '127.0.0.1';
  }

  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  get bytesWritten(): number {
    return takenBytes(this.#socket);
  }

  write(bytes: Buffer, onWritten: () => void): void {
    this.#socket.write(bytes, onWritten);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(_reason: CloseReason): void {
    this.#socket.destroy();
  }
}

/**
 * Bytes of a socket's writes that the kernel has taken. `bytesWritten` counts all of a write when it begins;
 * the handle knows how much of it is left.
 */
export function takenBytes(socket: { readonly bytesWritten: number }): number {
  const { _handle: handle } = socket as { _handle?: { writeQueueSize?: number } | null };
  return socket.bytesWritten - (handle?.writeQueueSize ?? 0);
}

/** Gives an accepted socket, which comes paused, to the reactor. */
export function acceptSocket(reactor: Reactor, socket: Socket, listener: number): void {
  const connection = reactor.accept(new TcpPeer(socket), listener);
  if (connection === null) {
    socket.destroy();
    return;
  }
  socket.on('data', (chunk: Buffer) => reactor.onInput(connection, chunk));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => reactor.onClosed(connection));
  socket.resume();
}
