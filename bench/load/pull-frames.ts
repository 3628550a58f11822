/**
 * PULL_MESSAGE requests as the push consumer of the Java client 5.3.3 makes them: 32 messages at
 * most, waiting 15 s at the broker, committing what was read before. Rare beside messages, so each
 * is put together from parts; the numbers in it have no fixed width.
 */
import { HeaderTemplate, slotMark } from './header-template.ts';
import type { Codec } from './load-options.ts';

const PULL_MESSAGE = 11;
const PULL_BATCH_COUNT_MAX = 32;
const SUSPEND_MS = 15_000;
/** PullSysFlag.java: the broker may hold the pull; it shall also commit an offset. */
const FLAG_SUSPEND = 2;
const FLAG_COMMIT = 1;
/** Room for the longest of the numbers that vary. */
const NUMBER_BYTES_MAX = 20;

export interface PullFramesOptions {
  readonly codec: Codec;
  readonly group: string;
  readonly expressionType: 'TAG' | 'SQL92';
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
  /** As in the heartbeat of the subscription. */
  readonly subscriptionVersion: number;
}

type SlotName = 'sysFlag' | 'commitOffset' | 'queueOffset';

/** Pulls of one group from one queue. */
export class PullFrames {
  readonly frameBytesMax: number;
  readonly #template: HeaderTemplate<SlotName>;

  constructor(options: PullFramesOptions) {
    this.#template = new HeaderTemplate({
      codec: options.codec,
      code: PULL_MESSAGE,
      fields: options.codec === 'json' ? jsonOrder(options) : binaryOrder(options),
      slotBytesMax: NUMBER_BYTES_MAX,
    });
    this.frameBytesMax = this.#template.frameBytesMax;
  }

  /**
   * Writes a pull from `queueOffset` at `at`, committing `commitOffset` where it is above 0; returns
   * the bytes written, at most `frameBytesMax`.
   */
  writeInto(
    target: Buffer,
    at: number,
    opaque: number,
    queueOffset: number,
    commitOffset: number,
  ): number {
    return this.#template.writeInto(target, at, opaque, {
      sysFlag: String(commitOffset > 0 ? FLAG_SUSPEND | FLAG_COMMIT : FLAG_SUSPEND),
      commitOffset: String(commitOffset),
      queueOffset: String(queueOffset),
    });
  }
}

/** Order of a HashMap of these names, as the client's JSON has it. */
function jsonOrder(options: PullFramesOptions): [string, string][] {
  return [
    ['queueId', String(options.queueId)],
    ['maxMsgBytes', '262144'],
    ['maxMsgNums', String(PULL_BATCH_COUNT_MAX)],
    ['sysFlag', slotMark('sysFlag')],
    ['suspendTimeoutMillis', String(SUSPEND_MS)],
    ['commitOffset', slotMark('commitOffset')],
    ['bname', options.brokerName],
    ['topic', options.topic],
    ['queueOffset', slotMark('queueOffset')],
    ['expressionType', options.expressionType],
    ['subVersion', String(options.subscriptionVersion)],
    ['consumerGroup', options.group],
  ];
}

/** Order in which PullMessageRequestHeader encodes itself. */
function binaryOrder(options: PullFramesOptions): [string, string][] {
  return [
    ['consumerGroup', options.group],
    ['topic', options.topic],
    ['queueId', String(options.queueId)],
    ['queueOffset', slotMark('queueOffset')],
    ['maxMsgNums', String(PULL_BATCH_COUNT_MAX)],
    ['sysFlag', slotMark('sysFlag')],
    ['commitOffset', slotMark('commitOffset')],
    ['suspendTimeoutMillis', String(SUSPEND_MS)],
    ['subVersion', String(options.subscriptionVersion)],
    ['expressionType', options.expressionType],
    ['maxMsgBytes', '262144'],
    ['bname', options.brokerName],
  ];
}
