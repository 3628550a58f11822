/**
 * @agent any
 *
 * The table of settings: each key of BrokerConfig with its flag, environment variable, names in a
 * broker.conf, kind of value and one line of help. Everything that reads or explains a setting reads this.
 */
import os from 'node:os';
import type { BrokerConfig } from '../base/broker-config.ts';
import { SystemTopic } from '../broker/resource-name.ts';
import { isOriginPattern } from '../reactor/web-origin.ts';
import { accessSettingKeys } from './access-keys.ts';
import { limitSettingKeys } from './limit-keys.ts';
import { parseHostAndPort } from './client-address.ts';
import {
  integer,
  listOf,
  oneOf,
  type SettingValue,
  textThat,
  yesOrNo,
} from '../base/setting-value.ts';

export interface SettingKey {
  readonly key: keyof BrokerConfig;
  /** How its text becomes a value, and what may stand there. */
  readonly kind: SettingValue;
  readonly help: string;
  /** Never shown: not in a help, a message, or an answer. */
  readonly isSecret?: true;
  /** Long flag without dashes; also gives MILLRACE_… its name. Absent: only in a file or the environment. */
  readonly flag?: string;
  /** Words of the environment variable where neither flag nor key says it right. */
  readonly variable?: string;
  /** Placeholder of the flag's value. */
  readonly value?: string;
  /** Names in a broker.conf, RocketMQ's first. */
  readonly names: readonly string[];
}

const DAY_MS = 86_400_000;

export const port = integer('a port, 0 to 65535', { minimum: 0, maximum: 65535 });
/** -1 is how `off` is kept. */
export const portOrOff: SettingValue = {
  allowed: 'a port, 0 to 65535, or off',
  parse: (text) => {
    const word = text.trim();
    return word === 'off' || word === '-1' ? -1 : port.parse(word);
  },
};
const percent = integer('percent, 1 to 100', { minimum: 1, maximum: 100 });
const millis = integer('milliseconds, 1 to 86400000', { minimum: 1, maximum: DAY_MS });
/** What RocketMQ allows in resource names; they become parts of paths and of JSON. */
const name = textThat('1 to 255 of letters, digits, _ - % |', (text) =>
  /^[A-Za-z0-9_%|-]{1,255}$/.test(text),
);

