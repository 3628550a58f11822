/**
 * @agent any
 *
 * What each request does to which resources: the table that authorization goes by. A code that is not here
 * needs the right to change the cluster, so that a new one is closed until somebody thinks of it.
 *
 * Source: DefaultAuthorizationContextBuilder.java and the annotations of request headers of RocketMQ 5.3.3,
 * which lets everybody do what has neither: settings, groups, reading a message by its place. That is
 * closed here.
 */
import { parseFastjson } from '../protocol/fastjson.ts';
import { RequestCode } from '../protocol/codes.ts';
import type { Action, ResourceAccess } from './policy.ts';

/** A request as whoever serves it will read it. */
export interface AskedFields {
  readonly code: number;
  /** Null where the field is absent. */
  field(name: string): string | null;
  body(): Buffer;
}

/** All of them must be allowed. */
export type Accesses = readonly ResourceAccess[];

/** Everybody whose signature is right. */
const anyone: Accesses = [];

type Rule = (asked: AskedFields, clusterName: string) => Accesses;

const RETRY = '%RETRY%';
/** Of what a body names; more is no request of a client. */
const NAMED_COUNT_MAX = 20_000;

/** A retry topic is its group's. */
const topicOf = (name: string, ...actions: Action[]): ResourceAccess =>
  name.startsWith(RETRY)
    ? groupOf(name, ...actions.map((action): Action => (action === 'Pub' ? 'Sub' : action)))
    : { type: 'Topic', name, actions };

/** Also by the name of its retry topic. */
const groupOf = (name: string, ...actions: Action[]): ResourceAccess => ({
  type: 'Group',
  name: name.startsWith(RETRY) ? name.slice(RETRY.length) : name,
  actions,
});

const cluster =
  (...actions: Action[]): Rule =>
  (_asked, name) => [{ type: 'Cluster', name, actions }];

/** A field that is missing names nothing: only who may do it to everything may. */
const topic =
  (field: string, ...actions: Action[]): Rule =>
  (asked) => [topicOf(asked.field(field) ?? '', ...actions)];

const group =
  (field: string, ...actions: Action[]): Rule =>
  (asked) => [groupOf(asked.field(field) ?? '', ...actions)];

const both =
  (...rules: Rule[]): Rule =>
  (asked, name) =>
    rules.flatMap((rule) => rule(asked, name));

const ifNamed =
  (field: string, rule: Rule): Rule =>
  (asked, name) =>
    (asked.field(field) ?? '') === '' ? anyone : rule(asked, name);

const json = (asked: AskedFields): Record<string, unknown> => {
  try {
    return objectOf(parseFastjson(asked.body().toString('utf8'), NAMED_COUNT_MAX * 10));
  } catch {
    return {};
  }
};

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
const listOf = (value: unknown): Record<string, unknown>[] =>
  (Array.isArray(value) ? (value as unknown[]) : []).slice(0, NAMED_COUNT_MAX).map(objectOf);
const nameOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const heartbeat: Rule = (asked) => {
  const accesses: ResourceAccess[] = [];
  for (const consumer of listOf(json(asked)['consumerDataSet'])) {
    accesses.push(groupOf(nameOf(consumer['groupName']), 'Sub'));
    for (const { topic: name } of listOf(consumer['subscriptionDataSet']))
      accesses.push(topicOf(nameOf(name), 'Sub'));
  }
  return accesses;
};

const locks: Rule = (asked) => {
  const body = json(asked);
  const topics = new Set(listOf(body['mqSet']).map(({ topic: name }) => nameOf(name)));
  return [
    groupOf(nameOf(body['consumerGroup']), 'Sub'),
    ...[...topics].map((name) => topicOf(name, 'Sub')),
  ];
};

const named =
  (list: string | null, key: string, make: (name: string) => ResourceAccess): Rule =>
  (asked) => {
    const body = json(asked);
    const entries = list === null ? [body] : listOf(body[list]);
    return entries.map((entry) => make(nameOf(entry[key])));
  };

const consumes = both(topic('topic', 'Sub'), group('consumerGroup', 'Sub'));
const looksAtTopic = topic('topic', 'Sub', 'Get');
const makesGroup = (name: string): ResourceAccess => groupOf(name, 'Create', 'Update');
const groupAndTopic = (...actions: Action[]): Rule =>
  both(group('group', ...actions), topic('topic', ...actions));
/** Codes of POP (200050 …), which is not served; in a binary header they come cut to 16 bits. */
const popCodes = [200_050, 200_051, 200_052, 200_053, 200_054, 200_055].flatMap((code) => [
  code,
  (code << 16) >> 16,
]);

