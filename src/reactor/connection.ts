/**
 * @agent reactor
 *
 * One accepted connection: what has arrived of its next frame, and what waits to be written. Holds
 * no more of a frame than has arrived, whatever length was announced.
 */
import type { FrameSource } from '../workers/frame-proxy.ts';
import { pullAnswerMessage } from '../workers/ring-messages.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { LongFrame } from './long-frame.ts';
import type { Peer } from './peer.ts';

const OUTPUT_BYTES_START = 8 * 1024;
const NO_BYTES = Buffer.alloc(0);

/** What has gone over a connection, to be compared with the other end's. */
export interface ConnectionTransfer {
  /** Which port it came in at. */
  listener: number;
  remotePort: number;
  bytesRead: number;
  bytesWritten: number;
  /** There are answers that the socket, or the kernel, has not taken. */
  isWriting: boolean;
}

export class Connection implements FrameSource {
  readonly id: number;
  readonly listener: number;
  readonly peer: Peer;
  readonly hostBytes: Uint8Array;
  readonly remotePort: number;
  readonly remoteAddress: string;
  /** Without the port. */
  readonly peerAddress: string;
  readonly localAddress: string;
  /** Bytes that arrived and are not handed on: the start of a frame, or frames that found no room. */
  input: Buffer = NO_BYTES;
  inputStart = 0;
  inputEnd = 0;
  /** What arrives goes to it, as long as it is not whole; there is no input meanwhile. */
  longFrame: LongFrame | null = null;
  /** Whole frames wait for room in a ring. */
  isBlocked = false;
  /** Blocked because its address has failed to sign too often. */
  isWaiting = false;
  /** Not read because others are to finish their frames first; of the request backlog. */
  isHeldUp = false;
  /** Its last request was signed right; the gate's. */
  isTrusted = false;
  /** Since when `input` begins with a part of a frame, Infinity when it does not. */
  partialSinceMs = Infinity;
  lastReadMs: number;
  /** In all. */
  receivedBytes = 0;
  /** Control has been told of this connection. */
  isKnownToControl = false;
  isClosed = false;
  closesAfterWrite = false;
  /** Answers not yet given to the peer: `output[0, outputBytes)`. One that is silent has no buffer. */
  output: Buffer = NO_BYTES;
  outputBytes = 0;
  isDirty = false;
  /** Pull answers that wait until the peer has read what was written before: copies of PULL_ANSWER payloads. */
  deferredPulls: Buffer[] = [];
  /** Reading is paused because the peer does not read. */
  isStalled = false;
  // Of the backlog: answers that it counts for this connection, its peer's progress when it looked last, and
  // when that had changed; and whether the peer has taken all that was written.
  heldBytes = 0;
  takenMark = 0;
  takenMs = 0;
  isTaking = false;
  /** Called by the peer when it has taken a write. */
  onWritten: () => void = () => {};

  readonly #inputBuffers: BufferPool;
  readonly #outputBuffers: BufferPool;

  constructor(options: {
    id: number;
    listener: number;
    peer: Peer;
    nowMs: number;
    inputBuffers: BufferPool;
    outputBuffers: BufferPool;
  }) {
    const { peer, nowMs } = options;
    this.id = options.id;
    this.listener = options.listener;
    this.peer = peer;
    this.#inputBuffers = options.inputBuffers;
    this.#outputBuffers = options.outputBuffers;
    const remote = plainAddress(peer.remoteAddress);
    this.hostBytes = addressBytes(remote);
    this.remotePort = peer.remotePort;
    this.remoteAddress = `${remote}:${this.remotePort}`;
    this.peerAddress = remote;
    this.localAddress = plainAddress(peer.localAddress);
    this.lastReadMs = nowMs;
  }

  /** Answers that the network has not taken, here and at the peer. */
  get pendingBytes(): number {
    return this.outputBytes + this.peer.pendingBytes;
  }

  /** Length of the pull answer that waits longest; 0 where none does. */
  get firstPullBytes(): number {
    const first = this.deferredPulls[0];
    return first === undefined ? 0 : first.readInt32LE(pullAnswerMessage.bodyBytes);
  }

