/**
 * @agent control
 *
 * Administration of the broker itself: UPDATE_BROKER_CONFIG (25), GET_BROKER_CONFIG (26),
 * GET_BROKER_RUNTIME_INFO (28), VIEW_BROKER_STATS_DATA (315), GET_ALL_DELAY_OFFSET (45), and
 * deleting what nothing needs (306, 316).
 *
 * Source: AdminBrokerProcessor.java.
 */
import { MILLRACE_PROTOCOL_VERSION, RequestCode, ResponseCode } from '../protocol/codes.ts';
import { parseProperties } from '../base/properties-file.ts';
import type { RequestHandler } from './control-state.ts';
import { readChange, type SettingChange } from './live-settings.ts';
import { requiredText, RequestFault } from './request-fields.ts';
import { statsDataJson } from './statistics.ts';

/** Of what a change of settings may bring: there are some dozens of settings. */
const SETTINGS_BYTES_MAX = 64 * 1024;

/** All changes, or none where one is not allowed. */
const updateConfig: RequestHandler = (state, request) => {
  if (request.body.length > SETTINGS_BYTES_MAX)
    throw new RequestFault(
      `the settings have ${request.body.length} bytes, more than ${SETTINGS_BYTES_MAX}`,
    );
  const changes: SettingChange[] = [];
  for (const { name, text } of parseProperties(request.body.toString())) {
    const change = readChange(name, text);
    if (typeof change === 'string') return { code: ResponseCode.NO_PERMISSION, remark: change };
    changes.push(change);
  }
  if (changes.length === 0)
    return { code: ResponseCode.SYSTEM_ERROR, remark: 'the body has no key=value' };
  state.changeSettings(changes);
  for (const { name, text } of changes)
    state.logger.info({ name, text }, 'setting is changed over the network');
  return { code: ResponseCode.SUCCESS };
};

const readConfig: RequestHandler = (state) => {
  const lines: string[] = [];
  const settings = new Map([...state.config.visibleConfig(), ...state.changedSettings]);
  for (const [key, value] of settings) {
    // A second look: a secret that slipped into the visible part stays inside all the same.
    if (!/password|secret|credential|token|accesskey/i.test(key))
      lines.push(`${key}=${oneLine(value)}`);
  }
  return {
    code: ResponseCode.SUCCESS,
    extFields: [
      [
        'version',
        JSON.stringify({ counter: 0, stateVersion: 0, timestamp: state.bootTimestampMs }),
      ],
    ],
    body: Buffer.from(lines.map((line) => `${line}\n`).join('')),
  };
};

const statsData: RequestHandler = (state, request, connection) => {
  const name = requiredText(request, 'statsName');
  const key = requiredText(request, 'statsKey');
  const item = name === 'SNDBCK_PUT_NUMS' ? state.sendBacks.get(key) : undefined;
  if (item !== undefined) {
    const body = statsDataJson(item, state.monotonicClock.nowMs(), 'messages');
    return { code: ResponseCode.SUCCESS, body: Buffer.from(body) };
  }
  state.effects.askDispatcher(connection.id, request, { kind: 'stats', name, key });
  return null;
};

const delayOffsets: RequestHandler = (state, request, connection) => {
  state.effects.askDispatcher(connection.id, request, { kind: 'delay-offsets' });
  return null;
};

const clean: RequestHandler = (state, request, connection) => {
  state.effects.askDispatcher(connection.id, request, { kind: 'clean' });
  return null;
};

/** What control knows; the dispatcher adds the store and the statistics, and answers. */
const runtimeInfo: RequestHandler = (state, request, connection) => {
  const table: [string, string][] = [
    ['bootTimestamp', String(state.bootTimestampMs)],
    ['brokerActive', 'true'],
    ['brokerVersion', String(MILLRACE_PROTOCOL_VERSION)],
    ['brokerVersionDesc', 'V5_3_3'],
    ['runtime', runtimeText(state.wallClock.nowMs() - state.bootTimestampMs)],
    ['startAcceptSendRequestTimeStamp', String(state.bootTimestampMs)],
    ...inapplicable.map((key): [string, string] => [key, '0']),
    ...inapplicableRates.map((key): [string, string] => [key, '0.0']),
  ];
  state.effects.askDispatcher(connection.id, request, { kind: 'runtime-info', table });
  return null;
};

/** Of thread pools and buffers that RocketMQ has and this broker has not; tools expect numbers. */
const inapplicable = [
  'pageCacheLockTimeMills',
  'timerReadBehind',
  'timerOffsetBehind',
  'timerCongestNum',
  'remainTransientStoreBufferNumbs',
  'dispatchMaxBuffer',
  ...['send', 'pull', 'litePull', 'query', 'ack'].flatMap((pool) => [
    `${pool}ThreadPoolQueueSize`,
    `${pool}ThreadPoolQueueCapacity`,
    `${pool}ThreadPoolQueueHeadWaitTimeMills`,
  ]),
  'EndTransactionQueueSize',
  'EndTransactionThreadPoolQueueCapacity',
];
const inapplicableRates = ['timerEnqueueTps', 'timerDequeueTps'];

/** As DefaultMessageStore writes it: "[ 0 days, 1 hours, 2 minutes, 3 seconds ]". */
function runtimeText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor(seconds / 3_600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  return `[ ${days} days, ${hours} hours, ${minutes} minutes, ${seconds % 60} seconds ]`;
}

/** A value can't start a line of its own. */
function oneLine(value: string): string {
  return value.replace(/[\r\n]+/g, ' ');
}

export const brokerAdminHandlers: readonly (readonly [number, RequestHandler])[] = [
  [RequestCode.UPDATE_BROKER_CONFIG, updateConfig],
  [RequestCode.GET_BROKER_CONFIG, readConfig],
  [RequestCode.GET_BROKER_RUNTIME_INFO, runtimeInfo],
  [RequestCode.VIEW_BROKER_STATS_DATA, statsData],
  [RequestCode.GET_ALL_DELAY_OFFSET, delayOffsets],
  [RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, clean],
  [RequestCode.CLEAN_UNUSED_TOPIC, clean],
];
