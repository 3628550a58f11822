/**
 * @agent any
 *
 * A message's properties: the string in which they travel and are stored, as a Map and back, and
 * one of them read from the bytes of a record without making a Map.
 *
 * The string is `name 0x01 value 0x02` repeated; the last 0x02 may be missing. Entries without a
 * name, a separator or a value are skipped. Source: MessageDecoder.java, MessageConst.java.
 */

const NAME_END = 0x01;
const VALUE_END = 0x02;
const NAME_END_TEXT = '\x01';
const VALUE_END_TEXT = '\x02';

/** The string's length is an int16 of the record. */
export const PROPERTIES_BYTES_MAX = 32767;

/** Names of MessageConst.java that the broker reads or writes. */
export const PropertyName = {
  KEYS: 'KEYS',
  TAGS: 'TAGS',
  WAIT: 'WAIT',
  DELAY: 'DELAY',
  RETRY_TOPIC: 'RETRY_TOPIC',
  REAL_TOPIC: 'REAL_TOPIC',
  REAL_QUEUE_ID: 'REAL_QID',
  ORIGIN_MESSAGE_ID: 'ORIGIN_MESSAGE_ID',
  UNIQUE_KEY: 'UNIQ_KEY',
  TRANSACTION_PREPARED: 'TRAN_MSG',
  TRANSACTION_ID: '__transactionId__',
  PRODUCER_GROUP: 'PGROUP',
  CHECK_IMMUNITY_TIME: 'CHECK_IMMUNITY_TIME_IN_SECONDS',
  TRANSACTION_CHECK_TIMES: 'TRANSACTION_CHECK_TIMES',
  TRANSACTION_PREPARED_OFFSET: 'TRAN_PREPARED_QUEUE_OFFSET',
  CLUSTER: 'CLUSTER',
  MSG_REGION: 'MSG_REGION',
  TRACE_ON: 'TRACE_ON',
  POP_CK: 'POP_CK',
  REPLY_TO_CLIENT: 'REPLY_TO_CLIENT',
  PUSH_REPLY_TIME: 'PUSH_REPLY_TIME',
  RECORD_CRC: '__CRC32#',
  TIMER_DELIVER_MS: 'TIMER_DELIVER_MS',
  TIMER_DELAY_MS: 'TIMER_DELAY_MS',
  TIMER_DELAY_SEC: 'TIMER_DELAY_SEC',
  TIMER_OUT_MS: 'TIMER_OUT_MS',
  TIMER_ENQUEUE_MS: 'TIMER_ENQUEUE_MS',
  TIMER_DEQUEUE_MS: 'TIMER_DEQUEUE_MS',
  TIMER_DELETE_UNIQUE_KEY: 'TIMER_DEL_UNIQKEY',
} as const;

/** Parses a property string; of a name that occurs twice the last value holds. */
export function decodeProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>();
  let start = 0;
  while (start < text.length) {
    const found = text.indexOf(VALUE_END_TEXT, start);
    const end = found < 0 ? text.length : found;
    const nameEnd = text.indexOf(NAME_END_TEXT, start);
    if (nameEnd > start && nameEnd < end - 1) {
      properties.set(text.slice(start, nameEnd), text.slice(nameEnd + 1, end));
    }
    start = end + 1;
  }
  return properties;
}

/** Writes a property string, closing 0x02 included, in the Map's order. */
export function encodeProperties(properties: ReadonlyMap<string, string>): string {
  let text = '';
  for (const [name, value] of properties) text += name + NAME_END_TEXT + value + VALUE_END_TEXT;
  return text;
}

/** The value of `name` in the property string `bytes[start, end)`; undefined where it has none. */
export function readProperty(
  bytes: Buffer,
  start: number,
  end: number,
  name: Uint8Array,
): string | undefined {
  const at = findProperty(bytes, start, end, name);
  if (at < 0) return undefined;
  let valueEnd = at;
  while (valueEnd < end && bytes[valueEnd] !== VALUE_END) valueEnd++;
  return valueEnd > at ? bytes.toString('utf8', at, valueEnd) : undefined;
}

/** Where the value of `name` starts in the property string `bytes[start, end)`, or -1. No allocation. */
export function findProperty(bytes: Buffer, start: number, end: number, name: Uint8Array): number {
  let at = start;
  while (at + name.length < end) {
    let matched = 0;
    while (matched < name.length && bytes[at + matched] === name[matched]) matched++;
    if (matched === name.length && bytes[at + matched] === NAME_END) return at + matched + 1;
    while (at < end && bytes[at] !== VALUE_END) at++;
    at++;
  }
  return -1;
}
