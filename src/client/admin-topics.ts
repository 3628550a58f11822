/**
 * @agent any
 *
 * Topics for Admin: which there are (21, 305), made, changed and deleted (17, 215, 216), where their
 * queues are (105) and what is in them (202).
 *
 * Source: UpdateTopicSubCommand.java, DeleteTopicSubCommand.java, TopicStatusSubCommand.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { Perm } from '../protocol/perm.ts';
import { decodeTopicConfig, type TopicConfig } from '../protocol/topic-config.ts';
import {
  type AdminContext,
  askBroker,
  askNames,
  bodyFields,
  compareTexts,
  fieldsOf,
  integerOf,
  listOf,
  mapAtOnce,
  queueTable,
  tellAllNames,
  textOf,
  textsOf,
} from './admin-answers.ts';
import { type BrokerChoice, type MasterBroker, mastersOf } from './admin-brokers.ts';
import { ClientError } from './client-error.ts';

/** What a topic lets do: read, write, both, or nothing. */
export type TopicPermission = 'rw' | 'r' | 'w' | '-';

export type TopicKind = 'normal' | 'retry' | 'dead-letter' | 'system';

/** A topic on one broker. */
export interface TopicOnBroker {
  readonly brokerName: string;
  readonly readQueueCount: number;
  readonly writeQueueCount: number;
  readonly permission: TopicPermission;
  readonly isOrdered: boolean;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface TopicSummary {
  readonly topic: string;
  readonly kind: TopicKind;
  readonly brokers: readonly TopicOnBroker[];
}

export interface TopicSettings {
  /** Queues to read and to write; `readQueueCount` and `writeQueueCount` say it apart. */
  readonly queueCount?: number | undefined;
  readonly readQueueCount?: number | undefined;
  readonly writeQueueCount?: number | undefined;
  readonly permission?: TopicPermission | undefined;
  readonly isOrdered?: boolean | undefined;
  /** Set where there is a value, taken away where it is null. */
  readonly attributes?: Readonly<Record<string, string | null>> | undefined;
}

export interface TopicQueues {
  readonly brokerName: string;
  readonly readQueueCount: number;
  readonly writeQueueCount: number;
  readonly permission: TopicPermission;
}

export interface TopicRouteDetails {
  readonly topic: string;
  readonly brokers: readonly {
    readonly cluster: string;
    readonly brokerName: string;
    readonly addresses: Readonly<Record<string, string>>;
  }[];
  readonly queues: readonly TopicQueues[];
  /** `broker-a:4;broker-b:4`, where the name server has one. */
  readonly orderConfig: string | null;
}

export interface QueueStatus {
  readonly brokerName: string;
  readonly queueId: number;
  /** Of the oldest message that is still there. */
  readonly minOffset: number;
  /** Of the next message to come. */
  readonly maxOffset: number;
  readonly messageCount: number;
  /** When the last message came; null where the queue is empty. */
  readonly lastMessageMs: number | null;
}

export interface TopicStatus {
  readonly topic: string;
  readonly messageCount: number;
  /** Messages a second in the last minute, of all brokers. */
  readonly putTps: number;
  readonly queues: readonly QueueStatus[];
}

const RETRY_PREFIX = '%RETRY%';
const DEAD_LETTER_PREFIX = '%DLQ%';
const SYSTEM_PREFIX = 'rmq_sys_';
const ORDER_NAMESPACE = 'ORDER_TOPIC_CONFIG';
/** What the topic is made from where a broker makes it itself; a broker wants one named. */
const TEMPLATE_TOPIC = 'TBW102';
/** As `mqadmin updateTopic`. */
const DEFAULT_QUEUE_COUNT = 8;
const QUEUE_COUNT_MAX = 65_536;
/** A guess: brokers asked at once. */
const BROKERS_AT_ONCE = 8;

const permissionBits: Readonly<Record<TopicPermission, number>> = {
  rw: Perm.READ | Perm.WRITE,
  r: Perm.READ,
  w: Perm.WRITE,
  '-': 0,
};

export function permissionOf(bits: number): TopicPermission {
  const mayRead = (bits & Perm.READ) !== 0;
  const mayWrite = (bits & Perm.WRITE) !== 0;
  if (mayRead) return mayWrite ? 'rw' : 'r';
  return mayWrite ? 'w' : '-';
}

/** All topics of all masters, by name; those of the system only where they are asked for. */
export async function listTopics(
  context: AdminContext,
  options: BrokerChoice & { includeSystem?: boolean | undefined } = {},
): Promise<TopicSummary[]> {
  const masters = await mastersOf(context, options);
  const tables = await mapAtOnce(masters, BROKERS_AT_ONCE, async (master) => ({
    master,
    ...(await topicsAt(context, master)),
  }));
  const system = new Set(masters.flatMap(({ cluster, brokerName }) => [cluster, brokerName]));
  for (const { systemTopics } of tables) for (const topic of systemTopics) system.add(topic);
  const found = new Map<string, TopicOnBroker[]>();
  for (const { master, configs } of tables) {
    for (const config of configs) {
      const list = found.get(config.topicName) ?? [];
      list.push(onBroker(master.brokerName, config));
      found.set(config.topicName, list);
    }
  }
  return [...found]
    .map(([topic, brokers]) => ({ topic, kind: kindOf(topic, system), brokers }))
    .filter(({ kind }) => options.includeSystem === true || kind !== 'system')
    .sort((left, right) => compareTexts(left.topic, right.topic));
}

function kindOf(topic: string, system: ReadonlySet<string>): TopicKind {
  if (topic.startsWith(RETRY_PREFIX)) return 'retry';
  if (topic.startsWith(DEAD_LETTER_PREFIX)) return 'dead-letter';
  return system.has(topic) || topic.startsWith(SYSTEM_PREFIX) ? 'system' : 'normal';
}

async function topicsAt(
  context: AdminContext,
  { brokerName, address }: MasterBroker,
): Promise<{ configs: TopicConfig[]; systemTopics: string[] }> {
  const what = `the topics of broker ${brokerName} can not be listed`;
  const [all, system] = await Promise.all([
    askBroker(context, address, { code: RequestCode.GET_ALL_TOPIC_CONFIG }, what),
    askBroker(context, address, { code: RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER }, what),
  ]);
  const table = fieldsOf(bodyFields(all, what)['topicConfigTable']);
  const configs = Object.values(table)
    .map((value) => decodeTopicConfig(value))
    .filter((config) => config !== null);
  return { configs, systemTopics: textsOf(bodyFields(system, what)['topicList']) };
}

function onBroker(brokerName: string, config: TopicConfig): TopicOnBroker {
  return {
    brokerName,
    readQueueCount: config.readQueueNums,
    writeQueueCount: config.writeQueueNums,
    permission: permissionOf(config.perm),
    isOrdered: config.order,
    attributes: Object.fromEntries(config.attributes),
  };
}

/** What a topic is set to on a broker; null where the broker has not got it. */
async function configAt(
  context: AdminContext,
  master: MasterBroker,
  topic: string,
): Promise<TopicConfig | null> {
  const what = `topic ${topic} can not be looked up on broker ${master.brokerName}`;
  const answer = await context.core.ask(master.address, {
    code: RequestCode.GET_TOPIC_CONFIG,
    fields: { topic, lo: false },
    timeoutMs: context.timeoutMs,
  });
  if (answer.code === ResponseCode.TOPIC_NOT_EXIST) return null;
  if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED) {
    // A broker of 4.x tells all or nothing.
    const { configs } = await topicsAt(context, master);
    return configs.find(({ topicName }) => topicName === topic) ?? null;
  }
  return decodeTopicConfig(bodyFields(answer, what));
}

