/**
 * @agent control
 *
 * Administration of the broker itself: UPDATE_BROKER_CONFIG (25), GET_BROKER_CONFIG (26),
 * GET_BROKER_RUNTIME_INFO (28).
 *
 * Configuration is never changed over the network: that is how brokers were broken into
 * (CVE-2023-33246, CVE-2023-37582).
 *
 * Source: AdminBrokerProcessor.java.
 */
import { MILLRACE_PROTOCOL_VERSION, RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { RequestHandler } from './control-state.ts';

const updateConfig: RequestHandler = () => ({
  code: ResponseCode.NO_PERMISSION,
  remark:
    'the configuration of this broker is not changed over the network; change its file and restart',
});

const readConfig: RequestHandler = (state) => {
  const lines: string[] = [];
  for (const [key, value] of state.config.visibleConfig()) {
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

const runtimeInfo: RequestHandler = (state) => {
  const table = new Map<string, string>([
    ['bootTimestamp', String(state.bootTimestampMs)],
    ['brokerActive', 'true'],
    ['brokerVersion', String(MILLRACE_PROTOCOL_VERSION)],
    ['brokerVersionDesc', 'V5_3_3'],
    ['runtime', runtimeText(state.wallClock.nowMs() - state.bootTimestampMs)],
    ['startAcceptSendRequestTimeStamp', String(state.bootTimestampMs)],
    // Statistics that no agent keeps; clusterList prints a row only where they are numbers.
    ...absentStatistics.map((key): [string, string] => [key, '0']),
    ...absentRates.map((key): [string, string] => [key, '0.0 0.0 0.0']),
  ]);
  for (const [key, value] of state.config.runtimeInfo()) table.set(key, value);
  return {
    code: ResponseCode.SUCCESS,
    body: Buffer.from(JSON.stringify({ table: Object.fromEntries(table) })),
  };
};

const absentStatistics = [
  'msgPutTotalYesterdayMorning',
  'msgPutTotalTodayMorning',
  'msgPutTotalTodayNow',
  'msgGetTotalYesterdayMorning',
  'msgGetTotalTodayMorning',
  'msgGetTotalTodayNow',
  'dispatchBehindBytes',
  'pageCacheLockTimeMills',
  'earliestMessageTimeStamp',
  'timerReadBehind',
  'timerOffsetBehind',
  'timerCongestNum',
  'timerEnqueueTps',
  'timerDequeueTps',
  'remainTransientStoreBufferNumbs',
  'remainHowManyDataToCommit',
  'remainHowManyDataToFlush',
  'commitLogDiskRatio',
  'consumeQueueDiskRatio',
  'commitLogMinOffset',
  'commitLogMaxOffset',
  'sendThreadPoolQueueSize',
  'sendThreadPoolQueueCapacity',
  'sendThreadPoolQueueHeadWaitTimeMills',
  'pullThreadPoolQueueSize',
  'pullThreadPoolQueueCapacity',
  'pullThreadPoolQueueHeadWaitTimeMills',
  'litePullThreadPoolQueueSize',
  'litePullThreadPoolQueueCapacity',
  'litePullThreadPoolQueueHeadWaitTimeMills',
  'queryThreadPoolQueueSize',
  'queryThreadPoolQueueCapacity',
  'queryThreadPoolQueueHeadWaitTimeMills',
  'ackThreadPoolQueueSize',
  'ackThreadPoolQueueCapacity',
  'ackThreadPoolQueueHeadWaitTimeMills',
  'EndTransactionQueueSize',
  'EndTransactionThreadPoolQueueCapacity',
  'putMessageEntireTimeMax',
  'putMessageTimesTotal',
  'putMessageFailedTimes',
  'putMessageSizeTotal',
  'putMessageAverageSize',
  'dispatchMaxBuffer',
  'getMessageEntireTimeMax',
  'putLatency99',
  'putLatency999',
];

const absentRates = ['putTps', 'getFoundTps', 'getMissTps', 'getTotalTps', 'getTransferredTps'];

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
];
