/**
 * @agent any
 *
 * One connection to a name server or broker: many requests in flight, told apart by `opaque`.
 *
 * ```
 *   connecting ──▶ open ──▶ closed        a failed connection is closed at once; there is no way back:
 *        └───────────────────▲            the owner makes another one
 * ```
 * - What is posted while it connects waits in the output and goes out first.
 * - Frames of one turn of the event loop are one write. Their bytes lie in one buffer, which is used
 *   anew as soon as the network has taken what was written.
 * - One timer serves all time limits: set to the earliest one known, it looks at all requests when it
 *   fires. As nearly all have the same limit, that is once in seconds. It keeps the program alive
 *   while something is in flight; the connection by itself does not.
 * - Whatever is in flight when it closes fails with its reason.
 */
import type { ByteStream, CoreAnswer, CoreRequest, Transport } from './client-core.ts';
import { clientActivity } from './client-activity.ts';
import { ClientError } from './client-error.ts';
import {
  FLAG_ONEWAY,
  FLAG_RESPONSE,
  FrameSplitter,
  type FrameWriter,
  type HeaderCodec,
  PlainFrame,
} from './frame-codec.ts';
import { FrameReader } from './frame-reader.ts';
import {
  type BackgroundTimer,
  currentPlatform,
  keepProgramAlive,
  type Platform,
} from './platform.ts';
import type { RequestSigner } from './request-signer.ts';

const CONNECT_TIMEOUT_MS = 3000;
export const REQUEST_TIMEOUT_MS = 3000;
/** What the output begins with, and what it grows to: some hundred sends (a guess). */
const OUTPUT_BYTES_MIN = 16 * 1024;
const OUTPUT_BYTES_MAX = 256 * 1024;

/** Somebody who waits for an answer. Exactly one of the two is called, once. */
export interface PendingRequest {
  /** On the clock of `performance.now()`. */
  readonly deadlineMs: number;
  /** False for a pull that the broker may hold. */
  readonly isWork: boolean;
  /** What the reader says holds during the call. */
  onAnswer(reader: FrameReader): void;
  onFailure(error: ClientError): void;
}

/** A request that the server sends on its own account. */
export interface ServerRequest {
  readonly code: number;
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
  /** Sends the answer; nothing happens where none is wanted. */
  readonly answer: (answer: { code: number; remark?: string; body?: Uint8Array }) => void;
}

export interface RemotingConnectionOptions {
  readonly address: string;
  readonly transport: Transport;
  readonly codec: HeaderCodec;
  /** Signs what is asked; null or absent: nobody does. */
  readonly signer?: RequestSigner | null;
  readonly onRequest: (request: ServerRequest) => void;
  /** Once. `wasOpen` is false where there was no connection. */
  readonly onClosed: (error: ClientError, wasOpen: boolean) => void;
}

export class RemotingConnection {
  readonly address: string;
  /** When it is open; rejects with ClientError where it never is. */
  readonly opened: Promise<void>;
  /** Of the frames that are posted from now on; answers are read in any. */
  codec: HeaderCodec;
  readonly #options: RemotingConnectionOptions;
  readonly #signer: RequestSigner | null;
  readonly #platform: Platform = currentPlatform();
  readonly #splitter = new FrameSplitter((bytes, start, end) => this.#onFrame(bytes, start, end));
  readonly #reader = new FrameReader();
  readonly #inFlight = new Map<number, PendingRequest>();
  #stream: ByteStream | null = null;
  #isClosed = false;
  #lastOpaque = 0;

  /** [sentEnd, outputEnd) waits for the end of the turn, after what is in `#fullOutputs`. */
  #output: Uint8Array;
  #sentEnd = 0;
  #outputEnd = 0;
  #fullOutputs: Uint8Array[] = [];
  #isFlushWanted = false;

  #timer: BackgroundTimer | null = null;
  #timerAtMs = Infinity;