/** @throws ClientError ALREADY_EXISTS where a chosen broker has it: `updateTopic` changes topics. */
export async function createTopic(
  context: AdminContext,
  topic: string,
  options: TopicSettings & BrokerChoice,
): Promise<TopicSummary> {
  const masters = await mastersOf(context, options);
  for (const master of masters) {
    if ((await configAt(context, master, topic)) !== null) {
      throw new ClientError(
        'ALREADY_EXISTS',
        `topic ${topic} exists on broker ${master.brokerName} already`,
      );
    }
  }
  const config = changed(
    {
      topicName: topic,
      readQueueNums: DEFAULT_QUEUE_COUNT,
      writeQueueNums: DEFAULT_QUEUE_COUNT,
      perm: permissionBits.rw,
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: 0,
      order: false,
      attributes: new Map(),
    },
    options,
  );
  for (const master of masters) await putTopic(context, master, config, options.attributes);
  if (config.order) await putOrderConfig(context, topic, config.writeQueueNums, masters);
  const brokers = masters.map(({ brokerName }) => onBroker(brokerName, config));
  return { topic, kind: kindOf(topic, new Set()), brokers };
}

/** Changes what is given, on each chosen broker that has the topic, and leaves the rest. */
export async function updateTopic(
  context: AdminContext,
  topic: string,
  options: TopicSettings & BrokerChoice,
): Promise<TopicSummary> {
  const masters = await mastersOf(context, options);
  const brokers: TopicOnBroker[] = [];
  const having: MasterBroker[] = [];
  let queueCount = 0;
  for (const master of masters) {
    const current = await configAt(context, master, topic);
    if (current === null) continue;
    const config = changed(current, options);
    await putTopic(context, master, config, options.attributes);
    having.push(master);
    queueCount = config.writeQueueNums;
    brokers.push(onBroker(master.brokerName, config));
  }
  if (having.length === 0) {
    const names = masters.map(({ brokerName }) => brokerName).join(', ');
    throw new ClientError('TOPIC_NOT_FOUND', `there is no topic ${topic} on ${names}`);
  }
  if (brokers.some(({ isOrdered }) => isOrdered))
    await putOrderConfig(context, topic, queueCount, having);
  return { topic, kind: kindOf(topic, new Set()), brokers };
}

