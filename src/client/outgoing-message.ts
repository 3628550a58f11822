/**
 * @agent any
 *
 * A message as its producer gave it, checked, with the properties that it travels with. The checks are
 * those of brokers and of Java's client, so that what would be refused, lost or cut is said at once.
 */
import { ClientError } from './client-error.ts';
import type { OutgoingMessage } from './message.ts';
import { textBytes } from '../protocol/text-bytes.ts';

const TOPIC_LENGTH_MAX = 127;
const GROUP_LENGTH_MAX = 255;
/** maxMessageSize of brokers. */
export const BODY_BYTES_MAX = 4 * 1024 * 1024;
/** The property string's length is an int16 of the record. */
const PROPERTIES_BYTES_MAX = 32_767;
/** UNIQ_KEY with its separators. */
const OWN_PROPERTY_BYTES = 42;
const DELAY_LEVEL_MAX = 18;

/** Names that brokers and clients keep for themselves (MessageConst.java). */
const reservedNames = new Set(
  `KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP MIN_OFFSET
  MAX_OFFSET BUYER_ID ORIGIN_MESSAGE_ID TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG
  RECONSUME_TIME MAX_RECONSUME_TIMES MSG_REGION TRACE_ON UNIQ_KEY EXTEND_UNIQ_INFO
  CONSUME_START_TIME INNER_NUM INNER_BASE DUP_INFO CHECK_IMMUNITY_TIME_IN_SECONDS
  TRAN_PREPARED_QUEUE_OFFSET INSTANCE_ID __transactionId__ TRANSACTION_CHECK_TIMES
  CORRELATION_ID REPLY_TO_CLIENT TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE POP_CK
  POP_CK_OFFSET 1ST_POP_TIME __SHARDINGKEY PROPERTY_FORWARD_QUEUE_ID REDIRECT
  TRACE_CONTEXT INNER_MULTI_DISPATCH INNER_MULTI_QUEUE_OFFSET TIMER_DELAY_SEC
  TIMER_DELAY_MS TIMER_DELIVER_MS TIMER_OUT_MS TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS __CRC32#
  TIMER_ROLL_TIMES TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL __BORNHOST BORN_TIMESTAMP
  DLQ_ORIGIN_TOPIC DLQ_ORIGIN_MESSAGE_ID`.split(/\s+/),
);

/** Name and value, one after the other; most messages have one pair. */
export type PropertyTexts = readonly string[];

/** @throws ClientError INVALID_ARGUMENT */
export function checkTopic(topic: unknown): asserts topic is string {
  checkName('topic', topic, TOPIC_LENGTH_MAX);
}

/** @throws ClientError INVALID_ARGUMENT */
export function checkGroup(group: unknown): asserts group is string {
  checkName('group', group, GROUP_LENGTH_MAX);
}

function checkName(what: string, name: unknown, lengthMax: number): asserts name is string {
  if (typeof name !== 'string' || name === '')
    throw invalid(`${what} must be text that is not empty`);
  if (name.length > lengthMax)
    throw invalid(`${what} has ${name.length} characters; ${lengthMax} are allowed`);
  if (!/^[%|a-zA-Z0-9_-]+$/.test(name))
    throw invalid(`${what} ${JSON.stringify(name)} may hold letters, digits, and % | _ - alone`);
}

/** The properties of a message besides its id. @throws ClientError INVALID_ARGUMENT */
export function outgoingProperties(message: OutgoingMessage): PropertyTexts {
  const texts: string[] = [];
  const { tag, keys, orderKey, properties } = message;
  if (tag !== undefined) addTag(texts, tag);
  if (keys !== undefined) addKeys(texts, keys);
  if (orderKey !== undefined) add(texts, '__SHARDINGKEY', orderKey, 'orderKey');
  if (
    message.deliverAt !== undefined ||
    message.delayMs !== undefined ||
    message.delayLevel !== undefined
  )
    addTime(texts, message);
  if (properties !== undefined) {
    for (const [name, value] of Object.entries(properties)) {
      if (value === undefined) continue;
      if (reservedNames.has(name))
        throw invalid(`property ${name} is RocketMQ's own and can not be set`);
      if (name === '') throw invalid('a property has no name');
      if (hasSeparator(name)) throw invalid(`a property's name may not hold U+0001 or U+0002`);
      add(texts, name, value, `property ${name}`);
    }
  }
  checkPropertyBytes(texts);
  return texts;
}

