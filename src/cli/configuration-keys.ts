/**
 * @agent any
 *
 * The table of settings: each key of BrokerConfig with its flag, environment variable, names in a
 * broker.conf, schema and one line of help. Everything that reads or explains a setting reads this.
 */
import { type TSchema, Type } from 'typebox';
import type { BrokerConfig } from '../base/broker-config.ts';

export interface SettingKey {
  readonly key: keyof BrokerConfig;
  /** Value schema; its bounds are what an error explains. */
  readonly schema: TSchema;
  /** What may stand there, in words. */
  readonly allowed: string;
  readonly help: string;
  /** Long flag without dashes; also gives MILLRACE_… its name. Absent: only in a file or the environment. */
  readonly flag?: string;
  /** Placeholder of the flag's value. */
  readonly value?: string;
  /** Names in a broker.conf, RocketMQ's first. */
  readonly names: readonly string[];
  /** From the text of any source to the value; identity for text. */
  readonly parse: (text: string) => unknown;
}

const text = (value: string): unknown => value;
const number = (value: string): unknown => (/^-?\d+$/.test(value.trim()) ? Number(value) : value);
const boolean = (value: string): unknown => {
  const lower = value.trim().toLowerCase();
  return lower === 'true' || (lower === 'false' ? false : value);
};
const list = (value: string): unknown =>
  value
    .split(';')
    .map((item) => item.trim())
    .filter((item) => item !== '');

const port = Type.Integer({ minimum: 0, maximum: 65535 });
const percent = Type.Integer({ minimum: 1, maximum: 100 });
const millis = Type.Integer({ minimum: 1, maximum: 86_400_000 });
const yes = Type.Boolean();
const name = Type.String({ minLength: 1, maxLength: 255, pattern: '^[A-Za-z0-9_%|-]+$' });

const flushTypes: ReadonlyMap<string, string> = new Map([
  ['ASYNC_FLUSH', 'async'],
  ['SYNC_FLUSH', 'sync'],
]);