  /** Takes in what has arrived, `chunk[0, bytes)`. */
  addInput(chunk: Buffer, bytes: number): void {
    this.receivedBytes += bytes;
    const leftBytes = this.inputEnd - this.inputStart;
    if (leftBytes === 0) {
      this.input = chunk;
      this.inputStart = 0;
      this.inputEnd = bytes;
      return;
    }
    const neededBytes = leftBytes + bytes;
    if (this.inputEnd + bytes <= this.input.length && this.#ownsInput) {
      chunk.copy(this.input, this.inputEnd, 0, bytes);
      this.inputEnd += bytes;
      return;
    }
    const larger = this.#inputBuffers.take(neededBytes);
    this.input.copy(larger, 0, this.inputStart, this.inputEnd);
    chunk.copy(larger, leftBytes, 0, bytes);
    this.releaseInput();
    this.input = larger;
    this.#ownsInput = true;
    this.inputStart = 0;
    this.inputEnd = neededBytes;
  }

  /** Copies what is left of the input, where the chunk it stands in is not ours for longer. */
  ownInput(): void {
    if (this.#ownsInput || this.inputEnd === this.inputStart) return;
    const leftBytes = this.inputEnd - this.inputStart;
    const own = this.#inputBuffers.take(leftBytes);
    this.input.copy(own, 0, this.inputStart, this.inputEnd);
    this.input = own;
    this.#ownsInput = true;
    this.inputStart = 0;
    this.inputEnd = leftBytes;
  }

  /** True once `input` is a buffer of `#inputBuffers`, which may be appended to. */
  #ownsInput = false;

  /** Lets go of the input once it is used up. */
  endInput(): void {
    if (this.inputStart >= this.inputEnd) this.releaseInput();
  }

  /** Lets go of the input. */
  releaseInput(): void {
    if (this.#ownsInput) this.#inputBuffers.give(this.input);
    this.#ownsInput = false;
    this.input = NO_BYTES;
    this.inputStart = 0;
    this.inputEnd = 0;
  }

  /** The long frame, where the socket is to be read to it: one that is whole waits for room. */
  get openFrame(): LongFrame | null {
    return this.longFrame === null || this.longFrame.isWhole ? null : this.longFrame;
  }

  /** Lets go of a long frame that its worker has, or nobody is to have. */
  endLongFrame(): void {
    this.longFrame?.release();
    this.longFrame = null;
  }

  /** Makes room for so many more bytes of output; they go to `output` at `outputBytes`. */
  reserveOutput(bytes: number): void {
    const neededBytes = this.outputBytes + bytes;
    if (neededBytes <= this.output.length) return;
    const larger = this.#outputBuffers.take(Math.max(neededBytes, OUTPUT_BYTES_START));
    this.output.copy(larger, 0, 0, this.outputBytes);
    this.#giveOutput();
    this.output = larger;
  }

  get transfer(): ConnectionTransfer {
    const { listener, peer, remotePort, receivedBytes: bytesRead } = this;
    const isWriting = this.pendingBytes > 0 || this.deferredPulls.length > 0;
    return { listener, remotePort, bytesRead, bytesWritten: peer.bytesWritten, isWriting };
  }

  /** Lets go of the output buffer, which the peer still holds. */
  handOverOutput(): void {
    this.#outputBuffers.forget(this.output);
    this.output = NO_BYTES;
    this.outputBytes = 0;
  }

  /** Gives back an output buffer that the peer has taken all of, or never will: thousands of silent connections have none. */
  releaseOutput(): void {
    this.#giveOutput();
    this.output = NO_BYTES;
    this.outputBytes = 0;
  }

  #giveOutput(): void {
    if (this.output.length > 0) this.#outputBuffers.give(this.output);
  }
}

/** An IPv4 address that came as IPv6 (::ffff:a.b.c.d) in its plain form, and no zone. */
function plainAddress(address: string): string {
  const plain = address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
  return plain.split('%')[0];
}

/** 4 or 16 bytes of an address. */
export function addressBytes(address: string): Uint8Array {
  if (!address.includes(':')) return Uint8Array.from(address.split('.').map(Number));
  const [headText = '', tailText] = address.split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => parseInt(group, 16));
  const head = groups(headText);
  const tail = tailText === undefined ? [] : groups(tailText);
  const middle = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => 0);
  const bytes = new Uint8Array(16);
  [...head, ...middle, ...tail].slice(0, 8).forEach((group, index) => {
    bytes[index * 2] = group >> 8;
    bytes[index * 2 + 1] = group & 0xff;
  });
  return bytes;
}
