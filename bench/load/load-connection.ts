/**
 * One connection of the generator: what is to be sent gathers in a block of memory and leaves in one
 * write a turn; what comes in is read into memory that all connections of a thread share.
 */
import net from 'node:net';
import { AnswerReader, type FrameSink } from './answer-reader.ts';
import type { Endpoint } from './load-options.ts';
import { HEAD_BYTES_MAX, upgradeRequest, WebReader, writeHead } from './web-framing.ts';

/** Holds several hundred sends of 128 bytes, or some hundred pull answers; a guess. */
const BLOCK_BYTES = 256 * 1024;
const NO_BLOCK = Buffer.alloc(0);

/** Memory that the connections of a thread share. */
export class BlockPool {
  readonly blockBytes: number;
  /** Reads of all connections land here, one after another. */
  readonly inputBlock: Buffer;
  readonly #free: Buffer[] = [];

  /** @param frameBytesMax longest frame that will be sent */
  constructor(frameBytesMax: number) {
    this.blockBytes = Math.max(BLOCK_BYTES, frameBytesMax + HEAD_BYTES_MAX);
    this.inputBlock = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.blockBytes);
  }

  give(block: Buffer): void {
    this.#free.push(block);
  }
}

export interface ConnectionOwner {
  /** All frames of a read have been given to `onFrame`. */
  onTurnEnd(): void;
  onLost(reason: string): void;
}

/** Takes the first `length` bytes of `chunk`, which may be overwritten when this returns. */
export type OnInput = (chunk: Buffer, length: number) => void;

export class LoadConnection {
  /** Where `claim` points into; a block is only held while something is in it. */
  output: Buffer = NO_BLOCK;
  readonly #socket: net.Socket;
  readonly #pool: BlockPool;
  /** Room for the head of a message, where there is one. */
  readonly #startBytes: number;
  #outputBytes: number;
  #isClosing = false;

  private constructor(socket: net.Socket, pool: BlockPool, isWeb: boolean) {
    this.#socket = socket;
    this.#pool = pool;
    this.#startBytes = isWeb ? HEAD_BYTES_MAX : 0;
    this.#outputBytes = this.#startBytes;
  }

  /** Speaks remoting frames. */
  static connect(
    endpoint: Endpoint,
    pool: BlockPool,
    owner: ConnectionOwner & FrameSink,
  ): Promise<LoadConnection> {
    const reader = new AnswerReader();
    return LoadConnection.connectWith(endpoint, pool, owner, (chunk, length) =>
      reader.feed(chunk, length, owner),
    );
  }

  /** Speaks what `read` understands. */
  static connectWith(
    endpoint: Endpoint,
    pool: BlockPool,
    owner: ConnectionOwner,
    read: OnInput,
  ): Promise<LoadConnection> {
    return new Promise((resolve, reject) => {
      const onInput: OnInput = (bytes, length) => {
        read(bytes, length);
        owner.onTurnEnd();
      };
      const web = endpoint.isWeb
        ? new WebReader(
            () => resolve(connection),
            (bytes) => onInput(bytes, bytes.length),
          )
        : null;
      const socket = net.connect({
        host: endpoint.host,
        port: endpoint.port,
        noDelay: true,
        onread: {
          buffer: pool.inputBlock,
          callback: (length: number): boolean => {
            try {
              if (web === null) onInput(pool.inputBlock, length);
              else web.feed(pool.inputBlock.subarray(0, length));
            } catch (error) {
              // Thrown from here it would be an event of the socket's; the run must end with it.
              connection.close();
              owner.onLost(error instanceof Error ? error.message : String(error));
            }
            return true;
          },
        },
      });
      const connection = new LoadConnection(socket, pool, endpoint.isWeb);
      socket.once('connect', () => {
        if (endpoint.isWeb) socket.write(upgradeRequest(endpoint));
        else resolve(connection);
      });
      socket.once('error', (error) => {
        reject(error);
        connection.#onEnd(owner, error.message);
      });
      socket.once('close', () => connection.#onEnd(owner, 'the broker closed the connection'));
    });
  }

  /**
   * Room for a frame of up to `bytes` in `output`, which may be another block than before; returns
   * where. `commit` says how much of it was written.
   */
  claim(bytes: number): number {
    if (this.#outputBytes + bytes > this.output.length) {
      this.flush();
      if (this.output === NO_BLOCK) this.output = this.#pool.take();
    }
    return this.#outputBytes;
  }

  commit(bytes: number): void {
    this.#outputBytes += bytes;
  }

  /** Hands all committed frames to the socket in one write. */
  flush(): void {
    const payloadBytes = this.#outputBytes - this.#startBytes;
    if (payloadBytes === 0) return;
    const block = this.output;
    const start = this.#startBytes === 0 ? 0 : writeHead(block, payloadBytes);
    this.#socket.write(block.subarray(start, this.#outputBytes), () => this.#pool.give(block));
    this.output = NO_BLOCK;
    this.#outputBytes = this.#startBytes;
  }

  close(): void {
    this.#isClosing = true;
    this.#socket.destroy();
  }

  #onEnd(owner: ConnectionOwner, reason: string): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    owner.onLost(reason);
  }
}