const brokerRules: ReadonlyMap<number, Rule> = new Map<number, Rule>([
  [RequestCode.SEND_MESSAGE, topic('topic', 'Pub')],
  [RequestCode.SEND_MESSAGE_V2, topic('b', 'Pub')],
  [RequestCode.SEND_BATCH_MESSAGE, topic('b', 'Pub')],
  // A reply goes to the one client that asked, whatever its topic.
  [RequestCode.SEND_REPLY_MESSAGE, () => anyone],
  [RequestCode.SEND_REPLY_MESSAGE_V2, () => anyone],
  [RequestCode.PULL_MESSAGE, consumes],
  [RequestCode.LITE_PULL_MESSAGE, consumes],
  [RequestCode.QUERY_MESSAGE, looksAtTopic],
  [RequestCode.VIEW_MESSAGE_BY_ID, topic('topic', 'Sub', 'Get')],
  [
    RequestCode.QUERY_CONSUMER_OFFSET,
    both(topic('topic', 'Sub', 'Get'), group('consumerGroup', 'Sub', 'Get')),
  ],
  [
    RequestCode.UPDATE_CONSUMER_OFFSET,
    both(topic('topic', 'Sub', 'Update'), group('consumerGroup', 'Sub', 'Update')),
  ],
  [RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, looksAtTopic],
  [RequestCode.GET_MAX_OFFSET, looksAtTopic],
  [RequestCode.GET_MIN_OFFSET, looksAtTopic],
  [RequestCode.GET_EARLIEST_MSG_STORETIME, looksAtTopic],
  [RequestCode.HEART_BEAT, heartbeat],
  [RequestCode.UNREGISTER_CLIENT, ifNamed('consumerGroup', group('consumerGroup', 'Sub'))],
  [
    RequestCode.CONSUMER_SEND_MSG_BACK,
    both(group('group', 'Sub'), ifNamed('originTopic', topic('originTopic', 'Sub'))),
  ],
  [RequestCode.END_TRANSACTION, ifNamed('topic', topic('topic', 'Pub'))],
  [RequestCode.GET_CONSUMER_LIST_BY_GROUP, group('consumerGroup', 'Sub', 'Get')],
  [RequestCode.LOCK_BATCH_MQ, locks],
  [RequestCode.UNLOCK_BATCH_MQ, locks],
  [RequestCode.CHECK_CLIENT_CONFIG, () => anyone],
  [RequestCode.RECALL_MESSAGE, topic('topic', 'Pub')],
  // Administration
  [RequestCode.UPDATE_AND_CREATE_TOPIC, topic('topic', 'Create')],
  [
    RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
    named('topicConfigList', 'topicName', (name) => topicOf(name, 'Create')),
  ],
  [RequestCode.DELETE_TOPIC_IN_BROKER, topic('topic', 'Delete')],
  [RequestCode.GET_TOPIC_CONFIG, topic('topic', 'Get')],
  [RequestCode.GET_TOPIC_STATS_INFO, topic('topic', 'Get')],
  [RequestCode.GET_ALL_TOPIC_CONFIG, cluster('Get')],
  [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, named(null, 'groupName', makesGroup)],
  [
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
    named('groupConfigList', 'groupName', makesGroup),
  ],
  [RequestCode.DELETE_SUBSCRIPTIONGROUP, group('groupName', 'Delete')],
  [RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, group('group', 'Get')],
  [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, cluster('Get')],
  [RequestCode.GET_CONSUMER_CONNECTION_LIST, group('consumerGroup', 'Get')],
  [RequestCode.GET_PRODUCER_CONNECTION_LIST, cluster('Get')],
  [RequestCode.GET_ALL_PRODUCER_INFO, cluster('Get')],
  [
    RequestCode.GET_CONSUME_STATS,
    both(group('consumerGroup', 'Get'), ifNamed('topic', topic('topic', 'Get'))),
  ],
  [RequestCode.GET_BROKER_CONSUME_STATS, cluster('Get')],
  [RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, topic('topic', 'Get')],
  [RequestCode.QUERY_TOPICS_BY_CONSUMER, group('group', 'Get')],
  [RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, groupAndTopic('Get')],
  [RequestCode.QUERY_CONSUME_TIME_SPAN, groupAndTopic('Get')],
  [
    RequestCode.QUERY_CONSUME_QUEUE,
    both(topic('topic', 'Get'), ifNamed('consumerGroup', group('consumerGroup', 'Get'))),
  ],
  [RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, groupAndTopic('Update')],
  [RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, groupAndTopic('Get')],
  [RequestCode.CLONE_GROUP_OFFSET, both(group('srcGroup', 'Get'), group('destGroup', 'Update'))],
  [RequestCode.GET_CONSUMER_RUNNING_INFO, group('consumerGroup', 'Get')],
  // The message is any that the broker has: whoever has it consumed may see all.
  [RequestCode.CONSUME_MESSAGE_DIRECTLY, cluster('Update')],
  [RequestCode.RESUME_CHECK_HALF_MESSAGE, topic('topic', 'Update')],
  [RequestCode.GET_ALL_CONSUMER_OFFSET, cluster('Get')],
  [RequestCode.GET_ALL_DELAY_OFFSET, cluster('Get')],
  [RequestCode.GET_BROKER_CONFIG, cluster('Get')],
  [RequestCode.GET_BROKER_RUNTIME_INFO, cluster('Get')],
  [RequestCode.VIEW_BROKER_STATS_DATA, cluster('Get')],
  [RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER, cluster('Get')],
  [RequestCode.AUTH_GET_USER, cluster('Get')],
  [RequestCode.AUTH_LIST_USER, cluster('Get')],
  [RequestCode.AUTH_GET_ACL, cluster('Get')],
  [RequestCode.AUTH_LIST_ACL, cluster('Get')],
  ...popCodes.map((code): [number, Rule] => [code, consumes]),
]);

