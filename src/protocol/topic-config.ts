/**
 * @agent any
 *
 * A topic's configuration and the version of a table of them, as brokers keep them in topics.json
 * and register them with name servers. Source: TopicConfig.java, DataVersion.java.
 */

export interface TopicConfig {
  topicName: string;
  readQueueNums: number;
  writeQueueNums: number;
  /** Bits of `Perm`. */
  perm: number;
  topicFilterType: 'SINGLE_TAG' | 'MULTI_TAG';
  topicSysFlag: number;
  order: boolean;
  attributes: ReadonlyMap<string, string>;
}

/** What changed of a table of topics since somebody was told last. */
export interface TopicChanges {
  /** New or changed. */
  topics: TopicConfig[];
  deleted: string[];
}

export interface DataVersion {
  counter: number;
  stateVersion: number;
  /** Milliseconds since the epoch. */
  timestamp: number;
}

/** The version after a change. */
export function nextDataVersion(version: DataVersion, nowMs: number): DataVersion {
  return { counter: version.counter + 1, stateVersion: version.stateVersion, timestamp: nowMs };
}

export function dataVersionEquals(left: DataVersion, right: DataVersion): boolean {
  return (
    left.counter === right.counter &&
    left.stateVersion === right.stateVersion &&
    left.timestamp === right.timestamp
  );
}

/** Reads parsed JSON; what is missing or odd counts as 0. */
export function decodeDataVersion(value: unknown): DataVersion {
  const fields = fieldsOf(value);
  return {
    counter: integerOf(fields['counter'], 0),
    stateVersion: integerOf(fields['stateVersion'], 0),
    timestamp: integerOf(fields['timestamp'], 0),
  };
}

/** Reads parsed JSON; null where it is no topic. */
export function decodeTopicConfig(value: unknown): TopicConfig | null {
  const fields = fieldsOf(value);
  const topicName = fields['topicName'];
  if (typeof topicName !== 'string' || topicName === '') return null;
  const attributes = new Map<string, string>();
  for (const [name, text] of Object.entries(fieldsOf(fields['attributes']))) {
    if (typeof text === 'string') attributes.set(name, text);
  }
  return {
    topicName,
    readQueueNums: queueCountOf(fields['readQueueNums']),
    writeQueueNums: queueCountOf(fields['writeQueueNums']),
    perm: integerOf(fields['perm'], 6),
    topicFilterType: fields['topicFilterType'] === 'MULTI_TAG' ? 'MULTI_TAG' : 'SINGLE_TAG',
    topicSysFlag: integerOf(fields['topicSysFlag'], 0),
    order: fields['order'] === true,
    attributes,
  };
}

/** The JSON form, keys sorted as fastjson sorts them. */
export function topicConfigJson(config: TopicConfig): Record<string, unknown> {
  return {
    attributes: Object.fromEntries(config.attributes),
    order: config.order,
    perm: config.perm,
    readQueueNums: config.readQueueNums,
    topicFilterType: config.topicFilterType,
    topicName: config.topicName,
    topicSysFlag: config.topicSysFlag,
    writeQueueNums: config.writeQueueNums,
  };
}

/** The text form of a compressed registration: fields between single spaces. */
export function encodeTopicConfigText(config: TopicConfig): string {
  const attributes =
    config.attributes.size === 0 ? '' : ` ${JSON.stringify(Object.fromEntries(config.attributes))}`;
  return `${config.topicName} ${config.readQueueNums} ${config.writeQueueNums} ${config.perm} ${config.topicFilterType}${attributes}`;
}

/** Reads the text form; null where it is none. */
export function decodeTopicConfigText(text: string): TopicConfig | null {
  const [topicName = '', readQueueNums, writeQueueNums, perm, topicFilterType, ...rest] =
    text.split(' ');
  let attributes: unknown = {};
  try {
    if (rest.length > 0) attributes = JSON.parse(rest.join(' '));
  } catch {
    attributes = {};
  }
  return decodeTopicConfig({
    topicName,
    readQueueNums: Number(readQueueNums),
    writeQueueNums: Number(writeQueueNums),
    perm: Number(perm),
    topicFilterType,
    attributes,
  });
}

/** As many queues as a topic may have; protects loops over them. */
const QUEUE_COUNT_MAX = 65_536;
const DEFAULT_QUEUE_COUNT = 16;

function queueCountOf(value: unknown): number {
  return Math.min(Math.max(integerOf(value, DEFAULT_QUEUE_COUNT), 0), QUEUE_COUNT_MAX);
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

function integerOf(value: unknown, absent: number): number {
  const number = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : absent;
}