export const settingKeys: readonly SettingKey[] = [
  {
    key: 'storeDirectory',
    flag: 'store-dir',
    value: 'DIR',
    names: ['storePathRootDir'],
    schema: Type.String({ minLength: 1 }),
    allowed: 'a directory',
    help: 'where messages and all state are kept',
    parse: text,
  },
  {
    key: 'listenAddress',
    flag: 'listen-address',
    value: 'A',
    names: ['bindAddress'],
    schema: Type.String({ minLength: 1 }),
    allowed: 'an address of this machine, 0.0.0.0 for all',
    help: 'address that the ports are bound to',
    parse: text,
  },
  {
    key: 'brokerPort',
    flag: 'broker-port',
    value: 'N',
    names: ['listenPort'],
    schema: port,
    allowed: 'a port, 0 to 65535',
    help: 'port of the broker; two below it is its VIP port',
    parse: number,
  },
  {
    key: 'nameServerPort',
    flag: 'name-server-port',
    value: 'N',
    names: ['nameServerPort'],
    schema: port,
    allowed: 'a port, 0 to 65535',
    help: 'port of the name server in this process',
    parse: number,
  },
  {
    key: 'flush',
    flag: 'flush',
    value: 'async|sync',
    names: ['flushDiskType'],
    schema: Type.Enum(['async', 'sync']),
    allowed: 'async or sync (ASYNC_FLUSH or SYNC_FLUSH in a broker.conf)',
    help: 'answer a send when it is in memory that survives the process, or when it is on disk',
    parse: (value) => flushTypes.get(value.trim()) ?? value,
  },
  {
    key: 'threads',
    flag: 'threads',
    value: 'auto|pipelined|inline',
    names: ['threads'],
    schema: Type.Enum(['auto', 'pipelined', 'inline']),
    allowed: 'auto, pipelined or inline',
    help: 'how agents are spread over threads',
    parse: text,
  },
  {
    key: 'advertise',
    flag: 'advertise',
    value: 'HOST[:PORT]',
    names: ['brokerIP1'],
    schema: Type.Union([Type.Null(), Type.String({ minLength: 1 })]),
    allowed: 'a host, or host:port',
    help: 'address that clients are given, for a broker behind NAT or a port map',
    parse: text,
  },
  {
    key: 'nameServerAddresses',
    flag: 'name-servers',
    value: 'HOST:PORT;…',
    names: ['namesrvAddr'],
    schema: Type.Array(Type.String({ pattern: '^\\[?[A-Za-z0-9_.:-]+\\]?:\\d+$' })),
    allowed: 'host:port, several with ";" between them',
    help: 'other name servers to register with',
    parse: list,
  },
  {
    key: 'embeddedNameServer',
    names: ['embeddedNameServer'],
    schema: yes,
    allowed: 'true or false',
    help: 'run a name server in this process',
    parse: boolean,
  },
  {
    key: 'clusterName',
    flag: 'cluster-name',
    value: 'NAME',
    names: ['brokerClusterName'],
    schema: name,
    allowed: 'letters, digits, _ - % |',
    help: 'name of the cluster',
    parse: text,
  },
  {
    key: 'brokerName',
    flag: 'broker-name',
    value: 'NAME',
    names: ['brokerName'],
    schema: name,
    allowed: 'letters, digits, _ - % |',
    help: 'name of this broker in routes',
    parse: text,
  },
  {
    key: 'brokerId',
    names: ['brokerId'],
    schema: Type.Integer({ minimum: 0, maximum: 0 }),
    allowed: '0: this broker is a master; slaves are not supported yet',
    help: 'id of this broker among those of its name',
    parse: number,
  },
  {
    key: 'storeKind',
    names: ['storeKind'],
    schema: Type.Enum(['mapped', 'plain']),
    allowed: 'mapped or plain',
    help: 'mapped memory, or plain files without native code (with threads=inline)',
    parse: text,
  },
  {
    key: 'segmentBytes',
    names: ['mappedFileSizeCommitLog', 'mapedFileSizeCommitLog'],
    schema: Type.Integer({ minimum: 64 * 1024, maximum: 2 ** 31 - 1 }),
    allowed: 'bytes, 65536 to 2147483647, a multiple of 4096',
    help: 'size of a segment of the log',
    parse: number,
  },
  {
    key: 'maxMessageBytes',
    names: ['maxMessageSize'],
    schema: Type.Integer({ minimum: 1024, maximum: 15 * 1024 * 1024 }),
    allowed: 'bytes, 1024 to 15728640',
    help: 'longest message body',
    parse: number,
  },
  {
    key: 'fileReservedTimeHours',
    names: ['fileReservedTime'],
    schema: Type.Integer({ minimum: 1, maximum: 24 * 3650 }),
    allowed: 'hours, at least 1',
    help: 'age at which messages expire',
    parse: number,
  },
  {
    key: 'deleteWhen',
    names: ['deleteWhen'],
    schema: Type.String({ pattern: '^\\s*([01]?\\d|2[0-3])\\s*(;\\s*([01]?\\d|2[0-3])\\s*)*$' }),
    allowed: 'hours of the day, "04" or "04;16"',
    help: 'when expired segments are deleted',
    parse: text,
  },
  {
    key: 'diskMaxUsedSpaceRatio',
    names: ['diskMaxUsedSpaceRatio'],
    schema: percent,
    allowed: 'percent, 1 to 100',
    help: 'disk use above which expired segments are deleted at any hour',
    parse: number,
  },
  {
    key: 'diskSpaceCleanForciblyRatio',
    names: ['diskSpaceCleanForciblyRatio'],
    schema: percent,
    allowed: 'percent, 1 to 100',
    help: 'disk use above which the oldest segments are deleted whatever their age',
    parse: number,
  },
  {
    key: 'diskSpaceWarningLevelRatio',
    names: ['diskSpaceWarningLevelRatio'],
    schema: percent,
    allowed: 'percent, 1 to 100',
    help: 'disk use above which messages are refused',
    parse: number,
  },
  ...(
    [
      ['autoCreateTopicEnable', 'a first send creates its topic'],
      ['autoCreateSubscriptionGroup', 'a first heartbeat creates its group'],
      ['longPollingEnable', 'pulls wait for messages'],
      ['messageIndexEnable', 'messages can be found by key'],
      ['traceOn', 'clients are told to trace'],
      ['traceTopicEnable', 'create the topic for traces at start'],
    ] as const
  ).map(([key, help]): SettingKey => ({
    key,
    names: [key],
    schema: yes,
    allowed: 'true or false',
    help,
    parse: boolean,
  })),
  {
    key: 'checkCrcOnRecover',
    names: ['checkCRCOnRecover'],
    schema: yes,
    allowed: 'true or false',
    help: 'check bodies when the store is recovered',
    parse: boolean,
  },
  {
    key: 'defaultTopicQueueNums',
    names: ['defaultTopicQueueNums'],
    schema: Type.Integer({ minimum: 1, maximum: 1024 }),
    allowed: '1 to 1024',
    help: 'most queues of a topic that a first send creates',
    parse: number,
  },
  {
    key: 'messageDelayLevel',
    names: ['messageDelayLevel'],
    schema: Type.String({ pattern: '^\\s*\\d+[smhd](\\s+\\d+[smhd])*\\s*$' }),
    allowed: 'delays like "1s 5s 1m 2h"',
    help: 'delays of levels 1, 2, 3 …',
    parse: text,
  },
  {
    key: 'syncFlushTimeoutMs',
    names: ['syncFlushTimeout'],
    schema: millis,
    allowed: 'milliseconds',
    help: 'longest wait for the disk before a send is answered 10',
    parse: number,
  },
  {
    key: 'flushIntervalMs',
    names: ['flushIntervalCommitLog'],
    schema: millis,
    allowed: 'milliseconds',
    help: 'how often the log is synced with asynchronous flush',
    parse: number,
  },
  {
    key: 'connectionCountMax',
    names: ['connectionCountMax'],
    schema: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    allowed: '1 to 1000000',
    help: 'connections at once',
    parse: number,
  },
  {
    key: 'idleCloseMs',
    names: ['serverChannelMaxIdleTimeSeconds'],
    schema: Type.Integer({ minimum: 1000, maximum: 86_400_000 }),
    allowed: 'seconds, 1 to 86400',
    help: 'silence after which a connection is closed',
    parse: (value) => (/^\d+$/.test(value.trim()) ? Number(value) * 1000 : value),
  },
  {
    key: 'waitTimeMillsInSendQueue',
    names: ['waitTimeMillsInSendQueue'],
    schema: millis,
    allowed: 'milliseconds',
    help: 'age at which a waiting send is answered 2 (busy)',
    parse: number,
  },
  {
    key: 'regionId',
    names: ['regionId'],
    schema: Type.String({ minLength: 1, maxLength: 127 }),
    allowed: 'a name',
    help: 'region that messages are marked with',
    parse: text,
  },
];

/** The environment variable of a setting. */
export function environmentName(setting: SettingKey): string {
  const words =
    setting.flag ?? setting.key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return `MILLRACE_${words.replaceAll('-', '_').toUpperCase()}`;
}
