/**
 * @agent control
 *
 * Offsets of consumer groups, for tools: progress (208, 317), time spans (303), who consumes what (300,
 * 343), resets (222), clones (314). Control knows the offsets; the dispatcher adds what it knows of
 * the queues, and answers.
 *
 * Source: AdminBrokerProcessor.java, ConsumerOffsetManager.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { hostText } from '../protocol/record-encoder.ts';
import type { Answer } from '../protocol/remoting-command.ts';
import type { TopicOffsets } from './control-effects.ts';
import type { ControlState, RequestHandler } from './control-state.ts';
import { jsonAnswer } from './json-answer.ts';
import { optionalBoolean, optionalInteger, requiredLong, requiredText } from './request-fields.ts';
import { isRefusal } from './topic-table.ts';

const consumeStats: RequestHandler = (state, request, connection) => {
  const group = requiredText(request, 'consumerGroup');
  const list = (request.extFields.get('topicList') ?? '')
    .split(';')
    .filter((topic) => topic !== '');
  const named = request.extFields.get('topic')?.trim() ?? '';
  let names = [...new Set(list)];
  if (names.length === 0) {
    const all = named === '' ? state.offsets.topicsOf(group) : [named];
    names = all.filter((topic) => mayConsume(state, group, topic));
  }
  const topics = names
    .filter((topic) => state.topics.get(topic) !== undefined)
    .map((topic) => offsetsOf(state, group, topic, 'readQueueNums'));
  state.effects.askDispatcher(connection.id, request, { kind: 'consume-stats', group, topics });
  return null;
};

const brokerConsumeStats: RequestHandler = (state, request, connection) => {
  const isOrdered = optionalBoolean(request, 'isOrder') ?? false;
  const groups = [...state.subscriptionGroups.groups()].map(({ groupName: group }) => {
    const topics = state.offsets
      .topicsOf(group)
      .filter((topic) => {
        const config = state.topics.get(topic)?.config;
        if (config === undefined || (isOrdered && !config.order)) return false;
        return mayConsume(state, group, topic);
      })
      .map((topic) => offsetsOf(state, group, topic, 'writeQueueNums'));
    return { group, topics };
  });
  const brokerAddress = hostText(state.config.storeHost);
  state.effects.askDispatcher(connection.id, request, {
    kind: 'broker-consume-stats',
    brokerAddress,
    groups,
  });
  return null;
};

const timeSpan: RequestHandler = (state, request, connection) => {
  const topic = requiredText(request, 'topic');
  const group = requiredText(request, 'group');
  if (state.topics.get(topic) === undefined) {
    return {
      code: ResponseCode.TOPIC_NOT_EXIST,
      remark: `topic[${topic.slice(0, 256)}] not exist`,
    };
  }
  const queues = offsetsOf(state, group, topic, 'writeQueueNums');
  state.effects.askDispatcher(connection.id, request, { kind: 'time-span', queues });
  return null;
};

const groupsOfTopic: RequestHandler = (state, request) => {
  const topic = requiredText(request, 'topic');
  const groups = new Set([...state.consumers.groupsOf(topic), ...state.offsets.groupsOf(topic)]);
  return jsonAnswer({ groupList: [...groups] });
};

const topicsOfGroup: RequestHandler = (state, request) =>
  jsonAnswer({
    brokerAddr: hostText(state.config.storeHost),
    topicList: state.offsets.topicsOf(requiredText(request, 'group')),
  });

const resetOffset: RequestHandler = (state, request, connection) => {
  const topic = requiredText(request, 'topic');
  const group = requiredText(request, 'group');
  const timestampMs = requiredLong(request, 'timestamp');
  const queueId = optionalInteger(request, 'queueId') ?? -1;
  const offset = optionalInteger(request, 'offset') ?? -1;
  const config = state.topics.get(topic)?.config;
  if (config === undefined) {
    return {
      code: ResponseCode.TOPIC_NOT_EXIST,
      remark: `Topic ${topic.slice(0, 256)} does not exist`,
    };
  }
  if (!state.config.useServerSideResetOffset) {
    const isForced = optionalBoolean(request, 'isForce') ?? false;
    const isCpp = request.language === 'CPP';
    return resetByClients(state, { topic, group, timestampMs, isForced, isCpp }, (question) =>
      state.effects.askDispatcher(connection.id, request, question),
    );
  }
  if (state.subscriptionGroups.get(group) === undefined) {
    return {
      code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
      remark: `Group ${group.slice(0, 256)} does not exist`,
    };
  }
  if (queueId >= config.readQueueNums || (queueId < 0 && config.readQueueNums === 0)) {
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `No queues to reset: topic ${topic} has ${config.readQueueNums}`,
    };
  }
  const queueIds = queueId >= 0 ? [queueId] : [...Array(config.readQueueNums).keys()];
  state.logger.info({ topic, group, queueId, timestampMs, offset }, 'offsets are reset');
  state.effects.askDispatcher(connection.id, request, {
    kind: 'reset',
    group,
    topic,
    queueIds,
    timestampMs,
    offset: queueId >= 0 && offset >= 0 ? offset : null,
  });
  return null;
};

/** Members seek by themselves; without one there is nobody to tell. */
function resetByClients(
  state: ControlState,
  reset: { topic: string; group: string; timestampMs: number; isForced: boolean; isCpp: boolean },
  ask: (question: Parameters<ControlState['effects']['askDispatcher']>[2]) => void,
): Answer | null {
  const { topic, group, timestampMs } = reset;
  const queueCount = state.topics.get(topic)?.config.writeQueueNums ?? 0;
  const consumerOffsets: number[] = [];
  for (let queueId = 0; queueId < queueCount; queueId++) {
    const offset = state.offsets.query(topic, group, queueId);
    if (offset === null) {
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: `THe consumer group <${group.slice(0, 256)}> not exist`,
      };
    }
    consumerOffsets.push(offset);
  }
  const members = [...(state.consumers.get(group)?.members.values() ?? [])];
  if (members.length === 0) {
    return {
      code: ResponseCode.CONSUMER_NOT_ONLINE,
      remark: `Consumer not online, so can not reset offset, Group: ${group} Topic: ${topic} Timestamp: ${timestampMs}`,
    };
  }
  const connectionIds = [...new Set(members.map((member) => member.connectionId))];
  ask({ kind: 'client-reset', ...reset, consumerOffsets, connectionIds });
  return null;
}

