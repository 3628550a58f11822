/**
 * @agent control
 *
 * Who is connected and what they subscribe to, for tools: GET_CONSUMER_CONNECTION_LIST (203),
 * GET_PRODUCER_CONNECTION_LIST (204), GET_ALL_PRODUCER_INFO (328), QUERY_SUBSCRIPTION_BY_CONSUMER
 * (345), QUERY_CONSUME_QUEUE (321).
 *
 * Source: AdminBrokerProcessor.java, ConsumerConnection.java, ProducerConnection.java, SubscriptionData.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { javaTextHash } from '../protocol/java-string-hash.ts';
import type { GroupMember } from './consumer-group-table.ts';
import type { Subscription } from './control-effects.ts';
import type { RequestHandler } from './control-state.ts';
import { jsonAnswer } from './json-answer.ts';
import { requiredInteger, requiredText } from './request-fields.ts';

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
  const answer = jsonAnswer({
    connectionSet: [...group.members.values()].map(connectionOf),
    consumeFromWhere,
    consumeType,
    messageModel,
    subscriptionTable,
  });
  return { ...answer, remark: group.conflict ?? undefined };
};

const producerConnections: RequestHandler = (state, request) => {
  const group = requiredText(request, 'producerGroup');
  const connectionSet = [...state.producers.members(group)].map(connectionOf);
  if (connectionSet.length > 0) return jsonAnswer({ connectionSet });
  return {
    code: ResponseCode.SYSTEM_ERROR,
    remark: `the producer group[${group.slice(0, 256)}] not exist`,
  };
};

/** ProducerTableInfo.java: every producer by group. */
const allProducers: RequestHandler = (state) => {
  const data = [...state.producers.groups()].map(([group, members]) => [
    group,
    [...members.values()].map(
      ({ clientId, language, version, remoteAddress, lastHeartbeatMs }) => ({
        clientId,
        language,
        lastUpdateTimestamp: state.wallTimeOf(lastHeartbeatMs),
        remoteIP: `/${remoteAddress}`,
        version,
      }),
    ),
  ]);
  return jsonAnswer({ data: Object.fromEntries(data) as unknown });
};

const subscriptionOfGroup: RequestHandler = (state, request) => {
  const group = requiredText(request, 'group');
  const topic = requiredText(request, 'topic');
  const subscription = state.consumers.get(group)?.subscriptions.get(topic);
  const data =
    subscription === undefined ? {} : { subscriptionData: subscriptionData(subscription) };
  return jsonAnswer({ group, ...data, topic });
};

/** QUERY_CONSUME_QUEUE (321): what the units of a queue say, beside the subscription of a group. */
const queueUnits: RequestHandler = (state, request, connection) => {
  const topic = requiredText(request, 'topic');
  const group = request.extFields.get('consumerGroup');
  const rest: Record<string, unknown> = {};
  if (group !== undefined) {
    const subscription = state.consumers.get(group)?.subscriptions.get(topic);
    rest['filterData'] =
      subscription === undefined ? `${group.slice(0, 256)}@${topic} is not online!` : 'null';
    if (subscription !== undefined) rest['subscriptionData'] = subscriptionData(subscription);
  }
  state.effects.askDispatcher(connection.id, request, {
    kind: 'queue-units',
    topic,
    queueId: requiredInteger(request, 'queueId'),
    index: requiredInteger(request, 'index'),
    count: requiredInteger(request, 'count'),
    rest,
  });
  return null;
};

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

export const clientAdminHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.GET_CONSUMER_CONNECTION_LIST, consumerConnections],
  [RequestCode.GET_PRODUCER_CONNECTION_LIST, producerConnections],
  [RequestCode.GET_ALL_PRODUCER_INFO, allProducers],
  [RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, subscriptionOfGroup],
  [RequestCode.QUERY_CONSUME_QUEUE, queueUnits],
];
