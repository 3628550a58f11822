/**
 * @agent control
 *
 * Administration of consumer groups: UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200) and a list (225),
 * GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201), DELETE_SUBSCRIPTIONGROUP (207),
 * GET_SUBSCRIPTIONGROUP_CONFIG (352).
 *
 * Source: AdminBrokerProcessor.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { Answer } from '../protocol/remoting-command.ts';
import type { ControlState, RequestHandler } from './control-state.ts';
import { arrayOf } from './json-value.ts';
import { bodyObject, optionalBoolean, RequestFault, requiredText } from './request-fields.ts';
import { groupNameFault } from './resource-name.ts';
import {
  decodeGroupConfig,
  groupConfigJson,
  type SubscriptionGroupConfig,
} from './subscription-group-config.ts';
import { isRefusal, QUEUE_COUNT_MAX } from './topic-table.ts';

const updateGroup: RequestHandler = (state, request) => updateGroups(state, [bodyObject(request)]);

const updateGroupList: RequestHandler = (state, request) =>
  updateGroups(state, arrayOf(bodyObject(request)['groupConfigList']));

/** All of them, or none where one is wrong. */
function updateGroups(state: ControlState, values: readonly unknown[]): Answer {
  const configs: SubscriptionGroupConfig[] = [];
  for (const value of values) {
    const config = decodeGroupConfig(value);
    const fault = groupNameFault(config?.groupName ?? '');
    if (config === null || fault !== null) {
      return {
        code: ResponseCode.INVALID_PARAMETER,
        remark: fault ?? 'The specified group is blank.',
      };
    }
    if (config.retryQueueNums < 0 || config.retryQueueNums > QUEUE_COUNT_MAX) {
      throw new RequestFault(
        `retryQueueNums ${config.retryQueueNums} is not within 0 and ${QUEUE_COUNT_MAX}`,
      );
    }
    configs.push(config);
  }
  for (const config of configs) {
    const updated = state.subscriptionGroups.update(config);
    if (isRefusal(updated)) return updated;
  }
  return { code: ResponseCode.SUCCESS };
}

/** Its retry and dead-letter topics stay: tools delete them by themselves (215). */
const deleteGroup: RequestHandler = (state, request) => {
  const group = requiredText(request, 'groupName');
  const config = state.subscriptionGroups.delete(group);
  if (optionalBoolean(request, 'cleanOffset') === true) state.offsets.removeGroup(group);
  if (config !== undefined) state.publishGroup(group);
  return { code: ResponseCode.SUCCESS };
};

const allGroups: RequestHandler = (state) => ({
  code: ResponseCode.SUCCESS,
  extFields: [['totalGroupNum', String(state.subscriptionGroups.size)]],
  body: Buffer.from(state.subscriptionGroups.json()),
});

const oneGroup: RequestHandler = (state, request) => {
  const config = state.subscriptionGroups.find(requiredText(request, 'group'));
  if (isRefusal(config))
    return { code: config.code, remark: `No group in this broker: ${config.remark}` };
  const body = JSON.stringify(groupConfigJson(config));
  return { code: ResponseCode.SUCCESS, body: Buffer.from(body) };
};

export const groupAdminHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, updateGroup],
  [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, updateGroupList],
  [RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG, allGroups],
  [RequestCode.DELETE_SUBSCRIPTIONGROUP, deleteGroup],
  [RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, oneGroup],
];
