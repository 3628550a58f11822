/**
 * @agent control
 *
 * Queues for ordered consumption: LOCK_BATCH_MQ (41), UNLOCK_BATCH_MQ (42). Only queues that this
 * client really holds are answered.
 *
 * Source: AdminBrokerProcessor.java (lockBatchMQ, unlockBatchMQ).
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import type { ControlState, RequestHandler } from './control-state.ts';
import { arrayOf, integerOf, objectOf, textOf } from './json-value.ts';
import { bodyObject, RequestFault } from './request-fields.ts';

interface MessageQueue {
  brokerName: string;
  queueId: number;
  topic: string;
}

const lockQueues: RequestHandler = (state, request) => {
  const asked = decodeLockRequest(state, request);
  const lockOKMQSet = asked.queues.filter((queue) =>
    state.locks.tryLock(asked.group, queue, asked.clientId),
  );
  return { code: ResponseCode.SUCCESS, body: Buffer.from(JSON.stringify({ lockOKMQSet })) };
};

const unlockQueues: RequestHandler = (state, request) => {
  const asked = decodeLockRequest(state, request);
  for (const queue of asked.queues) state.locks.unlock(asked.group, queue, asked.clientId);
  return { code: ResponseCode.SUCCESS };
};

/** Leaves out queues that do not exist: nobody consumes them, and locks of them would pile up. */
function decodeLockRequest(
  state: ControlState,
  request: RemotingCommand,
): { group: string; clientId: string; queues: MessageQueue[] } {
  const body = bodyObject(request);
  const group = textOf(body['consumerGroup'], '');
  const clientId = textOf(body['clientId'], '');
  if (group === '' || clientId === '')
    throw new RequestFault('consumerGroup or clientId is missing');
  const queues: MessageQueue[] = [];
  for (const value of arrayOf(body['mqSet'])) {
    const item = objectOf(value);
    const topic = textOf(item?.['topic'], '');
    const queueId = integerOf(item?.['queueId'], -1);
    const config = state.topics.get(topic)?.config;
    const queueCount = Math.max(config?.readQueueNums ?? 0, config?.writeQueueNums ?? 0);
    if (queueId < 0 || queueId >= queueCount) continue;
    // In the order that fastjson writes them.
    queues.push({ brokerName: textOf(item?.['brokerName'], ''), queueId, topic });
  }
  return { group, clientId, queues };
}

export const queueLockHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.LOCK_BATCH_MQ, lockQueues],
  [RequestCode.UNLOCK_BATCH_MQ, unlockQueues],
];
