/**
 * @agent control
 *
 * Replies to request messages: SEND_REPLY_MESSAGE (324) and its V2 (325). A reply goes straight to the
 * producer that waits for it (326), by the client id in its REPLY_TO_CLIENT property; what that
 * client answers decides over the answer to the sender. It is stored besides, where
 * storeReplyMessageEnable says so.
 *
 * ```
 * consumer ── 325 ──▶ broker ── 326 ──▶ producer
 *          ◀─ answer ─      ◀─ answer ─
 * ```
 * Source: ReplyMessageProcessor.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import {
  decodeProperties,
  encodeProperties,
  PROPERTIES_BYTES_MAX,
  PropertyName,
} from '../protocol/message-properties.ts';
import { encodeRecord, hostText, type RecordDraft } from '../protocol/record-encoder.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import type { ClientReply } from './client-calls.ts';
import type { Connection, ControlState, RequestHandler } from './control-state.ts';
import { decodeSendHeader, type SendHeader } from './send-header.ts';
import { bodyFault, propertiesOfSend, recordFieldsOf } from './send-record.ts';
import { isRefusal, type Refusal } from './topic-table.ts';

/** Broker2Client.callClient */
const PUSH_TIMEOUT_MS = 10_000;

const sendReply: RequestHandler = (state, request, connection) => {
  const header = decodeSendHeader(request);
  const fault = bodyFault(state, request.body);
  if (fault !== null) return { code: ResponseCode.MESSAGE_ILLEGAL, remark: fault };
  const draft = draftOf(state, header, request, connection);
  if ('code' in draft) return draft;
  const clientId = decodeProperties(header.properties).get(PropertyName.REPLY_TO_CLIENT);
  const asked: RemotingCommand = { ...request, body: Buffer.alloc(0) };
  const end = (pushFault: string | null): void => {
    const isStored = state.config.storeReplyMessageEnable;
    if (pushFault === null && isStored) {
      const refusal = state.append(draft, { connectionId: connection.id, request: asked });
      if (refusal !== null) state.answerLater(connection.id, asked, refusal);
      return;
    }
    if (isStored) state.append(draft, null);
    state.answerLater(connection.id, asked, pushAnswer(state, header, pushFault));
  };
  if (clientId === undefined) {
    end(`reply message properties[${PropertyName.REPLY_TO_CLIENT}] is null`);
    return null;
  }
  const producer = state.producers.connectionOf(clientId);
  if (producer === undefined) {
    end(`push reply message fail, channel of <${clientId.slice(0, 256)}> not found.`);
    return null;
  }
  const push = {
    code: RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT,
    extFields: pushFields(state, header, connection),
    body: request.body,
  };
  state.clientCalls.ask(producer, push, PUSH_TIMEOUT_MS, (reply) =>
    end(isTaken(reply) ? null : `push reply message to ${clientId.slice(0, 256)} fail.`),
  );
  return null;
};

function isTaken(reply: ClientReply): boolean {
  return typeof reply === 'object' && reply.code === ResponseCode.SUCCESS;
}

/** The answer where no append gives one; an id of "0" is what clients can decode. */
function pushAnswer(
  state: ControlState,
  header: SendHeader,
  fault: string | null,
): { code: number; remark?: string; extFields: [string, string][] } {
  const extFields: [string, string][] = [
    ['MSG_REGION', state.config.regionId],
    ['TRACE_ON', String(state.config.traceOn)],
  ];
  if (fault !== null) return { code: ResponseCode.SYSTEM_ERROR, remark: fault, extFields };
  extFields.push(['msgId', '0'], ['queueId', String(header.queueId)], ['queueOffset', '0']);
  return { code: ResponseCode.SUCCESS, extFields };
}

/** The reply as a record of its topic, which is made where it has to be. */
function draftOf(
  state: ControlState,
  header: SendHeader,
  request: RemotingCommand,
  connection: Connection,
): RecordDraft | Refusal {
  const entry =
    state.topics.get(header.topic) ??
    state.topics.createForSend({
      topic: header.topic,
      defaultTopic: header.defaultTopic,
      defaultTopicQueueNums: header.defaultTopicQueueNums,
      topicSysFlag: 0,
      remoteAddress: connection.remoteAddress,
    });
  if (isRefusal(entry)) return entry;
  const { writeQueueNums, readQueueNums } = entry.config;
  if (entry.sendForbidden) {
    return {
      code: ResponseCode.NO_PERMISSION,
      remark: `the topic[${header.topic}] is conflict with system topic.`,
    };
  }
  const queueId = header.queueId < 0 ? Math.floor(state.random() * writeQueueNums) : header.queueId;
  if (queueId >= Math.max(writeQueueNums, readQueueNums)) {
    return {
      code: ResponseCode.INVALID_PARAMETER,
      remark: `request queueId[${queueId}] is illegal, topic[${header.topic}] has ${writeQueueNums} queues`,
    };
  }
  const properties = Buffer.from(encodeProperties(propertiesOfSend(state, header)));
  if (properties.length > PROPERTIES_BYTES_MAX) {
    return { code: ResponseCode.MESSAGE_ILLEGAL, remark: 'message properties length too long.' };
  }
  const fields = recordFieldsOf(state, header, connection, request.body);
  const record = encodeRecord({ ...fields, queueId, properties });
  return { topicId: entry.topicId, queueId, record };
}

/** ReplyMessageRequestHeader.java */
function pushFields(
  state: ControlState,
  header: SendHeader,
  connection: Connection,
): [string, string][] {
  const properties = decodeProperties(header.properties);
  const nowMs = String(state.wallClock.nowMs());
  properties.set(PropertyName.PUSH_REPLY_TIME, nowMs);
  return [
    ['producerGroup', header.producerGroup],
    ['topic', header.topic],
    ['defaultTopic', header.defaultTopic],
    ['defaultTopicQueueNums', String(header.defaultTopicQueueNums)],
    ['queueId', String(header.queueId)],
    ['sysFlag', String(header.sysFlag)],
    ['bornTimestamp', String(header.bornTimestampMs)],
    ['flag', String(header.flag)],
    ['properties', encodeProperties(properties)],
    ['reconsumeTimes', String(header.reconsumeTimes)],
    ['unitMode', String(header.unitMode)],
    ['bornHost', connection.remoteAddress],
    ['storeHost', hostText(state.config.storeHost)],
    ['storeTimestamp', nowMs],
  ];
}

export const replyHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.SEND_REPLY_MESSAGE, sendReply],
  [RequestCode.SEND_REPLY_MESSAGE_V2, sendReply],
];
