/**
 * @agent reactor
 *
 * Sockets, framing and back-pressure, on the main thread. It splits what arrives into frames, hands
 * each to the agent that serves its code, and writes the answers that come back, one write for each
 * connection and turn. It decodes no more of a request than its code.
 *
 * ```
 *            ┌ 10 310 320 ─────────▶ request worker (always the same one for a connection)
 *  frames ───┼ 11 361 29–33 12 ────▶ dispatcher
 *            └ everything else ────▶ control
 * ```
 * A ring without room blocks the connection: it is not read until the frame has gone. A socket that
 * takes no bytes never blocks a ring: answers collect in the connection, up to a limit.
 */
import type { AccessSnapshot } from '../access/access-gate.ts';
import { CauseLog } from '../base/cause-log.ts';
import { readInt32 } from '../protocol/message-record.ts';
import { FRAME_BYTES_MAX } from '../protocol/remoting-command.ts';
import type { Agent } from '../ring/agent.ts';
import { PartAssembler } from '../ring/queued-producer.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { PositionSlot } from '../store/store-positions.ts';
import {
  answerBytesMessage,
  connectionMessage,
  logRange,
  MessageType,
  METRICS_CONNECTION_ID,
  pullAnswerMessage,
  type TopicsChanged,
} from '../workers/ring-messages.ts';
import { AnswerBacklog } from './answer-backlog.ts';
import { emptyPullAnswer, PULL_HEADER_BYTES_MAX } from './answer-encoder.ts';
import { BufferPool, INPUT_KEPT_BYTES_MAX, OUTPUT_KEPT_BYTES_MAX } from './buffer-pool.ts';
import { Connection, type ConnectionTransfer } from './connection.ts';
import { ConnectionNews } from './connection-news.ts';
import type { CloseReason, Peer } from './peer.ts';
import { ReactorCounts } from './reactor-counts.ts';
import type { ReactorOptions } from './reactor-options.ts';
import { RequestBacklog } from './request-backlog.ts';
import { RequestRouter } from './request-router.ts';
import { SendAnswers } from './send-answers.ts';

/** Output that a peer does not take before its connection is no longer read. */
const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;
/** Output above which further pull answers wait as descriptors instead of bytes. */
const PULL_OUTPUT_BYTES_MAX = 1024 * 1024;
/** Pull answers that wait as descriptors before their connection is no longer read: a guess. */
const DEFERRED_PULL_COUNT_MAX = 256;
/** Of a read behind a long frame: the head of the next send, mostly. */
const HEAD_BYTES = 2 * 1024;
/** Time for a frame that has begun to arrive whole. */
const FRAME_DEADLINE_MS = 30_000;
const SWEEP_INTERVAL_MS = 1000;
/** Output buffers above this are given up after a burst. */
const OUTPUT_KEEP_BYTES_MAX = 256 * 1024;
/** Silence after which a connection has no output buffer. */
const OUTPUT_KEEP_MS = 5000;
/** How often who waits for a turn to try again is looked at. */
const WAITING_INTERVAL_MS = 100;

export type { ReactorOptions };

export class Reactor implements Agent {
  readonly name = 'reactor';
  readonly counts = new ReactorCounts();
  /** What sockets are to be read to; its beginning, where a long frame is expected: the rest of that has its place. */
  readonly readBuffer: Buffer;
  readonly headBuffer: Buffer;
  readonly #options: ReactorOptions;
  readonly #connections = new Map<number, Connection>();
  readonly #inputBuffers = new BufferPool(INPUT_KEPT_BYTES_MAX);
  readonly #outputBuffers = new BufferPool(OUTPUT_KEPT_BYTES_MAX);
  readonly #assemblers: PartAssembler[];
  readonly backlog: AnswerBacklog;
  readonly requests: RequestBacklog;
  #dirty: Connection[] = [];
  #blocked: Connection[] = [];
  /** Blocked until `#nextWaitingMs`: their addresses have failed to sign too often. */
  readonly #waiting: Connection[] = [];
  #nextWaitingMs = Infinity;
  readonly #news: ConnectionNews;
  readonly #router: RequestRouter;
  #nextId = 1;
  #nextSweepMs = 0;
  #isReading = true;
  readonly #closeLog: CauseLog;
  readonly #sendAnswers: SendAnswers;
  readonly #pull = emptyPullAnswer();

