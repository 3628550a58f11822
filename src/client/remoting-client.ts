/**
 * @agent any
 *
 * A client of one remoting address, over node:net: connects when first needed, keeps many requests in
 * flight, and connects anew after a loss with the next request. Every failure is a BrokerError
 * REMOTING_FAILED that names the address.
 */
import net from 'node:net';
import { BrokerError } from '../base/errors.ts';
import {
  decodeFrame,
  encodeRequest,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
  FRAME_BYTES_MAX,
  type RemotingCommand,
} from '../protocol/remoting-command.ts';

export interface RemotingClientOptions {
  /** `host:port`; an IPv6 host in brackets. */
  address: string;
  connectTimeoutMs?: number;
  /** Requests that the server sends on its own account. */
  onRequest?: (request: RemotingCommand) => void;
}

export interface RemotingRequest {
  code: number;
  extFields?: Iterable<readonly [string, string]> | undefined;
  body?: Uint8Array | undefined;
  timeoutMs?: number;
}

interface Waiting {
  resolve: (answer: RemotingCommand) => void;
  reject: (error: BrokerError) => void;
  timer: NodeJS.Timeout;
}

const CONNECT_TIMEOUT_MS = 3000;
const REQUEST_TIMEOUT_MS = 3000;

export class RemotingClient {
  readonly address: string;
  readonly #options: RemotingClientOptions;
  readonly #waiting = new Map<number, Waiting>();
  #socket: net.Socket | null = null;
  #connecting: Promise<net.Socket> | null = null;
  #input: Buffer = Buffer.alloc(0);
  #nextOpaque = 0;
  #isClosed = false;

  constructor(options: RemotingClientOptions) {
    this.#options = options;
    this.address = options.address;
  }

  /** @throws BrokerError REMOTING_FAILED */
  async request(request: RemotingRequest): Promise<RemotingCommand> {
    const socket = await this.#connect();
    this.#nextOpaque = (this.#nextOpaque + 1) & 0x7fffffff;
    const opaque = this.#nextOpaque;
    const timeoutMs = request.timeoutMs ?? REQUEST_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(opaque);
        reject(this.#failure(`did not answer request ${request.code} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(opaque, { resolve, reject, timer });
      socket.write(encodeRequest({ ...request, opaque }));
    });
  }

  /** Sends without waiting for anything but the connection. */
  async oneway(request: RemotingRequest): Promise<void> {
    const socket = await this.#connect();
    this.#nextOpaque = (this.#nextOpaque + 1) & 0x7fffffff;
    socket.write(encodeRequest({ ...request, opaque: this.#nextOpaque, flag: FLAG_ONEWAY }));
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.destroy();
    this.#rejectAll(this.#failure('was left: the client is closed'));
  }

  #failure(what: string, cause?: unknown): BrokerError {
    return new BrokerError('REMOTING_FAILED', `${this.address} ${what}`, { cause });
  }

  async #connect(): Promise<net.Socket> {
    if (this.#isClosed) throw this.#failure('can not be asked: the client is closed');
    if (this.#socket !== null) return this.#socket;
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  #open(): Promise<net.Socket> {
    const [, host = '', port = ''] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(this.address) ?? [];
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port: Number(port), noDelay: true });
      const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
      const timer = setTimeout(() => {
        socket.destroy();
        reject(this.#failure(`did not accept a connection within ${timeoutMs} ms`));
      }, timeoutMs);
      socket.on('error', (cause) => {
        clearTimeout(timer);
        reject(this.#failure(`can not be reached: ${cause.message}`, cause));
      });
      socket.once('connect', () => {
        clearTimeout(timer);
        this.#socket = socket;
        this.#input = Buffer.alloc(0);
        resolve(socket);
      });
      socket.on('data', (chunk: Buffer) => this.#onData(socket, chunk));
      socket.on('close', () => {
        if (this.#socket !== socket) return;
        this.#socket = null;
        this.#rejectAll(this.#failure('closed the connection'));
      });
    });
  }

  #rejectAll(error: BrokerError): void {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
  }

  #onData(socket: net.Socket, chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    while (this.#input.length >= 4) {
      const frameBytes = this.#input.readInt32BE(0);
      if (frameBytes < 4 || frameBytes > FRAME_BYTES_MAX) {
        socket.destroy();
        return;
      }
      if (this.#input.length < 4 + frameBytes) return;
      const frame = this.#input.subarray(4, 4 + frameBytes);
      this.#input = this.#input.subarray(4 + frameBytes);
      try {
        this.#onFrame(decodeFrame(frame));
      } catch (error) {
        if (!BrokerError.is(error)) throw error;
        socket.destroy();
        return;
      }
    }
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
