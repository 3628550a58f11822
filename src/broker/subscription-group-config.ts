/**
 * @agent control
 *
 * The configuration of one consumer group, and its JSON as RocketMQ writes it: keys in the order
 * of their names, absent values left out.
 *
 * Source: SubscriptionGroupConfig.java, GroupRetryPolicy.java.
 */
import { booleanOf, integerOf, type JsonObject, objectOf, textOf } from './json-value.ts';

export interface SubscriptionGroupConfig {
  groupName: string;
  consumeEnable: boolean;
  consumeFromMinEnable: boolean;
  consumeBroadcastEnable: boolean;
  consumeMessageOrderly: boolean;
  /** Queues of %RETRY%group; 0 drops messages that are sent back. */
  retryQueueNums: number;
  /** Failed tries after which a message becomes a dead letter. */
  retryMaxTimes: number;
  /** Kept as it came; only POP reads it, and RocketMQ's brokers. */
  groupRetryPolicy: JsonObject;
  brokerId: number;
  whichBrokerWhenConsumeSlowly: number;
  notifyConsumerIdsChangedEnable: boolean;
  groupSysFlag: number;
  consumeTimeoutMinute: number;
  /** Kept as it came; null where it was absent. */
  subscriptionDataSet: readonly unknown[] | null;
  attributes: Map<string, string>;
}

export function defaultGroupConfig(groupName: string): SubscriptionGroupConfig {
  return {
    groupName,
    consumeEnable: true,
    consumeFromMinEnable: true,
    consumeBroadcastEnable: true,
    consumeMessageOrderly: false,
    retryQueueNums: 1,
    retryMaxTimes: 16,
    groupRetryPolicy: { type: 'CUSTOMIZED' },
    brokerId: 0,
    whichBrokerWhenConsumeSlowly: 1,
    notifyConsumerIdsChangedEnable: true,
    groupSysFlag: 0,
    consumeTimeoutMinute: 15,
    subscriptionDataSet: null,
    attributes: new Map(),
  };
}

/** Reads a parsed config; what is absent takes its default. Null where it names no group. */
export function decodeGroupConfig(value: unknown): SubscriptionGroupConfig | null {
  const json = objectOf(value);
  const groupName = textOf(json?.['groupName'], '');
  if (json === null || groupName === '') return null;
  const config = defaultGroupConfig(groupName);
  const flag = (name: string, absent: boolean): boolean => booleanOf(json[name], absent);
  const count = (name: string, absent: number): number => integerOf(json[name], absent);
  config.consumeEnable = flag('consumeEnable', config.consumeEnable);
  config.consumeFromMinEnable = flag('consumeFromMinEnable', config.consumeFromMinEnable);
  config.consumeBroadcastEnable = flag('consumeBroadcastEnable', config.consumeBroadcastEnable);
  config.consumeMessageOrderly = flag('consumeMessageOrderly', config.consumeMessageOrderly);
  config.retryQueueNums = count('retryQueueNums', config.retryQueueNums);
  config.retryMaxTimes = count('retryMaxTimes', config.retryMaxTimes);
  config.groupRetryPolicy = objectOf(json['groupRetryPolicy']) ?? config.groupRetryPolicy;
  config.brokerId = count('brokerId', config.brokerId);
  config.whichBrokerWhenConsumeSlowly = count('whichBrokerWhenConsumeSlowly', 1);
  config.notifyConsumerIdsChangedEnable = flag('notifyConsumerIdsChangedEnable', true);
  config.groupSysFlag = count('groupSysFlag', config.groupSysFlag);
  config.consumeTimeoutMinute = count('consumeTimeoutMinute', config.consumeTimeoutMinute);
  const subscriptions = json['subscriptionDataSet'];
  if (Array.isArray(subscriptions)) config.subscriptionDataSet = subscriptions;
  for (const [name, text] of Object.entries(objectOf(json['attributes']) ?? {})) {
    if (typeof text === 'string') config.attributes.set(name, text);
  }
  return config;
}

/** The config as an object for JSON.stringify. */
export function groupConfigJson(config: SubscriptionGroupConfig): JsonObject {
  const json: Record<string, unknown> = {
    attributes: Object.fromEntries(config.attributes),
    brokerId: config.brokerId,
    consumeBroadcastEnable: config.consumeBroadcastEnable,
    consumeEnable: config.consumeEnable,
    consumeFromMinEnable: config.consumeFromMinEnable,
    consumeMessageOrderly: config.consumeMessageOrderly,
    consumeTimeoutMinute: config.consumeTimeoutMinute,
    groupName: config.groupName,
    groupRetryPolicy: config.groupRetryPolicy,
    groupSysFlag: config.groupSysFlag,
    notifyConsumerIdsChangedEnable: config.notifyConsumerIdsChangedEnable,
    retryMaxTimes: config.retryMaxTimes,
    retryQueueNums: config.retryQueueNums,
  };
  if (config.subscriptionDataSet !== null) json['subscriptionDataSet'] = config.subscriptionDataSet;
  json['whichBrokerWhenConsumeSlowly'] = config.whichBrokerWhenConsumeSlowly;
  return json;
}
