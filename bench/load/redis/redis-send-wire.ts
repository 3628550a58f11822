/**
 * XADDs, pipelined: replies come in the order of the commands, so that the slots of those on their way
 * wait in a ring.
 */
import { type BlockPool, LoadConnection } from '../load-connection.ts';
import type { Endpoint, ThreadPlan } from '../load-options.ts';
import type { SendOwner, SendWire } from '../send-wire.ts';
import { AddFrames } from './redis-frames.ts';
import { RedisReader } from './redis-reader.ts';

/** A power of two above all slots of a connection (PACED_SLOT_COUNT). */
const RING_SLOTS = 32_768;

export class RedisSendWire implements SendWire {
  readonly frameBytesMax: number;
  bodyStart = 0;
  readonly #frames: AddFrames;
  readonly #slots: Int32Array;
  #head = 0;
  #tail = 0;

  constructor(plan: ThreadPlan) {
    this.#frames = new AddFrames(plan);
    this.frameBytesMax = this.#frames.frameBytes;
    const isClosed = plan.loop === 'closed';
    this.#slots = new Int32Array(isClosed ? powerAbove(plan.outstandingCount) : RING_SLOTS);
  }

  connect(endpoint: Endpoint, pool: BlockPool, owner: SendOwner): Promise<LoadConnection> {
    const reader = new RedisReader({
      onArray: () => {
        throw new Error('Redis: an array is no reply to XADD');
      },
      onValue: () => {},
      onError: (text) => owner.onRefused(this.#takeSlot(), -1, text),
      onReplyEnd: () => owner.onAcknowledged(this.#takeSlot()),
    });
    return LoadConnection.connectWith(endpoint, pool, owner, reader.feed);
  }

  writeInto(target: Buffer, at: number, message: { slot: number; queueId: number }): number {
    this.#slots[this.#tail++ & (this.#slots.length - 1)] = message.slot;
    this.#frames.writeInto(target, at, message.queueId);
    this.bodyStart = at + this.#frames.bodyStart;
    return this.#frames.frameBytes;
  }

  #takeSlot(): number {
    if (this.#head === this.#tail) throw new Error('Redis: a reply to nothing');
    return this.#slots[this.#head++ & (this.#slots.length - 1)];
  }
}

function powerAbove(count: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, count)));
}