function changed(config: TopicConfig, settings: TopicSettings): TopicConfig {
  const attributes = new Map(config.attributes);
  for (const [name, value] of Object.entries(settings.attributes ?? {})) {
    if (value === null) attributes.delete(name);
    else attributes.set(name, value);
  }
  const { readQueueCount, writeQueueCount, queueCount, permission, isOrdered } = settings;
  return {
    ...config,
    readQueueNums: queues(readQueueCount ?? queueCount ?? config.readQueueNums),
    writeQueueNums: queues(writeQueueCount ?? queueCount ?? config.writeQueueNums),
    perm:
      permission === undefined
        ? config.perm
        : (config.perm & ~permissionBits.rw) | permissionBits[permission],
    order: isOrdered ?? config.order,
    attributes,
  };
}

function queues(count: number): number {
  if (Number.isInteger(count) && count >= 0 && count <= QUEUE_COUNT_MAX) return count;
  throw new ClientError(
    'INVALID_ARGUMENT',
    `${count} is no number of queues, 0 to ${QUEUE_COUNT_MAX}`,
  );
}

async function putTopic(
  context: AdminContext,
  { brokerName, address }: MasterBroker,
  config: TopicConfig,
  attributes: TopicSettings['attributes'],
): Promise<void> {
  const changes = Object.entries(attributes ?? {}).map(([name, value]) =>
    value === null ? `-${name}` : `+${name}=${value}`,
  );
  await askBroker(
    context,
    address,
    {
      code: RequestCode.UPDATE_AND_CREATE_TOPIC,
      fields: {
        topic: config.topicName,
        defaultTopic: TEMPLATE_TOPIC,
        readQueueNums: config.readQueueNums,
        writeQueueNums: config.writeQueueNums,
        perm: config.perm,
        topicFilterType: config.topicFilterType,
        topicSysFlag: config.topicSysFlag,
        order: config.order,
        attributes: changes.length > 0 ? changes.join(',') : undefined,
      },
    },
    `topic ${config.topicName} can not be set on broker ${brokerName}`,
  );
}

/** Routes tell the queues of an ordered topic, where the name server is set up to. */
async function putOrderConfig(
  context: AdminContext,
  topic: string,
  queueCount: number,
  masters: readonly MasterBroker[],
): Promise<void> {
  const value = masters.map(({ brokerName }) => `${brokerName}:${queueCount}`).join(';');
  await tellAllNames(
    context,
    { code: RequestCode.PUT_KV_CONFIG, fields: { namespace: ORDER_NAMESPACE, key: topic, value } },
    `the queues of ordered topic ${topic} can not be told to the name server`,
  );
}

/** From the chosen brokers; from the name servers too where those were all. */
export async function deleteTopic(
  context: AdminContext,
  topic: string,
  options: BrokerChoice = {},
): Promise<{ topic: string; brokers: string[] }> {
  const masters = await mastersOf(context, options);
  const having: MasterBroker[] = [];
  for (const master of masters)
    if ((await configAt(context, master, topic)) !== null) having.push(master);
  if (having.length === 0) throw new ClientError('TOPIC_NOT_FOUND', `there is no topic ${topic}`);
  const brokers = having.map(({ brokerName }) => brokerName);
  await removeTopic(context, topic, having, options.broker === undefined);
  return { topic, brokers };
}

