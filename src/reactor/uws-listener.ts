/**
 * @agent reactor
 *
 * The web listener on uWebSockets.js. It can not be told to stop reading a WebSocket: what comes meanwhile
 * is kept here, up to a bound for each connection and one for all, and beyond that the connection is closed
 * (1013, try again later).
 *
 * Buffers that it gives are valid only during the call, a WebSocket only until its close.
 */
import { createRequire } from 'node:module';
import net from 'node:net';
import { listenFailed } from '../base/errors.ts';
import { Listener } from '../workers/ring-messages.ts';
import type { Connection } from './connection.ts';
import type { CloseReason, Peer } from './peer.ts';
import type { Reactor } from './reactor.ts';
import {
  closeCodeOf,
  MESSAGE_BYTES_MAX,
  upgradeRefusal,
  type WebListener,
  type WebListenerOptions,
  type WebReply,
} from './web-listener.ts';

/** What one connection may send while it is not read: two of the longest messages. */
const HELD_BYTES_MAX = 2 * MESSAGE_BYTES_MAX;
/** The same of all connections together (a guess). */
const HELD_BYTES_MAX_ALL = 256 * 1024 * 1024;

/** The part of uWebSockets.js that is used; its own types can not be found by the compiler. */
interface UwsSocket {
  getUserData(): UserData;
  getRemoteAddressAsText(): ArrayBuffer;
  getRemotePort?(): number;
  getBufferedAmount(): number;
  send(message: Uint8Array, isBinary: boolean): number;
  end(code: number, text: string): void;
  close(): void;
}

interface UserData {
  link: Link;
}

interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(key: string, value: string): UwsResponse;
  write(text: string): boolean;
  end(text: string, closesConnection?: boolean): UwsResponse;
  endWithoutBody(bytes: number, closesConnection?: boolean): UwsResponse;
  onWritable(handler: () => boolean): UwsResponse;
  onAborted(handler: () => void): UwsResponse;
  cork(act: () => void): UwsResponse;
  close(): void;
  upgrade(data: UserData, key: string, protocol: string, extensions: string, context: object): void;
}

interface UwsRequest {
  getHeader(name: string): string;
  getUrl(): string;
  getCaseSensitiveMethod(): string;
}

interface UwsApp {
  ws(pattern: string, behavior: object): UwsApp;
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  listen(host: string, port: number, options: number, done: (socket: object | false) => void): void;
  close(): void;
}

export interface Uws {
  App(): UwsApp;
  us_listen_socket_close(socket: object): void;
  us_socket_local_port(socket: object): number;
  LIBUS_LISTEN_EXCLUSIVE_PORT: number;
}

/** The library, or why it does not load. */
export function loadUws(): Uws | string {
  try {
    return createRequire(import.meta.url)('uWebSockets.js') as Uws;
  } catch (error) {
    const lines = String(error instanceof Error ? error.message : error).split('\n');
    // Its own message says what it supports; the cause comes last.
    return lines.findLast((line) => line.trim() !== '') ?? 'for an unknown reason';
  }
}

/** What is held for all connections of a listener. */
class HeldBytes {
  total = 0;
}

/** One WebSocket: the peer of a connection, and what came for it while it was not read. */
class Link implements Peer {
  remoteAddress = '0.0.0.0';
  remotePort = 0;
  readonly localAddress: string;
  readonly #reactor: Reactor;
  readonly #held: HeldBytes;
  #socket: UwsSocket | null = null;
  #connection: Connection | null = null;
  #isPaused = false;
  #chunks: Buffer[] = [];
  #chunkBytes = 0;
  #writtenBytes = 0;
  #onWritten: (() => void) | null = null;

  constructor(reactor: Reactor, localAddress: string, held: HeldBytes) {
    this.#reactor = reactor;
    this.localAddress = localAddress;
    this.#held = held;
  }

  get pendingBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  get bytesWritten(): number {
    return this.#writtenBytes - this.pendingBytes;
  }

  onOpen(socket: UwsSocket): void {
    this.#socket = socket;
    this.remoteAddress = Buffer.from(socket.getRemoteAddressAsText()).toString();
    this.remotePort = socket.getRemotePort?.() ?? 0;
    this.#connection = this.#reactor.accept(this, Listener.WEB);
    if (this.#connection === null) this.destroy('input-overflow');
  }

  onMessage(message: ArrayBuffer, isBinary: boolean): void {
    const connection = this.#connection;
    if (connection === null) return;
    if (!isBinary) {
      this.#reactor.end(connection, 'text-message');
      return;
    }
    if (this.#isPaused) {
      this.#hold(connection, Buffer.from(new Uint8Array(message)));
      return;
    }
    this.#reactor.onInput(connection, Buffer.from(message));
    connection.ownInput();
  }

  onDrain(): void {
    if (this.pendingBytes > 0) return;
    const onWritten = this.#onWritten;
    this.#onWritten = null;
    onWritten?.();
  }

  onClose(): void {
    this.#socket = null;
    this.#drop();
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) this.#reactor.onClosed(connection);
  }

  write(bytes: Buffer, onWritten: () => void): boolean {
    const socket = this.#socket;
    if (socket === null) return false;
    this.#writtenBytes += bytes.length;
    socket.send(bytes, true);
    if (socket.getBufferedAmount() === 0) return true;
    this.#onWritten = onWritten;
    return false;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    while (!this.#isPaused && this.#chunks.length > 0 && this.#connection !== null) {
      const chunk = this.#chunks.shift() as Buffer;
      this.#chunkBytes -= chunk.length;
      this.#held.total -= chunk.length;
      this.#reactor.onInput(this.#connection, chunk);
    }
  }

