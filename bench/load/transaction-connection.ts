/**
 * A connection of a producer with transactions: sends halves, ends each when it was acknowledged, and
 * answers when the broker asks for one that was left undecided.
 *
 * ```
 * slot: free ──half──▶ HALF ──answer──▶ END ──answer──▶ free          98 committed, 1 rolled back
 *                       └──answer──▶ free, and "unknown" is sent      1 of a hundred, asked for later
 * ```
 * Ends are requests that are answered, not oneway as clients send them: only an answer says that the
 * transaction is over. "Unknown" has none in either case.
 */
import { RequestCode, ResponseCode } from '../../src/protocol/codes.ts';
import { bornHostBytes, recordHead, storeHostBytes } from '../../src/protocol/message-record.ts';
import { decodeFrame, encodeRequest } from '../../src/protocol/remoting-command.ts';
import type { AnswerReader, FrameSink } from './answer-reader.ts';
import { bodyStamp, writeStamp } from './body-stamp.ts';
import { Decision, EndFrames, type EndOfTransaction } from './end-frames.ts';
import { recordMs } from './latency.ts';
import { type ConnectionOwner, LoadConnection } from './load-connection.ts';
import { bodyStartOf } from './pull-connection.ts';
import { PRODUCER_GROUP, QueueFrames } from './rocketmq-send-wire.ts';
import { OPAQUE_MIN } from './send-frames.ts';
import { steadyNowMs } from './steady-clock.ts';
import type { ThreadState } from './thread-state.ts';

/** Interval of the client's own heartbeats (heartbeatBrokerInterval). */
const HEARTBEAT_INTERVAL_MS = 30_000;
const HEARTBEAT_OPAQUE = 1;
/** Of requests that nobody answers. */
const ONEWAY_OPAQUE = OPAQUE_MIN;
const FLAG_RESPONSE = 1;
/** Transactions of one connection: numbers of all connections differ and fit 31 bits. */
const NUMBERS_PER_CONNECTION = 2 ** 24;
/** What becomes of a transaction goes by its number. */
const CYCLE = 100;

const SlotState = { FREE: 0, HALF: 1, END: 2 } as const;

export class TransactionConnection implements ConnectionOwner, FrameSink {
  readonly #state: ThreadState;
  readonly #frames: QueueFrames;
  readonly #ends: EndFrames;
  readonly #clientId: string;
  readonly #slotState: Uint8Array;
  readonly #slotNumber: Int32Array;
  /** When the half of a slot's transaction was sent. */
  readonly #sinceMs: Float64Array;
  #nextNumber: number;
  #nextQueue: number;
  #connection: LoadConnection | null = null;
  #heartbeatTimer: NodeJS.Timeout | null = null;
  #onRegistered: (() => void) | null = null;
  #turnMs = 0;

  constructor(state: ThreadState, connectionIndex: number) {
    const { plan } = state;
    this.#state = state;
    this.#frames = new QueueFrames(plan, connectionIndex, 'half');
    this.#ends = new EndFrames({ ...plan, producerGroup: PRODUCER_GROUP });
    this.#clientId = `127.0.0.1@load-${plan.runId}-producer-${connectionIndex}`;
    this.#slotState = new Uint8Array(plan.outstandingCount);
    this.#slotNumber = new Int32Array(plan.outstandingCount);
    this.#sinceMs = new Float64Array(plan.outstandingCount);
    this.#nextNumber = connectionIndex * NUMBERS_PER_CONNECTION;
    this.#nextQueue = connectionIndex % plan.queueCount;
  }

  get inFlightCount(): number {
    return this.#slotState.filter((state) => state !== SlotState.FREE).length;
  }

  /** Connects and registers the producer group; the broker asks nobody else. */
  async connect(): Promise<void> {
    const { plan, pool } = this.#state;
    this.#connection = await LoadConnection.connect(plan.broker, pool, this);
    const registered = new Promise<void>((resolve) => {
      this.#onRegistered = resolve;
    });
    this.#sendHeartbeat();
    await registered;
    this.#heartbeatTimer = setInterval(() => this.#sendHeartbeat(), HEARTBEAT_INTERVAL_MS);
  }

