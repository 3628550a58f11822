/**
 * @agent control
 *
 * Messages that a group could not consume: CONSUMER_SEND_MSG_BACK (36), and sends (10, 310) that
 * clients address to %RETRY%group themselves. Both end as a record on the retry topic, which waits
 * in the schedule topic for its delay, or on the dead-letter topic. The writer answers when it has
 * stored the record.
 *
 * Source: AbstractSendMessageProcessor.java, SendMessageProcessor.java.
 */
import { ACCESS_KEY } from '../access/signed-request.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import {
  decodeProperties,
  encodeProperties,
  PROPERTIES_BYTES_MAX,
  PropertyName,
} from '../protocol/message-properties.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import {
  encodeRecord,
  fieldsOf,
  offsetMessageId,
  type RecordFields,
} from '../protocol/record-encoder.ts';
import { type Answer, FLAG_ONEWAY, type RemotingCommand } from '../protocol/remoting-command.ts';
import type { Connection, ControlState, RequestHandler } from './control-state.ts';
import { interceptDelay } from './delay-level.ts';
import { optionalInteger, requiredInteger, requiredText } from './request-fields.ts';
import { groupOfRetryTopic, retryTopicOf } from './resource-name.ts';
import {
  applyDelay,
  DEAD_LETTER_QUEUE_COUNT,
  decideRetrySend,
  decideSendBack,
  maxReconsumeTimesOf,
  type RetryDecision,
} from './retry-send.ts';
import { decodeSendHeader } from './send-header.ts';
import { bodyFault, propertiesOfSend, recordFieldsOf } from './send-record.ts';
import type { SubscriptionGroupConfig } from './subscription-group-config.ts';
import { isRefusal } from './topic-table.ts';

const sendMessageBack: RequestHandler = (state, request, connection) => {
  const group = requiredText(request, 'group');
  const physicalOffset = requiredInteger(request, 'offset');
  const delayLevel = requiredInteger(request, 'delayLevel');
  const unitMode = request.extFields.get('unitMode')?.toLowerCase() === 'true';
  const config = state.ensureGroup(group, { unitMode });
  if (isRefusal(config)) return config;
  // A group without retry queues wants no retries: the message counts as consumed.
  if (config.retryQueueNums <= 0) return { code: ResponseCode.SUCCESS };
  const view = readMessage(state, physicalOffset);
  if (view === null || isOfAnother(state, request, group, fieldsOf(view).topic)) {
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `look message by offset failed, ${physicalOffset}`,
    };
  }
  const stored = fieldsOf(view);
  const decision = decideSendBack({
    group,
    reconsumeTimes: stored.reconsumeTimes,
    maxReconsumeTimes: maxReconsumeTimesOf(
      config,
      optionalInteger(request, 'maxReconsumeTimes'),
      request.version,
    ),
    delayLevel,
  });
  const properties = decodeProperties(Buffer.from(stored.properties).toString('utf8'));
  properties.delete(PropertyName.RECORD_CRC);
  if (!properties.has(PropertyName.RETRY_TOPIC))
    properties.set(PropertyName.RETRY_TOPIC, stored.topic);
  properties.set(PropertyName.WAIT, 'false');
  if ((properties.get(PropertyName.ORIGIN_MESSAGE_ID) ?? '').trim() === '') {
    const messageId = offsetMessageId(stored.storeHost, view.physicalOffset);
    properties.set(PropertyName.ORIGIN_MESSAGE_ID, messageId);
  }
  const item = state.sendBacks.getOrCreate(
    `${properties.get(PropertyName.RETRY_TOPIC) ?? ''}@${group}`,
    state.monotonicClock.nowMs(),
  );
  item.times++;
  item.messages++;
  const fields = {
    ...stored,
    storeHost: state.config.storeHost,
    reconsumeTimes: stored.reconsumeTimes + 1,
  };
  return storeRetry(state, { fields, properties, decision, config, request, connection });
};