  end(): void {
    this.#socket?.end(closeCodeOf('asked').code, '');
  }

  destroy(reason: CloseReason): void {
    const { code, text } = closeCodeOf(reason);
    if (reason === 'not-reading' || reason === 'answer-memory') this.#socket?.close();
    else this.#socket?.end(code, text);
  }

  #hold(connection: Connection, chunk: Buffer): void {
    const isTooMuch =
      this.#chunkBytes + chunk.length > HELD_BYTES_MAX ||
      this.#held.total + chunk.length > HELD_BYTES_MAX_ALL;
    if (isTooMuch) {
      this.#reactor.end(connection, 'input-overflow');
      return;
    }
    this.#chunks.push(chunk);
    this.#chunkBytes += chunk.length;
    this.#held.total += chunk.length;
  }

  #drop(): void {
    this.#held.total -= this.#chunkBytes;
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#onWritten = null;
  }
}

/** @throws BrokerError LISTEN_FAILED */
export async function openUwsListener(uws: Uws, options: WebListenerOptions): Promise<WebListener> {
  const held = new HeldBytes();
  const localAddress = net.isIP(options.address) === 0 ? '127.0.0.1' : options.address;
  const app = uws.App();
  app.ws('/*', {
    compression: 0,
    maxPayloadLength: MESSAGE_BYTES_MAX,
    // The reactor writes only when nothing waits, and closes whoever does not read.
    maxBackpressure: 0,
    idleTimeout: 0,
    sendPingsAutomatically: false,
    upgrade: (response: UwsResponse, request: UwsRequest, context: object) => {
      const origin = request.getHeader('origin');
      const refusal = upgradeRefusal(options, request.getUrl(), origin, request.getHeader('host'));
      const reactor = options.reactor();
      if (refusal !== null || reactor === null) {
        response
          .writeStatus(statusLine(refusal?.status ?? 503))
          .writeHeader('content-type', 'text/plain; charset=utf-8')
          .end(`${refusal?.text ?? ''}\n`, true);
        return;
      }
      const link = new Link(reactor, localAddress, held);
      // The request is only there for now.
      const key = request.getHeader('sec-websocket-key');
      const coming = { destroyed: false, destroy: () => response.close() };
      response.onAborted(() => {
        coming.destroyed = true;
      });
      options.pace.take(coming, () =>
        response.cork(() => response.upgrade({ link }, key, '', '', context)),
      );
    },
    open: (socket: UwsSocket) => socket.getUserData().link.onOpen(socket),
    message: (socket: UwsSocket, message: ArrayBuffer, isBinary: boolean) =>
      socket.getUserData().link.onMessage(message, isBinary),
    drain: (socket: UwsSocket) => socket.getUserData().link.onDrain(),
    close: (socket: UwsSocket) => socket.getUserData().link.onClose(),
  });
  app.any('/*', (response, request) => {
    options.answer(
      { method: request.getCaseSensitiveMethod(), path: request.getUrl() },
      new UwsReply(response, request.getCaseSensitiveMethod() === 'HEAD'),
    );
  });
  const listening = await new Promise<object | false>((resolve) => {
    app.listen(options.address, options.port, uws.LIBUS_LISTEN_EXCLUSIVE_PORT, resolve);
  });
  if (listening === false) throw listenFailed(options, '--web-port', await whyNot(options));
  let isAccepting = true;
  const stopAccepting = (): void => {
    if (isAccepting) uws.us_listen_socket_close(listening);
    isAccepting = false;
  };
  return {
    library: 'uws',
    port: uws.us_socket_local_port(listening),
    stopAccepting,
    close: () => {
      stopAccepting();
      app.close();
      return Promise.resolve();
    },
  };
}

/** The library does not say why it can not listen: the same is tried with a plain socket. */
function whyNot(options: WebListenerOptions): Promise<NodeJS.ErrnoException> {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.once('error', resolve);
    server.listen({ port: options.port, host: options.address }, () => {
      server.close();
      resolve(new Error('uWebSockets.js can not listen there'));
    });
  });
}

const statusTexts: Readonly<Record<number, string>> = {
  200: 'OK',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  503: 'Service Unavailable',
};

function statusLine(status: number): string {
  return `${status} ${statusTexts[status] ?? ''}`;
}

class UwsReply implements WebReply {
  readonly #response: UwsResponse;
  readonly #isHead: boolean;
  #isOpen = true;
  #resume: (() => void) | null = null;

  constructor(response: UwsResponse, isHead: boolean) {
    this.#response = response;
    this.#isHead = isHead;
    response.onAborted(() => {
      this.#isOpen = false;
      this.#resume?.();
    });
    response.onWritable(() => {
      this.#resume?.();
      return true;
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  begin(status: number, headers: Readonly<Record<string, string>>): void {
    if (!this.#isOpen) return;
    this.#response.cork(() => {
      this.#response.writeStatus(statusLine(status));
      for (const [name, value] of Object.entries(headers)) {
        // It counts the bytes by itself.
        if (name !== 'content-length') this.#response.writeHeader(name, value);
      }
    });
  }

  write(text: string): Promise<void> {
    let isTaken = true;
    if (this.#isOpen)
      this.#response.cork(() => {
        isTaken = this.#response.write(text);
      });
    if (isTaken) return Promise.resolve();
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }

  end(text: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#response.cork(() => {
      if (this.#isHead) this.#response.endWithoutBody(Buffer.byteLength(text));
      else this.#response.end(text);
    });
  }
}
