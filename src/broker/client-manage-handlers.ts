/**
 * @agent control
 *
 * Clients come and go: HEART_BEAT (34), UNREGISTER_CLIENT (35), CHECK_CLIENT_CONFIG (46).
 *
 * Source: ClientManageProcessor.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import type { NewGroupMember } from './consumer-group-table.ts';
import type { ControlState, RequestHandler } from './control-state.ts';
import {
  type ConsumerData,
  decodeHeartbeat,
  decodeSubscription,
  type Heartbeat,
} from './heartbeat.ts';
import {
  compileFilter,
  EXPRESSION_BYTES_MAX,
  EXPRESSION_LENGTH_MAX,
  expressionTooLong,
  isFilterFault,
  isTagExpression,
  unsupportedExpression,
} from './message-filter.ts';
import { bodyObject, RequestFault, requiredText } from './request-fields.ts';
import { isRefusal, type Refusal } from './topic-table.ts';

/** Clients themselves refuse group names above 255 characters (Validators.java). */
const PRODUCER_GROUP_CHARACTERS_MAX = 255;
/** A guess: ids are an address, a process id and a time, some 40 characters. */
const CLIENT_ID_CHARACTERS_MAX = 1024;
/** Of the body of 46: the longest expression, and names, which are far shorter than this. */
const CHECK_BYTES_MAX = EXPRESSION_BYTES_MAX + 64 * 1024;
/** The body has some 20 values; tags have some of their own. */
const CHECK_VALUE_COUNT_MAX = 8192;

const heartbeat: RequestHandler = (state, request, connection) => {
  const beat = decodeBeat(request);
  const member: NewGroupMember = {
    connectionId: connection.id,
    clientId: beat.clientId,
    language: request.language,
    version: request.version,
    remoteAddress: connection.remoteAddress,
  };
  checkLimits(state, beat, member);
  let isSubscriptionChange = false;
  let refusedRemark: string | undefined;
  for (const consumer of beat.consumers) {
    const outcome = registerConsumer(state, beat, consumer, member);
    if (typeof outcome !== 'boolean') refusedRemark = outcome.remark;
    else if (outcome) isSubscriptionChange = true;
  }
  for (const group of beat.producerGroups) state.producers.register(group, member);
  // Without a fingerprint the client does not use V2, and the flag says true as RocketMQ's does.
  const mustSendAll = beat.fingerprint === 0 || isSubscriptionChange;
  return {
    code: ResponseCode.SUCCESS,
    remark: refusedRemark ?? conflictRemark(state, beat),
    extFields: [
      ['IS_SUPPORT_HEART_BEAT_V2', 'true'],
      ['IS_SUB_CHANGE', String(mustSendAll)],
      // Of Millrace alone: its clients change to headers that are read faster.
      ['IS_SUPPORT_MSGPACK_HEADER', 'true'],
    ],
  };
};

/** Clients log nothing of it, but who looks at the wire, or at 203, finds it. */
function conflictRemark(state: ControlState, beat: Heartbeat): string | undefined {
  for (const { group } of beat.consumers) {
    const conflict = state.consumers.get(group)?.conflict;
    if (conflict !== null && conflict !== undefined) return conflict;
  }
  return undefined;
}

/** Takes in one group of a heartbeat; true when the client must send its subscriptions again, or why it is none. */
function registerConsumer(
  state: ControlState,
  beat: Heartbeat,
  consumer: ConsumerData,
  member: NewGroupMember,
): boolean | Refusal {
  const order = consumer.subscriptions.some(
    (subscription) => state.topics.get(subscription.topic)?.config.order === true,
  );
  const config = state.ensureGroup(consumer.group, { order, unitMode: consumer.unitMode });
  if (isRefusal(config)) {
    // The rest of the heartbeat counts all the same; the answer says why this does not.
    if (config.code !== ResponseCode.SYSTEM_ERROR)
      state.refusals.add('request-invalid', { group: consumer.group, remark: config.remark });
    return config;
  }
  const outcome = state.consumers.register(member, consumer, beat);
  if (outcome.subscriptionsChanged) state.publishGroup(consumer.group);
  if (outcome.membersMustKnow) state.notifyMembers(consumer.group);
  const conflict = state.consumers.get(consumer.group)?.conflict ?? null;
  if (outcome.conflictChanged && conflict !== null)
    state.logger.warn({ group: consumer.group }, conflict);
  return outcome.needsSubscriptions;
}