const cloneOffsets: RequestHandler = (state, request) => {
  const from = requiredText(request, 'srcGroup');
  const to = requiredText(request, 'destGroup');
  const named = request.extFields.get('topic')?.trim() ?? '';
  const isOffline = optionalBoolean(request, 'offline') ?? false;
  const created = state.subscriptionGroups.find(to);
  if (isRefusal(created)) return created;
  for (const topic of named === '' ? state.offsets.topicsOf(from) : [named]) {
    if (state.topics.get(topic) === undefined) continue;
    if (isOffline || mayConsume(state, from, topic)) state.offsets.clone(topic, from, to);
  }
  return { code: ResponseCode.SUCCESS };
};

/** False where a group has live members and none of them subscribes to the topic. */
function mayConsume(state: ControlState, group: string, topic: string): boolean {
  const subscriptions = state.consumers.get(group)?.subscriptions;
  return subscriptions === undefined || subscriptions.size === 0 || subscriptions.has(topic);
}

/** Where the group goes on in each queue of a topic: 0 where it has not begun. */
function offsetsOf(
  state: ControlState,
  group: string,
  topic: string,
  queues: 'readQueueNums' | 'writeQueueNums',
): TopicOffsets {
  const queueCount = state.topics.get(topic)?.config[queues] ?? 0;
  const offsets = Array.from(
    { length: queueCount },
    (_, queueId) => state.offsets.query(topic, group, queueId) ?? 0,
  );
  return { topic, offsets };
}

export const offsetAdminHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.GET_CONSUME_STATS, consumeStats],
  [RequestCode.GET_BROKER_CONSUME_STATS, brokerConsumeStats],
  [RequestCode.QUERY_CONSUME_TIME_SPAN, timeSpan],
  [RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, groupsOfTopic],
  [RequestCode.QUERY_TOPICS_BY_CONSUMER, topicsOfGroup],
  [RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, resetOffset],
  [RequestCode.CLONE_GROUP_OFFSET, cloneOffsets],
];
