/**
 * @agent any
 *
 * Bytes over a WebSocket: each write is one binary message, and messages are read as a stream.
 */
import type { ByteStream, ByteStreamEvents, Transport } from './client-core.ts';
import { ClientError } from './client-error.ts';

/** What is used of the WebSocket of browsers, Node and the package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly readyState: number;
  addEventListener(
    type: 'open' | 'message' | 'error' | 'close',
    listener: (event: WebSocketEvent) => void,
  ): void;
  send(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
}
interface WebSocketEvent {
  readonly data?: unknown;
  readonly code?: number;
  readonly reason?: string;
}
export type WebSocketClass = new (url: string) => WebSocketLike;

const OPEN = 1;

export class WebSocketTransport implements Transport {
  readonly #webSocketClass: () => Promise<WebSocketClass | null>;

  constructor(webSocketClass: () => Promise<WebSocketClass | null>) {
    this.#webSocketClass = webSocketClass;
  }

  async open(address: string, events: ByteStreamEvents, timeoutMs: number): Promise<ByteStream> {
    if (!/^wss?:\/\/./.test(address))
      throw new ClientError('INVALID_ARGUMENT', `${address} is no ws: or wss: URL`);
    const webSocketClass = await this.#webSocketClass();
    if (webSocketClass === null)
      throw new ClientError('NOT_SUPPORTED', 'there is no WebSocket here: install the package ws');
    return new Promise((resolve, reject) => {
      const fail = (what: string): void => {
        reject(new ClientError('CONNECTION_FAILED', `${address} ${what}`));
      };
      let socket: WebSocketLike;
      try {
        socket = new webSocketClass(address);
      } catch (cause) {
        reject(new ClientError('INVALID_ARGUMENT', `${address} is no usable URL`, { cause }));
        return;
      }
      socket.binaryType = 'arraybuffer';
      let isOpen = false;
      const timer = setTimeout(() => {
        fail(`did not accept a connection within ${timeoutMs} ms`);
        socket.close();
      }, timeoutMs);
      socket.addEventListener('open', () => {
        clearTimeout(timer);
        isOpen = true;
        resolve(new WebSocketStream(socket));
      });
      socket.addEventListener('message', ({ data }) => {
        if (data instanceof ArrayBuffer) events.onData(new Uint8Array(data));
        else socket.close();
      });
      // Says nothing that the close after it does not say.
      socket.addEventListener('error', () => {});
      socket.addEventListener('close', ({ code, reason }) => {
        clearTimeout(timer);
        const why = `${code ?? ''} ${reason ?? ''}`.trim();
        if (isOpen) events.onClose(`the connection was closed (${why})`);
        else fail(`can not be reached (${why})`);
      });
    });
  }
}

class WebSocketStream implements ByteStream {
  readonly #socket: WebSocketLike;

  constructor(socket: WebSocketLike) {
    this.#socket = socket;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  write(bytes: Uint8Array): void {
    // On one that is closing, bytes would only be counted.
    if (this.#socket.readyState === OPEN) this.#socket.send(bytes as Uint8Array<ArrayBuffer>);
  }

  close(): void {
    this.#socket.close();
  }
}