const unregisterClient: RequestHandler = (state, request, connection) => {
  const clientId = requiredText(request, 'clientID');
  const producerGroup = request.extFields.get('producerGroup');
  if (producerGroup !== undefined) state.producers.unregister(producerGroup, connection.id);
  const consumerGroup = request.extFields.get('consumerGroup');
  if (
    consumerGroup !== undefined &&
    state.consumers.unregister(consumerGroup, connection.id, clientId)
  ) {
    if (state.consumers.get(consumerGroup) === undefined) state.publishGroup(consumerGroup);
    state.notifyMembers(consumerGroup);
  }
  return { code: ResponseCode.SUCCESS };
};

const checkClientConfig: RequestHandler = (state, request) => {
  if (request.body.length > CHECK_BYTES_MAX) return expressionTooLong;
  const body = bodyObject(request, CHECK_VALUE_COUNT_MAX);
  const subscription = decodeSubscription(body['subscriptionData']);
  if (subscription === null || isTagExpression(subscription.expressionType))
    return { code: ResponseCode.SUCCESS };
  if (!state.config.enablePropertyFilter) return unsupportedExpression(subscription.expressionType);
  const filter = compileFilter(subscription.expressionType, subscription.subString);
  return isFilterFault(filter) ? filter : { code: ResponseCode.SUCCESS };
};

function decodeBeat(request: RemotingCommand): Heartbeat {
  try {
    return decodeHeartbeat(request.body);
  } catch (cause) {
    throw new RequestFault(`the heartbeat can't be read: ${String(cause)}`);
  }
}

/** Refuses a heartbeat that would make the tables grow without bound. */
function checkLimits(state: ControlState, beat: Heartbeat, member: NewGroupMember): void {
  const { membershipCountMax, subscriptionCountMax, clientCountMax, subscriptionBytesMax } =
    state.config;
  const { consumers, producers } = state;
  let newConsumerCount = 0;
  let moreBytes = 0;
  for (const { group, subscriptions } of beat.consumers) {
    const known = consumers.memberOf(group, member);
    if (known === undefined) newConsumerCount++;
    if (subscriptions.length > subscriptionCountMax) {
      throw new RequestFault(
        `a group may subscribe to ${subscriptionCountMax} topics (subscriptionCountMax)`,
        'membership-limit',
      );
    }
    if (subscriptions.some(({ subString }) => subString.length > EXPRESSION_LENGTH_MAX)) {
      throw new RequestFault(
        `an expression of group ${group.slice(0, 255)} has more than ${EXPRESSION_LENGTH_MAX} characters`,
      );
    }
    const bytes = subscriptions.reduce(
      (sum, { topic, subString }) => sum + topic.length + subString.length,
      0,
    );
    moreBytes += Math.max(0, bytes - (known?.subscriptionText?.length ?? 0));
  }
  let newProducerCount = 0;
  for (const group of beat.producerGroups) {
    if (group.length > PRODUCER_GROUP_CHARACTERS_MAX)
      throw new RequestFault('the producer group name is too long');
    if (!producers.isMember(group, member)) newProducerCount++;
  }
  const { connectionId } = member;
  const consumerCount = consumers.membershipCount(connectionId) + newConsumerCount;
  const producerCount = producers.membershipCount(connectionId) + newProducerCount;
  if (Math.max(consumerCount, producerCount) > membershipCountMax) {
    throw new RequestFault(
      `a connection may be in ${membershipCountMax} groups (membershipCountMax)`,
      'membership-limit',
    );
  }
  const newCount = newConsumerCount + newProducerCount;
  const clientCount = consumers.memberCount + producers.memberCount;
  if (newCount > 0 && clientCount + newCount > clientCountMax) {
    throw new RequestFault(
      `the groups of this broker have ${clientCount} members, and clientCountMax allows ${clientCountMax}: use fewer clients, or raise it`,
      'client-limit',
    );
  }
  if (moreBytes > 0 && consumers.subscriptionBytes + moreBytes > subscriptionBytesMax) {
    throw new RequestFault(
      `consumers subscribe by ${consumers.subscriptionBytes} characters, and subscriptionBytesMax allows ${subscriptionBytesMax}: use shorter expressions, or raise it`,
      'subscription-memory',
    );
  }
  if (beat.clientId.length > CLIENT_ID_CHARACTERS_MAX)
    throw new RequestFault('the clientID is too long');
}

export const clientManageHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.HEART_BEAT, heartbeat],
  [RequestCode.UNREGISTER_CLIENT, unregisterClient],
  [RequestCode.CHECK_CLIENT_CONFIG, checkClientConfig],
];
