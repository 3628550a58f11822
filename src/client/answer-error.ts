/**
 * @agent any
 *
 * The ClientError that an answer other than success stands for.
 */
import * as ResponseCode from '../protocol/response-code.ts';
import { ClientError, type ClientErrorCode } from './client-error.ts';

const NO_MESSAGE = 208;

const errorCodes: ReadonlyMap<number, ClientErrorCode> = new Map([
  [ResponseCode.SYSTEM_BUSY, 'BROKER_BUSY'],
  [ResponseCode.SERVICE_NOT_AVAILABLE, 'BROKER_BUSY'],
  [ResponseCode.FLOW_CONTROL, 'BROKER_BUSY'],
  [ResponseCode.REQUEST_CODE_NOT_SUPPORTED, 'NOT_SUPPORTED'],
  [ResponseCode.VERSION_NOT_SUPPORTED, 'NOT_SUPPORTED'],
  [ResponseCode.MESSAGE_ILLEGAL, 'MESSAGE_REFUSED'],
  [ResponseCode.INVALID_PARAMETER, 'MESSAGE_REFUSED'],
  [ResponseCode.NO_PERMISSION, 'NO_PERMISSION'],
  [ResponseCode.TOPIC_NOT_EXIST, 'TOPIC_NOT_FOUND'],
  [ResponseCode.QUERY_NOT_FOUND, 'NOT_FOUND'],
  [ResponseCode.CONSUMER_NOT_ONLINE, 'NOT_FOUND'],
  [ResponseCode.ILLEGAL_OPERATION, 'NOT_FOUND'],
  [NO_MESSAGE, 'NOT_FOUND'],
  [ResponseCode.SUBSCRIPTION_PARSE_FAILED, 'FILTER_REFUSED'],
  [ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, 'GROUP_NOT_FOUND'],
  [ResponseCode.GO_AWAY, 'BROKER_STOPPING'],
]);

/** `what` begins the message: what was asked for, and of whom. */
export function answerError(
  answer: { readonly code: number; readonly remark: string | null },
  what: string,
): ClientError {
  const remark = answer.remark === null || answer.remark === '' ? '' : `: ${answer.remark}`;
  return new ClientError(
    errorCodes.get(answer.code) ?? 'BROKER_ERROR',
    `${what}: answer ${answer.code}${remark}`,
    { responseCode: answer.code },
  );
}
