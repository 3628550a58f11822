/**
 * A consumer: one connection, a heartbeat that subscribes its group, and one pull in flight for each of
 * its queues, as the Java push consumer does it.
 */
import { parseTags } from '../../src/broker/tag-filter.ts';
import { RequestCode, ResponseCode } from '../../src/protocol/codes.ts';
import {
  bornHostBytes,
  RECORD_FIXED_BYTES,
  recordHead,
  readLong,
  storeHostBytes,
} from '../../src/protocol/message-record.ts';
import { javaTextHash } from '../../src/protocol/java-string-hash.ts';
import { decodeFrame, encodeRequest } from '../../src/protocol/remoting-command.ts';
import type { AnswerReader, FrameSink } from './answer-reader.ts';
import { bodyStamp } from './body-stamp.ts';
import { type ConnectionOwner, LoadConnection } from './load-connection.ts';
import type { ConsumerPlan } from './load-options.ts';
import { PullFrames } from './pull-frames.ts';
import { OPAQUE_MIN } from './send-frames.ts';
import { steadyNowMs } from './steady-clock.ts';
import type { ThreadState } from './thread-state.ts';

/** Interval of the client's own heartbeats (heartbeatBrokerInterval). */
const HEARTBEAT_INTERVAL_MS = 30_000;
/** Pause before a pull that was refused is tried again. */
const RETRY_MS = 100;
const HEARTBEAT_OPAQUE = 1;
const FLAG_RESPONSE = 1;

/** From a record's head to its body: hosts, store time, reconsume times, offset of the half, length. */
export function bodyStartOf(hostBytes: number): number {
  return recordHead.totalBytes + hostBytes + 8 + 4 + 8 + 4;
}

interface PulledQueue {
  readonly frames: PullFrames;
  readonly toOffset: number;
  nextOffset: number;
}

export class PullConnection implements ConnectionOwner, FrameSink {
  readonly #state: ThreadState;
  readonly #plan: ConsumerPlan;
  readonly #queues: PulledQueue[];
  readonly #subscriptionVersion = Date.now();
  #connection: LoadConnection | null = null;
  #heartbeatTimer: NodeJS.Timeout | null = null;
  #onSubscribed: (() => void) | null = null;
  #turnMs = 0;
  /** Wall clock of this turn; 0 until it is needed. */
  #turnWallMs = 0;