/** Also where a broker has it not: then there is nothing to do. */
export async function removeTopic(
  context: AdminContext,
  topic: string,
  masters: readonly MasterBroker[],
  isEverywhere: boolean,
): Promise<void> {
  const what = `topic ${topic} can not be deleted`;
  for (const { address, brokerName } of masters) {
    const request = { code: RequestCode.DELETE_TOPIC_IN_BROKER, fields: { topic } };
    await askBroker(context, address, request, `${what} on broker ${brokerName}`);
  }
  if (!isEverywhere) return;
  const clusters = new Set(masters.map(({ cluster }) => cluster));
  for (const clusterName of clusters) {
    const fields = { topic, clusterName };
    await tellAllNames(context, { code: RequestCode.DELETE_TOPIC_IN_NAMESRV, fields }, what);
  }
  const fields = { namespace: ORDER_NAMESPACE, key: topic };
  await tellAllNames(context, { code: RequestCode.DELETE_KV_CONFIG, fields }, what);
}

/** As the name server tells it. @throws ClientError TOPIC_NOT_FOUND */
export async function readRoute(context: AdminContext, topic: string): Promise<TopicRouteDetails> {
  const what = `there is no route of topic ${topic}`;
  const answer = await askNames(
    context,
    { code: RequestCode.GET_ROUTEINFO_BY_TOPIC, fields: { topic, acceptStandardJsonOnly: true } },
    what,
  );
  const body = bodyFields(answer, what);
  const brokers = listOf(body['brokerDatas']).map((value) => {
    const fields = fieldsOf(value);
    const addresses: Record<string, string> = {};
    for (const [id, address] of Object.entries(fieldsOf(fields['brokerAddrs'])))
      addresses[id] = textOf(address);
    const brokerName = textOf(fields['brokerName']);
    return { cluster: textOf(fields['cluster']), brokerName, addresses };
  });
  const found = listOf(body['queueDatas']).map((value) => {
    const fields = fieldsOf(value);
    return {
      brokerName: textOf(fields['brokerName']),
      readQueueCount: integerOf(fields['readQueueNums'], 0),
      writeQueueCount: integerOf(fields['writeQueueNums'], 0),
      permission: permissionOf(integerOf(fields['perm'], 0)),
    };
  });
  const byName = (left: { brokerName: string }, right: { brokerName: string }): number =>
    compareTexts(left.brokerName, right.brokerName);
  return {
    topic,
    brokers: brokers.sort(byName),
    queues: found.sort(byName),
    orderConfig: textOf(body['orderTopicConf']) || null,
  };
}

/** @throws ClientError TOPIC_NOT_FOUND */
export async function readStatus(context: AdminContext, topic: string): Promise<TopicStatus> {
  const route = await context.core.route(topic, { fresh: true });
  const queues: QueueStatus[] = [];
  let putTps = 0;
  const brokerNames = [...route.brokers.keys()];
  const tables = await mapAtOnce(brokerNames, BROKERS_AT_ONCE, async (brokerName) => {
    const what = `the queues of topic ${topic} on broker ${brokerName} can not be looked at`;
    const address = context.core.masterAddress(brokerName);
    const request = { code: RequestCode.GET_TOPIC_STATS_INFO, fields: { topic } };
    return bodyFields(await askBroker(context, address, request, what), what);
  });
  for (const table of tables) {
    putTps += integerOf(table['topicPutTps'], 0);
    for (const [{ brokerName, queueId }, value] of queueTable(table['offsetTable'])) {
      const fields = fieldsOf(value);
      // An empty queue of a stock broker begins at -1.
      const minOffset = Math.max(0, integerOf(fields['minOffset'], 0));
      const maxOffset = Math.max(0, integerOf(fields['maxOffset'], 0));
      const lastMs = integerOf(fields['lastUpdateTimestamp'], 0);
      const messageCount = Math.max(0, maxOffset - minOffset);
      const lastMessageMs = lastMs > 0 && messageCount > 0 ? lastMs : null;
      queues.push({ brokerName, queueId, minOffset, maxOffset, messageCount, lastMessageMs });
    }
  }
  const messageCount = queues.reduce((sum, queue) => sum + queue.messageCount, 0);
  return { topic, messageCount, putTps, queues };
}
