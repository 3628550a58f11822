/**
 * @agent control
 *
 * Who is connected, and how far groups are, for tools: GET_CONSUMER_CONNECTION_LIST (203),
 * GET_PRODUCER_CONNECTION_LIST (204), GET_CONSUME_STATS (208).
 *
 * Source: AdminBrokerProcessor.java, ConsumerConnection.java, ProducerConnection.java, SubscriptionData.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { javaTextHash } from '../protocol/java-string-hash.ts';
import type { GroupMember } from './consumer-group-table.ts';
import type { Subscription } from './control-effects.ts';
import type { RequestHandler } from './control-state.ts';
import { requiredText } from './request-fields.ts';

const consumerConnections: RequestHandler = (state, request) => {
  const name = requiredText(request, 'consumerGroup');
  const group = state.consumers.get(name);
  if (group === undefined) {
    return {
      code: ResponseCode.CONSUMER_NOT_ONLINE,
      remark: `the consumer group[${name.slice(0, 256)}] not online`,
    };
  }
  const { consumeFromWhere, consumeType, messageModel } = group;
  const subscriptionTable = Object.fromEntries(
    [...group.subscriptions].map(([topic, subscription]) => [
      topic,
      subscriptionData(subscription),
    ]),
  );
  return bodyAnswer({
    connectionSet: [...group.members.values()].map(connectionOf),
    consumeFromWhere,
    consumeType,
    messageModel,
    subscriptionTable,
  });
};

const producerConnections: RequestHandler = (state, request) => {
  const group = requiredText(request, 'producerGroup');
  const connectionSet = [...state.producers.members(group)].map(connectionOf);
  if (connectionSet.length > 0) return bodyAnswer({ connectionSet });
  return {
    code: ResponseCode.SYSTEM_ERROR,
    remark: `the producer group[${group.slice(0, 256)}] not exist`,
  };
};

const consumeStats: RequestHandler = (state, request, connection) => {
  const group = requiredText(request, 'consumerGroup');
  const queues: { topic: string; queueId: number; offset: number }[] = [];
  for (const topic of topicsOf(state, request.extFields, group)) {
    const config = state.topics.get(topic)?.config;
    for (let queueId = 0; queueId < (config?.readQueueNums ?? 0); queueId++)
      queues.push({ topic, queueId, offset: state.offsets.query(topic, group, queueId) ?? 0 });
  }
  state.effects.askDispatcher(connection.id, request, { kind: 'consume-stats', queues });
  return null;
};

/** The topics of a list; else the topic named, or all with offsets, as far as a live group subscribes to them. */
function topicsOf(
  state: Parameters<RequestHandler>[0],
  fields: ReadonlyMap<string, string>,
  group: string,
): string[] {
  const list = (fields.get('topicList') ?? '').split(';').filter((topic) => topic !== '');
  if (list.length > 0) return [...new Set(list)];
  const named = fields.get('topic')?.trim() ?? '';
  const topics = named === '' ? state.offsets.topicsOf(group) : [named];
  const subscriptions = state.consumers.get(group)?.subscriptions;
  if (subscriptions === undefined || subscriptions.size === 0) return topics;
  return topics.filter((topic) => subscriptions.has(topic));
}

function connectionOf(member: GroupMember): Record<string, unknown> {
  const { clientId, language, version, remoteAddress } = member;
  return { clientAddr: remoteAddress, clientId, language, version };
}

function subscriptionData(subscription: Subscription): Record<string, unknown> {
  const { topic, subString, expressionType, subVersion, tagsSet } = subscription;
  return {
    classFilterMode: false,
    codeSet: tagsSet.map((tag) => javaTextHash(tag)),
    expressionType,
    subString,
    subVersion,
    tagsSet,
    topic,
  };
}

function bodyAnswer(body: unknown): { code: number; body: Buffer } {
  return { code: ResponseCode.SUCCESS, body: Buffer.from(JSON.stringify(body)) };
}

export const clientAdminHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.GET_CONSUMER_CONNECTION_LIST, consumerConnections],
  [RequestCode.GET_PRODUCER_CONNECTION_LIST, producerConnections],
  [RequestCode.GET_CONSUME_STATS, consumeStats],
];