export const settingKeys: readonly SettingKey[] = [
  {
    key: 'storeDirectory',
    flag: 'store-dir',
    value: 'DIR',
    names: ['storePathRootDir'],
    kind: textThat('a directory', (text) => text !== '' && !text.includes('\0')),
    help: 'where messages and all state are kept',
  },
  {
    key: 'listenAddress',
    flag: 'listen-address',
    value: 'A',
    names: ['bindAddress'],
    kind: textThat('an address of this machine, 0.0.0.0 for all', (text) =>
      /^[A-Za-z0-9_.:%-]+$/.test(text),
    ),
    help: 'address that the ports are bound to',
  },
  {
    key: 'brokerPort',
    flag: 'broker-port',
    value: 'N',
    names: ['listenPort'],
    kind: port,
    help: 'port of the broker; two below it is its VIP port',
  },
  {
    key: 'nameServerPort',
    flag: 'name-server-port',
    value: 'N',
    names: ['nameServerPort'],
    kind: port,
    help: 'port of the name server in this process',
  },
  {
    key: 'webPort',
    flag: 'web-port',
    value: 'N|off',
    names: ['webPort'],
    kind: portOrOff,
    help: 'port for browsers: WebSocket, /healthz, /readyz, /metrics; off for none',
  },
  {
    key: 'webAllowedOrigins',
    flag: 'web-allowed-origins',
    value: 'ORIGIN;…',
    names: ['webAllowedOrigins'],
    kind: listOf(
      'origins like https://app.example.com, with ";" between them, or *',
      isOriginPattern,
    ),
    help: 'pages that may connect, besides those of this machine',
  },
  {
    key: 'webLibrary',
    names: ['webLibrary'],
    kind: oneOf('auto, uws or ws', ['auto', 'uws', 'ws']),
    help: 'what carries the web port; auto: uWebSockets.js where it loads, else ws',
  },
  {
    key: 'metricsLineCountMax',
    names: ['metricsLineCountMax'],
    kind: integer('lines, 100 to 10000000', { minimum: 100, maximum: 10_000_000 }),
    help: 'lines of one answer of /metrics, beyond which single queues are left out',
  },
  {
    key: 'flush',
    flag: 'flush',
    value: 'async|sync',
    names: ['flushDiskType'],
    kind: oneOf('async or sync (ASYNC_FLUSH or SYNC_FLUSH in a broker.conf)', ['async', 'sync'], {
      ASYNC_FLUSH: 'async',
      SYNC_FLUSH: 'sync',
    }),
    help: 'answer a send when it is in memory that survives the process, or when it is on disk',
  },
  {
    key: 'threads',
    flag: 'threads',
    value: 'auto|pipelined|inline',
    names: ['threads'],
    kind: oneOf('auto, pipelined or inline', ['auto', 'pipelined', 'inline']),
    help: 'how agents are spread over threads',
  },
  {
    key: 'advertise',
    flag: 'advertise',
    value: 'HOST[:PORT]',
    names: ['brokerIP1'],
    kind: textThat('a host, or host:port', (text) => parseHostAndPort(text) !== null),
    help: 'address that clients are given, for a broker behind NAT or a port map',
  },
  {
    key: 'nameServerAddresses',
    flag: 'name-servers',
    value: 'HOST:PORT;…',
    names: ['namesrvAddr'],
    kind: listOf(
      'host:port, several with ";" between them',
      (text) => (parseHostAndPort(text)?.port ?? null) !== null,
    ),
    help: 'other name servers to register with',
  },
  {
    key: 'embeddedNameServer',
    names: ['embeddedNameServer'],
    kind: yesOrNo,
    help: 'run a name server in this process',
  },
  {
    key: 'clusterName',
    flag: 'cluster-name',
    value: 'NAME',
    names: ['brokerClusterName'],
    kind: name,
    help: 'name of the cluster',
  },
  {
    key: 'brokerName',
    flag: 'broker-name',
    value: 'NAME',
    names: ['brokerName'],
    kind: name,
    help: 'name of this broker in routes',
  },
  {
    key: 'brokerId',
    names: ['brokerId'],
    kind: integer('0: this broker is a master; slaves are not supported yet', {
      minimum: 0,
      maximum: 0,
    }),
    help: 'id of this broker among those of its name',
  },
  {
    key: 'storeKind',
    names: ['storeKind'],
    kind: oneOf('mapped or plain', ['mapped', 'plain']),
    help: 'mapped memory, or plain files without native code (with threads=inline)',
  },
  {
    key: 'segmentBytes',
    names: ['mappedFileSizeCommitLog', 'mapedFileSizeCommitLog'],
    kind: integer('bytes, 65536 to 2147479552, a multiple of 4096', {
      minimum: 65_536,
      maximum: 2_147_479_552,
      step: 4096,
    }),
    help: 'size of a segment of the log',
  },
  {
    key: 'maxMessageBytes',
    names: ['maxMessageSize'],
    kind: integer('bytes, 1024 to 15728640', { minimum: 1024, maximum: 15 * 1024 * 1024 }),
    help: 'longest message body',
  },
  {
    key: 'fileReservedTimeHours',
    names: ['fileReservedTime'],
    kind: integer('hours, 1 to 87600', { minimum: 1, maximum: 87_600 }),
    help: 'age at which messages expire',
  },
  {
    key: 'deleteWhen',
    names: ['deleteWhen'],
    kind: textThat('hours of the day, "04" or "04;16"', (text) =>
      /^([01]?\d|2[0-3])(\s*;\s*([01]?\d|2[0-3]))*$/.test(text),
    ),
    help: 'when expired segments are deleted',
  },
  {
    key: 'diskMaxUsedSpaceRatio',
    names: ['diskMaxUsedSpaceRatio'],
    kind: percent,
    help: 'disk use above which expired segments are deleted at any hour',
  },
  {
    key: 'diskSpaceCleanForciblyRatio',
    names: ['diskSpaceCleanForciblyRatio'],
    kind: percent,
    help: 'disk use above which the oldest segments are deleted whatever their age',
  },
  {
    key: 'diskSpaceWarningLevelRatio',
    names: ['diskSpaceWarningLevelRatio'],
    kind: percent,
    help: 'disk use above which messages are refused',
  },
  ...(
    [
      ['autoCreateTopicEnable', 'a first send creates its topic'],
      ['autoCreateSubscriptionGroup', 'a first heartbeat creates its group'],
      ['longPollingEnable', 'pulls wait for messages'],
      ['enablePropertyFilter', 'consumers may subscribe by SQL92 expressions'],
      ['notifyConsumerIdsChangedEnable', 'members of a group are told when others come and go'],
      ['useServerSideResetOffset', 'offsets are reset in the broker, not by its clients'],
      ['storeReplyMessageEnable', 'replies to request messages are stored as well'],
      [
        'orderMessageEnable',
        'routes tell the queues of ordered topics (updateOrderConf of mqadmin)',
      ],
      ['messageIndexEnable', 'messages can be found by key'],
      ['timerWheelEnable', 'messages can be timed (TIMER_* properties)'],
      ['recallMessageEnable', 'timed messages can be recalled'],
      ['rejectTransactionMessage', 'take no transactional messages'],
      ['traceOn', 'clients are told to trace'],
      ['traceTopicEnable', 'create the topic for traces at start'],
    ] as const
  ).map(([key, help]): SettingKey => ({
    key,
    names: [key],
    kind: yesOrNo,
    help,
  })),
  {
    key: 'checkCrcOnRecover',
    names: ['checkCRCOnRecover'],
    kind: yesOrNo,
    help: 'check bodies when the store is recovered',
  },
  {
    key: 'appendsPropertyCrc',
    names: ['enabledAppendPropCRC'],
    kind: yesOrNo,
    help: 'end each record with a checksum of all of it, the property __CRC32#',
  },
  {
    key: 'verifiesPropertyCrc',
    names: ['forceVerifyPropCRC'],
    kind: yesOrNo,
    help: 'check those checksums when the store is recovered',
  },
  {
    key: 'defaultTopicQueueNums',
    names: ['defaultTopicQueueNums'],
    kind: integer('1 to 1024', { minimum: 1, maximum: 1024 }),
    help: 'most queues of a topic that a first send creates',
  },
  {
    key: 'messageDelayLevel',
    names: ['messageDelayLevel'],
    kind: textThat('delays like "1s 5s 1m 2h"', (text) => /^\d+[smhd](\s+\d+[smhd])*$/.test(text)),
    help: 'delays of levels 1, 2, 3 …',
  },
  {
    key: 'timerMaxDelaySec',
    names: ['timerMaxDelaySec'],
    kind: integer('seconds, 1 to 315360000', { minimum: 1, maximum: 315_360_000 }),
    help: 'longest delay of a timed message',
  },
  {
    key: 'transactionTimeOutMs',
    names: ['transactionTimeOut'],
    kind: millis,
    help: 'age at which the producer of a half message is asked about it',
  },
  {
    key: 'transactionCheckIntervalMs',
    names: ['transactionCheckInterval'],
    kind: millis,
    help: 'time between two such questions',
  },
  {
    key: 'transactionCheckMax',
    names: ['transactionCheckMax'],
    kind: integer('1 to 1000000', { minimum: 1, maximum: 1_000_000 }),
    help: 'questions after which a half message is given up',
  },
  {
    key: 'syncFlushTimeoutMs',
    names: ['syncFlushTimeout'],
    kind: millis,
    help: 'longest wait for the disk before a send is answered 10',
  },
  {
    key: 'flushIntervalMs',
    names: ['flushIntervalCommitLog'],
    kind: millis,
    help: 'how often the log is synced with asynchronous flush',
  },
  {
    key: 'dropBehind',
    names: ['dropBehind'],
    kind: oneOf('auto, on or off', ['auto', 'on', 'off']),
    help: 'the page cache forgets what a fast stream wrote; auto: where the hypervisor takes back free memory',
  },
  ...limitSettingKeys,
  {
    key: 'idleCloseMs',
    variable: 'idle-close-seconds',
    names: ['serverChannelMaxIdleTimeSeconds'],
    kind: integer('seconds, 1 to 86400', { minimum: 1000, maximum: DAY_MS, unit: 1000 }),
    help: 'silence after which a connection is closed',
  },
  {
    key: 'waitTimeMillsInSendQueue',
    names: ['waitTimeMillsInSendQueue'],
    kind: millis,
    help: 'age at which a waiting send is answered 2 (busy)',
  },
  {
    key: 'regionId',
    names: ['regionId'],
    kind: textThat('1 to 127 characters', (text) => text.length >= 1 && text.length <= 127),
    help: 'region that messages are marked with',
  },
  ...accessSettingKeys,
  {
    key: 'allowPublic',
    names: ['allowPublic'],
    kind: yesOrNo,
    help: 'let other machines reach a broker without access control (--allow-public)',
  },
];

