/**
 * @agent control
 *
 * Administration of topics: UPDATE_AND_CREATE_TOPIC (17) and a list of them (18),
 * GET_ALL_TOPIC_CONFIG (21), DELETE_TOPIC_IN_BROKER (215), GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305),
 * GET_TOPIC_CONFIG (351).
 *
 * Source: AdminBrokerProcessor.java, AttributeParser.java, AttributeUtil.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import { decodeTopicConfig, type TopicConfig, topicConfigJson } from '../protocol/topic-config.ts';
import type { ControlState, RequestHandler } from './control-state.ts';
import { arrayOf } from './json-value.ts';
import {
  bodyObject,
  optionalBoolean,
  optionalInteger,
  RequestFault,
  requiredInteger,
  requiredText,
} from './request-fields.ts';
import { topicNameFault } from './resource-name.ts';
import { alterTopicAttributes } from './topic-attributes.ts';
import { isRefusal, QUEUE_COUNT_MAX, type Refusal } from './topic-table.ts';

/** All bits of PermName.java. */
const PERM_MAX = 15;

const updateTopic: RequestHandler = (state, request) => {
  const topic = requiredText(request, 'topic');
  const refusal = nameRefusal(state, topic);
  if (refusal !== null) return refusal;
  const entry = state.topics.update(decodeTopicRequest(state, request, topic));
  return isRefusal(entry) ? entry : { code: ResponseCode.SUCCESS };
};

/** TopicListMixin: all of them, or none where one is wrong. */
const updateTopicList: RequestHandler = (state, request) => {
  const configs: TopicConfig[] = [];
  for (const value of arrayOf(bodyObject(request)['topicConfigList'])) {
    const config = decodeTopicConfig(value);
    if (config === null) throw new RequestFault('an entry of topicConfigList is no topic config');
    const refusal = nameRefusal(state, config.topicName);
    if (refusal !== null) return refusal;
    if (config.perm < 0 || config.perm > PERM_MAX)
      throw new RequestFault(`perm ${config.perm} is not within 0 and ${PERM_MAX}`);
    for (const count of [config.readQueueNums, config.writeQueueNums]) {
      if (count < 0 || count > QUEUE_COUNT_MAX)
        throw new RequestFault(`queue count ${count} is not within 0 and ${QUEUE_COUNT_MAX}`);
    }
    const current = state.topics.get(config.topicName)?.config.attributes;
    const changes = [...config.attributes].map(([name, text]) =>
      text === '' ? name : `${name}=${text}`,
    );
    configs.push({ ...config, attributes: alterTopicAttributes(current, changes.join(',')) });
  }
  for (const config of configs) {
    const entry = state.topics.update(config);
    if (isRefusal(entry)) return entry;
  }
  return { code: ResponseCode.SUCCESS };
};

const systemTopics: RequestHandler = (state) => ({
  code: ResponseCode.SUCCESS,
  body: Buffer.from(JSON.stringify({ topicList: state.topics.systemTopics() })),
});

const deleteTopic: RequestHandler = (state, request) => {
  const topic = requiredText(request, 'topic');
  const refusal = nameRefusal(state, topic);
  if (refusal !== null) return refusal;
  state.topics.delete(topic);
  state.offsets.removeTopic(topic);
  return { code: ResponseCode.SUCCESS };
};

const allTopics: RequestHandler = (state) => {
  const body = {
    dataVersion: state.topics.dataVersion,
    // Static topics, which this broker does not have.
    mappingDataVersion: { counter: 0, stateVersion: 0, timestamp: state.bootTimestampMs },
    topicConfigTable: state.topics.tableJson(),
    topicQueueMappingDetailMap: {},
    topicQueueMappingInfoMap: {},
  };
  return {
    code: ResponseCode.SUCCESS,
    extFields: [['totalTopicNum', String(state.topics.size)]],
    body: Buffer.from(JSON.stringify(body)),
  };
};

const oneTopic: RequestHandler = (state, request) => {
  const topic = requiredText(request, 'topic');
  const entry = state.topics.get(topic);
  if (entry === undefined) {
    return {
      code: ResponseCode.TOPIC_NOT_EXIST,
      remark: `No topic in this broker. topic: ${topic.slice(0, 256)}`,
    };
  }
  const body = JSON.stringify(topicConfigJson(entry.config));
  return { code: ResponseCode.SUCCESS, body: Buffer.from(body) };
};

function nameRefusal(state: ControlState, topic: string): Refusal | null {
  const fault = topicNameFault(topic);
  if (fault !== null) return { code: ResponseCode.INVALID_PARAMETER, remark: fault };
  if (!state.topics.isSystem(topic)) return null;
  return {
    code: ResponseCode.INVALID_PARAMETER,
    remark: `The topic[${topic}] is conflict with system topic.`,
  };
}

/** @throws RequestFault */
function decodeTopicRequest(
  state: ControlState,
  request: RemotingCommand,
  topic: string,
): TopicConfig {
  const filterType = requiredText(request, 'topicFilterType');
  if (filterType !== 'SINGLE_TAG' && filterType !== 'MULTI_TAG') {
    throw new RequestFault(`topicFilterType = [${filterType.slice(0, 32)}] value invalid`);
  }
  const perm = requiredInteger(request, 'perm');
  if (perm < 0 || perm > PERM_MAX)
    throw new RequestFault(`perm ${perm} is not within 0 and ${PERM_MAX}`);
  const current = state.topics.get(topic)?.config.attributes;
  const changes = request.extFields.get('attributes') ?? '';
  return {
    topicName: topic,
    readQueueNums: queueCount(request, 'readQueueNums'),
    writeQueueNums: queueCount(request, 'writeQueueNums'),
    perm,
    topicFilterType: filterType,
    topicSysFlag: optionalInteger(request, 'topicSysFlag') ?? 0,
    order: optionalBoolean(request, 'order') ?? false,
    attributes: alterTopicAttributes(current, changes),
  };
}

function queueCount(request: RemotingCommand, name: string): number {
  const count = requiredInteger(request, name);
  if (count >= 0 && count <= QUEUE_COUNT_MAX) return count;
  throw new RequestFault(`${name} ${count} is not within 0 and ${QUEUE_COUNT_MAX}`);
}

export const topicAdminHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.UPDATE_AND_CREATE_TOPIC, updateTopic],
  [RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, updateTopicList],
  [RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER, systemTopics],
  [RequestCode.GET_ALL_TOPIC_CONFIG, allTopics],
  [RequestCode.DELETE_TOPIC_IN_BROKER, deleteTopic],
  [RequestCode.GET_TOPIC_CONFIG, oneTopic],
];