/** At a name server; what is not here changes it. */
const nameServerReads: ReadonlySet<number> = new Set([
  RequestCode.GET_KV_CONFIG,
  RequestCode.GET_KVLIST_BY_NAMESPACE,
  RequestCode.GET_ROUTEINFO_BY_TOPIC,
  RequestCode.GET_BROKER_CLUSTER_INFO,
  RequestCode.GET_BROKER_MEMBER_GROUP,
  RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
  RequestCode.GET_TOPICS_BY_CLUSTER,
  RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS,
  RequestCode.GET_UNIT_TOPIC_LIST,
  RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST,
  RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
]);
const nameServerChanges: ReadonlySet<number> = new Set([
  RequestCode.PUT_KV_CONFIG,
  RequestCode.DELETE_KV_CONFIG,
  RequestCode.REGISTER_BROKER,
  RequestCode.UNREGISTER_BROKER,
  RequestCode.BROKER_HEARTBEAT,
  RequestCode.QUERY_DATA_VERSION,
  RequestCode.WIPE_WRITE_PERM_OF_BROKER,
  RequestCode.ADD_WRITE_PERM_OF_BROKER,
  RequestCode.DELETE_TOPIC_IN_NAMESRV,
  RequestCode.REGISTER_TOPIC_IN_NAMESRV,
  RequestCode.UPDATE_NAMESRV_CONFIG,
]);
/** Only who may see all of the cluster. */
const nameServerSettings: ReadonlySet<number> = new Set([RequestCode.GET_NAMESRV_CONFIG]);

const userCodes: ReadonlySet<number> = new Set([
  RequestCode.AUTH_CREATE_USER,
  RequestCode.AUTH_UPDATE_USER,
  RequestCode.AUTH_DELETE_USER,
  RequestCode.AUTH_GET_USER,
  RequestCode.AUTH_LIST_USER,
  RequestCode.AUTH_CREATE_ACL,
  RequestCode.AUTH_UPDATE_ACL,
  RequestCode.AUTH_DELETE_ACL,
  RequestCode.AUTH_GET_ACL,
  RequestCode.AUTH_LIST_ACL,
]);

const changesCluster = cluster('Update');
const readsCluster = cluster('Get');

/** What a request to a broker does. */
export function accessesAtBroker(asked: AskedFields, clusterName: string): Accesses {
  return (brokerRules.get(asked.code) ?? changesCluster)(asked, clusterName);
}

/** What a request to a name server does; routes are told to all users. */
export function accessesAtNameServer(asked: AskedFields, clusterName: string): Accesses {
  if (nameServerReads.has(asked.code)) return anyone;
  if (nameServerSettings.has(asked.code)) return readsCluster(asked, clusterName);
  return changesCluster(asked, clusterName);
}

/** Codes that only a name server serves, also where it shares a connection with a broker. */
export function isOfNameServer(code: number): boolean {
  return nameServerReads.has(code) || nameServerChanges.has(code) || nameServerSettings.has(code);
}

/** A change of what a name server knows: what the credentials of the cluster protect. */
export function changesNameServer(code: number): boolean {
  return nameServerChanges.has(code);
}

/** Without policies, what still needs a super user: users, settings, the name server. */
export function needsSuperUser(code: number, accesses: Accesses): boolean {
  return (
    userCodes.has(code) ||
    accesses.some(({ type, actions }) => type === 'Cluster' && actions.includes('Update'))
  );
}

/** Whether a code has a rule of its own; a test holds that every code that is served has. */
export function hasRule(code: number): boolean {
  return brokerRules.has(code) || deliberatelyClosed.has(code) || isOfNameServer(code);
}

/** Served, and closed to all but those who may change the cluster. */
const deliberatelyClosed: ReadonlySet<number> = new Set([
  RequestCode.UPDATE_BROKER_CONFIG,
  RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE,
  RequestCode.CLEAN_UNUSED_TOPIC,
  RequestCode.ADVANCE_CLOCK,
  RequestCode.AUTH_CREATE_USER,
  RequestCode.AUTH_UPDATE_USER,
  RequestCode.AUTH_DELETE_USER,
  RequestCode.AUTH_CREATE_ACL,
  RequestCode.AUTH_UPDATE_ACL,
  RequestCode.AUTH_DELETE_ACL,
]);
