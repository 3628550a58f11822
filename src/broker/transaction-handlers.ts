/**
 * @agent control
 *
 * What of transactions is asked of clients and by tools: check-back, and the second chance of a half
 * message that was given up. The transactions themselves are the dispatcher's.
 *
 * Source: AbstractTransactionalMessageCheckListener.java, AdminBrokerProcessor.java (resumeCheckHalfMessage).
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import {
  decodeProperties,
  encodeProperties,
  PROPERTIES_BYTES_MAX,
  PropertyName,
} from '../protocol/message-properties.ts';
import { RecordKind, RecordView, writeLong, recordHead } from '../protocol/message-record.ts';
import { encodeRecord, fieldsOf, offsetMessageId } from '../protocol/record-encoder.ts';
import { FLAG_ONEWAY } from '../protocol/remoting-command.ts';
import type { ControlState, RequestHandler } from './control-state.ts';
import { requiredText } from './request-fields.ts';
import { SystemTopic } from './resource-name.ts';

/**
 * Asks a live member of the half's producer group how its transaction ended: each time another one.
 * `checkTimes` 0: it will not be asked any more, and the topic for such halves is to be there.
 */
export function checkHalf(state: ControlState, physicalOffset: number, checkTimes: number): void {
  if (checkTimes === 0) {
    state.topics.createForGroup({ topic: SystemTopic.TRANSACTION_CHECK_MAX_TIME, queueNums: 1 });
    return;
  }
  const view = readRecord(state, physicalOffset);
  if (view === null) return;
  const fields = fieldsOf(view);
  const properties = decodeProperties(Buffer.from(fields.properties).toString());
  const group = properties.get(PropertyName.PRODUCER_GROUP) ?? '';
  const members = [...state.producers.members(group)];
  if (members.length === 0) {
    state.logger.warn(
      { group, physicalOffset, checkTimes },
      'no producer of the group is there to ask about a transaction',
    );
    return;
  }
  const member = members[state.nextCheckedMember++ % members.length];
  const uniqueKey = properties.get(PropertyName.UNIQUE_KEY) ?? '';
  properties.set(PropertyName.TRANSACTION_CHECK_TIMES, String(checkTimes));
  const text = Buffer.from(encodeProperties(properties));
  const body = encodeRecord({
    ...fields,
    topic: properties.get(PropertyName.REAL_TOPIC) ?? '',
    queueId: Number(properties.get(PropertyName.REAL_QUEUE_ID) ?? 0),
    properties: text.length <= PROPERTIES_BYTES_MAX ? text : fields.properties,
  });
  // What the writer stamped, so that a client sees the message as it is stored.
  writeLong(body, view.queueOffset, recordHead.queueOffset);
  writeLong(body, physicalOffset, recordHead.physicalOffset);
  writeLong(body, view.storeTimestampMs, recordHead.totalBytes + fields.bornHost.length);
  state.clientCalls.tell(member.connectionId, {
    code: RequestCode.CHECK_TRANSACTION_STATE,
    extFields: [
      ['topic', SystemTopic.HALF],
      ['tranStateTableOffset', String(view.queueOffset)],
      ['commitLogOffset', String(physicalOffset)],
      ['msgId', uniqueKey],
      ['transactionId', uniqueKey],
      ['offsetMsgId', offsetMessageId(fields.storeHost, physicalOffset)],
      ['bname', state.config.brokerName],
    ],
    body,
  });
}

/** 323: a half that was given up is a half again, and its producer is asked from the start. */
const resumeCheckHalfMessage: RequestHandler = (state, request, connection) => {
  const messageId = requiredText(request, 'msgId');
  const physicalOffset = /^[0-9A-Fa-f]{32}$|^[0-9A-Fa-f]{56}$/.test(messageId)
    ? Number(`0x${messageId.slice(-16)}`)
    : NaN;
  const view = Number.isSafeInteger(physicalOffset) ? readRecord(state, physicalOffset) : null;
  const fields = view === null ? null : fieldsOf(view);
  if (fields?.topic !== SystemTopic.TRANSACTION_CHECK_MAX_TIME) {
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `${messageId.slice(0, 64)} is no message of ${SystemTopic.TRANSACTION_CHECK_MAX_TIME}`,
    };
  }
  const topic = SystemTopic.HALF;
  const topicId = state.topics.get(topic)?.topicId;
  if (topicId === undefined)
    return { code: ResponseCode.SYSTEM_ERROR, remark: `topic[${topic}] not exist` };
  const record = encodeRecord({ ...fields, topic, queueId: 0 });
  const isOneway = (request.flag & FLAG_ONEWAY) !== 0;
  const answerTo = isOneway ? null : { connectionId: connection.id, request };
  return state.append({ topicId, queueId: 0, record }, answerTo);
};

function readRecord(state: ControlState, physicalOffset: number): RecordView | null {
  const record = state.effects.readRecord(physicalOffset);
  if (record === null) return null;
  const view = new RecordView();
  return view.read(record, 0, record.length, false) === RecordKind.MESSAGE ? view : null;
}

export const transactionHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.RESUME_CHECK_HALF_MESSAGE, resumeCheckHalfMessage],
];