  constructor(state: ThreadState, plan: ConsumerPlan) {
    this.#state = state;
    this.#plan = plan;
    this.#queues = plan.queues.map((range) => ({
      frames: new PullFrames({
        codec: state.plan.codec,
        expressionType: state.plan.filter === null ? 'TAG' : 'SQL92',
        group: plan.group,
        topic: state.plan.topic,
        brokerName: state.plan.brokerName,
        queueId: range.queueId,
        subscriptionVersion: this.#subscriptionVersion,
      }),
      toOffset: range.toOffset,
      nextOffset: range.fromOffset,
    }));
  }

  /** Connects and subscribes; pulls are refused before. */
  async connect(): Promise<void> {
    const { plan, pool } = this.#state;
    this.#connection = await LoadConnection.connect(plan.broker, pool, this);
    const subscribed = new Promise<void>((resolve) => {
      this.#onSubscribed = resolve;
    });
    this.#sendHeartbeat();
    await subscribed;
    this.#heartbeatTimer = setInterval(() => this.#sendHeartbeat(), HEARTBEAT_INTERVAL_MS);
  }

  close(): void {
    if (this.#heartbeatTimer !== null) clearInterval(this.#heartbeatTimer);
    this.#connection?.close();
  }

  begin(): void {
    for (let index = 0; index < this.#queues.length; index++) this.#pull(index);
    this.#connection?.flush();
  }

  onFrame(answer: AnswerReader): void {
    // The broker's own requests, such as a change of the group's members, want nothing from us.
    if ((answer.flag & FLAG_RESPONSE) === 0) return;
    if (answer.opaque === HEARTBEAT_OPAQUE) {
      if (answer.code !== 0) this.#state.errors.add(answer);
      this.#onSubscribed?.();
      return;
    }
    const index = answer.opaque - OPAQUE_MIN;
    const queue = this.#queues[index];
    if (queue === undefined) throw new Error(`answer to opaque ${answer.opaque}, never sent`);
    if (answer.code === ResponseCode.SUCCESS) this.#takeRecords(queue, answer);
    else if (
      answer.code === ResponseCode.PULL_RETRY_IMMEDIATELY ||
      answer.code === ResponseCode.PULL_OFFSET_MOVED
    ) {
      const frame = decodeFrame(answer.bytes.subarray(answer.frameStart, answer.frameEnd));
      queue.nextOffset = Number(frame.extFields.get('nextBeginOffset'));
    } else if (answer.code !== ResponseCode.PULL_NOT_FOUND) {
      this.#state.errors.add(answer);
      setTimeout(() => {
        this.#pull(index);
        this.#connection?.flush();
      }, RETRY_MS);
      return;
    }
    this.#pull(index);
  }

  onTurnEnd(): void {
    this.#connection?.flush();
    if (this.#turnMs !== 0) this.#state.publish(this.#turnMs);
    this.#turnMs = 0;
    this.#turnWallMs = 0;
  }

  onLost(reason: string): void {
    this.#state.fail(reason);
  }

  #pull(index: number): void {
    const queue = this.#queues[index];
    const connection = this.#connection;
    if (connection === null || queue.nextOffset >= queue.toOffset) return;
    const at = connection.claim(queue.frames.frameBytesMax);
    const frameBytes = queue.frames.writeInto(
      connection.output,
      at,
      OPAQUE_MIN + index,
      queue.nextOffset,
      queue.nextOffset,
    );
    connection.commit(frameBytes);
  }

  #takeRecords(queue: PulledQueue, answer: AnswerReader): void {
    const { bytes, frameEnd } = answer;
    const state = this.#state;
    const { isStamped, due } = state.plan;
    if (this.#turnMs === 0) this.#turnMs = steadyNowMs();
    if (due !== null && this.#turnWallMs === 0) this.#turnWallMs = Date.now();
    let at = answer.bodyStart;
    let last = -1;
    while (at < frameEnd) {
      const recordBytes = bytes.readInt32BE(at);
      if (recordBytes < RECORD_FIXED_BYTES || at + recordBytes > frameEnd) {
        throw new Error(`stored record of ${recordBytes} bytes with ${frameEnd - at} left`);
      }
      if (isStamped || due !== null) this.#takeStamp(bytes, at);
      else state.receivedCount++;
      last = at;
      at += recordBytes;
    }
    if (last < 0) throw new Error('pull answer FOUND without a record');
    queue.nextOffset = readLong(bytes, last + recordHead.queueOffset) + 1;
  }

  #takeStamp(bytes: Buffer, record: number): void {
    const sysFlag = bytes.readInt32BE(record + recordHead.sysFlag);
    const bornBytes = bornHostBytes(sysFlag);
    const body = record + bodyStartOf(bornBytes + storeHostBytes(sysFlag));
    const state = this.#state;
    if (bytes.readInt32BE(body + bodyStamp.runId) !== state.plan.runId) return;
    const timeMs = bytes.readDoubleBE(body + bodyStamp.timeMs);
    if (state.plan.due !== null) {
      const number = bytes.readInt32BE(body + bodyStamp.number);
      const storedMs = readLong(bytes, record + recordHead.totalBytes + bornBytes);
      state.noteTimed(number, timeMs, storedMs, this.#turnWallMs);
      return;
    }
    state.noteReceipt(timeMs, this.#turnMs);
  }

  #sendHeartbeat(): void {
    const { group, clientId } = this.#plan;
    const { topic, filter, tags } = this.#state.plan;
    const subscription = (topic: string, filter: string | null, tags: string): object => {
      const tagsSet = filter === null ? (parseTags(tags) ?? []) : [];
      return {
        classFilterMode: false,
        codeSet: tagsSet.map((tag) => javaTextHash(tag)),
        expressionType: filter === null ? 'TAG' : 'SQL92',
        subString: filter ?? tags,
        subVersion: this.#subscriptionVersion,
        tagsSet,
        topic,
      };
    };
    const heartbeat = {
      clientID: clientId,
      consumerDataSet: [
        {
          consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
          consumeType: 'CONSUME_PASSIVELY',
          groupName: group,
          messageModel: 'CLUSTERING',
          subscriptionDataSet: [
            subscription(`%RETRY%${group}`, null, '*'),
            subscription(topic, filter, tags),
          ],
          unitMode: false,
        },
      ],
      heartbeatFingerprint: 0,
      producerDataSet: [{ groupName: 'CLIENT_INNER_PRODUCER' }],
      withoutSub: false,
    };
    const frame = encodeRequest({
      code: RequestCode.HEART_BEAT,
      opaque: HEARTBEAT_OPAQUE,
      body: Buffer.from(JSON.stringify(heartbeat)),
    });
    const connection = this.#connection;
    if (connection === null) return;
    const at = connection.claim(frame.length);
    frame.copy(connection.output, at);
    connection.commit(frame.length);
    connection.flush();
  }
}
