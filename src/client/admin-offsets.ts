/**
 * @agent any
 *
 * Offsets of consumer groups for Admin: read (14), reset (222), set and cloned (314). Brokers reset by
 * themselves, whether members are online or not; one that is set up to leave it to its members
 * (useServerSideResetOffset=false) and finds none is told the offsets one by one (15).
 *
 * Source: ResetOffsetByTimeCommand.java, CloneGroupOffsetCommand.java, DefaultMQAdminExtImpl.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import {
  type AdminContext,
  askBroker,
  compareQueues,
  expectSuccess,
  mapAtOnce,
  numberField,
} from './admin-answers.ts';
import { type MasterBroker, mastersOf } from './admin-brokers.ts';
import { ensureGroup, mastersHaving, readProgress } from './admin-groups.ts';
import { queueBound, type QueueBounds, queueBounds, timeOffset } from './admin-messages.ts';
import { answerError } from './answer-error.ts';
import { ClientError } from './client-error.ts';
import type { MessageQueue } from './message.ts';

/** Where a group goes on: at a message not older than a time, an offset, or an end of the queue. */
export type OffsetTarget = 'first' | 'last' | Date | { readonly offset: number };

export interface QueueOffset extends QueueBounds {
  /** Null where the group has none yet. */
  readonly offset: number | null;
}

export interface OffsetMove {
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
  readonly before: number | null;
  readonly after: number;
}

export interface OffsetReset {
  readonly group: string;
  readonly topic: string;
  readonly queues: readonly OffsetMove[];
}

/** A guess: requests about queues in flight. */
const QUEUES_AT_ONCE = 16;
const ALL_MESSAGES_MS = 0;
const END_OF_QUEUE_MS = -1;

/** @throws ClientError TOPIC_NOT_FOUND, GROUP_NOT_FOUND */
export async function readOffsets(
  context: AdminContext,
  group: string,
  topic: string,
): Promise<QueueOffset[]> {
  await mastersHaving(context, group);
  const route = await context.core.route(topic, { fresh: true });
  return mapAtOnce(route.readQueues, QUEUES_AT_ONCE, async (queue) => {
    const [bounds, offset] = await Promise.all([
      queueBounds(context, queue),
      offsetOf(context, group, queue),
    ]);
    return { ...bounds, offset };
  });
}

async function offsetOf(
  context: AdminContext,
  group: string,
  queue: MessageQueue,
): Promise<number | null> {
  const what = `the offset of group ${group} in ${queueText(queue)} can not be read`;
  const answer = await context.core.ask(context.core.masterAddress(queue.brokerName), {
    code: RequestCode.QUERY_CONSUMER_OFFSET,
    fields: {
      consumerGroup: group,
      topic: queue.topic,
      queueId: queue.queueId,
      setZeroIfNotFound: false,
    },
    timeoutMs: context.timeoutMs,
  });
  if (answer.code === ResponseCode.QUERY_NOT_FOUND) return null;
  return numberField(expectSuccess(answer, what), 'offset', what);
}

export function queueText({ topic, brokerName, queueId }: MessageQueue): string {
  return `queue ${queueId} of topic ${topic} on broker ${brokerName}`;
}

/** Queues of a topic that are meant: all, those of a broker, or one of them. */
export interface QueueChoice {
  readonly broker?: string | undefined;
  readonly queueId?: number | undefined;
}

async function chosenQueues(
  context: AdminContext,
  topic: string,
  choice: QueueChoice,
): Promise<MessageQueue[]> {
  const route = await context.core.route(topic, { fresh: true });
  const chosen = route.readQueues.filter(
    ({ brokerName, queueId }) =>
      (choice.broker === undefined || choice.broker === brokerName) &&
      (choice.queueId === undefined || choice.queueId === queueId),
  );
  if (chosen.length > 0) return chosen.toSorted(compareQueues);
  const which = choice.queueId === undefined ? 'no queue' : `no queue ${choice.queueId}`;
  const where = choice.broker === undefined ? '' : ` on broker ${choice.broker}`;
  throw new ClientError('NOT_FOUND', `topic ${topic} has ${which}${where} that can be read`);
}

/**
 * Moves a group in a topic, online or not; members go on at the new place.
 * @throws ClientError GROUP_NOT_FOUND, TOPIC_NOT_FOUND; INVALID_ARGUMENT for an offset outside of a queue
 */