function addTag(texts: string[], tag: string): void {
  if (typeof tag === 'string' && tag.includes('|'))
    throw invalid(`tag ${JSON.stringify(tag)} may not hold |`);
  add(texts, 'TAGS', tag, 'tag');
}

function addKeys(texts: string[], keys: string | readonly string[]): void {
  if (typeof keys === 'string') {
    add(texts, 'KEYS', keys, 'keys');
    return;
  }
  if (keys.some((key) => key.includes(' '))) throw invalid('a key may not hold a space');
  if (keys.length > 0) add(texts, 'KEYS', keys.join(' '), 'keys');
}

function addTime(texts: string[], message: OutgoingMessage): void {
  const { deliverAt, delayMs, delayLevel } = message;
  const given = [deliverAt, delayMs, delayLevel].filter((value) => value !== undefined);
  if (given.length > 1)
    throw invalid('a message has at most one of deliverAt, delayMs and delayLevel');
  if (deliverAt !== undefined)
    texts.push('TIMER_DELIVER_MS', wholeText(Number(deliverAt), 'deliverAt', Infinity));
  if (delayMs !== undefined) texts.push('TIMER_DELAY_MS', wholeText(delayMs, 'delayMs', Infinity));
  // Level 0 is none.
  if (delayLevel !== undefined && delayLevel !== 0)
    texts.push('DELAY', wholeText(delayLevel, 'delayLevel', DELAY_LEVEL_MAX));
}

function wholeText(value: number, what: string, most: number): string {
  const rounded = Math.round(value);
  if (!Number.isSafeInteger(rounded) || rounded < 0 || rounded > most)
    throw invalid(`${what} is ${value}, which is no such number`);
  return String(rounded);
}

function add(texts: string[], name: string, value: unknown, what: string): void {
  if (typeof value !== 'string') throw invalid(`${what} must be text`);
  // Readers take an empty one for none.
  if (value === '') throw invalid(`${what} is empty; leave it out`);
  if (hasSeparator(value)) throw invalid(`${what} may not hold U+0001 or U+0002`);
  texts.push(name, value);
}

function hasSeparator(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit === 1 || unit === 2) return true;
  }
  return false;
}

function checkPropertyBytes(texts: PropertyTexts): void {
  let units = 0;
  for (const text of texts) units += text.length;
  if (units * 3 + texts.length < PROPERTIES_BYTES_MAX - OWN_PROPERTY_BYTES) return;
  const bytes = texts.reduce((sum, text) => sum + textBytes(text) + 1, OWN_PROPERTY_BYTES);
  if (bytes > PROPERTIES_BYTES_MAX)
    throw invalid(
      `keys, tag and properties take ${bytes} bytes; ${PROPERTIES_BYTES_MAX} are allowed`,
    );
}

/** @throws ClientError INVALID_ARGUMENT */
export function checkBody(body: unknown): asserts body is Uint8Array | string {
  if (typeof body !== 'string' && !(body instanceof Uint8Array))
    throw invalid('body must be text or a Uint8Array');
  if (body.length === 0) throw invalid('body is empty');
  if (body.length > BODY_BYTES_MAX)
    throw invalid(`body has ${body.length} bytes; ${BODY_BYTES_MAX} are allowed`);
}

export function invalid(what: string): ClientError {
  return new ClientError('INVALID_ARGUMENT', what);
}
