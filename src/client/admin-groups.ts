/**
 * @agent any
 *
 * Consumer groups for Admin: which there are (201, 317), made and deleted (200, 207), how far they are
 * (208), who is in them (203).
 *
 * Source: ConsumerProgressSubCommand.java, ConsumerConnectionSubCommand.java, DeleteSubscriptionGroupCommand.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import {
  type AdminContext,
  askBroker,
  bodyFields,
  compareQueues,
  compareTexts,
  expectSuccess,
  fieldsOf,
  integerOf,
  jsonBody,
  listOf,
  mapAtOnce,
  queueTable,
  textOf,
} from './admin-answers.ts';
import { type BrokerChoice, type MasterBroker, mastersOf } from './admin-brokers.ts';
import { removeTopic } from './admin-topics.ts';
import { ClientError } from './client-error.ts';

export interface GroupOnBroker {
  readonly brokerName: string;
  readonly mayConsume: boolean;
  readonly mayBroadcast: boolean;
  readonly isOrdered: boolean;
  /** Queues of its retry topic; with none, a message that fails is dropped. */
  readonly retryQueueCount: number;
  /** Deliveries after the first, before a message becomes a dead letter. */
  readonly retryMax: number;
}

export interface GroupSummary {
  readonly group: string;
  readonly kind: 'normal' | 'system';
  /** Messages of all its topics that it has not consumed. */
  readonly behind: number;
  readonly brokers: readonly GroupOnBroker[];
}

export interface GroupSettings {
  readonly mayConsume?: boolean | undefined;
  readonly mayBroadcast?: boolean | undefined;
  readonly isOrdered?: boolean | undefined;
  readonly retryQueueCount?: number | undefined;
  readonly retryMax?: number | undefined;
}

export interface QueueProgress {
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
  /** Of the next message to come. */
  readonly brokerOffset: number;
  /** Of the next message to consume. */
  readonly consumerOffset: number;
  readonly behind: number;
  /** When the last consumed message came to the broker; null where there is none. */
  readonly lastConsumedMs: number | null;
}

export interface GroupProgress {
  readonly group: string;
  readonly behind: number;
  readonly consumeTps: number;
  readonly queues: readonly QueueProgress[];
}

export interface GroupMember {
  readonly clientId: string;
  readonly address: string;
  readonly language: string;
  /** Ordinal of MQVersion.java. */
  readonly version: number;
  readonly brokers: readonly string[];
}

export interface GroupMembers {
  readonly group: string;
  readonly isOnline: boolean;
  readonly model: string | null;
  readonly type: string | null;
  readonly from: string | null;
  readonly members: readonly GroupMember[];
  readonly subscriptions: readonly {
    readonly topic: string;
    readonly expression: string;
    readonly type: string;
  }[];
}

/** Groups that exist for tools and for the broker itself (MixAll.java). */
const systemGroups: ReadonlySet<string> = new Set([
  'DEFAULT_CONSUMER',
  'TOOLS_CONSUMER',
  'SCHEDULE_CONSUMER',
  'FILTERSRV_CONSUMER',
  '__MONITOR_CONSUMER',
  'SELF_TEST_C_GROUP',
  'CID_ONS-HTTP-PROXY',
  'CID_ONSAPI_PERMISSION',
  'CID_ONSAPI_OWNER',
  'CID_ONSAPI_PULL',
]);
const SYSTEM_PREFIX = 'CID_RMQ_SYS_';
/** A guess: brokers asked at once. */
const BROKERS_AT_ONCE = 8;

function kindOf(group: string): 'normal' | 'system' {
  return systemGroups.has(group) || group.startsWith(SYSTEM_PREFIX) ? 'system' : 'normal';
}

export async function listGroups(
  context: AdminContext,
  options: BrokerChoice & { includeSystem?: boolean | undefined } = {},
): Promise<GroupSummary[]> {
  const masters = await mastersOf(context, options);
  const tables = await mapAtOnce(masters, BROKERS_AT_ONCE, async (master) => {
    const [groups, behind] = await Promise.all([
      groupsAt(context, master),
      behindAt(context, master),
    ]);
    return { groups, behind };
  });
  const found = new Map<string, { behind: number; brokers: GroupOnBroker[] }>();
  for (const { groups, behind } of tables) {
    for (const [group, settings] of groups) {
      const entry = found.get(group) ?? { behind: 0, brokers: [] };
      entry.behind += behind.get(group) ?? 0;
      entry.brokers.push(settings);
      found.set(group, entry);
    }
  }
  return [...found]
    .map(([group, { behind, brokers }]) => ({ group, kind: kindOf(group), behind, brokers }))
    .filter(({ kind }) => options.includeSystem === true || kind !== 'system')
    .sort((left, right) => compareTexts(left.group, right.group));
}

