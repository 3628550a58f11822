/**
 * @agent any
 *
 * A client of one remoting address, over node:net: connects when first needed, keeps many requests in
 * flight, and connects anew after a loss with the next request. Every failure is a BrokerError
 * REMOTING_FAILED that names the address.
 */
import type net from 'node:net';
import { BrokerError } from '../base/errors.ts';
import {
  decodeFrame,
  encodeRequest,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
  FRAME_BYTES_MAX,
  type RemotingCommand,
} from '../protocol/remoting-command.ts';
import { connectSocket, nodeHmacSha1 } from './node-security.ts';
import type { TlsClientOptions } from './platform.ts';
import { type ClientCredentials, RequestSigner } from './request-signer.ts';

export interface RemotingClientOptions {
  /** `host:port`; an IPv6 host in brackets. */
  address: string;
  connectTimeoutMs?: number;
  /** By whom requests are signed; null or absent: by nobody. */
  credentials?: ClientCredentials | null;
  /** Null or absent: without TLS. */
  tls?: TlsClientOptions | null;
  /** Requests that the server sends on its own account. */
  onRequest?: (request: RemotingCommand) => void;
  /** A connection that stood was lost, whoever ended it but `close`. */
  onDisconnected?: () => void;
}

export interface RemotingRequest {
  code: number;
  extFields?: Iterable<readonly [string, string]> | undefined;
  body?: Uint8Array | undefined;
  /** For all of it: connection, request and answer. */
  timeoutMs?: number;
}

interface Waiting {
  resolve: (answer: RemotingCommand) => void;
  reject: (error: BrokerError) => void;
  timer: NodeJS.Timeout;
}

const CONNECT_TIMEOUT_MS = 3000;
const REQUEST_TIMEOUT_MS = 3000;
const LENGTH_BYTES = 4;
const PORT_MAX = 65_535;

export class RemotingClient {
  readonly address: string;
  readonly #options: RemotingClientOptions;
  readonly #signer: RequestSigner | null;
  readonly #waiting = new Map<number, Waiting>();
  #socket: net.Socket | null = null;
  #connecting: Promise<net.Socket> | null = null;
  /** What has come of the next frame, and how many bytes there must be before it is looked at. */
  #chunks: Buffer[] = [];
  #chunksBytes = 0;
  #wantedBytes = LENGTH_BYTES;
  #nextOpaque = 0;
  #isClosed = false;

  constructor(options: RemotingClientOptions) {
    this.#options = options;
    this.address = options.address;
    const credentials = options.credentials ?? null;
    this.#signer = credentials === null ? null : new RequestSigner(credentials, nodeHmacSha1);
  }

