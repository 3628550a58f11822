/**
 * PULL_MESSAGE requests as the push consumer of the Java client 5.3.3 makes them: 32 messages at
 * most, waiting 15 s at the broker, committing what was read before. Rare beside messages, so each
 * is put together from parts; the numbers in it have no fixed width.
 */
import type { Codec } from './load-options.ts';
import { binaryHeaderOf, jsonText, OPAQUE_MIN } from './send-frames.ts';

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

const SLOT_NAMES = ['sysFlag', 'commitOffset', 'queueOffset'] as const;
type SlotName = (typeof SLOT_NAMES)[number];

interface Part {
  readonly bytes: Buffer;
  /** The number that follows the bytes; null for the last part. */
  readonly slot: SlotName | null;
}

/** Pulls of one group from one queue. */
export class PullFrames {
  readonly frameBytesMax: number;
  readonly #isJson: boolean;
  readonly #parts: readonly Part[];
  readonly #opaqueFromEnd: number;

  constructor(options: PullFramesOptions) {
    this.#isJson = options.codec === 'json';
    const fields = this.#isJson ? jsonOrder(options) : binaryOrder(options);
    const header = this.#isJson
      ? Buffer.from(jsonText(PULL_MESSAGE, fields))
      : binaryHeaderOf(PULL_MESSAGE, fields);
    this.#parts = splitAtSlots(header);
    this.#opaqueFromEnd = header.length - header.lastIndexOf(`"opaque":${OPAQUE_MIN}`) - 9;
    this.frameBytesMax = 8 + header.length + SLOT_NAMES.length * NUMBER_BYTES_MAX;
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
    const values: Record<SlotName, number> = {
      sysFlag: commitOffset > 0 ? FLAG_SUSPEND | FLAG_COMMIT : FLAG_SUSPEND,
      commitOffset,
      queueOffset,
    };
    const headerStart = at + 8;
    let end = headerStart;
    for (const part of this.#parts) {
      end += part.bytes.copy(target, end);
      if (part.slot === null) continue;
      const digits = String(values[part.slot]);
      // A binary value has its length before it; what stands there is the mark's.
      if (!this.#isJson) target.writeInt32BE(digits.length, end - 4);
      end += target.write(digits, end, 'latin1');
    }
    target.writeInt32BE(end - at - 4, at);
    target.writeInt32BE(end - headerStart, at + 4);
    target[at + 4] = this.#isJson ? 0 : 1;
    if (this.#isJson) {
      target.write(String(opaque), end - this.#opaqueFromEnd, 'latin1');
    } else {
      target.writeInt32BE(opaque, headerStart + 5);
      // Length of all fields, after the fixed part of the header.
      target.writeInt32BE(end - headerStart - 21, headerStart + 17);
    }
    return end - at;
  }
}

/** Stands in a header where a number will; no name of a topic or group holds a colon. */
const slotMark = (slot: SlotName): string => `SLOT:${slot};`;

function splitAtSlots(header: Buffer): Part[] {
  // Odd pieces are the names that the expression captured. Latin-1 keeps every byte.
  const pieces = header.toString('latin1').split(/SLOT:(\w+);/);
  const parts: Part[] = [];
  for (let index = 0; index < pieces.length; index += 2) {
    const slot = index + 1 < pieces.length ? (pieces[index + 1] as SlotName) : null;
    parts.push({ bytes: Buffer.from(pieces[index], 'latin1'), slot });
  }
  return parts;
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
