/**
 * @agent control
 *
 * Reads the header fields and the JSON body of a request. A field that is missing or of the wrong
 * kind is a fault of the request, answered with SYSTEM_ERROR and its text, as RocketMQ does.
 */
import { parseFastjson } from '../protocol/fastjson.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import type { RefusalCause } from '../base/refusals.ts';
import { type JsonObject, objectOf } from './json-value.ts';

/** The request itself is wrong; not a fault of the broker, so it is not logged as one. */
export class RequestFault extends Error {
  /** What it is counted as. */
  readonly refusal: RefusalCause;

  constructor(message: string, refusal: RefusalCause = 'request-invalid') {
    super(message);
    this.name = 'RequestFault';
    this.refusal = refusal;
  }
}

/** @throws RequestFault */
export function requiredText(request: RemotingCommand, name: string): string {
  const value = request.extFields.get(name);
  if (value === undefined) throw new RequestFault(`the custom field <${name}> is null`);
  return value;
}

/** @throws RequestFault where the field is there and is no integer. */
export function optionalInteger(request: RemotingCommand, name: string): number | undefined {
  const value = request.extFields.get(name);
  if (value === undefined || value === '') return undefined;
  const number = Number(value);
  if (!/^[+-]?\d+$/.test(value) || !Number.isSafeInteger(number)) {
    throw new RequestFault(`the custom field <${name}> is not an integer: ${value.slice(0, 32)}`);
  }
  return number;
}

/** @throws RequestFault */
export function requiredInteger(request: RemotingCommand, name: string): number {
  requiredText(request, name);
  const value = optionalInteger(request, name);
  if (value === undefined) throw new RequestFault(`the custom field <${name}> is null`);
  return value;
}

/**
 * A 64-bit number, rounded where it is beyond 2^53: for times, of which Long.MAX_VALUE means no end.
 * @throws RequestFault
 */
export function requiredLong(request: RemotingCommand, name: string): number {
  const value = requiredText(request, name);
  if (/^[+-]?\d{1,19}$/.test(value)) return Number(value);
  throw new RequestFault(`the custom field <${name}> is not an integer: ${value.slice(0, 32)}`);
}

export function optionalBoolean(request: RemotingCommand, name: string): boolean | undefined {
  const value = request.extFields.get(name);
  return value === undefined ? undefined : value.toLowerCase() === 'true';
}

/** Of any body: 65,000 queues to lock, or 20,000 topics. More holds up everybody else. */
const BODY_VALUE_COUNT_MAX = 262_144;

/** @throws RequestFault where the body is no JSON object, or of more values than there may be. */
export function bodyObject(
  request: RemotingCommand,
  valueCountMax = BODY_VALUE_COUNT_MAX,
): JsonObject {
  let parsed: unknown;
  try {
    parsed = parseFastjson(request.body.toString('utf8'), valueCountMax);
  } catch {
    throw new RequestFault(`the body is not JSON of at most ${valueCountMax} values`);
  }
  const body = objectOf(parsed);
  if (body === null) throw new RequestFault('the body is not a JSON object');
  return body;
}
