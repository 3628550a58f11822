/**
 * @agent reactor
 *
 * The web listener on node:http and ws. A socket that is not to be read is paused, as a TCP one is.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { listenFailed } from '../base/errors.ts';
import { Listener } from '../workers/ring-messages.ts';
import type { CloseReason, Peer } from './peer.ts';
import {
  CLOSE_TIMEOUT_MS,
  closeCodeOf,
  MESSAGE_BYTES_MAX,
  upgradeRefusal,
  type WebListener,
  type WebListenerOptions,
  type WebReply,
} from './web-listener.ts';

/** Time for the head of a request. */
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 15_000;

/** The socket below a WebSocket, as far as it is needed here. */
interface Socket extends Duplex {
  readonly remoteAddress?: string;
  readonly remotePort?: number;
  readonly localAddress?: string;
  readonly bytesWritten: number;
}

class WsPeer implements Peer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;

  constructor(webSocket: WebSocket, socket: Socket) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '0.0.0.0';
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? '127.0.0.1';
  }

  /** Nothing is compressed, so that nothing waits outside of the socket. */
  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  write(bytes: Buffer, onWritten: () => void): void {
    this.#webSocket.send(bytes, BINARY, onWritten);
  }

  pause(): void {
    this.#webSocket.pause();
  }

  resume(): void {
    this.#webSocket.resume();
  }

  end(): void {
    this.#webSocket.close(closeCodeOf('asked').code);
  }

  destroy(reason: CloseReason): void {
    // A peer that does not read would not read why, either.
    if (reason === 'not-reading') {
      this.#webSocket.terminate();
      return;
    }
    const { code, text } = closeCodeOf(reason);
    // Paused, its goodbye would never be read.
    this.#webSocket.resume();
    this.#webSocket.close(code, text);
  }
}

const BINARY = { binary: true };

/** @throws BrokerError LISTEN_FAILED */
export async function openWsListener(options: WebListenerOptions): Promise<WebListener> {
  const settings = {
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    clientTracking: true,
    handleProtocols: () => false as const,
    // Not in its types yet.
    closeTimeout: CLOSE_TIMEOUT_MS,
  };
  const webSockets = new WebSocketServer(settings);
  const server = http.createServer(
    { headersTimeout: HEADERS_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS, noDelay: true },
    (request, response) => {
      request.resume();
      options.answer(
        { method: request.method ?? '', path: pathOf(request) },
        new NodeReply(response),
      );
    },
  );
  server.maxConnections = options.connectionCountMax;
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('upgrade', (request, socket, head) => {
    const refusal = upgradeRefusal(
      options,
      pathOf(request),
      request.headers.origin,
      request.headers.host,
    );
    if (refusal !== null) {
      refuseUpgrade(socket, refusal);
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => open(webSocket, socket));
  });

  const open = (webSocket: WebSocket, socket: Duplex): void => {
    const peer = new WsPeer(webSocket, socket as Socket);
    const reactor = options.reactor();
    const connection = reactor?.accept(peer, Listener.WEB) ?? null;
    // ws closes by itself what breaks its protocol, and tells here why.
    webSocket.on('error', () => {});
    if (reactor === null || connection === null) {
      peer.destroy('input-overflow');
      return;
    }
    webSocket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) reactor.onInput(connection, data);
      else reactor.end(connection, 'text-message');
    });
    webSocket.on('close', () => reactor.onClosed(connection));
  };

  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(listenFailed(options, '--web-port', cause)),
    );
    server.listen({ port: options.port, host: options.address, backlog: 4096 }, resolve);
  });
  return {
    library: 'ws',
    port: (server.address() as AddressInfo).port,
    stopAccepting: () => {
      server.close();
      server.closeIdleConnections();
    },
    close: async () => {
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      const clients = [...webSockets.clients];
      const allGone = Promise.all(
        clients.map((client) => new Promise((resolve) => client.once('close', resolve))),
      );
      // Each has been told; those that do not answer are cut by ws after its own time.
      await allGone;
      await ended;
    },
  };
}

function pathOf(request: http.IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0];
}

function refuseUpgrade(socket: Duplex, refusal: { status: number; text: string }): void {
  const body = `${refusal.text}\n`;
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${refusal.status} ${http.STATUS_CODES[refusal.status]}\r\n` +
      `content-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}

class NodeReply implements WebReply {
  readonly #response: http.ServerResponse;

  constructor(response: http.ServerResponse) {
    this.#response = response;
  }

  get isOpen(): boolean {
    return !this.#response.destroyed;
  }

  begin(status: number, headers: Readonly<Record<string, string>>): void {
    this.#response.writeHead(status, headers);
  }

  write(text: string): Promise<void> {
    const response = this.#response;
    if (response.write(text) || response.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        response.off('drain', done);
        response.off('close', done);
        resolve();
      };
      response.on('drain', done);
      response.on('close', done);
    });
  }

  end(text: string): void {
    this.#response.end(text);
  }
}
