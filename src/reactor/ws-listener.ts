/**
 * @agent reactor
 *
 * The web listener on node:http and ws. A socket that is not to be read is paused, as a TCP one is.
 */
import type http from 'node:http';
import type https from 'node:https';
import { createRequire } from 'node:module';
import net, { type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import { listenFailed } from '../base/errors.ts';
import { Listener } from '../workers/ring-messages.ts';
import type { CloseReason, Peer } from './peer.ts';
import { takenBytes } from './tcp-peer.ts';
import type { TlsAcceptor } from './tls-acceptor.ts';
import {
  CLOSE_TIMEOUT_MS,
  closeCodeOf,
  MESSAGE_BYTES_MAX,
  upgradeRefusal,
  type WebListener,
  type WebListenerOptions,
  type WebReply,
} from './web-listener.ts';

const require = createRequire(import.meta.url);
/** An `import` of it would ask for all that it has: Node loads its own HTTP client, HTTP/2 and TLS for that, in 50 ms. */
const { createServer, STATUS_CODES } = require('node:http') as typeof http;

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
  readonly #output: OutputBlock;

  constructor(webSocket: WebSocket, socket: Socket, output: OutputBlock) {
    this.#output = output;
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
    return takenBytes(this.#socket);
  }

  /**
   * Writes the message itself, head and bytes in one piece: ws would write them in two, which costs more
   * than to copy some KiB. Its own frames, pongs and closes, stand before or behind, each whole.
   */
  write(bytes: Buffer, onWritten: () => void): boolean {
    const socket = this.#socket;
    if (this.#webSocket.readyState !== OPEN) return false;
    const block = this.#output.take(bytes);
    if (block === null) {
      this.#webSocket.send(bytes, BINARY, onWritten);
      return false;
    }
    socket.write(block, onWritten);
    if (socket.writableLength > 0) this.#output.give();
    return false;
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
    if (reason === 'not-reading' || reason === 'answer-memory') {
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
const OPEN = 1;
const BINARY_AND_FINAL = 0x82;
const HEAD_BYTES_MAX = 4;
/** Messages up to this long are copied behind their head. */
const COPIED_BYTES_MAX = 32 * 1024;

/** Memory in which messages stand with their heads; used again unless a socket has kept it. */
class OutputBlock {
  #block = Buffer.allocUnsafeSlow(HEAD_BYTES_MAX + COPIED_BYTES_MAX);

  /** The message, whole; null where it is too long. */
  take(bytes: Buffer): Buffer | null {
    const { length } = bytes;
    if (length > COPIED_BYTES_MAX) return null;
    const block = this.#block;
    block[0] = BINARY_AND_FINAL;
    if (length < 126) block[1] = length;
    else {
      block[1] = 126;
      block[2] = length >> 8;
      block[3] = length & 0xff;
    }
    const headBytes = length < 126 ? 2 : HEAD_BYTES_MAX;
    bytes.copy(block, headBytes);
    return block.subarray(0, headBytes + length);
  }

  /** What was taken last belongs to a socket now. */
  give(): void {
    this.#block = Buffer.allocUnsafeSlow(HEAD_BYTES_MAX + COPIED_BYTES_MAX);
  }
}

/** @throws BrokerError LISTEN_FAILED */
export async function openWsListener(options: WebListenerOptions): Promise<WebListener> {
  let webSockets: WebSocketServer | null = null;
  const settings = {
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
    clientTracking: true,
    handleProtocols: () => false as const,
    // Not in its types yet.
    closeTimeout: CLOSE_TIMEOUT_MS,
  };
  const onRequest: http.RequestListener = (request, response) => {
    request.resume();
    options.answer(
      { method: request.method ?? '', path: pathOf(request) },
      new NodeReply(response),
    );
  };
  const onUpgrade = (request: http.IncomingMessage, socket: Duplex, head: Buffer): void => {
    // Nobody else listens to it from here on, until ws does.
    socket.on('error', () => socket.destroy());
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
    // Loaded for the first WebSocket: 3 MB that a broker without them does not need.
    webSockets ??= new (require('ws') as typeof import('ws')).WebSocketServer(settings);
    const server = webSockets;
    options.pace.take(socket, () =>
      server.handleUpgrade(request, socket, head, (webSocket) => open(webSocket, socket)),
    );
  };

  const output = new OutputBlock();
  const open = (webSocket: WebSocket, socket: Duplex): void => {
    const peer = new WsPeer(webSocket, socket as Socket, output);
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

  const { front, servers } = httpServers(options.tls ?? null, onRequest);
  front.maxConnections = options.connectionCountMax;
  front.on('drop', (dropped) => options.onDropped?.(dropped?.remoteAddress));
  for (const server of servers) {
    server.on('clientError', (_error, socket) => socket.destroy());
    server.on('upgrade', onUpgrade);
  }
  await new Promise<void>((resolve, reject) => {
    front.once('error', (cause: NodeJS.ErrnoException) =>
      reject(listenFailed(options, '--web-port', cause)),
    );
    front.listen({ port: options.port, host: options.address, backlog: 4096 }, resolve);
  });
  return {
    library: 'ws',
    port: (front.address() as AddressInfo).port,
    stopAccepting: () => {
      front.close();
      for (const server of servers) server.closeIdleConnections();
    },
    close: async () => {
      const ended = new Promise<void>((resolve) => front.close(() => resolve()));
      for (const server of servers) server.closeAllConnections();
      const clients = [...(webSockets?.clients ?? [])];
      const allGone = Promise.all(
        clients.map((client) => new Promise((resolve) => client.once('close', resolve))),
      );
      // Each has been told; those that do not answer are cut by ws after its own time.
      await allGone;
      await ended;
    },
  };
}

/** What listens, and what speaks HTTP behind it: by TLS, plain, or both on one port. */
function httpServers(
  tls: TlsAcceptor | null,
  onRequest: http.RequestListener,
): { front: net.Server; servers: http.Server[] } {
  const settings = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    noDelay: true,
  };
  const plain = createServer(settings, onRequest);
  if (tls === null) return { front: plain, servers: [plain] };
  const secure = (require('node:https') as typeof https).createServer(
    { ...settings, ...tls.serverOptions },
    onRequest,
  );
  secure.on('tlsClientError', (error, socket) => tls.onHandshakeError(error, socket));
  secure.on('secureConnection', (socket) => tls.onArrived(socket));
  tls.follow(secure);
  const front = net.createServer({ noDelay: true, pauseOnConnect: true }, (socket) =>
    tls.sort(
      socket,
      () => secure.emit('connection', socket),
      () => {
        plain.emit('connection', socket);
        socket.resume();
      },
    ),
  );
  const servers = [plain, secure];
  // They watch over slow requests once they listen; here another does that for them.
  for (const server of servers) {
    server.emit('listening');
    front.once('close', () => server.close());
  }
  return { front, servers };
}

function pathOf(request: http.IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0];
}

function refuseUpgrade(socket: Duplex, refusal: { status: number; text: string }): void {
  const body = `${refusal.text}\n`;
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n` +
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