async function groupsAt(
  context: AdminContext,
  { brokerName, address }: MasterBroker,
): Promise<Map<string, GroupOnBroker>> {
  const what = `the groups of broker ${brokerName} can not be listed`;
  const request = { code: RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG };
  const answer = await askBroker(context, address, request, what);
  const table = fieldsOf(bodyFields(answer, what)['subscriptionGroupTable']);
  const groups = Object.values(table).map((value): [string, GroupOnBroker] => {
    const fields = fieldsOf(value);
    const settings = {
      brokerName,
      mayConsume: fields['consumeEnable'] !== false,
      mayBroadcast: fields['consumeBroadcastEnable'] !== false,
      isOrdered: fields['consumeMessageOrderly'] === true,
      retryQueueCount: integerOf(fields['retryQueueNums'], 1),
      retryMax: integerOf(fields['retryMaxTimes'], 16),
    };
    return [textOf(fields['groupName']), settings];
  });
  return new Map(groups);
}

/** ConsumeStatsList.java: a list of `{group: [stats of each topic]}`. */
async function behindAt(
  context: AdminContext,
  { brokerName, address }: MasterBroker,
): Promise<Map<string, number>> {
  const what = `the progress of the groups of broker ${brokerName} can not be looked at`;
  const request = { code: RequestCode.GET_BROKER_CONSUME_STATS, fields: { isOrder: false } };
  const answer = await askBroker(context, address, request, what);
  const behind = new Map<string, number>();
  for (const item of listOf(bodyFields(answer, what)['consumeStatsList'])) {
    for (const [group, list] of Object.entries(fieldsOf(item))) {
      const queues = listOf(list).flatMap((stats) => progressIn(fieldsOf(stats)['offsetTable']));
      const sum = queues.reduce((total, queue) => total + queue.behind, 0);
      behind.set(group, (behind.get(group) ?? 0) + sum);
    }
  }
  return behind;
}

function progressIn(table: unknown): QueueProgress[] {
  return queueTable(table).map(([queue, value]) => {
    const fields = fieldsOf(value);
    const brokerOffset = integerOf(fields['brokerOffset'], 0);
    const consumerOffset = Math.max(0, integerOf(fields['consumerOffset'], 0));
    const lastMs = integerOf(fields['lastTimestamp'], 0);
    return Object.assign(queue, {
      brokerOffset,
      consumerOffset,
      behind: Math.max(0, brokerOffset - consumerOffset),
      lastConsumedMs: lastMs > 0 ? lastMs : null,
    });
  });
}

/** Masters that know the group, by its name in their tables. @throws ClientError GROUP_NOT_FOUND */
export async function mastersHaving(
  context: AdminContext,
  group: string,
  options: BrokerChoice = {},
): Promise<MasterBroker[]> {
  const masters = await mastersOf(context, options);
  const having = await mapAtOnce(masters, BROKERS_AT_ONCE, async (master) =>
    (await groupsAt(context, master)).has(group) ? [master] : [],
  );
  const found = having.flat();
  if (found.length > 0) return found;
  const names = masters.map(({ brokerName }) => brokerName).join(', ');
  throw new ClientError('GROUP_NOT_FOUND', `there is no consumer group ${group} on ${names}`);
}

/** Of all topics that the group has consumed, or of one. @throws ClientError GROUP_NOT_FOUND */
export async function readProgress(
  context: AdminContext,
  group: string,
  topic?: string,
): Promise<GroupProgress> {
  const masters = await mastersHaving(context, group);
  let consumeTps = 0;
  const tables = await mapAtOnce(masters, BROKERS_AT_ONCE, async ({ brokerName, address }) => {
    const what = `the progress of group ${group} on broker ${brokerName} can not be looked at`;
    const request = {
      code: RequestCode.GET_CONSUME_STATS,
      fields: { consumerGroup: group, topic },
    };
    return bodyFields(await askBroker(context, address, request, what), what);
  });
  const queues = tables.flatMap((table) => {
    consumeTps += integerOf(table['consumeTps'], 0);
    return progressIn(table['offsetTable']);
  });
  queues.sort(compareQueues);
  const behind = queues.reduce((sum, queue) => sum + queue.behind, 0);
  return { group, behind, consumeTps, queues };
}

