/**
 * @agent any
 *
 * Messages for Admin: by the broker's id (33), by keys (12), by queue and offset or time (29, 30, 31, 11).
 * Pulls are those of RocketMQ's tools: no group is joined, no offset is stored.
 *
 * Source: QueryMsgByIdSubCommand.java, MQAdminImpl.java, PrintMessageByQueueCommand.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import {
  type AdminContext,
  askBroker,
  expectSuccess,
  mapAtOnce,
  numberField,
} from './admin-answers.ts';
import { listBrokers, mastersOf } from './admin-brokers.ts';
import { answerError } from './answer-error.ts';
import type { CoreAnswer } from './client-core.ts';
import { ClientError } from './client-error.ts';
import type { MessageQueue, ReceivedMessage } from './message.ts';
import { readRecords } from './record-reader.ts';

export interface QueueBounds {
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
  /** Of the oldest message that is still there. */
  readonly minOffset: number;
  /** Of the next message to come. */
  readonly maxOffset: number;
}

export interface KeyQuery {
  /** At most so many of each broker; 64 is as many as a broker sends. */
  readonly countMax?: number | undefined;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

export interface TimeQuery {
  readonly from: Date;
  /** Now, unless said. */
  readonly to?: Date | undefined;
  /** The oldest of all queues; 100 unless said. */
  readonly countMax?: number | undefined;
}

/** Tags (`a || b`), or SQL92. */
export type MessageFilter = string | { readonly sql: string };

export interface PullOptions {
  readonly countMax: number;
  readonly filter?: MessageFilter | undefined;
  /** The broker may wait so long for a message; 0 for not at all. */
  readonly holdMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Pulled {
  readonly messages: readonly ReceivedMessage[];
  /** Where to go on. */
  readonly nextOffset: number;
  readonly minOffset: number;
  readonly maxOffset: number;
  /** `found`, none yet, none that the filter lets through, or an offset outside of the queue. */
  readonly outcome: 'found' | 'none' | 'filtered' | 'moved';
}

/** Of RocketMQ's own tools: every broker has it from its start. */
const TOOLS_GROUP = 'TOOLS_CONSUMER';
/** Bits of PullSysFlag.java. */
const MAY_BE_HELD = 0x2;
const HAS_SUBSCRIPTION = 0x4;
/** As many as a broker sends at once. */
const PULL_COUNT_MAX = 32;
const KEY_COUNT_MAX = 64;
const TIME_COUNT = 100;
/** A guess: requests about queues in flight. */
const QUEUES_AT_ONCE = 16;
/** Beyond the time that the broker may hold a pull. */
const HOLD_MARGIN_MS = 10_000;

export async function queueBound(
  context: AdminContext,
  { topic, brokerName, queueId }: MessageQueue,
  end: 'min' | 'max',
): Promise<number> {
  const what = `queue ${queueId} of topic ${topic} on broker ${brokerName} can not be looked at`;
  const code = end === 'min' ? RequestCode.GET_MIN_OFFSET : RequestCode.GET_MAX_OFFSET;
  const address = await masterOf(context, { topic, brokerName });
  const answer = await askBroker(context, address, { code, fields: { topic, queueId } }, what);
  return numberField(answer, 'offset', what);
}

export async function queueBounds(
  context: AdminContext,
  queue: MessageQueue,
): Promise<QueueBounds> {
  const [minOffset, maxOffset] = await Promise.all([
    queueBound(context, queue, 'min'),
    queueBound(context, queue, 'max'),
  ]);
  const { topic, brokerName, queueId } = queue;
  // A queue that was never sent to begins at -1 in a stock broker.
  return { topic, brokerName, queueId, minOffset: Math.max(0, minOffset), maxOffset };
}

/** Of the first message that is not older; the end of the queue where all are. */
export async function timeOffset(
  context: AdminContext,
  { topic, brokerName, queueId }: MessageQueue,
  timeMs: number,
): Promise<number> {
  const what = `queue ${queueId} of topic ${topic} on broker ${brokerName} can not be searched`;
  const address = await masterOf(context, { topic, brokerName });
  const request = {
    code: RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,
    fields: { topic, queueId, timestamp: timeMs, boundaryType: 'LOWER' },
  };
  const answer = await askBroker(context, address, request, what);
  return Math.max(0, numberField(answer, 'offset', what));
}

/** @throws ClientError TOPIC_NOT_FOUND; NOT_FOUND where the topic is not on this broker */
async function masterOf(
  context: AdminContext,
  { topic, brokerName }: { topic: string; brokerName: string },
): Promise<string> {
  const route = await context.core.route(topic);
  if (route.brokers.has(brokerName)) return context.core.masterAddress(brokerName);
  const names = [...route.brokers.keys()].join(', ');
  throw new ClientError(
    'NOT_FOUND',
    `topic ${topic} is not on broker ${brokerName}, but on ${names}`,
  );
}

/** Messages of a queue from an offset on. @throws ClientError */
export async function pullQueue(
  context: AdminContext,
  queue: MessageQueue,
  offset: number,
  options: PullOptions,
): Promise<Pulled> {
  const { topic, brokerName, queueId } = queue;
  const { filter = '*', holdMs = 0, signal } = options;
  const address = await masterOf(context, queue);
  const isSql = typeof filter !== 'string';
  const answer = await context.core.ask(address, {
    code: RequestCode.PULL_MESSAGE,
    fields: {
      consumerGroup: TOOLS_GROUP,
      topic,
      queueId,
      queueOffset: offset,
      maxMsgNums: Math.min(options.countMax, PULL_COUNT_MAX),
      sysFlag: HAS_SUBSCRIPTION | (holdMs > 0 ? MAY_BE_HELD : 0),
      commitOffset: 0,
      suspendTimeoutMillis: holdMs,
      subscription: isSql ? filter.sql : filter,
      subVersion: 0,
      expressionType: isSql ? 'SQL92' : 'TAG',
    },
    timeoutMs: holdMs > 0 ? holdMs + HOLD_MARGIN_MS : context.timeoutMs,
    ...(holdMs > 0 ? { mayBeHeld: true } : {}),
    ...(signal === undefined ? {} : { signal }),
  });
  const what = `queue ${queueId} of topic ${topic} on broker ${brokerName} can not be read`;
  const outcome = outcomes.get(answer.code);
  if (outcome === undefined) throw answerError(answer, what);
  return {
    messages: outcome === 'found' ? await readRecords(answer.body, { brokerName }) : [],
    nextOffset: numberField(answer, 'nextBeginOffset', what),
    minOffset: Math.max(0, numberField(answer, 'minOffset', what)),
    maxOffset: Math.max(0, numberField(answer, 'maxOffset', what)),
    outcome,
  };
}

const outcomes: ReadonlyMap<number, Pulled['outcome']> = new Map([
  [ResponseCode.SUCCESS, 'found'],
  [ResponseCode.PULL_NOT_FOUND, 'none'],
  [ResponseCode.PULL_RETRY_IMMEDIATELY, 'filtered'],
  [ResponseCode.PULL_OFFSET_MOVED, 'moved'],
]);

/** Up to so many messages of a queue from an offset on, without a wait. */
export async function peekQueue(
  context: AdminContext,
  queue: MessageQueue,
  offset: number,
  count: number,
): Promise<ReceivedMessage[]> {
  const messages: ReceivedMessage[] = [];
  let next = offset;
  while (messages.length < count) {
    const pulled = await pullQueue(context, queue, next, { countMax: count - messages.length });
    if (pulled.outcome === 'none') break;
    // What is before its beginning is gone, what is behind its end has not come.
    if (pulled.outcome === 'moved' && pulled.nextOffset <= next) break;
    messages.push(...pulled.messages);
    next = pulled.nextOffset;
  }
  return messages.slice(0, count);
}

/** @throws ClientError NOT_FOUND, with what the queue has */
export async function messageAt(
  context: AdminContext,
  queue: MessageQueue,
  offset: number,
): Promise<ReceivedMessage> {
  const pulled = await pullQueue(context, queue, offset, { countMax: 1 });
  const [message] = pulled.messages;
  if (message !== undefined && message.queueOffset === offset) return message;
  const { topic, brokerName, queueId } = queue;
  throw new ClientError(
    'NOT_FOUND',
    `queue ${queueId} of topic ${topic} on broker ${brokerName} has no message at offset ${offset}: ` +
      `it begins at ${pulled.minOffset} and ends at ${pulled.maxOffset}`,
  );
}

/** Of all queues, the oldest first. */
export async function messagesByTime(
  context: AdminContext,
  topic: string,
  query: TimeQuery,
): Promise<ReceivedMessage[]> {
  const route = await context.core.route(topic, { fresh: true });
  const fromMs = query.from.getTime();
  const toMs = query.to?.getTime() ?? Infinity;
  const countMax = query.countMax ?? TIME_COUNT;
  const lists = await mapAtOnce(route.readQueues, QUEUES_AT_ONCE, async (queue) => {
    const found: ReceivedMessage[] = [];
    let next = await timeOffset(context, queue, fromMs);
    for (;;) {
      const pulled = await pullQueue(context, queue, next, { countMax: PULL_COUNT_MAX });
      const inRange = pulled.messages.filter((message) => message.storeTimestampMs <= toMs);
      // A search of a stock broker ends at a message before the time where there is none behind it.
      found.push(...inRange.filter((message) => message.storeTimestampMs >= fromMs));
      const isOver = inRange.length < pulled.messages.length || found.length >= countMax;
      if (isOver || pulled.outcome === 'none' || pulled.nextOffset <= next) return found;
      next = pulled.nextOffset;
    }
  });
  return lists.flat().sort(byStoreTime).slice(0, countMax);
}

function byStoreTime(left: ReceivedMessage, right: ReceivedMessage): number {
  return left.storeTimestampMs - right.storeTimestampMs || left.queueOffset - right.queueOffset;
}

/** Messages of a topic that have the key among their KEYS, the oldest first. */
export async function messagesByKey(
  context: AdminContext,
  topic: string,
  key: string,
  query: KeyQuery = {},
): Promise<ReceivedMessage[]> {
  const found = await queryIndex(context, topic, key, query, false);
  return found.filter((message) => message.keys.includes(key));
}

/** By the id that its producer gave it. More than one where a retry stored it again. */
export async function messagesByUniqueKey(
  context: AdminContext,
  topic: string,
  messageId: string,
): Promise<ReceivedMessage[]> {
  const found = await queryIndex(context, topic, messageId, {}, true);
  return found.filter((message) => message.messageId === messageId);
}

async function queryIndex(
  context: AdminContext,
  topic: string,
  key: string,
  query: KeyQuery,
  isUnique: boolean,
): Promise<ReceivedMessage[]> {
  const route = await context.core.route(topic, { fresh: true });
  const lists = await mapAtOnce(
    [...route.brokers.keys()],
    QUEUES_AT_ONCE,
    async (brokerName): Promise<ReceivedMessage[]> => {
      const answer = await context.core.ask(context.core.masterAddress(brokerName), {
        code: RequestCode.QUERY_MESSAGE,
        fields: {
          topic,
          key,
          maxNum: query.countMax ?? KEY_COUNT_MAX,
          beginTimestamp: query.from?.getTime() ?? 0,
          endTimestamp: query.to?.getTime() ?? Number.MAX_SAFE_INTEGER,
          _UNIQUE_KEY_QUERY: isUnique,
        },
        timeoutMs: context.timeoutMs,
      });
      if (answer.code === ResponseCode.QUERY_NOT_FOUND) return [];
      const what = `topic ${topic} can not be searched on broker ${brokerName}`;
      return readRecords(expectSuccess(answer, what).body, { brokerName });
    },
  );
  return lists.flat().sort(byStoreTime);
}

/**
 * By the id that the broker gave it: its address, and the place in its log.
 * @throws ClientError INVALID_ARGUMENT, NOT_FOUND
 */
export async function messageById(
  context: AdminContext,
  offsetMessageId: string,
): Promise<ReceivedMessage> {
  const place = placeIn(offsetMessageId);
  if (place === null) {
    throw new ClientError(
      'INVALID_ARGUMENT',
      `${JSON.stringify(offsetMessageId)} is no id of a broker: 32 hexadecimal digits (56 with IPv6), ` +
        'of which the last 16 are a place in its log',
    );
  }
  const { address, brokerName } = await brokerAt(context, place.address);
  const what = `there is no message ${offsetMessageId} on broker ${brokerName}`;
  const answer: CoreAnswer = await context.core.ask(address, {
    code: RequestCode.VIEW_MESSAGE_BY_ID,
    fields: { offset: place.physicalOffset },
    timeoutMs: context.timeoutMs,
  });
  // Brokers answer 1 where no record begins at the place.
  if (answer.code === ResponseCode.SYSTEM_ERROR)
    throw new ClientError('NOT_FOUND', what, { responseCode: answer.code });
  const [message] = await readRecords(expectSuccess(answer, what).body, { brokerName });
  if (message === undefined) throw new ClientError('NOT_FOUND', what);
  return message;
}

/** IPv4 or IPv6, a port of 4 bytes, a place of 8. */
function placeIn(id: string): { address: string; physicalOffset: number } | null {
  if (!/^([0-9a-f]{32}|[0-9a-f]{56})$/i.test(id)) return null;
  const hostDigits = id.length - 24;
  const bytes = id.slice(0, hostDigits);
  const port = Number.parseInt(id.slice(hostDigits, hostDigits + 8), 16);
  const physicalOffset = Number(BigInt(`0x${id.slice(-16)}`));
  if (!Number.isSafeInteger(physicalOffset)) return null;
  const groups = bytes.match(hostDigits === 8 ? /../g : /..../g) ?? [];
  const host =
    hostDigits === 8
      ? groups.map((digits) => Number.parseInt(digits, 16)).join('.')
      : `[${groups.join(':')}]`;
  return { address: `${host}:${port}`, physicalOffset };
}

/**
 * The broker that calls itself by this address. Behind a port map it is known by another one: where
 * there is a single broker, it is that.
 */
async function brokerAt(
  context: AdminContext,
  address: string,
): Promise<{ address: string; brokerName: string }> {
  const brokers = await listBrokers(context);
  const known = brokers.find(({ addresses }) => Object.values(addresses).includes(address));
  if (known !== undefined && !context.isWebSocket) return { address, brokerName: known.brokerName };
  const masters = await mastersOf(context, known === undefined ? {} : { broker: known.brokerName });
  if (masters.length === 1) return masters[0];
  return { address, brokerName: address };
}
