/**
 * @agent control
 *
 * What tools ask of consumers through the broker: GET_CONSUMER_RUNNING_INFO (307),
 * CONSUME_MESSAGE_DIRECTLY (309), INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223). The consumer's answer to the
 * first two is handed on as it is.
 *
 * Source: AdminBrokerProcessor.java (callConsumer, consumeMessageDirectly), Broker2Client.java
 * (getConsumeStatus).
 */
import { BrokerError } from '../base/errors.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { parseFastjson, printFastjsonTable } from '../protocol/fastjson.ts';
import type { Answer, RemotingCommand } from '../protocol/remoting-command.ts';
import type { ClientReply } from './client-calls.ts';
import type { GroupMember } from './consumer-group-table.ts';
import type { Connection, ControlState, RequestHandler } from './control-state.ts';
import { requiredText } from './request-fields.ts';

/** Broker2Client.callClient */
const CALL_TIMEOUT_MS = 10_000;
const STATUS_TIMEOUT_MS = 5_000;

const runningInfo: RequestHandler = (state, request, connection) =>
  relay(state, request, connection, request.extFields, undefined);

const consumeDirectly: RequestHandler = (state, request, connection) => {
  const group = requiredText(request, 'consumerGroup');
  const messageId = request.extFields.get('msgId') ?? '';
  const fields = new Map(request.extFields);
  fields.set('brokerName', state.config.brokerName);
  const topic = state.topics.get(request.extFields.get('topic') ?? '')?.config;
  if (topic !== undefined) fields.set('topicSysFlag', String(topic.topicSysFlag));
  const config = state.subscriptionGroups.get(group);
  if (config !== undefined) fields.set('groupSysFlag', String(config.groupSysFlag));
  const physicalOffset = physicalOffsetOf(messageId);
  const record = physicalOffset === null ? null : state.effects.readRecord(physicalOffset);
  if (record === null) {
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `there is no message with the id ${messageId.slice(0, 64)}`,
    };
  }
  return relay(state, request, connection, fields, record);
};

/** Asks one member of a group, and answers with what it says. */
function relay(
  state: ControlState,
  request: RemotingCommand,
  connection: Connection,
  extFields: ReadonlyMap<string, string>,
  body: Buffer | undefined,
): Answer | null {
  const group = requiredText(request, 'consumerGroup');
  const clientId = request.extFields.get('clientId') ?? '';
  const names = `<${group.slice(0, 256)}> <${clientId.slice(0, 256)}>`;
  const member = state.consumers.member(group, clientId);
  if (member === undefined) {
    return { code: ResponseCode.SYSTEM_ERROR, remark: `The Consumer ${names} not online` };
  }
  const { opaque, serializeType, flag } = request;
  const question = { code: request.code, extFields, body };
  state.clientCalls.ask(member.connectionId, question, CALL_TIMEOUT_MS, (reply) =>
    state.answerLater(connection.id, { opaque, serializeType, flag }, relayed(reply, names)),
  );
  return null;
}

function relayed(reply: ClientReply, names: string): Answer {
  if (typeof reply === 'object') {
    const { code, remark, extFields, body } = reply;
    return { code, remark: remark ?? undefined, extFields, body };
  }
  if (reply === 'timeout') {
    return {
      code: ResponseCode.CONSUME_MSG_TIMEOUT,
      remark: `consumer ${names} Timeout: no answer within ${CALL_TIMEOUT_MS} ms`,
    };
  }
  return {
    code: ResponseCode.SYSTEM_ERROR,
    remark: `invoke consumer ${names} Exception: ${reply}`,
  };
}

/** Each member, or the one named, tells where it stands; those that do not answer are left out. */
const consumerStatus: RequestHandler = (state, request, connection) => {
  const topic = requiredText(request, 'topic');
  const group = requiredText(request, 'group');
  const wanted = request.extFields.get('clientAddr')?.trim() ?? '';
  const members = [...(state.consumers.get(group)?.members.values() ?? [])].filter(
    (member) => wanted === '' || member.clientId === wanted,
  );
  if (state.consumers.get(group) === undefined) {
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `No Any Consumer online in the consumer group: [${group.slice(0, 256)}]`,
    };
  }
  const { opaque, serializeType, flag } = request;
  const tables: string[] = [];
  let waitingCount = members.length;
  const end = (): void => {
    const body = Buffer.from(`{"consumerTable":{${tables.join(',')}},"messageQueueTable":{}}`);
    const answer = { code: ResponseCode.SUCCESS, body };
    state.answerLater(connection.id, { opaque, serializeType, flag }, answer);
  };
  const question = {
    code: RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT,
    extFields: new Map([
      ['topic', topic],
      ['group', group],
    ]),
  };
  const ask = (member: GroupMember): void =>
    state.clientCalls.ask(member.connectionId, question, STATUS_TIMEOUT_MS, (reply) => {
      const table = typeof reply === 'object' ? queueTableOf(reply.body) : null;
      if (table !== null) tables.push(`${JSON.stringify(member.clientId)}:${table}`);
      if (--waitingCount === 0) end();
    });
  for (const member of members) ask(member);
  if (members.length === 0) end();
  return null;
};

/**
 * The queue table of a client's answer, `{"consumerTable":{},"messageQueueTable":{…}}`, as text; its keys
 * are objects. Null where there is none, which is no reason to fail for the other members.
 */
function queueTableOf(body: Buffer): string | null {
  try {
    const table = bodyOf(body)['messageQueueTable'];
    if (!Array.isArray(table)) return isEmptyObject(table) ? '{}' : null;
    if (!table.every((entry) => isQueueEntry(entry))) return null;
    return printFastjsonTable(table.map(([queue, offset]) => [queue, String(offset)]));
  } catch (error) {
    if (BrokerError.is(error)) return null;
    throw error;
  }
}

function bodyOf(body: Buffer): Record<string, unknown> {
  const parsed = parseFastjson(body.toString());
  return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
}

function isQueueEntry(entry: unknown): entry is [object, number] {
  if (!Array.isArray(entry)) return false;
  const [queue, offset] = entry as unknown[];
  return typeof queue === 'object' && queue !== null && typeof offset === 'number';
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** The place in the log that an offset message id names: its last 16 of 32 or 56 hex digits. */
function physicalOffsetOf(messageId: string): number | null {
  if (!/^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{56})$/.test(messageId)) return null;
  const offset = Number.parseInt(messageId.slice(-16), 16);
  return Number.isSafeInteger(offset) ? offset : null;
}

export const clientRelayHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.GET_CONSUMER_RUNNING_INFO, runningInfo],
  [RequestCode.CONSUME_MESSAGE_DIRECTLY, consumeDirectly],
  [RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, consumerStatus],
];
