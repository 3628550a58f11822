/**
 * @agent any
 *
 * Names of topics and consumer groups: which are allowed, which belong to the system, and how the
 * names of retry and dead-letter topics follow from a group's. A name that passes here can't leave
 * its directory when it becomes a path: it holds neither a dot nor a slash.
 *
 * Source: TopicValidator.java, MixAll.java.
 */
const NAME_PATTERN = /^[%|a-zA-Z0-9_-]+$/;
const TOPIC_CHARACTERS_MAX = 127;
/** Retry and dead-letter topics carry a group's name behind a prefix. */
const DERIVED_TOPIC_CHARACTERS_MAX = 255;
const GROUP_CHARACTERS_MAX = 120;

const RETRY_PREFIX = '%RETRY%';
const DEAD_LETTER_PREFIX = '%DLQ%';
const SYSTEM_PREFIX = 'rmq_sys_';

export const SystemTopic = {
  /** Its settings are what a topic created by a first send inherits. */
  AUTO_CREATE: 'TBW102',
  SCHEDULE: 'SCHEDULE_TOPIC_XXXX',
  BENCHMARK: 'BenchmarkTest',
  HALF: 'RMQ_SYS_TRANS_HALF_TOPIC',
  OP_HALF: 'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  TRACE: 'RMQ_SYS_TRACE_TOPIC',
  TRANSACTION_CHECK_MAX_TIME: 'TRANS_CHECK_MAX_TIME_TOPIC',
  SELF_TEST: 'SELF_TEST_TOPIC',
  OFFSET_MOVED_EVENT: 'OFFSET_MOVED_EVENT',
  ROCKSDB_OFFSET: 'CHECKPOINT_TOPIC',
  WHEEL_TIMER: 'rmq_sys_wheel_timer',
} as const;

const systemTopics: ReadonlySet<string> = new Set(Object.values(SystemTopic));

const sendForbiddenTopics: ReadonlySet<string> = new Set([
  SystemTopic.SCHEDULE,
  SystemTopic.HALF,
  SystemTopic.OP_HALF,
  SystemTopic.TRANSACTION_CHECK_MAX_TIME,
  SystemTopic.SELF_TEST,
  SystemTopic.OFFSET_MOVED_EVENT,
  SystemTopic.WHEEL_TIMER,
]);

/** Groups that exist from the start, for tools and for the broker itself (MixAll.java). */
export const predefinedGroups: readonly string[] = [
  'TOOLS_CONSUMER',
  'FILTERSRV_CONSUMER',
  'SELF_TEST_C_GROUP',
  'CID_ONS-HTTP-PROXY',
  'CID_ONSAPI_PULL',
  'CID_ONSAPI_PERMISSION',
  'CID_ONSAPI_OWNER',
  'CID_RMQ_SYS_TRANS',
];

/** Why `topic` can't name a topic; null where it can. */
export function topicNameFault(topic: string): string | null {
  if (topic.trim() === '') return 'The specified topic is blank.';
  if (!NAME_PATTERN.test(topic)) {
    return `The specified topic: ${shortened(topic)}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$`;
  }
  const isDerived = topic.startsWith(RETRY_PREFIX) || topic.startsWith(DEAD_LETTER_PREFIX);
  const charactersMax = isDerived ? DERIVED_TOPIC_CHARACTERS_MAX : TOPIC_CHARACTERS_MAX;
  if (topic.length <= charactersMax) return null;
  return `The specified topic: ${shortened(topic)}, is longer than topic max length: ${charactersMax}`;
}

/** Why `group` can't name a consumer group; null where it can. */
export function groupNameFault(group: string): string | null {
  if (group.trim() === '') return 'The specified group is blank.';
  if (!NAME_PATTERN.test(group)) {
    return `The specified group: ${shortened(group)}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$`;
  }
  if (group.length <= GROUP_CHARACTERS_MAX) return null;
  return `The specified group: ${shortened(group)}, is longer than group max length: ${GROUP_CHARACTERS_MAX}`;
}

/** TopicValidator.java: the topics that are a broker's own, whatever its configuration. */
export function allSystemTopics(): string[] {
  return [...systemTopics];
}

export function isSystemTopic(topic: string): boolean {
  return systemTopics.has(topic) || topic.startsWith(SYSTEM_PREFIX);
}

/** True for topics that only the broker itself writes to. */
export function isSendForbidden(topic: string): boolean {
  return sendForbiddenTopics.has(topic);
}

export function retryTopicOf(group: string): string {
  return RETRY_PREFIX + group;
}

export function deadLetterTopicOf(group: string): string {
  return DEAD_LETTER_PREFIX + group;
}

/** The group whose retries this topic holds; null for any other topic. */
export function groupOfRetryTopic(topic: string): string | null {
  return topic.startsWith(RETRY_PREFIX) ? topic.slice(RETRY_PREFIX.length) : null;
}

/** Remarks quote names from the network; a long one is cut. */
function shortened(name: string): string {
  return name.length <= 256 ? name : `${name.slice(0, 256)}…`;
}
