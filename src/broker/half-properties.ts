/**
 * @agent dispatcher
 *
 * What the properties of a half message say of its transaction, found in one walk over their bytes and
 * without strings: each field is a place in the record's buffer, -1 where there is none.
 */
import { keyIs } from '../protocol/byte-table.ts';
import { PropertyName } from '../protocol/message-properties.ts';
import type { RecordView } from '../protocol/message-record.ts';

const NAME_END = 1;
const VALUE_END = 2;
const ZERO = 0x30;
/** Longest queue id that is believed. */
const QUEUE_DIGITS_MAX = 9;

const nameOf = (name: string): Buffer => Buffer.from(name);
const idName = nameOf(PropertyName.TRANSACTION_ID);
const groupName = nameOf(PropertyName.PRODUCER_GROUP);
const topicName = nameOf(PropertyName.REAL_TOPIC);
const queueName = nameOf(PropertyName.REAL_QUEUE_ID);
const immunityName = nameOf(PropertyName.CHECK_IMMUNITY_TIME);
const movedFromName = nameOf(PropertyName.TRANSACTION_PREPARED_OFFSET);
/** Properties that make the committed message wait somewhere before its own topic. */
const laterNames = [
  PropertyName.DELAY,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELIVER_MS,
].map(nameOf);

export class HalfProperties {
  /** What the answer to the half called its transaction. */
  idStart = -1;
  idEnd = -1;
  groupStart = -1;
  groupEnd = -1;
  topicStart = -1;
  topicEnd = -1;
  /** Of the real topic; -1 where it is none. */
  queueId = -1;
  immunityStart = -1;
  immunityEnd = -1;
  movedFromStart = -1;
  movedFromEnd = -1;
  /** The message has a delay or a time besides. */
  isForLater = false;

  /** Of a name that occurs twice the first value holds. */
  read(view: RecordView): void {
    const { buffer, propertiesStart } = view;
    const end = propertiesStart + view.propertiesBytes;
    this.groupStart = this.topicStart = this.immunityStart = this.movedFromStart = -1;
    this.idStart = this.queueId = -1;
    this.isForLater = false;
    let at = propertiesStart;
    while (at < end) {
      const nameStart = at;
      while (at < end && buffer[at] !== NAME_END && buffer[at] !== VALUE_END) at++;
      if (at >= end) return;
      if (buffer[at++] === VALUE_END) continue;
      const nameEnd = at - 1;
      const valueStart = at;
      while (at < end && buffer[at] !== VALUE_END) at++;
      if (at > valueStart) this.#notice(buffer, nameStart, nameEnd, valueStart, at);
      at++;
    }
  }

  #notice(
    bytes: Buffer,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (this.groupStart < 0 && keyIs(groupName, bytes, nameStart, nameEnd)) {
      this.groupStart = valueStart;
      this.groupEnd = valueEnd;
    } else if (this.topicStart < 0 && keyIs(topicName, bytes, nameStart, nameEnd)) {
      this.topicStart = valueStart;
      this.topicEnd = valueEnd;
    } else if (this.queueId < 0 && keyIs(queueName, bytes, nameStart, nameEnd)) {
      this.queueId = queueIdOf(bytes, valueStart, valueEnd);
    } else if (this.idStart < 0 && keyIs(idName, bytes, nameStart, nameEnd)) {
      this.idStart = valueStart;
      this.idEnd = valueEnd;
    } else if (this.immunityStart < 0 && keyIs(immunityName, bytes, nameStart, nameEnd)) {
      this.immunityStart = valueStart;
      this.immunityEnd = valueEnd;
    } else if (this.movedFromStart < 0 && keyIs(movedFromName, bytes, nameStart, nameEnd)) {
      this.movedFromStart = valueStart;
      this.movedFromEnd = valueEnd;
    } else {
      for (let index = 0; index < laterNames.length; index++)
        if (keyIs(laterNames[index], bytes, nameStart, nameEnd)) this.isForLater = true;
    }
  }
}

function queueIdOf(bytes: Buffer, start: number, end: number): number {
  if (end - start > QUEUE_DIGITS_MAX) return -1;
  let queueId = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) return -1;
    queueId = queueId * 10 + digit;
  }
  return queueId;
}
