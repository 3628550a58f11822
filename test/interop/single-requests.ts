/**
 * Requests that a well-behaved client seldom sends, each once and over a plain socket: what is refused, what
 * is not there, what is malformed. Only the kinds of answers are compared, see conversation.ts.
 */
import {
  heartbeatRequest,
  pullRequest,
  RawClient,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';
import { RequestCode } from '../../src/protocol/codes.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';

export interface SingleRequest extends RawRequest {
  /** What is special; unique together with the code. */
  what: string;
}

const TOPIC = 'Single';
const GROUP = 'single-group';
const CLIENT = 'single-client';
const TOPIC_BYTES_MAX = 127;
const BODY_BYTES_MAX = 4 * 1024 * 1024;
const NOWHERE = 1_000_000_000;
const QUEUE_COUNT = 4;

type Fields = Record<string, string | number>;

function request(what: string, code: number, fields: Fields = {}, body?: string): SingleRequest {
  return { what, code, fields, ...(body === undefined ? {} : { body: Buffer.from(body) }) };
}

function changed(what: string, base: RawRequest, fields: Fields, body?: string): SingleRequest {
  return {
    what,
    ...base,
    fields: { ...base.fields, ...fields },
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
  };
}

function without(what: string, base: RawRequest, ...names: string[]): SingleRequest {
  const fields = Object.entries(base.fields ?? {}).filter(([name]) => !names.includes(name));
  return { what, ...base, fields: Object.fromEntries(fields) };
}

function makeTopic(topic: string, fields: Fields = {}): RawRequest {
  return {
    code: 17,
    fields: {
      topic,
      defaultTopic: 'TBW102',
      readQueueNums: QUEUE_COUNT,
      writeQueueNums: QUEUE_COUNT,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: 0,
      order: 'false',
      ...fields,
    },
  };
}

const send = sendRequest({ topic: TOPIC, body: 'single', properties: { KEYS: 'single-key' } });
const pull = pullRequest(GROUP, TOPIC, 0, 0);
const queue = { topic: TOPIC, queueId: 0 };
const offsetOf = { consumerGroup: GROUP, ...queue };
const sendBack = {
  offset: 0,
  group: GROUP,
  delayLevel: 1,
  originTopic: TOPIC,
  unitMode: 'false',
  maxReconsumeTimes: 16,
};
const query = {
  topic: TOPIC,
  key: 'single-key',
  maxNum: 8,
  beginTimestamp: 0,
  endTimestamp: '9999999999999',
};
const queues = {
  clientId: CLIENT,
  consumerGroup: GROUP,
  mqSet: [{ brokerName: 'broker-a', queueId: 0, topic: TOPIC }],
};
const group = {
  groupName: 'made-group',
  consumeEnable: true,
  retryQueueNums: 1,
  retryMaxTimes: 16,
};
const sql = { topic: TOPIC, subString: 'a > 1', expressionType: 'SQL92', tagsSet: [], codeSet: [] };

function check(subscriptionData: object): string {
  return JSON.stringify({ clientId: CLIENT, group: GROUP, namespace: '', subscriptionData });
}

/** They come in this order, over one connection; the first ones make what the others need. */
export const brokerRequests: SingleRequest[] = [
  changed('new topic', makeTopic(TOPIC), {}),
  changed('topic not to be written', makeTopic('SingleReadOnly', { perm: 4 }), {}),
  changed('topic not to be read', makeTopic('SingleWriteOnly', { perm: 2 }), {}),
  changed(
    'topic without queues',
    makeTopic('SingleNoQueue', { readQueueNums: 0, writeQueueNums: 0 }),
    {},
  ),
  changed(
    'topic of one queue',
    makeTopic('SingleOneQueue', { readQueueNums: 1, writeQueueNums: 1 }),
    {},
  ),
  changed('same topic again', makeTopic(TOPIC), {}),
  changed('bad name', makeTopic('no topic!'), {}),
  changed('empty name', makeTopic(''), {}),
  changed('long name', makeTopic('t'.repeat(TOPIC_BYTES_MAX + 1)), {}),
  changed('system topic', makeTopic('SCHEDULE_TOPIC_XXXX'), {}),
  changed('default topic', makeTopic('TBW102'), {}),
  changed('attribute', makeTopic('SingleFifo', { attributes: '+message.type=FIFO' }), {}),
  changed('unknown attribute', makeTopic('SingleOther', { attributes: '+no.such=1' }), {}),
  changed(
    'attribute without sign',
    makeTopic('SingleOther', { attributes: 'message.type=FIFO' }),
    {},
  ),
  changed('negative queues', makeTopic('SingleNegative', { readQueueNums: -1 }), {}),
  without('no name', makeTopic(TOPIC), 'topic'),

  { what: 'consumer', ...heartbeatRequest(CLIENT, GROUP, TOPIC, 'TagA || TagB') },
  request('no body', 34),
  request('empty object', 34, {}, '{}'),
  request('not JSON', 34, {}, 'what?'),

  changed('whole', send, {}),
  changed('second queue', send, { e: 1 }),
  changed(
    'first spelling',
    { code: 10 },
    {
      producerGroup: GROUP,
      topic: TOPIC,
      defaultTopic: 'TBW102',
      defaultTopicQueueNums: 4,
      queueId: 0,
      sysFlag: 0,
      bornTimestamp: '1700000000000',
      flag: 0,
    },
    'single',
  ),
  changed('any queue', send, { b: 'SingleOneQueue', e: -1 }),
  changed('no such queue', send, { e: 99 }),
  changed('topic to be made', send, { b: 'SingleMade' }),
  changed('unknown topic, unknown default', send, { b: 'SingleUnknown', c: 'NoSuchDefault' }),
  changed('unknown topic, own default', send, { b: 'SingleUnknown', c: 'SingleUnknown' }),
  changed('bad topic', send, { b: 'no topic!' }),
  changed('long topic', send, { b: 't'.repeat(TOPIC_BYTES_MAX + 1) }),
  changed('empty topic', send, { b: '' }),
  changed('delay topic', send, { b: 'SCHEDULE_TOPIC_XXXX' }),
  changed('half topic', send, { b: 'RMQ_SYS_TRANS_HALF_TOPIC' }),
  changed('self test topic', send, { b: 'SELF_TEST_TOPIC' }),
  changed('topic not to be written', send, { b: 'SingleReadOnly' }),
  changed('topic without queues', send, { b: 'SingleNoQueue' }),
  changed('default topic itself', send, { b: 'TBW102' }),
  changed('retry topic of an unknown group', send, { b: '%RETRY%no-such-group' }),
  changed('retry topic', send, { b: `%RETRY%${GROUP}` }),
  changed('retried too often', send, { b: `%RETRY%${GROUP}`, j: 17, l: 16 }),
  changed('dead letters of an unknown group', send, { b: '%DLQ%no-such-group' }),
  changed('no body', send, {}, ''),
  { ...send, what: 'body of the limit', body: Buffer.alloc(BODY_BYTES_MAX) },
  { ...send, what: 'body beyond the limit', body: Buffer.alloc(BODY_BYTES_MAX + 1) },
  changed('properties beyond their limit', send, { i: `a\u0001${'x'.repeat(32_768)}\u0002` }),
  changed('broken properties', send, { i: 'no separator' }),
  changed('delayed', send, { b: 'SingleFifo', i: 'DELAY\u00011\u0002' }),
  changed('delayed by a level above 1', send, { b: 'SingleFifo', e: 2, i: 'DELAY\u00015\u0002' }),
  changed('delayed beyond the levels', send, { b: 'SingleFifo', i: 'DELAY\u000199\u0002' }),
  changed('delay that is no number', send, { b: 'SingleFifo', i: 'DELAY\u0001soon\u0002' }),
  without('no topic', send, 'b'),
  without('no queue', { ...send, fields: { ...send.fields, b: 'SingleFifo' } }, 'e'),
  without('no group', send, 'a'),
  without('no properties', send, 'i'),
  changed('queue that is no number', send, { e: 'first' }),
  request('no fields', 310),
  changed('batch', { ...send, code: 320 }, { m: 'true' }, 'no batch'),
  changed('batch to a retry topic', { ...send, code: 320 }, { m: 'true', b: `%RETRY%${GROUP}` }),

  changed('whole', pull, {}),
  changed('nobody in the group', pull, { consumerGroup: 'no-such-group' }),
  changed('unknown topic', pull, { topic: 'SingleUnknown' }),
  changed('topic of another subscription', pull, { topic: 'SingleMade' }),
  changed('no such queue', pull, { queueId: 99 }),
  changed('negative queue', pull, { queueId: -1 }),
  changed('topic not to be read', pull, { topic: 'SingleWriteOnly' }),
  changed('beyond the end', pull, { queueOffset: 1000 }),
  changed('at the end', pull, { queueId: 1, queueOffset: 1 }),
  changed('negative offset', pull, { queueOffset: -1 }),
  changed('empty queue', pull, { queueId: 3 }),
  changed('beyond the end of an empty queue', pull, { queueId: 3, queueOffset: 5 }),
  changed('held for a moment', pull, { queueId: 3, sysFlag: 2, suspendTimeoutMillis: 100 }),
  changed('its own subscription', pull, { sysFlag: 4, subscription: '*' }),
  changed('its own bad expression', pull, {
    sysFlag: 4,
    subscription: 'a >',
    expressionType: 'SQL92',
  }),
  changed('its own expression of no type', pull, {
    sysFlag: 4,
    subscription: 'a',
    expressionType: 'XPATH',
  }),
  changed('older subscription', pull, { subVersion: 0 }),
  changed('newer subscription', pull, { subVersion: '9999999999999' }),
  changed('no message asked for', pull, { maxMsgNums: 0 }),
  changed('commits', pull, { sysFlag: 1, commitOffset: 1 }),
  changed('lite', { ...pull, code: 361 }, { sysFlag: 20, subscription: '*' }),
  without('no group', pull, 'consumerGroup'),
  without('no subscription version', pull, 'subVersion'),

  request('committed', 14, offsetOf),
  request('queue without messages', 14, { ...offsetOf, queueId: 3 }),
  request('unknown group', 14, { ...offsetOf, consumerGroup: 'no-such-group' }),
  request('unknown group, zero refused', 14, {
    ...offsetOf,
    consumerGroup: 'no-such-group',
    setZeroIfNotFound: 'false',
  }),
  request('unknown group, zero wanted', 14, {
    ...offsetOf,
    consumerGroup: 'no-such-group',
    setZeroIfNotFound: 'true',
  }),
  request('unknown topic', 14, { ...offsetOf, topic: 'SingleUnknown' }),
  request('no such queue', 14, { ...offsetOf, queueId: 99 }),
  request('no group', 14, queue),
  request('whole', 15, { ...offsetOf, commitOffset: 1 }),
  request('unknown group', 15, { ...offsetOf, consumerGroup: 'no-such-group', commitOffset: 1 }),
  request('unknown topic', 15, { ...offsetOf, topic: 'SingleUnknown', commitOffset: 1 }),
  request('no such queue', 15, { ...offsetOf, queueId: 99, commitOffset: 1 }),
  request('beyond the end', 15, { ...offsetOf, commitOffset: 5000 }),
  request('negative', 15, { ...offsetOf, commitOffset: -1 }),
  request('no offset', 15, offsetOf),

  ...([29, 30, 31, 32] as const).flatMap((code) => [
    request('whole', code, { ...queue, timestamp: 0 }),
    request('empty queue', code, { ...queue, queueId: 3, timestamp: 0 }),
    request('unknown topic', code, { ...queue, topic: 'SingleUnknown', timestamp: 0 }),
    request('no such queue', code, { ...queue, queueId: 99, timestamp: 0 }),
    request('no topic', code, { queueId: 0, timestamp: 0 }),
  ]),
  request('after the last', 29, { ...queue, timestamp: '9999999999999' }),
  request('upper boundary', 29, { ...queue, timestamp: '9999999999999', boundaryType: 'UPPER' }),
  request('no such boundary', 29, { ...queue, timestamp: 0, boundaryType: 'MIDDLE' }),
  request('no time', 29, queue),

  request('whole', 12, query),
  request('no such key', 12, { ...query, key: 'no-such-key' }),
  request('unknown topic', 12, { ...query, topic: 'SingleUnknown' }),
  request('no message asked for', 12, { ...query, maxNum: 0 }),
  request('no time', 12, { topic: TOPIC, key: 'single-key', maxNum: 8 }),
  request('first message', 33, { offset: 0 }),
  request('beyond the end', 33, { offset: NOWHERE }),
  request('negative', 33, { offset: -1 }),
  request('inside of a message', 33, { offset: 7 }),
  request('no offset', 33),

  request('whole', 36, sendBack),
  request('to the dead letters', 36, { ...sendBack, delayLevel: -1 }),
  request('unknown group', 36, { ...sendBack, group: 'no-such-group' }),
  request('no message there', 36, { ...sendBack, offset: NOWHERE }),
  request('no group', 36, { offset: 0, delayLevel: 1 }),
  request('group', 38, { consumerGroup: GROUP }),
  request('unknown group', 38, { consumerGroup: 'no-such-group' }),
  request('no group', 38),
  request('one queue', 41, {}, JSON.stringify(queues)),
  request('no queue', 41, {}, JSON.stringify({ ...queues, mqSet: [] })),
  request('unknown group', 41, {}, JSON.stringify({ ...queues, consumerGroup: 'no-such-group' })),
  request('no body', 41),
  request('one queue', 42, {}, JSON.stringify(queues)),
  request(
    'one that is not locked',
    42,
    {},
    JSON.stringify({ ...queues, consumerGroup: 'no-such-group' }),
  ),
  request('tags', 46, {}, check({ ...sql, subString: 'TagA', expressionType: 'TAG' })),
  request('no type', 46, {}, check({ topic: TOPIC, subString: 'TagA' })),
  request('SQL', 46, {}, check(sql)),
  request('broken SQL', 46, {}, check({ ...sql, subString: 'a >' })),
  request('no such type', 46, {}, check({ ...sql, expressionType: 'XPATH' })),
  request('no body', 46),

  request('all', 21),
  request('all', 26),
  request('all', 28),
  request('all', 43),
  request('all', 45),
  request('all', 201),
  request('whole', 200, {}, JSON.stringify(group)),
  request('bad name', 200, {}, JSON.stringify({ ...group, groupName: 'no group!' })),
  request('no name', 200, {}, JSON.stringify({ consumeEnable: true })),
  request('no body', 200),
  request('whole', 351, { topic: TOPIC }),
  request('unknown topic', 351, { topic: 'SingleUnknown' }),
  request('no topic', 351),
  request('whole', 352, { group: 'made-group' }),
  request('unknown group', 352, { group: 'no-such-group' }),
  request('whole', 202, { topic: TOPIC }),
  request('unknown topic', 202, { topic: 'SingleUnknown' }),
  request('group', 203, { consumerGroup: GROUP }),
  request('nobody in the group', 203, { consumerGroup: 'made-group' }),
  request('unknown group', 203, { consumerGroup: 'no-such-group' }),
  request('unknown group', 204, { producerGroup: 'no-such-group' }),
  request('whole', 208, { consumerGroup: GROUP, topic: TOPIC }),
  request('all topics', 208, { consumerGroup: GROUP }),
  request('unknown group', 208, { consumerGroup: 'no-such-group' }),
  request('unknown topic', 208, { consumerGroup: GROUP, topic: 'SingleUnknown' }),
  ...toolRequests(),
  request('whole', 207, { groupName: 'made-group' }),
  request('unknown group', 207, { groupName: 'no-such-group' }),
  request('whole', 35, { clientID: CLIENT, consumerGroup: GROUP }),
  request('unknown client', 35, { clientID: 'no-such-client', consumerGroup: GROUP }),
  request('no client', 35),
  request('whole', 215, { topic: 'SingleMade' }),
  request('unknown topic', 215, { topic: 'SingleUnknown' }),
  request('system topic', 215, { topic: 'SCHEDULE_TOPIC_XXXX' }),
  request('empty topic', 215, { topic: '' }),
  request('no topic', 215),
  request('no such code', 9999),
];

/** What tools ask. */
function toolRequests(): SingleRequest[] {
  const topicConfig = { topicName: 'SingleListed', readQueueNums: 4, writeQueueNums: 4, perm: 6 };
  const pop = { ...offsetOf, maxMsgNums: 1, invisibleTime: 10_000, pollTime: 0, initMode: 0 };
  const reset = { topic: TOPIC, group: 'reset-group', timestamp: -1, isForce: 'true' };
  return [
    request('one topic', 18, {}, JSON.stringify({ topicConfigList: [topicConfig] })),
    request('one group', 225, {}, JSON.stringify({ groupConfigList: [group] })),
    request('of nobody', 222, reset),
    request('unknown topic', 222, { ...reset, topic: 'SingleUnknown' }),
    request('of nobody', 223, { topic: TOPIC, group: 'no-such-group' }),
    request('topic', 300, { topic: TOPIC }),
    request('unknown topic', 300, { topic: 'SingleUnknown' }),
    request('nobody', 303, { topic: TOPIC, group: 'no-such-group' }),
    request('known key', 25, {}, 'longPollingEnable=true\n'),
    request('not to be changed', 25, {}, 'brokerConfigPath=/nowhere\n'),
    request('nothing', 25),
    request('queues', 306),
    request('log', 329),
    request('all', 305),
    request('nobody', 307, { consumerGroup: 'no-such-group', clientId: 'no-such-client' }),
    request('nobody', 309, {
      consumerGroup: 'no-such-group',
      clientId: 'no-such-client',
      msgId: '0',
    }),
    request('whole', 308, { topic: TOPIC, compareGroup: GROUP, filterGroups: '' }),
    request('unknown group', 314, {
      topic: TOPIC,
      srcGroup: 'no-such-group',
      destGroup: 'x-group',
      offline: 'true',
    }),
    request('sends of a topic', 315, { statsName: 'TOPIC_PUT_NUMS', statsKey: TOPIC }),
    request('unknown key', 315, { statsName: 'TOPIC_PUT_NUMS', statsKey: 'no-such' }),
    request('all', 317, { isOrder: 'false' }),
    request('first two', 321, {
      topic: TOPIC,
      queueId: 0,
      index: 0,
      count: 2,
      consumerGroup: GROUP,
    }),
    request('unknown topic', 321, { topic: 'SingleUnknown', queueId: 0, index: 0, count: 2 }),
    request(
      'reply to nobody',
      325,
      { ...send.fields, i: 'REPLY_TO_CLIENT\u0001nobody\u0002' },
      'x',
    ),
    request('all', 328),
    request('whole', 343, { group: GROUP }),
    request('unknown group', 343, { group: 'no-such-group' }),
    request('whole', 345, { group: GROUP, topic: TOPIC }),
    request('unknown group', 345, { group: 'no-such-group', topic: TOPIC }),
    request('whole', 353, { group: GROUP, topic: TOPIC, readable: 'true' }),
    request(
      'whole',
      400,
      {},
      JSON.stringify({
        topic: TOPIC,
        consumerGroup: GROUP,
        clientId: CLIENT,
        strategyName: 'AVG',
        messageModel: 'CLUSTERING',
      }),
    ),
    request(
      'pull',
      401,
      {},
      JSON.stringify({ topic: TOPIC, consumerGroup: GROUP, mode: 'PULL', popShareQueueNum: 0 }),
    ),
    request('whole', 200_050, { ...pop, bornTime: Date.now() }),
    request('whole', 200_052, { ...offsetOf, maxMsgNums: 1 }),
    request('whole', 200_055, offsetOf),
    request('all', 907),
  ];
}

const self = {
  brokerName: 'single-broker',
  brokerAddr: '127.0.0.9:10911',
  clusterName: 'SingleCluster',
  brokerId: 0,
};
const kv = { namespace: 'SINGLE', key: 'k' };

export const nameServerRequests: SingleRequest[] = [
  request('whole', 100, { ...kv, value: 'v' }),
  request('no value', 100, { ...kv, key: 'other' }),
  request('no namespace', 100, { key: 'k', value: 'v' }),
  request('whole', 101, kv),
  request('unknown key', 101, { ...kv, key: 'no-such-key' }),
  request('unknown namespace', 101, { ...kv, namespace: 'NO_SUCH' }),
  request('whole', 219, kv),
  request('unknown namespace', 219, { namespace: 'NO_SUCH' }),
  request('whole', 102, kv),
  request('unknown key', 102, { ...kv, key: 'no-such-key' }),
  request('without a body', 103, { ...self, haServerAddr: '127.0.0.9:10912' }),
  request('known broker', 322, self, JSON.stringify({ counter: 1, stateVersion: 0, timestamp: 1 })),
  request(
    'unknown broker',
    322,
    { ...self, brokerName: 'no-such', brokerAddr: '127.0.0.9:1' },
    JSON.stringify({ counter: 1, stateVersion: 0, timestamp: 1 }),
  ),
  request('known broker', 904, self),
  request('unknown broker', 904, { ...self, brokerName: 'no-such', brokerAddr: '127.0.0.9:1' }),
  request('known broker', 901, self),
  request('unknown broker', 901, { clusterName: 'SingleCluster', brokerName: 'no-such' }),
  request('known broker', 205, { brokerName: self.brokerName }),
  request('unknown broker', 205, { brokerName: 'no-such' }),
  request('known broker', 327, { brokerName: self.brokerName }),
  request('unknown broker', 327, { brokerName: 'no-such' }),
  request(
    'whole',
    217,
    { topic: 'SingleRoute' },
    JSON.stringify({
      queueDatas: [
        {
          brokerName: self.brokerName,
          readQueueNums: 4,
          writeQueueNums: 4,
          perm: 6,
          topicSysFlag: 0,
        },
      ],
      brokerDatas: [],
    }),
  ),
  request('no body', 217, { topic: 'SingleRoute2' }),
  request('whole', 105, { topic: TOPIC }),
  request('standard JSON', 105, { topic: TOPIC, acceptStandardJsonOnly: 'true' }),
  request('unknown topic', 105, { topic: 'SingleUnknown' }),
  request('topic without a broker', 105, { topic: 'SingleRoute' }),
  request('empty topic', 105, { topic: '' }),
  request('no topic', 105),
  request('all', 106),
  request('all', 206),
  request('known cluster', 224, { cluster: 'DefaultCluster' }),
  request('unknown cluster', 224, { cluster: 'no-such' }),
  request('all', 304),
  request('all', 311),
  request('all', 312),
  request('all', 313),
  request('all', 319),
  request('nothing', 318),
  request('not to be changed', 318, {}, 'kvConfigPath=/nowhere\n'),
  request('whole', 216, { topic: 'SingleRoute' }),
  request('unknown topic', 216, { topic: 'SingleUnknown' }),
  request('whole', 104, self),
  request('unknown broker', 104, { ...self, brokerName: 'no-such', brokerAddr: '127.0.0.9:1' }),
  request('no name', 104),
  request('no name', 103, {
    brokerAddr: self.brokerAddr,
    haServerAddr: '127.0.0.9:10912',
    clusterName: 'c',
    brokerId: 0,
  }),
  request('no such code', 9999),
];

const ANSWER_TIMEOUT_MS = 5000;
const INDEXED_TIMEOUT_MS = 10_000;
const INDEXED_POLL_MS = 20;

/** Sends each in turn; a connection that was closed is opened anew. */
export async function sendSingly(
  address: { host: string; port: number },
  requests: readonly SingleRequest[],
  onAnswer: (request: SingleRequest, answer: RemotingCommand | null) => void,
): Promise<void> {
  let client = await RawClient.connect(address.port, address.host);
  let sentEnd = 0;
  for (const single of requests) {
    if (single.code === RequestCode.PULL_MESSAGE && sentEnd > 0) {
      // A busy stock broker indexes what it has acknowledged some milliseconds later.
      await untilIndexed(client, sentEnd);
      sentEnd = 0;
    }
    const late = new Promise<null>((resolve) =>
      setTimeout(resolve, ANSWER_TIMEOUT_MS, null).unref(),
    );
    const closed = client.closed.then(() => null);
    const answer = await Promise.race([client.request(single), closed, late]);
    onAnswer(single, answer);
    const isSent = single.code === RequestCode.SEND_MESSAGE_V2 && answer?.code === 0;
    if (isSent && single.fields?.['b'] === TOPIC && answer.extFields.get('queueId') === '0')
      sentEnd = Number(answer.extFields.get('queueOffset')) + 1;
    if (client.socket.destroyed) client = await RawClient.connect(address.port, address.host);
  }
  client.close();
}

/** Waits until queue 0 of the topic ends where the last acknowledged send says. */
async function untilIndexed(client: RawClient, end: number): Promise<void> {
  const deadlineMs = performance.now() + INDEXED_TIMEOUT_MS;
  for (;;) {
    const answer = await client.request({ code: RequestCode.GET_MAX_OFFSET, fields: queue });
    if (Number(answer.extFields.get('offset')) >= end) return;
    if (performance.now() > deadlineMs) throw new Error(`the queue does not reach offset ${end}`);
    await new Promise((resolve) => setTimeout(resolve, INDEXED_POLL_MS));
  }
}
