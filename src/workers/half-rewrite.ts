/**
 * @agent worker
 *
 * Makes a half message of a send whose properties ask for nothing else, where its record is being
 * written: the general path (`send-rewrite.ts`) does the same over a Map, at three times the cost.
 */
import { SystemTopic } from '../broker/resource-name.ts';
import type { PropertyCopier } from './property-copier.ts';

const VALUE_END = 2;
const ZERO = 0x30;
/** The topic in which halves wait. */
export const halfTopicName = Buffer.from(SystemTopic.HALF);
const transactionIdName = Buffer.from('__transactionId__\x01');
const realTopicName = Buffer.from('REAL_TOPIC\x01');
const realQueueName = Buffer.from('REAL_QID\x01');

/** Where the properties of a record stand, whose topic's length stands at `topicAt`. */
export interface PropertyPlace {
  topicAt: number;
  start: number;
  end: number;
}

/** What the message is sent to: `source[topicStart, topicStart + topicBytes)`, and a queue. */
export interface SentTo {
  source: Uint8Array;
  topicStart: number;
  topicBytes: number;
  queueId: number;
}

/** Moves the properties behind the half topic's name and adds what a commit needs; changes `place`. */
export function writeHalf(
  target: Buffer,
  place: PropertyPlace,
  properties: PropertyCopier,
  sentTo: Readonly<SentTo>,
): void {
  const start = place.topicAt + 1 + halfTopicName.length + 2;
  target.copyWithin(start, place.start, place.end);
  const movedBytes = start - place.start;
  put(target, place.topicAt + 1, halfTopicName, 0, halfTopicName.length);
  let at = place.end + movedBytes;
  at = put(target, at, transactionIdName, 0, transactionIdName.length);
  const keyStart = properties.uniqueKeyStart + movedBytes;
  at = put(target, at, target, keyStart, keyEndOf(target, keyStart));
  target[at++] = VALUE_END;
  at = put(target, at, realTopicName, 0, realTopicName.length);
  const { source, topicStart, topicBytes } = sentTo;
  at = put(target, at, source, topicStart, topicStart + topicBytes);
  target[at++] = VALUE_END;
  at = put(target, at, realQueueName, 0, realQueueName.length);
  at = putNumber(target, at, sentTo.queueId);
  target[at++] = VALUE_END;
  place.start = start;
  place.end = at;
}

/** Where the UNIQ_KEY that begins at `start` ends. */
export function keyEndOf(bytes: Uint8Array, start: number): number {
  let at = start;
  while (bytes[at] !== VALUE_END) at++;
  return at;
}

function put(
  target: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): number {
  for (let index = start; index < end; index++) target[at++] = source[index];
  return at;
}

function putNumber(target: Uint8Array, at: number, value: number): number {
  let unit = 1;
  while (unit * 10 <= value) unit *= 10;
  for (; unit >= 1; unit = Math.floor(unit / 10))
    target[at++] = ZERO + (Math.floor(value / unit) % 10);
  return at;
}