  constructor(options: RemotingConnectionOptions) {
    this.#options = options;
    this.address = options.address;
    this.codec = options.codec;
    this.#signer = options.signer ?? null;
    this.#output = this.#platform.allocate(OUTPUT_BYTES_MIN);
    this.opened = this.#open();
    // Who waits for nothing else is told by `onClosed`.
    this.opened.catch(() => {});
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isOpen(): boolean {
    return this.#stream !== null && !this.#isClosed;
  }

  get inFlightCount(): number {
    return this.#inFlight.size;
  }

  /** Asks; never throws, the answer comes whatever its code. Rejects with ClientError alone. */
  request(request: CoreRequest): Promise<CoreAnswer> {
    return new Promise((resolve, reject) => {
      const { signal } = request;
      if (signal?.aborted === true) {
        reject(abortedError(signal));
        return;
      }
      const onAbort = (): void => {
        this.forget(opaque);
        reject(abortedError(signal));
      };
      const settled = (): void => signal?.removeEventListener('abort', onAbort);
      const opaque = this.post(new PlainFrame({ ...request, flag: 0 }, this.#signer), {
        deadlineMs: performance.now() + (request.timeoutMs ?? REQUEST_TIMEOUT_MS),
        isWork: request.mayBeHeld !== true,
        onAnswer: (reader) => {
          settled();
          resolve(reader.toAnswer());
        },
        onFailure: (error) => {
          settled();
          reject(error);
        },
      });
      signal?.addEventListener('abort', onAbort);
    });
  }

  /** Says without waiting for an answer. */
  tell(request: CoreRequest): void {
    this.post(new PlainFrame({ ...request, flag: FLAG_ONEWAY }, this.#signer), null);
  }

  /** Puts a frame into the output; returns its number. `pending` is null for one without an answer. */
  post(frame: FrameWriter, pending: PendingRequest | null): number {
    const opaque = (this.#lastOpaque + 1) & 0x7fffffff;
    this.#lastOpaque = opaque;
    if (this.#isClosed) {
      const error = this.failure('the connection was closed');
      if (pending !== null) queueMicrotask(() => pending.onFailure(error));
      return opaque;
    }
    const { codec } = this;
    this.#reserve(frame.frameBytesMax(codec));
    this.#outputEnd = frame.writeInto(this.#output, this.#outputEnd, opaque, codec);
    if (pending !== null) this.#watch(opaque, pending);
    if (!this.#isFlushWanted) {
      this.#isFlushWanted = true;
      this.#platform.afterTurn(() => this.#flush());
    }
    return opaque;
  }

  /** Nobody waits for this answer any more. */
  forget(opaque: number): void {
    this.#take(opaque);
  }

  /** Whatever is in flight fails with the error; what was said before goes out. */
  close(error: ClientError): void {
    if (this.#isClosed) return;
    this.#flush();
    this.#end(error);
  }

  failure(what: string, cause?: unknown): ClientError {
    const options = cause === undefined ? {} : { cause };
    return new ClientError('CONNECTION_FAILED', `${this.address}: ${what}`, options);
  }

  async #open(): Promise<void> {
    try {
      const stream = await this.#options.transport.open(
        this.address,
        {
          onData: (chunk) => this.#onData(chunk),
          onClose: (reason) => this.#end(this.failure(reason)),
        },
        CONNECT_TIMEOUT_MS,
      );
      this.#stream = stream;
      if (this.#isClosed) {
        stream.close();
        throw this.failure('it was left before it was open');
      }
      this.#flush();
    } catch (cause) {
      const error = ClientError.is(cause) ? cause : this.failure('can not be reached', cause);
      this.#end(error);
      throw error;
    }
  }

  #onData(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      const cause = ClientError.is(error)
        ? new ClientError('PROTOCOL_ERROR', `${this.address}: ${error.message}`)
        : new ClientError('PROTOCOL_ERROR', `${this.address}: an answer could not be taken in`, {
            cause: error,
          });
      this.#end(cause);
    }
  }

  #onFrame(bytes: Uint8Array, start: number, end: number): void {
    const reader = this.#reader;
    reader.read(bytes, start, end);
    if (reader.isResponse) this.#take(reader.opaque)?.onAnswer(reader);
    else this.#onServerRequest(reader);
  }

