/**
 * @agent any
 *
 * Settings that bound what clients can make a broker hold: the keys of docs/limits.md, none of them
 * RocketMQ's.
 */
import { integer } from '../base/setting-value.ts';
import type { SettingKey } from './configuration-keys.ts';

const count = integer('1 to 10000000', { minimum: 1, maximum: 10_000_000 });
const bytes = integer('bytes, 1048576 to 68719476736', { minimum: 1_048_576, maximum: 2 ** 36 });

export const limitSettingKeys: readonly SettingKey[] = (
  [
    ['connectionCountMax', count, 'connections at once'],
    ['acceptRateMax', count, 'connections a second that come in; others wait'],
    ['waitingAnswerBytesMax', bytes, 'answers that all clients together may leave untaken'],
    ['waitingRequestBytesMax', bytes, 'unfinished frames of all clients together'],
    ['heldPullCountMax', count, 'pulls that wait for messages at once'],
    ['topicCountMax', count, 'topics'],
    ['queueCountMax', count, 'queues of all topics'],
    ['subscriptionGroupCountMax', count, 'consumer groups'],
    ['clientCountMax', count, 'members of producer and consumer groups'],
    ['membershipCountMax', count, 'groups of one connection'],
    ['subscriptionCountMax', count, 'topics that one group subscribes to'],
    ['subscriptionBytesMax', bytes, 'characters of what all consumers subscribe to'],
    ['routeBytesMax', bytes, 'memory of what brokers register at the name server'],
  ] as const
).map(([key, kind, help]): SettingKey => ({ key, names: [key], kind, help }));