/** A send to %RETRY%group; for any other topic the request worker has this request, not control. */
const sendToRetryTopic: RequestHandler = (state, request, connection) => {
  const header = decodeSendHeader(request);
  const group = groupOfRetryTopic(header.topic);
  if (group === null) {
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: 'only sends to a retry topic are handled here',
    };
  }
  const fault = bodyFault(state, request.body);
  if (fault !== null) return { code: ResponseCode.MESSAGE_ILLEGAL, remark: fault };
  const config = state.ensureGroup(group, { unitMode: header.unitMode });
  if (isRefusal(config)) return config;
  const decision = decideRetrySend({
    group,
    reconsumeTimes: header.reconsumeTimes,
    maxReconsumeTimes: maxReconsumeTimesOf(config, header.maxReconsumeTimes, request.version),
    isOrdered: state.locks.hasLiveLock(group),
  });
  const properties = propertiesOfSend(state, header);
  const fields = recordFieldsOf(state, header, connection, request.body);
  return storeRetry(state, { fields, properties, decision, config, request, connection });
};

interface Retry {
  fields: RecordFields;
  properties: Map<string, string>;
  decision: RetryDecision;
  config: SubscriptionGroupConfig;
  request: RemotingCommand;
  connection: Connection;
}

/** Hands the record to the writer, which answers; an answer only where it can't be stored. */
function storeRetry(state: ControlState, retry: Retry): Answer | null {
  const { decision, properties, request } = retry;
  const queueCount = decision.isDeadLetter ? DEAD_LETTER_QUEUE_COUNT : retry.config.retryQueueNums;
  const topic = state.topics.createForGroup({ topic: decision.topic, queueNums: queueCount });
  if (isRefusal(topic)) return topic;
  applyDelay(decision, properties);
  const real = { topic: decision.topic, queueId: Math.floor(state.random() * queueCount) };
  const destination = interceptDelay(real, properties, state.levels);
  const entry = state.topics.get(destination.topic);
  const bytes = Buffer.from(encodeProperties(properties));
  if (entry === undefined) {
    return { code: ResponseCode.SYSTEM_ERROR, remark: `topic[${destination.topic}] not exist` };
  }
  if (bytes.length > PROPERTIES_BYTES_MAX) {
    return { code: ResponseCode.MESSAGE_ILLEGAL, remark: 'message properties length too long.' };
  }
  const record = encodeRecord({ ...retry.fields, ...destination, properties: bytes });
  const isOneway = (request.flag & FLAG_ONEWAY) !== 0;
  return state.append(
    { topicId: entry.topicId, queueId: destination.queueId, record },
    isOneway ? null : { connectionId: retry.connection.id, request },
  );
}

/**
 * Whether a user who was let in for `originTopic` names a message of another one: sent back, it would
 * come to a group that may not read it.
 */
function isOfAnother(
  state: ControlState,
  request: RemotingCommand,
  group: string,
  topic: string,
): boolean {
  const { access } = state;
  if (access?.authorizationEnabled !== true || access.isSuper(request.extFields.get(ACCESS_KEY)))
    return false;
  return topic !== request.extFields.get('originTopic') && topic !== retryTopicOf(group);
}

/** The message at a physical offset that a client names; null where no message starts there. */
function readMessage(state: ControlState, physicalOffset: number): RecordView | null {
  const record = physicalOffset < 0 ? null : state.effects.readRecord(physicalOffset);
  if (record === null) return null;
  const view = new RecordView();
  const kind = view.read(record, 0, record.length, true);
  return kind === RecordKind.MESSAGE && view.physicalOffset === physicalOffset ? view : null;
}

export const retryHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.CONSUMER_SEND_MSG_BACK, sendMessageBack],
  [RequestCode.SEND_MESSAGE, sendToRetryTopic],
  [RequestCode.SEND_MESSAGE_V2, sendToRetryTopic],
];