  /** @throws BrokerError REMOTING_FAILED */
  async request(request: RemotingRequest): Promise<RemotingCommand> {
    const opaque = this.#takeOpaque();
    const frame = encodeRequest({ ...this.#signed(request), opaque });
    const timeoutMs = request.timeoutMs ?? REQUEST_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(opaque);
        reject(this.#failure(`did not answer request ${request.code} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(opaque, { resolve, reject, timer });
      void this.#send(opaque, frame);
    });
  }

  /** Sends without waiting for anything but the connection. */
  async oneway(request: RemotingRequest): Promise<void> {
    const opaque = this.#takeOpaque();
    const frame = encodeRequest({ ...this.#signed(request), opaque, flag: FLAG_ONEWAY });
    const socket = await this.#connect();
    socket.write(frame);
  }

  #signed(request: RemotingRequest): RemotingRequest {
    if (this.#signer === null) return request;
    const fields = [...(request.extFields ?? [])].map(([name, value]): [string, string] => [
      name,
      value,
    ]);
    return { ...request, extFields: this.#signer.sign(fields, request.body) };
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.destroy();
    this.#rejectAll(this.#failure('was left: the client is closed'));
  }

  async #send(opaque: number, frame: Buffer): Promise<void> {
    try {
      const socket = await this.#connect();
      // Its time may have passed while the connection was made.
      if (this.#waiting.has(opaque)) socket.write(frame);
    } catch (error) {
      const waiting = this.#waiting.get(opaque);
      if (waiting === undefined) return;
      this.#waiting.delete(opaque);
      clearTimeout(waiting.timer);
      waiting.reject(BrokerError.is(error) ? error : this.#failure('can not be reached', error));
    }
  }

  #takeOpaque(): number {
    this.#nextOpaque = (this.#nextOpaque + 1) & 0x7fffffff;
    return this.#nextOpaque;
  }

  #failure(what: string, cause?: unknown): BrokerError {
    return new BrokerError('REMOTING_FAILED', `${this.address} ${what}`, { cause });
  }

  async #connect(): Promise<net.Socket> {
    if (this.#isClosed) throw this.#failure('can not be asked: the client is closed');
    // One that was destroyed but has not said so yet would swallow the request.
    if (this.#socket !== null && !this.#socket.destroyed) return this.#socket;
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #open(): Promise<net.Socket> {
    const [, host = '', portText = ''] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(this.address) ?? [];
    const port = Number(portText);
    if (host === '' || port === 0 || port > PORT_MAX)
      throw this.#failure('can not be reached: it is no host:port');
    return new Promise((resolve, reject) => {
      const { socket, readyEvent } = connectSocket({ host, port }, this.#options.tls ?? null);
      const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
      const timer = setTimeout(() => {
        reject(this.#failure(`did not accept a connection within ${timeoutMs} ms`));
        socket.destroy();
      }, timeoutMs);
      // After the connection stands, what an error does is seen by the close that follows it.
      socket.on('error', (cause) => {
        clearTimeout(timer);
        reject(this.#failure(`can not be reached: ${cause.message}`, cause));
      });
      socket.once(readyEvent, () => {
        clearTimeout(timer);
        if (this.#isClosed) {
          reject(this.#failure('was left: the client is closed'));
          socket.destroy();
          return;
        }
        this.#socket = socket;
        this.#startFrame([], 0);
        resolve(socket);
      });
      socket.on('data', (chunk: Buffer) => {
        if (this.#socket === socket) this.#onData(socket, chunk);
      });
      socket.on('close', () => {
        if (this.#socket === socket) this.#onClosed('closed the connection');
      });
    });
  }

  #onClosed(what: string): void {
    this.#socket = null;
    if (this.#isClosed) return;
    this.#rejectAll(this.#failure(what));
    this.#options.onDisconnected?.();
  }

  #rejectAll(error: BrokerError): void {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
  }

  #startFrame(chunks: Buffer[], bytes: number): void {
    this.#chunks = chunks;
    this.#chunksBytes = bytes;
    this.#wantedBytes = LENGTH_BYTES;
  }

  #onData(socket: net.Socket, chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#chunksBytes += chunk.length;
    // Chunks are joined only when a frame is whole, so a large one is copied once, not once a chunk.
    while (this.#chunksBytes >= this.#wantedBytes) {
      const input = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
      if (input === undefined) return;
      this.#chunks = [input];
      if (this.#wantedBytes === LENGTH_BYTES) {
        const frameBytes = input.readInt32BE(0);
        if (frameBytes < LENGTH_BYTES || frameBytes > FRAME_BYTES_MAX) {
          this.#onBroken(socket, `sent a frame of ${frameBytes} bytes`);
          return;
        }
        this.#wantedBytes = LENGTH_BYTES + frameBytes;
        continue;
      }
      const frame = input.subarray(LENGTH_BYTES, this.#wantedBytes);
      const rest = input.subarray(this.#wantedBytes);
      this.#startFrame(rest.length === 0 ? [] : [rest], rest.length);
      try {
        this.#onFrame(decodeFrame(frame));
      } catch (error) {
        if (!BrokerError.is(error)) throw error;
        this.#onBroken(socket, `sent a bad frame: ${error.message}`);
        return;
      }
    }
  }

  /** What came is no remoting protocol: nothing after it can be trusted. */
  #onBroken(socket: net.Socket, what: string): void {
    socket.destroy();
    this.#onClosed(what);
  }

  #onFrame(frame: RemotingCommand): void {
    if ((frame.flag & FLAG_RESPONSE) === 0) {
      this.#options.onRequest?.(frame);
      return;
    }
    const waiting = this.#waiting.get(frame.opaque);
    if (waiting === undefined) return;
    this.#waiting.delete(frame.opaque);
    clearTimeout(waiting.timer);
    waiting.resolve(frame);
  }
}
