/**
 * @agent any
 *
 * Bytes over TCP, with TLS or without. A connection by itself never keeps a program from ending: requests in flight do.
 */
import type net from 'node:net';
import { type ActiveConnection, clientActivity } from './client-activity.ts';
import type { ByteStream, ByteStreamEvents, Transport } from './client-core.ts';
import { ClientError } from './client-error.ts';
import { connectSocket } from './node-security.ts';
import type { TlsClientOptions } from './platform.ts';

const PORT_MAX = 65_535;

export class TcpTransport implements Transport {
  readonly #security: TlsClientOptions | null;

  /** Null: without TLS. */
  constructor(security: TlsClientOptions | null) {
    this.#security = security;
  }

  open(address: string, events: ByteStreamEvents, timeoutMs: number): Promise<ByteStream> {
    const [, host = '', portText = ''] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(address) ?? [];
    const port = Number(portText);
    if (host === '' || port === 0 || port > PORT_MAX)
      return Promise.reject(new ClientError('INVALID_ARGUMENT', `${address} is no host:port`));
    return new Promise((resolve, reject) => {
      const { socket, readyEvent } = connectSocket({ host, port }, this.#security);
      let isOpen = false;
      const fail = (what: string, cause?: unknown): void => {
        const options = cause === undefined ? {} : { cause };
        reject(new ClientError('CONNECTION_FAILED', `${address} ${what}`, options));
      };
      const timer = setTimeout(() => {
        fail(`did not accept a connection within ${timeoutMs} ms`);
        socket.destroy();
      }, timeoutMs);
      let lastError = '';
      // Of a connection that stands, the close after the error tells.
      socket.on('error', (cause) => {
        lastError = cause.message;
        fail(`can not be reached: ${cause.message}`, cause);
      });
      socket.once(readyEvent, () => {
        clearTimeout(timer);
        isOpen = true;
        // Its timer has kept the program alive so far; from now on requests do.
        socket.unref();
        const stream = new TcpStream(socket);
        clientActivity.connections.add(stream);
        socket.once('close', () => clientActivity.connections.delete(stream));
        resolve(stream);
      });
      socket.on('data', (chunk: Uint8Array) => events.onData(chunk));
      socket.once('close', () => {
        clearTimeout(timer);
        if (isOpen) events.onClose(lastError === '' ? 'the connection was closed' : lastError);
        else fail('closed the connection at once');
      });
    });
  }
}

class TcpStream implements ByteStream, ActiveConnection {
  readonly localPort: number;
  readonly remotePort: number;
  readonly #socket: net.Socket;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.localPort = socket.localPort ?? 0;
    this.remotePort = socket.remotePort ?? 0;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** What was written goes out first. */
  close(): void {
    this.#socket.destroySoon();
  }
}
