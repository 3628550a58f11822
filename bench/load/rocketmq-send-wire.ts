/**
 * Sends as RocketMQ's remoting has them: the opaque of a request says which slot its answer is for.
 */
import type { AnswerReader } from './answer-reader.ts';
import { type BlockPool, LoadConnection } from './load-connection.ts';
import type { Endpoint, ThreadPlan } from './load-options.ts';
import { OPAQUE_MIN, SendFrames, UNIQUE_KEY_PREFIX_DIGITS } from './send-frames.ts';
import type { SendOwner, SendWire } from './send-wire.ts';

export const PRODUCER_GROUP = 'load-producer';
const LOOPBACK_HEX = '7F000001';
const FLAG_RESPONSE = 1;

export class RocketmqSendWire implements SendWire {
  readonly frameBytesMax: number;
  bodyStart = 0;
  readonly #frames: QueueFrames;

  constructor(plan: ThreadPlan, connectionIndex: number) {
    const kind = plan.due !== null ? 'timed' : plan.batchCount > 1 ? 'batch' : undefined;
    this.#frames = new QueueFrames(plan, connectionIndex, kind);
    this.frameBytesMax = this.#frames.frameBytesMax;
  }

  connect(endpoint: Endpoint, pool: BlockPool, owner: SendOwner): Promise<LoadConnection> {
    return LoadConnection.connect(endpoint, pool, {
      onFrame: (answer) => onFrame(answer, owner),
      onTurnEnd: () => owner.onTurnEnd(),
      onLost: (reason) => owner.onLost(reason),
    });
  }

  writeInto(
    target: Buffer,
    at: number,
    message: { slot: number; queueId: number; bornMs: number; dueMs: number },
  ): number {
    const frames = this.#frames.of(message.queueId);
    if (message.dueMs !== 0) frames.setDue(message.dueMs);
    frames.writeInto(target, at, OPAQUE_MIN + message.slot, message.bornMs);
    this.bodyStart = at + frames.bodyStart;
    return frames.frameBytes;
  }
}

function onFrame(answer: AnswerReader, owner: SendOwner): void {
  // The broker's own requests want nothing from us.
  if ((answer.flag & FLAG_RESPONSE) === 0) return;
  const slot = answer.opaque - OPAQUE_MIN;
  if (answer.code === 0) owner.onAcknowledged(slot);
  else owner.onRefused(slot, answer.code, answer);
}

/**
 * Templates of one connection: one for each count of digits that a queue's number has, so that 50,000
 * queues need no more memory than one.
 */
export class QueueFrames {
  readonly frameBytesMax: number;
  readonly #byDigits: readonly SendFrames[];

  constructor(
    plan: ThreadPlan,
    connectionIndex: number,
    kind: 'half' | 'timed' | 'batch' | undefined,
  ) {
    const digitsMax = String(plan.queueCount - 1).length;
    this.#byDigits = Array.from(
      { length: digitsMax },
      (_, digits) =>
        new SendFrames({
          codec: plan.codec,
          producerGroup: PRODUCER_GROUP,
          topic: plan.topic,
          brokerName: plan.brokerName,
          queueId: 10 ** digits,
          bodyBytes: plan.bodyBytes,
          batchCount: plan.batchCount,
          tag: 'TagA',
          uniqueKeyPrefix: uniqueKeyPrefix(plan.runId, connectionIndex, digits),
          ...(kind === undefined ? {} : { kind }),
        }),
    );
    this.frameBytesMax = this.#byDigits[digitsMax - 1].frameBytes;
  }

  /** Good until the next call. */
  of(queueId: number): SendFrames {
    let digits = 0;
    for (let limit = 10; queueId >= limit; limit *= 10) digits++;
    const frames = this.#byDigits[digits];
    frames.setQueueId(queueId);
    return frames;
  }
}

/** Run, connection and template in the places of process id, class loader and time. */
function uniqueKeyPrefix(runId: number, connectionIndex: number, digits: number): string {
  const hex = (value: number, width: number): string =>
    (value >>> 0).toString(16).toUpperCase().padStart(width, '0').slice(-width);
  const prefix = LOOPBACK_HEX + hex(runId, 8) + hex(connectionIndex, 4) + hex(digits, 4);
  return prefix.padEnd(UNIQUE_KEY_PREFIX_DIGITS, '0');
}