/** The environment variable of a setting. */
export function environmentName(setting: SettingKey): string {
  const words =
    setting.variable ??
    setting.flag ??
    setting.key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return `MILLRACE_${words.replaceAll('-', '_').toUpperCase()}`;
}

/** The configuration by the names of a broker.conf, as tools are shown it (code 26). */
export function configurationTexts(config: BrokerConfig): [string, string][] {
  const shown = settingKeys.filter(({ isSecret }) => isSecret !== true);
  const texts = shown.map(({ key, names, kind }): [string, string] => {
    const value = config[key];
    const text = typeof value === 'number' ? value / (kind.unit ?? 1) : value;
    return [names[0], settingText(text)];
  });
  // What tools look for and has one value here.
  return [
    ...texts,
    ['brokerRole', 'ASYNC_MASTER'],
    ['slaveReadEnable', 'false'],
    // By its name a number of threads; tools take it for the number of processors.
    ['clientCallbackExecutorThreads', String(os.availableParallelism())],
    ['useTLS', 'false'],
    ['msgTraceTopicName', SystemTopic.TRACE],
  ];
}

function settingText(value: BrokerConfig[keyof BrokerConfig]): string {
  if (value === null) return '';
  if (value === 'sync') return 'SYNC_FLUSH';
  if (value === 'async') return 'ASYNC_FLUSH';
  if (Array.isArray(value)) return value.join(';');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
