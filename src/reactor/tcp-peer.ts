/**
 * @agent reactor
 *
 * A TCP socket as the reactor sees it.
 *
 * Where this Node lets us, bytes come and go without its streams: reads go into one buffer of the reactor's for all sockets
 * (`onread`, which Node offers for sockets that connect, but not for those that are accepted), instead of a
 * new one of 64 KiB for each; answers go to the descriptor at once. Both are worth as much as the request
 * itself where it comes alone. What the socket does not take goes the usual way.
 */
import fs from 'node:fs';
import type { Socket } from 'node:net';
import type { CloseReason, Peer } from './peer.ts';
import type { Reactor } from './reactor.ts';

/** What an accepted socket has of Node's own. */
interface SocketHandle {
  readonly fd?: number;
  useUserBuffer?: (buffer: Uint8Array) => void;
}

const handleOf = (socket: Socket): SocketHandle | null =>
  (socket as unknown as { _handle: SocketHandle | null })._handle;

const isEncrypted = (socket: Socket): boolean => 'encrypted' in socket;

class TcpPeer implements Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly #socket: Socket;
  readonly #handle: SocketHandle | null;
  /** -1 where there is none to write to. */
  readonly #descriptor: number;
  #directBytes = 0;
  /**
   * The other side has closed it and takes no more. What it sent before that is still to be read, commits of
   * a consumer that ends for one; after it the reading side finds the end.
   */
  #isBroken = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '0.0.0.0';
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? '127.0.0.1';
    this.#handle = handleOf(socket);
    this.#descriptor = isEncrypted(socket) ? -1 : (this.#handle?.fd ?? -1);
  }

  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  get bytesWritten(): number {
    return takenBytes(this.#socket) + this.#directBytes;
  }

  write(bytes: Buffer, onWritten: () => void): boolean {
    const taken = this.#isBroken ? bytes.length : this.#writeDirectly(bytes);
    // What it has sent waits for a turn, which others get instead.
    if (this.#isBroken && this.#socket.isPaused()) this.#socket.destroy();
    if (taken === bytes.length) return true;
    // A copy of the rest: the socket would keep all of the bytes for it.
    this.#socket.write(taken === 0 ? bytes : Buffer.from(bytes.subarray(taken)), onWritten);
    return false;
  }

  /** How much the system takes now. */
  #writeDirectly(bytes: Buffer): number {
    const socket = this.#socket;
    // The handle goes when the descriptor does, which may be another's from then on.
    if (this.#descriptor < 0 || socket.writableLength > 0 || handleOf(socket) !== this.#handle)
      return 0;
    try {
      const taken = fs.writeSync(this.#descriptor, bytes, 0, bytes.length);
      this.#directBytes += taken;
      return taken;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#isBroken = code === 'EPIPE' || code === 'ECONNRESET';
      // Full: the socket waits for room.
      return this.#isBroken ? bytes.length : 0;
    }
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
 * Has a socket read into a buffer and call `onRead` with how much, and then `nextBuffer` for where to read to
 * next; false where this Node has not got what that needs: the slots that its own `onread` option fills.
 */
function readDirectly(
  socket: Socket,
  first: Buffer,
  onRead: (bytes: number) => void,
  nextBuffer: () => Buffer,
): boolean {
  const handle = handleOf(socket);
  // What has been read already comes by the stream alone.
  if (isEncrypted(socket) || socket.readableLength > 0) return false;
  if (typeof handle?.useUserBuffer !== 'function') return false;
  const slots = socket as unknown as Record<symbol, unknown>;
  const slotOf = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === name);
  const buffer = slotOf('kBuffer');
  const callback = slotOf('kBufferCb');
  const generator = slotOf('kBufferGen');
  if (buffer === undefined || callback === undefined || generator === undefined) return false;
  slots[buffer] = first;
  slots[callback] = onRead;
  slots[generator] = () => {
    const next = nextBuffer();
    // Undefined for the same again: a look into C++ less.
    return next === slots[buffer] ? undefined : next;
  };
  handle.useUserBuffer(first);
  return true;
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
export function acceptSocket(
  reactor: Pick<
    Reactor,
    'readBuffer' | 'headBuffer' | 'accept' | 'onInput' | 'onRest' | 'beginLongFrame' | 'onClosed'
  >,
  socket: Socket,
  listener: number,
): void {
  const connection = reactor.accept(new TcpPeer(socket), listener);
  if (connection === null) {
    socket.destroy();
    return;
  }
  const { readBuffer, headBuffer } = reactor;
  let isLong = false;
  const onRead = (bytes: number): void => {
    if (connection.openFrame !== null) {
      reactor.onRest(connection, bytes);
      return;
    }
    reactor.onInput(connection, readBuffer, bytes);
    isLong = reactor.beginLongFrame(connection);
    if (!isLong) connection.ownInput();
  };
  const nextBuffer = (): Buffer => connection.openFrame?.rest ?? (isLong ? headBuffer : readBuffer);
  if (!readDirectly(socket, readBuffer, onRead, nextBuffer))
    socket.on('data', (chunk: Buffer) => reactor.onInput(connection, chunk));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => reactor.onClosed(connection));
  socket.resume();
}
