/**
 * @agent control
 *
 * Members and offsets of consumer groups: GET_CONSUMER_LIST_BY_GROUP (38), QUERY_CONSUMER_OFFSET
 * (14), UPDATE_CONSUMER_OFFSET (15), GET_ALL_CONSUMER_OFFSET (43).
 *
 * Source: ConsumerManageProcessor.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { CommitOutcome } from './consumer-offset-table.ts';
import type { RequestHandler } from './control-state.ts';
import {
  optionalBoolean,
  optionalInteger,
  requiredInteger,
  requiredText,
} from './request-fields.ts';

const consumerList: RequestHandler = (state, request) => {
  const group = requiredText(request, 'consumerGroup');
  const consumerIdList = state.consumers.clientIds(group);
  if (consumerIdList.length > 0) {
    const remark = state.consumers.get(group)?.conflict ?? undefined;
    const body = Buffer.from(JSON.stringify({ consumerIdList }));
    return { code: ResponseCode.SUCCESS, remark, body };
  }
  return {
    code: ResponseCode.SYSTEM_ERROR,
    remark: `no consumer for this group, ${group.slice(0, 256)}`,
  };
};

const queryOffset: RequestHandler = (state, request, connection) => {
  const topic = requiredText(request, 'topic');
  const group = requiredText(request, 'consumerGroup');
  const queueId = requiredInteger(request, 'queueId');
  const offset = state.offsets.query(topic, group, queueId);
  if (offset !== null) {
    return { code: ResponseCode.SUCCESS, extFields: [['offset', String(offset)]] };
  }
  if (optionalBoolean(request, 'setZeroIfNotFound') === false) {
    return {
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: 'Not found, do not set to zero, maybe this group boot first',
    };
  }
  if (state.topics.get(topic) === undefined) {
    return { code: ResponseCode.QUERY_NOT_FOUND, remark: 'Not found, the topic does not exist' };
  }
  // Whether the queue still has its beginning is what the dispatcher knows.
  state.effects.askDispatcher(connection.id, request, { kind: 'queue-start', topic, queueId });
  return null;
};

const updateOffset: RequestHandler = (state, request) => {
  const topic = requiredText(request, 'topic');
  const group = requiredText(request, 'consumerGroup');
  const queueId = optionalInteger(request, 'queueId');
  const offset = optionalInteger(request, 'commitOffset');
  if (state.subscriptionGroups.get(group) === undefined) {
    return {
      code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
      remark: `Group ${group.slice(0, 256)} not exist!`,
    };
  }
  const config = state.topics.get(topic)?.config;
  if (config === undefined) {
    return {
      code: ResponseCode.TOPIC_NOT_EXIST,
      remark: `Topic ${topic.slice(0, 256)} not exist!`,
    };
  }
  const queueCount = Math.max(config.readQueueNums, config.writeQueueNums);
  if (queueId === undefined || queueId < 0 || queueId >= queueCount) {
    return {
      code: ResponseCode.INVALID_PARAMETER,
      remark: `queueId ${queueId ?? 'null'} is not one of the ${queueCount} of topic ${topic}`,
    };
  }
  if (offset === undefined || offset < 0) {
    return {
      code: ResponseCode.INVALID_PARAMETER,
      remark: `offset ${offset ?? 'null'} is not an offset, topic is ${topic}`,
    };
  }
  const outcome = state.offsets.commit(topic, group, queueId, offset);
  if (outcome === CommitOutcome.STORED) return { code: ResponseCode.SUCCESS };
  return { code: ResponseCode.SUCCESS, remark: 'Offset has been previously reset' };
};

const allOffsets: RequestHandler = (state) => ({
  code: ResponseCode.SUCCESS,
  body: Buffer.from(state.offsets.json()),
});

export const consumerManageHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.GET_CONSUMER_LIST_BY_GROUP, consumerList],
  [RequestCode.QUERY_CONSUMER_OFFSET, queryOffset],
  [RequestCode.UPDATE_CONSUMER_OFFSET, updateOffset],
  [RequestCode.GET_ALL_CONSUMER_OFFSET, allOffsets],
];
