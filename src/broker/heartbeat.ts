/**
 * @agent control
 *
 * Decodes the body of HEART_BEAT (34): which producer and consumer groups a client belongs to, and
 * what it subscribes to. Java writes enum names; Go leaves out the fingerprint and writes codeSet
 * items as strings. Tag hashes are not taken from the client: the broker computes them itself from
 * the expression.
 *
 * Source: HeartbeatData.java, ConsumerData.java, SubscriptionData.java.
 */
import { parseFastjson } from '../protocol/fastjson.ts';
import type { Subscription } from './control-effects.ts';
import { arrayOf, booleanOf, integerOf, type JsonObject, objectOf, textOf } from './json-value.ts';

export type ConsumeType = 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY' | 'CONSUME_POP';
export type MessageModel = 'BROADCASTING' | 'CLUSTERING';

export interface ConsumerData {
  group: string;
  consumeType: ConsumeType;
  messageModel: MessageModel;
  /** ConsumeFromWhere.java; the broker only shows it. */
  consumeFromWhere: string;
  subscriptions: Subscription[];
  unitMode: boolean;
}

export interface Heartbeat {
  clientId: string;
  producerGroups: string[];
  consumers: ConsumerData[];
  /** Heartbeat V2: a hash of all subscriptions; 0 from clients that don't use it. */
  fingerprint: number;
  /** Heartbeat V2: the subscriptions are those of the last full heartbeat with this fingerprint. */
  withoutSubscriptions: boolean;
}

/**
 * Bounds of what is parsed on the thread that answers sends. A subscription takes some 250 bytes and
 * 10 values, so a client may have 2000 of them; that takes 3 ms (guesses, but for the time).
 */
export const HEARTBEAT_BYTES_MAX = 512 * 1024;
const HEARTBEAT_VALUE_COUNT_MAX = 32_768;

const consumeTypes: readonly ConsumeType[] = [
  'CONSUME_ACTIVELY',
  'CONSUME_PASSIVELY',
  'CONSUME_POP',
];
const messageModels: readonly MessageModel[] = ['BROADCASTING', 'CLUSTERING'];

/** @throws Error where the body is no JSON object, names no client, or is beyond the limits. */
export function decodeHeartbeat(body: Uint8Array): Heartbeat {
  if (body.length > HEARTBEAT_BYTES_MAX)
    throw new Error(`it has more than ${HEARTBEAT_BYTES_MAX} bytes`);
  const { buffer, byteOffset, length } = body;
  const text = Buffer.from(buffer, byteOffset, length).toString('utf8');
  const root = objectOf(parseFastjson(text, HEARTBEAT_VALUE_COUNT_MAX));
  const clientId = textOf(root?.['clientID'], '');
  if (root === null || clientId === '') throw new Error('the heartbeat has no clientID');
  const producerGroups = arrayOf(root['producerDataSet']).map((item) =>
    groupNameOf(objectOf(item)),
  );
  const consumers = arrayOf(root['consumerDataSet']).map((item) => consumerDataOf(objectOf(item)));
  return {
    clientId,
    producerGroups: producerGroups.filter((group) => group !== ''),
    consumers: consumers.filter((consumer) => consumer.group !== ''),
    fingerprint: integerOf(root['heartbeatFingerprint'], 0),
    withoutSubscriptions: booleanOf(root['withoutSub'], false),
  };
}

/** One item of a `subscriptionDataSet`; null where it names no topic. */
export function decodeSubscription(value: unknown): Subscription | null {
  const item = objectOf(value);
  const topic = textOf(item?.['topic'], '');
  if (item === null || topic === '') return null;
  return {
    topic,
    expressionType: textOf(item['expressionType'], 'TAG') || 'TAG',
    subString: textOf(item['subString'], '*'),
    subVersion: integerOf(item['subVersion'], 0),
    tagsSet: arrayOf(item['tagsSet']).filter((tag): tag is string => typeof tag === 'string'),
  };
}

function consumerDataOf(item: JsonObject | null): ConsumerData {
  const subscriptions = arrayOf(item?.['subscriptionDataSet']).map(decodeSubscription);
  return {
    group: groupNameOf(item),
    consumeType: enumOf(consumeTypes, item?.['consumeType'], 'CONSUME_PASSIVELY'),
    messageModel: enumOf(messageModels, item?.['messageModel'], 'CLUSTERING'),
    consumeFromWhere: textOf(item?.['consumeFromWhere'], 'CONSUME_FROM_LAST_OFFSET'),
    subscriptions: subscriptions.filter((subscription) => subscription !== null),
    unitMode: booleanOf(item?.['unitMode'], false),
  };
}

function groupNameOf(item: JsonObject | null): string {
  return textOf(item?.['groupName'], '');
}

/** An enum constant by name, in any case, or by its place, as some clients write it. */
function enumOf<Name extends string>(names: readonly Name[], value: unknown, absent: Name): Name {
  if (typeof value === 'number') return names[value] ?? absent;
  return names.find((name) => name === textOf(value, '').toUpperCase()) ?? absent;
}