  close(): void {
    if (this.#heartbeatTimer !== null) clearInterval(this.#heartbeatTimer);
    this.#connection?.close();
  }

  begin(): void {
    const nowMs = steadyNowMs();
    for (let slot = 0; slot < this.#slotState.length && this.#mayGoOn(nowMs); slot++)
      this.#sendHalf(slot, nowMs);
    this.flush();
    this.#state.publish(nowMs);
  }

  flush(): void {
    this.#connection?.flush();
  }

  onFrame(answer: AnswerReader): void {
    if (this.#turnMs === 0) this.#turnMs = steadyNowMs();
    if ((answer.flag & FLAG_RESPONSE) === 0) {
      if (answer.code === RequestCode.CHECK_TRANSACTION_STATE) this.#onCheck(answer);
      return;
    }
    if (answer.opaque === HEARTBEAT_OPAQUE) {
      if (answer.code !== ResponseCode.SUCCESS) this.#state.errors.add(answer);
      this.#onRegistered?.();
      return;
    }
    // The first opaque is that of requests without an answer.
    const slot = answer.opaque - ONEWAY_OPAQUE - 1;
    const state = this.#slotState[slot];
    if (state === SlotState.HALF) this.#onHalf(slot, answer);
    else if (state === SlotState.END) this.#onEnd(slot, answer);
    else throw new Error(`answer to opaque ${answer.opaque}, which was not sent`);
  }

  onTurnEnd(): void {
    this.flush();
    if (this.#turnMs !== 0) this.#state.publish(this.#turnMs);
    this.#turnMs = 0;
  }

  onLost(reason: string): void {
    this.#state.fail(reason);
  }

  #sendHalf(slot: number, nowMs: number): void {
    const connection = this.#connection;
    if (connection === null) return;
    const state = this.#state;
    const number = this.#nextNumber++;
    const frames = this.#frames.of(this.#nextQueue);
    this.#nextQueue = this.#nextQueue + 1 === this.#state.plan.queueCount ? 0 : this.#nextQueue + 1;
    const at = connection.claim(frames.frameBytes);
    frames.writeInto(connection.output, at, ONEWAY_OPAQUE + 1 + slot, state.bornMs(nowMs));
    writeStamp(connection.output, at + frames.bodyStart, nowMs, state.plan.runId, number);
    connection.commit(frames.frameBytes);
    this.#slotState[slot] = SlotState.HALF;
    this.#slotNumber[slot] = number;
    this.#sinceMs[slot] = nowMs;
    state.sentCount++;
  }

  #onHalf(slot: number, answer: AnswerReader): void {
    const state = this.#state;
    const nowMs = this.#turnMs;
    if (answer.code !== ResponseCode.SUCCESS) {
      state.errors.add(answer);
      this.#free(slot);
      return;
    }
    if (state.isInWindow(nowMs)) recordMs(state.sendLatency, nowMs - this.#sinceMs[slot]);
    const decision = decisionOf(this.#slotNumber[slot]);
    const end = endOf(answer, decision);
    const connection = this.#connection;
    if (connection === null) return;
    const at = connection.claim(this.#ends.frameBytesMax);
    const { output } = connection;
    if (decision === Decision.UNKNOWN) {
      connection.commit(this.#ends.writeOneway(output, at, ONEWAY_OPAQUE, end, false));
      state.unknownCount++;
      this.#finish(slot, nowMs);
    } else {
      const opaque = ONEWAY_OPAQUE + 1 + slot;
      connection.commit(this.#ends.writeAnswered(output, at, opaque, end));
      this.#slotState[slot] = SlotState.END;
    }
  }

  #onEnd(slot: number, answer: AnswerReader): void {
    const state = this.#state;
    const nowMs = this.#turnMs;
    if (answer.code !== ResponseCode.SUCCESS) {
      state.errors.add(answer);
      this.#free(slot);
      return;
    }
    if (state.isInWindow(nowMs)) recordMs(state.receiveLatency, nowMs - this.#sinceMs[slot]);
    if (decisionOf(this.#slotNumber[slot]) === Decision.COMMIT) state.committedCount++;
    this.#finish(slot, nowMs);
  }

  /** As far as the producer is concerned: one that is unknown is for the broker to bring up. */
  #finish(slot: number, nowMs: number): void {
    this.#state.answeredCount++;
    if (this.#state.isInWindow(nowMs)) this.#state.answeredInWindow++;
    this.#free(slot);
  }

  #free(slot: number): void {
    this.#slotState[slot] = SlotState.FREE;
    if (this.#mayGoOn(this.#turnMs)) this.#sendHalf(slot, this.#turnMs);
  }

  /** Unknown ones are committed now; others, which the broker has lost sight of, as they were meant. */
  #onCheck(request: AnswerReader): void {
    const frame = decodeFrame(request.bytes.subarray(request.frameStart, request.frameEnd));
    const sysFlag = frame.body.readInt32BE(recordHead.sysFlag);
    const hosts = bornHostBytes(sysFlag) + storeHostBytes(sysFlag);
    const body = bodyStartOf(hosts);
    if (frame.body.readInt32BE(body + bodyStamp.runId) !== this.#state.plan.runId) return;
    const number = frame.body.readInt32BE(body + bodyStamp.number);
    const meant = decisionOf(number);
    this.#state.noteCheck(number, meant === Decision.UNKNOWN);
    const connection = this.#connection;
    if (connection === null) return;
    const end: EndOfTransaction = {
      commitLogOffset: frame.extFields.get('commitLogOffset') ?? '',
      tranStateTableOffset: frame.extFields.get('tranStateTableOffset') ?? '',
      commitOrRollback: meant === Decision.UNKNOWN ? Decision.COMMIT : meant,
      transactionId: frame.extFields.get('transactionId') ?? '',
    };
    const at = connection.claim(this.#ends.frameBytesMax);
    connection.commit(this.#ends.writeOneway(connection.output, at, ONEWAY_OPAQUE, end, true));
  }

  #mayGoOn(nowMs: number): boolean {
    const { window, sentCount, plan } = this.#state;
    const isFull = (this.#nextNumber + 1) % NUMBERS_PER_CONNECTION === 0;
    if (nowMs < window.measureToMs && sentCount < plan.sendCountMax && !isFull) return true;
    this.#state.isSendingDone = true;
    return false;
  }

  #sendHeartbeat(): void {
    const connection = this.#connection;
    if (connection === null) return;
    const heartbeat = {
      clientID: this.#clientId,
      consumerDataSet: [],
      heartbeatFingerprint: 0,
      producerDataSet: [{ groupName: PRODUCER_GROUP }, { groupName: 'CLIENT_INNER_PRODUCER' }],
      withoutSub: false,
    };
    const frame = encodeRequest({
      code: RequestCode.HEART_BEAT,
      opaque: HEARTBEAT_OPAQUE,
      body: Buffer.from(JSON.stringify(heartbeat)),
    });
    const at = connection.claim(frame.length);
    frame.copy(connection.output, at);
    connection.commit(frame.length);
    connection.flush();
  }
}

/** One of a hundred is rolled back, one left unknown. */
function decisionOf(number: number): Decision {
  const place = (number % NUMBERS_PER_CONNECTION) % CYCLE;
  if (place === CYCLE / 4) return Decision.ROLLBACK;
  return place === (3 * CYCLE) / 4 ? Decision.UNKNOWN : Decision.COMMIT;
}

/** Digits of an id before its offset: an IPv4 address and a port. */
const ID_HOST_DIGITS = 16;

/** What the answer to a half says of it. */
function endOf(answer: AnswerReader, commitOrRollback: Decision): EndOfTransaction {
  const id = answer.text('msgId');
  const high = Number.parseInt(id.slice(ID_HOST_DIGITS, ID_HOST_DIGITS + 8), 16);
  const low = Number.parseInt(id.slice(ID_HOST_DIGITS + 8), 16);
  return {
    commitLogOffset: String(high * 0x1_0000_0000 + low),
    tranStateTableOffset: answer.text('queueOffset'),
    commitOrRollback,
    transactionId: answer.text('transactionId'),
  };
}