  #onServerRequest(reader: FrameReader): void {
    const { opaque, code, fields, body } = reader;
    const codec = reader.codec as HeaderCodec;
    const wantsAnswer = (reader.flag & FLAG_ONEWAY) === 0;
    this.#options.onRequest({
      code,
      fields,
      body,
      answer: (answer) => {
        if (!wantsAnswer || this.#isClosed) return;
        const frame = new PlainFrame({ ...answer, flag: FLAG_RESPONSE });
        this.#reserve(frame.frameBytesMax());
        this.#outputEnd = frame.writeInto(this.#output, this.#outputEnd, opaque, codec);
        this.#flush();
      },
    });
  }

  /** Makes room behind `#outputEnd`. */
  #reserve(bytes: number): void {
    if (this.#outputEnd + bytes <= this.#output.length) return;
    if (this.#outputEnd > this.#sentEnd)
      this.#fullOutputs.push(this.#output.subarray(this.#sentEnd, this.#outputEnd));
    const grown = Math.min(this.#output.length * 4, OUTPUT_BYTES_MAX);
    this.#output = this.#platform.allocate(Math.max(grown, bytes));
    this.#sentEnd = 0;
    this.#outputEnd = 0;
  }

  #flush(): void {
    this.#isFlushWanted = false;
    const stream = this.#stream;
    if (stream === null || this.#isClosed) return;
    for (const bytes of this.#fullOutputs.splice(0)) stream.write(bytes);
    if (this.#outputEnd > this.#sentEnd) {
      stream.write(this.#output.subarray(this.#sentEnd, this.#outputEnd));
      this.#sentEnd = this.#outputEnd;
    }
    if (stream.bufferedBytes === 0) this.#sentEnd = this.#outputEnd = 0;
  }

  #watch(opaque: number, pending: PendingRequest): void {
    if (pending.isWork) clientActivity.begin();
    this.#inFlight.set(opaque, pending);
    if (pending.deadlineMs < this.#timerAtMs) this.#setTimer(pending.deadlineMs);
    else if (this.#inFlight.size === 1 && this.#timer !== null) keepProgramAlive(this.#timer, true);
  }

  /** Takes out of what is in flight. */
  #take(opaque: number): PendingRequest | undefined {
    const pending = this.#inFlight.get(opaque);
    if (pending === undefined) return undefined;
    this.#inFlight.delete(opaque);
    if (pending.isWork) clientActivity.end();
    if (this.#inFlight.size === 0 && this.#timer !== null) keepProgramAlive(this.#timer, false);
    return pending;
  }

  #setTimer(atMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    // A timer may fire a little early by the clock that limits are compared with.
    const delayMs = Math.max(Math.ceil(atMs - performance.now()) + 1, 1);
    this.#timer = setTimeout(() => this.#onTimer(), delayMs);
  }

  #onTimer(): void {
    this.#timer = null;
    this.#timerAtMs = Infinity;
    const nowMs = performance.now();
    let nextMs = Infinity;
    for (const [opaque, { deadlineMs }] of this.#inFlight) {
      if (deadlineMs > nowMs) nextMs = Math.min(nextMs, deadlineMs);
      else
        this.#take(opaque)?.onFailure(
          new ClientError('TIMEOUT', `${this.address} did not answer in time`),
        );
    }
    if (nextMs < this.#timerAtMs) this.#setTimer(nextMs);
  }

  #end(error: ClientError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const wasOpen = this.#stream !== null;
    this.#stream?.close();
    this.#fullOutputs = [];
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const opaque of this.#inFlight.keys()) this.#take(opaque)?.onFailure(error);
    this.#options.onClosed(error, wasOpen);
  }
}

export function abortedError(signal: AbortSignal | undefined): ClientError {
  return new ClientError('ABORTED', 'the call was aborted', { cause: signal?.reason });
}