  constructor(options: ReactorOptions) {
    this.#options = options;
    this.readBuffer = options.readBuffer;
    this.headBuffer = this.readBuffer.subarray(0, HEAD_BYTES);
    this.#news = new ConnectionNews(options.toControl);
    this.#router = new RequestRouter({
      reactor: options,
      news: this.#news,
      answer: (connection, frame) => this.#write(connection, frame),
      cut: (connection, what) => this.#cut(connection, 'bad-frame', what),
    });
    this.#sendAnswers = new SendAnswers(
      options.encoder,
      options.answerKernel,
      this.#connections,
      (connection) => this.#markDirty(connection),
    );
    this.#closeLog = new CauseLog(options.logger);
    this.#assemblers = options.inbound.map(() => new PartAssembler());
    const end = (connection: Connection, reason: CloseReason): void =>
      this.#cut(connection, reason);
    this.backlog = new AnswerBacklog(options.waitingAnswerBytesMax, end);
    const resume = (connection: Connection): void => this.#resume(connection);
    const bytesMax = options.waitingRequestBytesMax;
    this.requests = new RequestBacklog({ buffers: this.#inputBuffers, bytesMax, resume, end });
  }

  /** What has gone over each connection. */
  *transfers(): Generator<ConnectionTransfer> {
    for (const connection of this.#connections.values()) yield connection.transfer;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Open connections of one listener. */
  countOf(listener: number): number {
    let count = 0;
    for (const connection of this.#connections.values())
      if (connection.listener === listener) count++;
    return count;
  }

  /** Takes an accepted connection, which does not read yet; null where there are too many, or the broker stops. */
  accept(peer: Peer, listener: number): Connection | null {
    const { connectionCountMax, refusals, nowMs } = this.#options;
    if (!this.#isReading || this.#connections.size >= connectionCountMax) {
      this.counts.refused++;
      const { remoteAddress } = peer;
      refusals.add(this.#isReading ? 'connection-limit' : 'connection-stopping', { remoteAddress });
      return null;
    }
    const connection = new Connection({
      id: this.#nextId++,
      listener,
      peer,
      nowMs: nowMs(),
      inputBuffers: this.#inputBuffers,
      outputBuffers: this.#outputBuffers,
    });
    connection.onWritten = () => {
      const isWaiting = connection.outputBytes > 0 || connection.deferredPulls.length > 0;
      if (!isWaiting && connection.heldBytes === 0) return;
      this.#onWritten(connection);
      this.#options.schedule();
    };
    this.counts.accepted++;
    this.#connections.set(connection.id, connection);
    return connection;
  }

  /** `chunk[0, bytes)` has arrived; the connection keeps the chunk until its frames have gone, or `ownInput`. */
  onInput(connection: Connection, chunk: Buffer, bytes = chunk.length): void {
    connection.addInput(chunk, bytes);
    this.#onBytes(connection, bytes);
  }

  /** So many bytes have been read to the rest of `connection.longFrame`. */
  onRest(connection: Connection, bytes: number): void {
    connection.receivedBytes += bytes;
    connection.longFrame?.onRead(bytes);
    this.#onBytes(connection, bytes);
  }

  /** True where the input was the beginning of a long send: its rest is to be read to its `longFrame`. */
  beginLongFrame(connection: Connection): boolean {
    return this.#router.beginLongFrame(connection);
  }

  #onBytes(connection: Connection, bytes: number): void {
    const { nowMs, schedule } = this.#options;
    connection.lastReadMs = nowMs();
    this.counts.bytesIn += bytes;
    if (!connection.isBlocked) this.#readFrames(connection);
    this.requests.onInput(connection);
    schedule();
  }

  /** A connection has ended, whoever ended it. */
  onClosed(connection: Connection): void {
    this.#onClose(connection);
    this.#options.schedule();
  }

  /** Ends a connection from this side. */
  end(connection: Connection, reason: CloseReason): void {
    if (connection.isClosed) return;
    this.counts.onClosed(reason);
    connection.peer.destroy(reason);
    this.#onClose(connection);
  }

  /** From now on requests are answered GO_AWAY where the client knows that answer (newer than 5.3.1). */
  goAway(): void {
    this.#router.isGoingAway = true;
  }

  /** Reads no further requests; what was read is served. */
  stopReading(): void {
    this.#isReading = false;
    for (const connection of this.#connections.values()) connection.peer.pause();
  }

  /** True when every answer has been taken by its socket. */
  get isDrained(): boolean {
    for (const connection of this.#connections.values()) {
      if (connection.pendingBytes > 0) return false;
    }
    return true;
  }

  doWork(nowMs: number): number {
    if (nowMs >= this.#nextWaitingMs) {
      this.#nextWaitingMs = Infinity;
      // Who had its last turn longest ago comes first: there may not be turns for all.
      const waiting = this.#waiting.splice(0).sort((a, b) => a.lastReadMs - b.lastReadMs);
      for (const connection of waiting) this.#blocked.push(connection);
    }
    let work = this.#blocked.length > 0 ? this.#retryBlocked() : 0;
    work += this.#news.tellClosed();
    const inbound = this.#options.inbound;
    for (let index = 0; index < inbound.length; index++) {
      work += this.#drain(inbound[index], this.#assemblers[index]);
    }
    if (this.backlog.waitingCount > 0) this.backlog.serveWaiting(this.#writeDeferred, nowMs);
    this.requests.doWork(nowMs);
    this.#publish();
    if (nowMs >= this.#nextSweepMs) this.#sweep(nowMs);
    return work;
  }

  /** What sockets have brought since: other agents see it in this turn, not in the next. */
  beginTurns(): void {
    this.#publish();
  }

  /** One write for each connection, however many turns have made its answers. */
  endTurns(): void {
    if (this.#dirty.length > 0) this.#flush();
  }

  nextDeadlineMs(): number {
    const backlogMs = Math.min(this.backlog.nextDeadlineMs(), this.requests.nextDeadlineMs());
    return Math.min(this.#nextSweepMs, this.#nextWaitingMs, backlogMs);
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.peer.destroy('stopping');
  }

  #publish(): void {
    const { toWorkers, toControl, toDispatcher } = this.#options;
    for (let index = 0; index < toWorkers.length; index++) toWorkers[index].publish();
    toControl.publish();
    toDispatcher?.publish();
  }

  // Reading

  /** Hands on every whole frame that has arrived, until a ring is full. */
  #readFrames(connection: Connection): void {
    const { longFrame } = connection;
    if (longFrame !== null) {
      if (!longFrame.isWhole) return;
      if (!this.#router.route(connection, longFrame.bytes, longFrame.start, longFrame.end)) {
        this.#block(connection);
        return;
      }
      connection.endLongFrame();
    }
    while (!connection.isClosed) {
      const availableBytes = connection.inputEnd - connection.inputStart;
      if (availableBytes < 4) break;
      const frameBytes = readInt32(connection.input, connection.inputStart);
      if (frameBytes < 4 || frameBytes > FRAME_BYTES_MAX) {
        this.#cut(connection, 'bad-frame', `frame length ${frameBytes}`);
        return;
      }
      if (availableBytes - 4 < frameBytes) break;
      const start = connection.inputStart + 4;
      if (!this.#router.route(connection, connection.input, start, start + frameBytes)) {
        this.#block(connection);
        return;
      }
      connection.inputStart = start + frameBytes;
    }
    connection.endInput();
    const isPartial = connection.inputEnd > connection.inputStart;
    connection.partialSinceMs = isPartial
      ? Math.min(connection.partialSinceMs, connection.lastReadMs)
      : Infinity;
  }

  /** A frame of it has to wait: nothing more is read until that has gone. */
  #block(connection: Connection): void {
    connection.isBlocked = true;
    connection.peer.pause();
    if (!connection.isWaiting) {
      this.#blocked.push(connection);
      return;
    }
    this.#waiting.push(connection);
    const nextMs = this.#options.nowMs() + WAITING_INTERVAL_MS;
    this.#nextWaitingMs = Math.min(this.#nextWaitingMs, nextMs);
  }

  /** Ends a connection because of what its peer does, or does not. */
  #cut(connection: Connection, reason: CloseReason, what?: string): void {
    this.#logCut(connection, reason, what);
    this.end(connection, reason);
  }

  #logCut(connection: Connection, reason: CloseReason, what?: string): void {
    const fields = { remoteAddress: connection.remoteAddress, reason, what };
    const level = reason === 'idle' ? 'info' : 'warn';
    this.#closeLog.log(level, reason, fields, 'closed a connection', this.#options.nowMs());
  }

  #retryBlocked(): number {
    const blocked = this.#blocked;
    this.#blocked = [];
    let count = 0;
    for (const connection of blocked) {
      if (connection.isClosed) continue;
      connection.isBlocked = false;
      const before = connection.inputStart;
      this.#readFrames(connection);
      if (connection.isBlocked) {
        if (connection.inputStart !== before) count++;
        continue;
      }
      count++;
      this.#resume(connection);
    }
    return count;
  }

  #resume(connection: Connection): void {
    const isHeld = connection.isBlocked || connection.isStalled || connection.isHeldUp;
    if (this.#isReading && !isHeld) connection.peer.resume();
  }

  #onClose(connection: Connection): void {
    if (connection.isClosed) return;
    connection.isClosed = true;
    connection.deferredPulls = [];
    this.backlog.onClose(connection);
    this.requests.onClose(connection);
    connection.endLongFrame();
    connection.releaseInput();
    connection.releaseOutput();
    this.#connections.delete(connection.id);
    this.#news.onClosed(connection);
  }

  // Writing

  #drain(ring: SpscRingConsumer, assembler: PartAssembler): number {
    let count = 0;
    while (ring.peek()) {
      if (ring.type === MessageType.APPEND_ANSWER) this.#sendAnswers.write(ring);
      else {
        this.#sendAnswers.handOn();
        if (ring.type === MessageType.PULL_ANSWER) this.#onPullAnswer(ring);
        else this.#onOther(ring, assembler);
      }
      ring.skip();
      count++;
    }
    this.#sendAnswers.handOn();
    ring.release();
    return count;
  }

  #onPullAnswer(ring: SpscRingConsumer): void {
    const offset = ring.payloadOffset;
    const connection = this.#connections.get(
      ring.int32[(offset + pullAnswerMessage.connectionId) >> 2],
    );
    if (connection === undefined) return;
    const isBehind = connection.deferredPulls.length > 0;
    const bodyBytes = ring.int32[(offset + pullAnswerMessage.bodyBytes) >> 2];
    const isFull = isBehind || connection.pendingBytes > PULL_OUTPUT_BYTES_MAX;
    if (isFull || !this.backlog.hasRoom(connection, bodyBytes)) {
      // An aligned copy, to be read as the ring would be.
      const copy = Buffer.from(new ArrayBuffer(ring.payloadBytes));
      ring.bytes.copy(copy, 0, offset, offset + ring.payloadBytes);
      connection.deferredPulls.push(copy);
      if (!isFull) this.backlog.await(connection, this.#options.nowMs());
      else if (connection.deferredPulls.length > DEFERRED_PULL_COUNT_MAX) this.#stall(connection);
      return;
    }
    this.#writePull(connection, ring.int32, ring.float64, offset);
  }

  /** Writes the pull answer whose PULL_ANSWER stands at `offset` of the arrays. */
  #writePull(
    connection: Connection,
    int32: Int32Array,
    float64: Float64Array,
    offset: number,
  ): void {
    const answer = this.#pull;
    answer.opaque = int32[(offset + pullAnswerMessage.opaque) >> 2];
    answer.serializeType = int32[(offset + pullAnswerMessage.serializeType) >> 2];
    answer.code = int32[(offset + pullAnswerMessage.code) >> 2];
    answer.nextBeginOffset = float64[(offset + pullAnswerMessage.nextBeginOffset) >> 3];
    answer.minOffset = float64[(offset + pullAnswerMessage.minOffset) >> 3];
    answer.maxOffset = float64[(offset + pullAnswerMessage.maxOffset) >> 3];
    answer.bodyBytes = int32[(offset + pullAnswerMessage.bodyBytes) >> 2];
    const rangeCount = int32[(offset + pullAnswerMessage.rangeCount) >> 2];
    connection.reserveOutput(PULL_HEADER_BYTES_MAX + answer.bodyBytes);
    const start = connection.outputBytes;
    let at = this.#options.encoder.writePull(connection.output, start, answer);
    const segments = this.#options.segments as CommitLogSegments;
    const { segmentBytes } = segments;
    let segment: ReturnType<CommitLogSegments['segmentAt']> = null;
    let segmentStart = 0;
    let range = offset + pullAnswerMessage.totalBytes;
    for (let index = 0; index < rangeCount; index++) {
      const physicalOffset = float64[(range + logRange.physicalOffset) >> 3];
      const bytes = float64[(range + logRange.bytes) >> 3];
      const isInside =
        physicalOffset >= segmentStart && physicalOffset < segmentStart + segmentBytes;
      if (segment === null || !isInside) {
        segment = segments.segmentAt(physicalOffset);
        segmentStart = physicalOffset - (physicalOffset % segmentBytes);
      }
      if (segment === null) {
        if (physicalOffset >= (this.#options.positions?.load(PositionSlot.MINIMUM) ?? 0)) {
          this.#cut(connection, 'expired-data');
          return;
        }
        // Retention came between the answer and here: the next pull is told where the queue begins.
        const beginOffset = float64[(offset + pullAnswerMessage.beginOffset) >> 3];
        at = this.#options.encoder.writeRetry(connection.output, start, answer, beginOffset);
        break;
      }
      const from = physicalOffset - segmentStart;
      segment.bytes.copy(connection.output, at, from, from + bytes);
      at += bytes;
      range += logRange.totalBytes;
    }
    connection.outputBytes = at;
    this.backlog.onWritten(at - start);
    this.#markDirty(connection);
  }

  #onOther(ring: SpscRingConsumer, assembler: PartAssembler): void {
    if (ring.type === MessageType.ANSWER_BYTES) {
      const whole = assembler.take(ring);
      if (whole === null) return;
      const connectionId = whole.readInt32LE(answerBytesMessage.connectionId);
      const connection = this.#connections.get(connectionId);
      const frame = whole.subarray(answerBytesMessage.totalBytes);
      if (connection !== undefined) this.#write(connection, frame);
      else if (connectionId === METRICS_CONNECTION_ID) this.#options.onMetrics?.(frame);
      return;
    }
    const payload = assembler.take(ring);
    if (payload === null) return;
    if (ring.type === MessageType.CLOSE_CONNECTION) {
      const connection = this.#connections.get(payload.readInt32LE(connectionMessage.connectionId));
      if (connection !== undefined && !connection.closesAfterWrite) {
        connection.closesAfterWrite = true;
        this.counts.onClosed('bad-frame');
        this.#logCut(connection, 'bad-frame', 'frame that cannot be decoded');
        this.#markDirty(connection);
      }
    } else if (ring.type === MessageType.TOPICS_CHANGED) {
      this.#options.onTopicsChanged(JSON.parse(payload.toString()) as TopicsChanged);
    } else if (ring.type === MessageType.ACCESS_CHANGED)
      this.#options.gate?.change(JSON.parse(payload.toString()) as AccessSnapshot);
  }

  #write(connection: Connection, frame: Uint8Array): void {
    connection.reserveOutput(frame.length);
    connection.output.set(frame, connection.outputBytes);
    connection.outputBytes += frame.length;
    this.#markDirty(connection);
  }

  #markDirty(connection: Connection): void {
    if (connection.isDirty) return;
    connection.isDirty = true;
    this.#dirty.push(connection);
  }

  /** Gives each connection's output to its socket, one write each. */
  #flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (let index = 0; index < dirty.length; index++) this.#flushConnection(dirty[index]);
    this.backlog.onFlushed();
    // Sockets that took all at once have left room.
    if (this.backlog.waitingCount > 0) this.#options.schedule();
  }

  #flushConnection(connection: Connection): void {
    connection.isDirty = false;
    if (connection.isClosed) return;
    const { peer } = connection;
    let isAllTaken = false;
    if (connection.outputBytes > 0 && peer.pendingBytes === 0) {
      this.counts.bytesOut += connection.outputBytes;
      const output = connection.output.subarray(0, connection.outputBytes);
      isAllTaken = peer.write(output, connection.onWritten);
      // The kernel has taken all of it unless bytes are still counted as waiting.
      if (peer.pendingBytes > 0) connection.handOverOutput();
      else if (connection.output.length > OUTPUT_KEEP_BYTES_MAX) connection.releaseOutput();
      else connection.outputBytes = 0;
    }
    const { pendingBytes } = connection;
    if (pendingBytes !== connection.heldBytes)
      this.backlog.count(connection, pendingBytes, this.#options.nowMs());
    else if (pendingBytes === 0) connection.isTaking = true;
    if (pendingBytes > OUTPUT_BYTES_MAX) this.#stall(connection);
    else if (isAllTaken) connection.onWritten();
    if (connection.closesAfterWrite && connection.outputBytes === 0) peer.end();
  }

  /** Its peer does not read: nothing more is read from it until it does. */
  #stall(connection: Connection): void {
    if (connection.isStalled) return;
    connection.isStalled = true;
    connection.peer.pause();
  }

  /** The peer has read what was written: the next answers go. */
  #onWritten(connection: Connection): void {
    if (connection.isClosed) return;
    const { pendingBytes } = connection;
    if (pendingBytes !== connection.heldBytes)
      this.backlog.count(connection, pendingBytes, this.#options.nowMs());
    this.#writeDeferred(connection);
    if (connection.outputBytes > 0) this.#markDirty(connection);
  }

  /** Writes the pull answers of a connection that waited, while there is room; reads it again where none wait. */
  readonly #writeDeferred = (connection: Connection): void => {
    const { deferredPulls } = connection;
    while (deferredPulls.length > 0 && connection.pendingBytes <= PULL_OUTPUT_BYTES_MAX) {
      if (!this.backlog.hasRoom(connection, connection.firstPullBytes)) {
        this.backlog.await(connection, this.#options.nowMs());
        break;
      }
      const copy = deferredPulls.shift() as Buffer;
      this.#writePull(connection, new Int32Array(copy.buffer), new Float64Array(copy.buffer), 0);
      if (connection.isClosed) return;
    }
    const isBehind =
      deferredPulls.length > DEFERRED_PULL_COUNT_MAX || connection.pendingBytes > OUTPUT_BYTES_MAX;
    if (!connection.isStalled || isBehind) return;
    connection.isStalled = false;
    this.#resume(connection);
  };

  /** Closes idle connections, frames that never end, and peers that never read. */
  #sweep(nowMs: number): void {
    this.#nextSweepMs = nowMs + SWEEP_INTERVAL_MS;
    const { idleCloseMs, segments, positions } = this.#options;
    if (positions !== null) segments?.forgetBelow(positions.load(PositionSlot.MINIMUM));
    this.backlog.sweep(nowMs);
    for (const connection of this.#connections.values()) {
      if (nowMs - connection.lastReadMs > OUTPUT_KEEP_MS && connection.outputBytes === 0)
        connection.releaseOutput();
      if (nowMs - connection.lastReadMs > idleCloseMs) this.#cut(connection, 'idle');
      else if (nowMs - connection.partialSinceMs > FRAME_DEADLINE_MS)
        this.#cut(connection, 'late-frame');
    }
  }
}
