/**
 * @agent control
 *
 * Reads the header of a send off the hot path: SEND_MESSAGE (10) with long names and
 * SEND_MESSAGE_V2 (310) with one-letter ones.
 *
 * Source: SendMessageRequestHeader.java, SendMessageRequestHeaderV2.java.
 */
import { RequestCode } from '../protocol/codes.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import {
  optionalBoolean,
  optionalInteger,
  requiredInteger,
  requiredText,
} from './request-fields.ts';

export interface SendHeader {
  producerGroup: string;
  topic: string;
  defaultTopic: string;
  defaultTopicQueueNums: number;
  queueId: number;
  sysFlag: number;
  bornTimestampMs: number;
  flag: number;
  properties: string;
  reconsumeTimes: number;
  /** Undefined where the client states none. */
  maxReconsumeTimes: number | undefined;
  unitMode: boolean;
}

const longNames = {
  producerGroup: 'producerGroup',
  topic: 'topic',
  defaultTopic: 'defaultTopic',
  defaultTopicQueueNums: 'defaultTopicQueueNums',
  queueId: 'queueId',
  sysFlag: 'sysFlag',
  bornTimestamp: 'bornTimestamp',
  flag: 'flag',
  properties: 'properties',
  reconsumeTimes: 'reconsumeTimes',
  unitMode: 'unitMode',
  maxReconsumeTimes: 'maxReconsumeTimes',
};

const letters: typeof longNames = {
  producerGroup: 'a',
  topic: 'b',
  defaultTopic: 'c',
  defaultTopicQueueNums: 'd',
  queueId: 'e',
  sysFlag: 'f',
  bornTimestamp: 'g',
  flag: 'h',
  properties: 'i',
  reconsumeTimes: 'j',
  unitMode: 'k',
  maxReconsumeTimes: 'l',
};

/** @throws RequestFault where a required field is missing or a number is none. */
export function decodeSendHeader(request: RemotingCommand): SendHeader {
  const hasLongNames =
    request.code === RequestCode.SEND_MESSAGE || request.code === RequestCode.SEND_REPLY_MESSAGE;
  const names = hasLongNames ? longNames : letters;
  return {
    producerGroup: requiredText(request, names.producerGroup),
    topic: requiredText(request, names.topic),
    defaultTopic: requiredText(request, names.defaultTopic),
    defaultTopicQueueNums: requiredInteger(request, names.defaultTopicQueueNums),
    queueId: requiredInteger(request, names.queueId),
    sysFlag: requiredInteger(request, names.sysFlag),
    bornTimestampMs: requiredInteger(request, names.bornTimestamp),
    flag: requiredInteger(request, names.flag),
    properties: request.extFields.get(names.properties) ?? '',
    reconsumeTimes: optionalInteger(request, names.reconsumeTimes) ?? 0,
    maxReconsumeTimes: optionalInteger(request, names.maxReconsumeTimes),
    unitMode: optionalBoolean(request, names.unitMode) ?? false,
  };
}