/** A group without a member is one: `isOnline` says so. @throws ClientError GROUP_NOT_FOUND */
export async function readMembers(context: AdminContext, group: string): Promise<GroupMembers> {
  const masters = await mastersHaving(context, group);
  const members = new Map<string, GroupMember>();
  const subscriptions = new Map<string, { topic: string; expression: string; type: string }>();
  let kind = {
    model: null as string | null,
    type: null as string | null,
    from: null as string | null,
  };
  for (const { brokerName, address } of masters) {
    const what = `the members of group ${group} on broker ${brokerName} can not be listed`;
    const answer = await context.core.ask(address, {
      code: RequestCode.GET_CONSUMER_CONNECTION_LIST,
      fields: { consumerGroup: group },
      timeoutMs: context.timeoutMs,
    });
    if (answer.code === ResponseCode.CONSUMER_NOT_ONLINE) continue;
    const body = bodyFields(expectSuccess(answer, what), what);
    kind = {
      model: textOf(body['messageModel']) || null,
      type: textOf(body['consumeType']) || null,
      from: textOf(body['consumeFromWhere']) || null,
    };
    for (const value of listOf(body['connectionSet'])) {
      const fields = fieldsOf(value);
      const clientId = textOf(fields['clientId']);
      members.set(clientId, {
        clientId,
        address: textOf(fields['clientAddr']),
        language: textOf(fields['language']),
        version: integerOf(fields['version'], 0),
        brokers: [...(members.get(clientId)?.brokers ?? []), brokerName],
      });
    }
    for (const value of Object.values(fieldsOf(body['subscriptionTable']))) {
      const fields = fieldsOf(value);
      const topic = textOf(fields['topic']);
      const expression = textOf(fields['subString']);
      subscriptions.set(topic, {
        topic,
        expression,
        type: textOf(fields['expressionType'], 'TAG'),
      });
    }
  }
  return {
    group,
    isOnline: members.size > 0,
    ...kind,
    members: [...members.values()].sort((left, right) =>
      compareTexts(left.clientId, right.clientId),
    ),
    subscriptions: [...subscriptions.values()].sort((left, right) =>
      compareTexts(left.topic, right.topic),
    ),
  };
}

/** @throws ClientError ALREADY_EXISTS */
export async function createGroup(
  context: AdminContext,
  group: string,
  options: GroupSettings & BrokerChoice,
): Promise<{ group: string; brokers: GroupOnBroker[] }> {
  const masters = await mastersOf(context, options);
  for (const master of masters) {
    if ((await groupsAt(context, master)).has(group)) {
      throw new ClientError(
        'ALREADY_EXISTS',
        `group ${group} exists on broker ${master.brokerName} already`,
      );
    }
  }
  const settings = settingsOf(options);
  await putGroup(context, group, settings, masters);
  const brokers = masters.map(({ brokerName }) => Object.assign({ brokerName }, settings));
  return { group, brokers };
}

/** Makes the group, as brokers make one that joins, where it is not. */
export async function ensureGroup(
  context: AdminContext,
  group: string,
  masters: readonly MasterBroker[],
): Promise<void> {
  for (const master of masters) {
    if (!(await groupsAt(context, master)).has(group))
      await putGroup(context, group, settingsOf({}), [master]);
  }
}

function settingsOf(options: GroupSettings): Omit<GroupOnBroker, 'brokerName'> {
  return {
    mayConsume: options.mayConsume ?? true,
    mayBroadcast: options.mayBroadcast ?? true,
    isOrdered: options.isOrdered ?? false,
    retryQueueCount: options.retryQueueCount ?? 1,
    retryMax: options.retryMax ?? 16,
  };
}

async function putGroup(
  context: AdminContext,
  group: string,
  settings: Omit<GroupOnBroker, 'brokerName'>,
  masters: readonly MasterBroker[],
): Promise<void> {
  const body = jsonBody({
    groupName: group,
    consumeEnable: settings.mayConsume,
    consumeFromMinEnable: true,
    consumeBroadcastEnable: settings.mayBroadcast,
    consumeMessageOrderly: settings.isOrdered,
    retryQueueNums: settings.retryQueueCount,
    retryMaxTimes: settings.retryMax,
    brokerId: 0,
    whichBrokerWhenConsumeSlowly: 1,
    notifyConsumerIdsChangedEnable: true,
  });
  for (const { brokerName, address } of masters) {
    const request = { code: RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body };
    const what = `group ${group} can not be made on broker ${brokerName}`;
    await askBroker(context, address, request, what);
  }
}

/**
 * With its offsets and its topics of retries and dead letters, on each chosen broker that has it.
 * @throws ClientError GROUP_NOT_FOUND
 */
export async function deleteGroup(
  context: AdminContext,
  group: string,
  options: BrokerChoice = {},
): Promise<{ group: string; brokers: string[] }> {
  const masters = await mastersHaving(context, group, options);
  for (const { brokerName, address } of masters) {
    const request = {
      code: RequestCode.DELETE_SUBSCRIPTIONGROUP,
      fields: { groupName: group, cleanOffset: true },
    };
    const what = `group ${group} can not be deleted on broker ${brokerName}`;
    await askBroker(context, address, request, what);
  }
  for (const topic of groupTopics(group))
    await removeTopic(context, topic, masters, options.broker === undefined);
  return { group, brokers: masters.map(({ brokerName }) => brokerName) };
}

/** What a group has besides what it subscribes to. */
export function groupTopics(group: string): [retry: string, deadLetters: string] {
  return [`%RETRY%${group}`, `%DLQ%${group}`];
}
