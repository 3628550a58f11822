/**
 * @agent control
 *
 * RECALL_MESSAGE (370): takes a timed message back before its time, by storing a marker that is due with
 * it. Success says that the marker is stored: a message that is gone already can't be told from one
 * that never was.
 *
 * Source: RecallMessageProcessor.java.
 */
import type { AnswerExtra } from '../protocol/answer-extra.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { encodeProperties, PropertyName } from '../protocol/message-properties.ts';
import { encodeHost, encodeRecord, splitAddress } from '../protocol/record-encoder.ts';
import { type Answer, FLAG_ONEWAY } from '../protocol/remoting-command.ts';
import type { RequestHandler } from './control-state.ts';
import { requiredText } from './request-fields.ts';
import { decodeRecallHandle, interceptTimer, timerKey } from './timer-message.ts';
import { isRefusal } from './topic-table.ts';

const RECALL_TAG = '_RECALL_TAG_';

const recallMessage: RequestHandler = (state, request, connection) => {
  const { config, topics, wallClock } = state;
  if (!config.recallMessageEnable)
    return { code: ResponseCode.NO_PERMISSION, remark: 'recall failed, operation is forbidden' };
  const topic = requiredText(request, 'topic');
  if (topics.get(topic) === undefined) {
    return {
      code: ResponseCode.TOPIC_NOT_EXIST,
      remark: `recall failed, the topic[${topic.slice(0, 256)}] not exist`,
    };
  }
  const handle = decodeRecallHandle(requiredText(request, 'recallHandle'));
  if (handle === null) return illegal('recall handle is invalid');
  if (handle.topic !== topic) return illegal('recall failed, topic not match');
  if (handle.brokerName !== config.brokerName)
    return illegal('recall failed, broker service not available');
  const nowMs = wallClock.nowMs();
  const leftMs = handle.deliverMs - nowMs;
  if (!(leftMs > 0 && leftMs <= config.timerMaxDelaySec * 1000))
    return illegal('recall failed, timestamp invalid');
  const properties = new Map([
    [PropertyName.TAGS as string, RECALL_TAG],
    [PropertyName.TIMER_DELETE_UNIQUE_KEY, timerKey(topic, handle.uniqueKey)],
    [PropertyName.UNIQUE_KEY, handle.uniqueKey],
    [PropertyName.PRODUCER_GROUP, request.extFields.get('producerGroup') ?? ''],
  ]);
  const destination = interceptTimer({ topic, queueId: 0 }, properties, handle.deliverMs);
  const entry = topics.get(destination.topic);
  if (entry === undefined || isRefusal(entry))
    return { code: ResponseCode.SYSTEM_ERROR, remark: 'recall failed, execute error' };
  const peer = splitAddress(connection.remoteAddress);
  const record = encodeRecord({
    ...destination,
    flag: 0,
    sysFlag: 0,
    bornTimestampMs: nowMs,
    bornHost: encodeHost(peer.address, peer.port),
    storeHost: config.storeHost,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from('0'),
    properties: Buffer.from(encodeProperties(properties)),
  });
  const isOneway = (request.flag & FLAG_ONEWAY) !== 0;
  const answerTo = {
    connectionId: connection.id,
    request,
    extra: ['msgId', handle.uniqueKey] as AnswerExtra,
  };
  const draft = { topicId: entry.topicId, queueId: destination.queueId, record };
  return state.append(draft, isOneway ? null : answerTo);
};

function illegal(remark: string): Answer {
  return { code: ResponseCode.ILLEGAL_OPERATION, remark };
}

export const recallHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.RECALL_MESSAGE, recallMessage],
];
