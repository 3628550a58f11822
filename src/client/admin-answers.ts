/**
 * @agent any
 *
 * Reading what name servers and brokers answer to administrative requests: JSON of fastjson's kind in
 * the bodies, where a table may have whole objects for keys. What is missing or odd in a body takes
 * its default, as RocketMQ's own tools do; an answer other than success is a ClientError.
 */
import * as ResponseCode from '../protocol/response-code.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import { answerError } from './answer-error.ts';
import type { ClientCore, CoreAnswer, CoreRequest } from './client-core.ts';
import { ClientError } from './client-error.ts';

/** What the parts of an Admin share. */
export interface AdminContext {
  readonly core: ClientCore;
  /** Of one request. */
  readonly timeoutMs: number;
  /** Whether the servers are asked over WebSocket: each speaks for its own broker alone. */
  readonly isWebSocket: boolean;
}

export type JsonFields = Readonly<Record<string, unknown>>;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** @throws ClientError unless the answer is success */
export function expectSuccess(answer: CoreAnswer, what: string): CoreAnswer {
  if (answer.code === ResponseCode.SUCCESS) return answer;
  const error = answerError(answer, what);
  // What is refused here is no message.
  if (error.code !== 'MESSAGE_REFUSED') throw error;
  throw new ClientError('INVALID_ARGUMENT', error.message, { responseCode: answer.code });
}

/** Asks a broker for something that it must have. @throws ClientError */
export async function askBroker(
  context: AdminContext,
  address: string,
  request: CoreRequest,
  what: string,
): Promise<CoreAnswer> {
  const answer = await context.core.ask(address, { timeoutMs: context.timeoutMs, ...request });
  return expectSuccess(answer, what);
}

/** Asks one name server. @throws ClientError */
export async function askNames(
  context: AdminContext,
  request: CoreRequest,
  what: string,
): Promise<CoreAnswer> {
  const answer = await context.core.askNameServer({ timeoutMs: context.timeoutMs, ...request });
  return expectSuccess(answer, what);
}

/** Tells every name server: they know nothing of each other. @throws ClientError */
export async function tellAllNames(
  context: AdminContext,
  request: CoreRequest,
  what: string,
): Promise<CoreAnswer[]> {
  const answers = await context.core.askAllNameServers({
    timeoutMs: context.timeoutMs,
    ...request,
  });
  return answers.map((answer) => expectSuccess(answer, what));
}

/** The JSON object of an answer's body. @throws ClientError PROTOCOL_ERROR */
export function bodyFields(answer: CoreAnswer, what: string): JsonFields {
  if (answer.body.length === 0) return {};
  try {
    return fieldsOf(parseFastjson(decoder.decode(answer.body)));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ClientError('PROTOCOL_ERROR', `${what}: the answer can not be read: ${why}`, {
      cause,
    });
  }
}

export function bodyText(answer: CoreAnswer): string {
  return decoder.decode(answer.body);
}

export function jsonBody(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export function textBody(text: string): Uint8Array {
  return encoder.encode(text);
}

/** A number in a header field of an answer. @throws ClientError PROTOCOL_ERROR */
export function numberField(answer: CoreAnswer, name: string, what: string): number {
  const text = answer.fields.get(name);
  const value = Number(text);
  if (text !== undefined && text !== '' && Number.isSafeInteger(value)) return value;
  const found = text === undefined ? 'nothing' : JSON.stringify(text);
  throw new ClientError('PROTOCOL_ERROR', `${what}: the answer has ${found} for ${name}`);
}

export function fieldsOf(value: unknown): JsonFields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonFields)
    : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

export function textsOf(value: unknown): string[] {
  return listOf(value).filter((item) => typeof item === 'string');
}

export function textOf(value: unknown, absent = ''): string {
  return typeof value === 'string' ? value : absent;
}

export function integerOf(value: unknown, absent: number): number {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : absent;
}

/** A table by queue: `{{"brokerName":"b","queueId":0,"topic":"t"}:{…}}`, in the order of its queues. */
export function queueTable(value: unknown): (readonly [MessageQueueName, unknown])[] {
  return listOf(value)
    .map((pair) => {
      const [key, entry] = listOf(pair);
      const fields = fieldsOf(key);
      const queue = {
        topic: textOf(fields['topic']),
        brokerName: textOf(fields['brokerName']),
        queueId: integerOf(fields['queueId'], 0),
      };
      return [queue, entry] as const;
    })
    .sort(([left], [right]) => compareQueues(left, right));
}

export interface MessageQueueName {
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
}

export function compareQueues(left: MessageQueueName, right: MessageQueueName): number {
  return (
    compareTexts(left.topic, right.topic) ||
    compareTexts(left.brokerName, right.brokerName) ||
    left.queueId - right.queueId
  );
}

/** By code units: the same order everywhere. */
export function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Runs as many at once as given; the results are in the order of the items. */
export async function mapAtOnce<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane));
  return results;
}