export async function resetOffsets(
  context: AdminContext,
  group: string,
  topic: string,
  target: OffsetTarget,
  choice: QueueChoice = {},
): Promise<OffsetReset> {
  await mastersHaving(context, group);
  const queues = await chosenQueues(context, topic, choice);
  const before = await mapAtOnce(queues, QUEUES_AT_ONCE, (queue) =>
    offsetOf(context, group, queue),
  );
  // Nothing is changed unless every queue can be.
  const targets = await mapAtOnce(queues, QUEUES_AT_ONCE, (queue) =>
    targetIn(context, queue, target),
  );
  const moves = await mapAtOnce(queues, QUEUES_AT_ONCE, async (queue) => {
    const index = queues.indexOf(queue);
    const after = targets[index];
    await moveTo(context, group, queue, { after, timeMs: timeOf(target) });
    return { ...queue, before: before[index], after };
  });
  return { group, topic, queues: moves };
}

async function targetIn(
  context: AdminContext,
  queue: MessageQueue,
  target: OffsetTarget,
): Promise<number> {
  if (target === 'first') return Math.max(0, await queueBound(context, queue, 'min'));
  if (target === 'last') return queueBound(context, queue, 'max');
  if (target instanceof Date) return timeOffset(context, queue, target.getTime());
  const { minOffset, maxOffset } = await queueBounds(context, queue);
  if (target.offset >= minOffset && target.offset <= maxOffset) return target.offset;
  throw new ClientError(
    'INVALID_ARGUMENT',
    `${queueText(queue)} has no offset ${target.offset}: it begins at ${minOffset} and ends at ${maxOffset}`,
  );
}

function timeOf(target: OffsetTarget): number {
  if (target === 'first') return ALL_MESSAGES_MS;
  return target instanceof Date ? target.getTime() : END_OF_QUEUE_MS;
}

async function moveTo(
  context: AdminContext,
  group: string,
  queue: MessageQueue,
  { after, timeMs }: { after: number; timeMs: number },
): Promise<void> {
  const what = `group ${group} can not be moved to offset ${after} in ${queueText(queue)}`;
  const address = context.core.masterAddress(queue.brokerName);
  const { topic, queueId } = queue;
  const answer = await context.core.ask(address, {
    code: RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
    fields: { topic, group, queueId, offset: after, timestamp: timeMs, isForce: true },
    timeoutMs: context.timeoutMs,
  });
  if (answer.code !== ResponseCode.CONSUMER_NOT_ONLINE) {
    expectSuccess(answer, what);
    return;
  }
  // Nobody is online, so nobody commits over it.
  await askBroker(
    context,
    address,
    {
      code: RequestCode.UPDATE_CONSUMER_OFFSET,
      fields: { consumerGroup: group, topic, queueId, commitOffset: after },
    },
    what,
  );
}

/**
 * Gives a group the offsets of another, in one topic or in all that the other has consumed.
 * @throws ClientError GROUP_NOT_FOUND; NOT_FOUND where there is nothing to clone
 */
export async function cloneOffsets(
  context: AdminContext,
  from: string,
  to: string,
  topic?: string,
): Promise<OffsetReset[]> {
  const progress = await readProgress(context, from, topic);
  const topics = [...new Set(progress.queues.map((queue) => queue.topic))].filter(
    (name) => !name.startsWith('%'),
  );
  if (topics.length === 0) {
    const where = topic === undefined ? '' : ` in topic ${topic}`;
    throw new ClientError('NOT_FOUND', `group ${from} has no offsets${where} that could be cloned`);
  }
  const masters = await mastersOf(context);
  // Some brokers make the group with its offsets, and some keep offsets of a group that nobody can see.
  await ensureGroup(context, to, masters);
  const resets: OffsetReset[] = [];
  for (const name of topics) {
    const queues = await chosenQueues(context, name, {});
    const beforeAll = await mapAtOnce(queues, QUEUES_AT_ONCE, (queue) =>
      offsetOf(context, to, queue),
    );
    await cloneTopic(context, { from, to, topic: name }, masters);
    const moves: OffsetMove[] = [];
    for (const [index, queue] of queues.entries()) {
      const after = await offsetOf(context, to, queue);
      if (after !== null) moves.push({ ...queue, before: beforeAll[index], after });
    }
    resets.push({ group: to, topic: name, queues: moves });
  }
  return resets;
}

async function cloneTopic(
  context: AdminContext,
  { from, to, topic }: { from: string; to: string; topic: string },
  masters: readonly MasterBroker[],
): Promise<void> {
  for (const { brokerName, address } of masters) {
    const answer = await context.core.ask(address, {
      code: RequestCode.CLONE_GROUP_OFFSET,
      fields: { srcGroup: from, destGroup: to, topic, offline: true },
      timeoutMs: context.timeoutMs,
    });
    if (answer.code !== ResponseCode.SUCCESS)
      throw answerError(answer, `offsets of group ${from} can not be cloned on ${brokerName}`);
  }
}
