/**
 * @agent control
 *
 * The broker's topics: the content of `config/topics.json`. Each has a `topicId`, dense from 0 and
 * never reused in a run, by which other agents know it. Topics of the system exist from the start;
 * others come by administration, for a consumer group's retries, or by a first send, which copies
 * the settings of a topic that has the inherit bit (TBW102).
 *
 * Every change goes through `onChanged` or `onDeleted` before the call that made it returns, so
 * that a topic is published before anybody hears that it exists.
 *
 * Source: TopicConfigManager.java.
 */
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import { ResponseCode } from '../protocol/codes.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import { Perm } from '../protocol/perm.ts';
import {
  type DataVersion,
  decodeDataVersion,
  decodeTopicConfig,
  nextDataVersion,
  type TopicConfig,
  topicConfigJson,
} from '../protocol/topic-config.ts';
import type { BrokerControlConfig } from './control-config.ts';
import type { TopicEntry } from './control-effects.ts';
import { type JsonObject, objectOf } from './json-value.ts';
import {
  allSystemTopics,
  isSendForbidden,
  isSystemTopic,
  SystemTopic,
  topicNameFault,
} from './resource-name.ts';

/** Why something was not done, as the asker is told. */
export interface Refusal {
  code: number;
  remark: string;
}

export function isRefusal(value: object): value is Refusal {
  return 'remark' in value;
}

export interface TopicTableOptions {
  config: BrokerControlConfig;
  wallClock: WallClock;
  logger: Logger;
  refusals: Refusals;
  /** Called with each new or changed topic, also those of the system and of the stored file. */
  onChanged: (entry: TopicEntry) => void;
  onDeleted: (entry: TopicEntry) => void;
}

/** What a first send asks for. */
export interface CreateForSend {
  topic: string;
  /** Topic whose settings are inherited; clients say TBW102. */
  defaultTopic: string;
  defaultTopicQueueNums: number;
  remoteAddress: string;
  topicSysFlag: number;
}

/** Queues of SCHEDULE_TOPIC_XXXX, one a level, at least so many as RocketMQ's. */
const SCHEDULE_QUEUE_COUNT_MIN = 18;
/** A guess far above any use; each queue costs files and memory. */
export const QUEUE_COUNT_MAX = 65_536;

export class TopicTable {
  readonly #options: TopicTableOptions;
  readonly #entries = new Map<string, TopicEntry>();
  /** What the stored file says of a topic, kept from one time that it is written to the next. */
  readonly #storedTexts = new WeakMap<TopicConfig, string>();
  #nextTopicId = 0;
  /** Of all topics, as many of each as it has for reading or for writing. */
  #queueCount = 0;
  #dataVersion: DataVersion = { counter: 0, stateVersion: 0, timestamp: 0 };
  #isDirty = false;
  readonly #systemTopics = new Set<string>();

  constructor(options: TopicTableOptions) {
    this.#options = options;
  }

  /** Reads the stored file, if there is one, and adds the system's topics that it lacks. */
  load(text: string | undefined, scheduleLevelCount: number): void {
    if (text !== undefined) this.#loadStored(text);
    this.#isDirty = text === undefined;
    for (const config of systemTopicConfigs(this.#options.config, scheduleLevelCount)) {
      this.#systemTopics.add(config.topicName);
      const known = this.#entries.get(config.topicName)?.config;
      // What is stored counts, but every level needs its queue.
      const lacksQueues =
        config.topicName === SystemTopic.SCHEDULE &&
        (known?.writeQueueNums ?? 0) < config.writeQueueNums;
      if (known === undefined || lacksQueues) this.#put(config);
    }
  }

  get isDirty(): boolean {
    return this.#isDirty;
  }

  get dataVersion(): DataVersion {
    return this.#dataVersion;
  }

  get size(): number {
    return this.#entries.size;
  }

  get queueCount(): number {
    return this.#queueCount;
  }

  store(): string {
    this.#isDirty = false;
    let table = '';
    for (const { config } of this.#entries.values()) {
      table += (table === '' ? '' : ',') + this.#storedText(config);
    }
    return `{"dataVersion":${JSON.stringify(this.#dataVersion)},"topicConfigTable":{${table}}}`;
  }

  /** `topicConfigTable` of code 21. */
  tableJson(): JsonObject {
    // fromEntries, since `__proto__` is a valid name of a topic.
    return Object.fromEntries(
      [...this.#entries].map(([topic, entry]) => [topic, topicConfigJson(entry.config)]),
    );
  }

  /** True for topics that administration may neither change nor delete. */
  /** Topics that are the broker's own. */
  systemTopics(): string[] {
    return [...new Set([...allSystemTopics(), ...this.#systemTopics])];
  }

  isSystem(topic: string): boolean {
    return isSystemTopic(topic) || this.#systemTopics.has(topic);
  }

  get(topic: string): TopicEntry | undefined {
    return this.#entries.get(topic);
  }

  entries(): Iterable<TopicEntry> {
    return this.#entries.values();
  }

  /** The topic of a send, created where the rules allow it (msgCheck, createTopicInSendMessageMethod). */
  createForSend(wish: CreateForSend): TopicEntry | Refusal {
    const fault = topicNameFault(wish.topic);
    if (fault !== null) return { code: ResponseCode.INVALID_PARAMETER, remark: fault };
    if (isSendForbidden(wish.topic)) {
      return {
        code: ResponseCode.NO_PERMISSION,
        remark: `Sending message to topic[${wish.topic}] is forbidden.`,
      };
    }
    const known = this.#entries.get(wish.topic);
    if (known !== undefined) return known;
    const model = this.#inheritableConfig(wish.defaultTopic);
    if (model === null) return notExist(wish.topic);
    const queueNums = Math.min(wish.defaultTopicQueueNums, model.writeQueueNums);
    if (!(queueNums > 0)) {
      return {
        code: ResponseCode.INVALID_PARAMETER,
        remark: `topic[${wish.topic}] can't be created with ${wish.defaultTopicQueueNums} queues`,
      };
    }
    this.#options.logger.info(
      { topic: wish.topic, queueNums, producer: wish.remoteAddress },
      'topic created by its first send',
    );
    return this.#create({
      topicName: wish.topic,
      readQueueNums: queueNums,
      writeQueueNums: queueNums,
      perm: model.perm & ~Perm.INHERIT,
      topicFilterType: model.topicFilterType,
      topicSysFlag: wish.topicSysFlag,
      order: false,
      attributes: new Map(),
    });
  }

  /** A retry or dead-letter topic; an existing one keeps its queues and takes the order flag. */
  createForGroup(wish: {
    topic: string;
    queueNums: number;
    order?: boolean;
    topicSysFlag?: number;
  }): TopicEntry | Refusal {
    const known = this.#entries.get(wish.topic);
    if (known !== undefined) {
      const order = wish.order ?? known.config.order;
      return order === known.config.order ? known : this.#put({ ...known.config, order });
    }
    const fault = topicNameFault(wish.topic);
    if (fault !== null) return { code: ResponseCode.INVALID_PARAMETER, remark: fault };
    return this.#create({
      ...plainTopicConfig(wish.topic, wish.queueNums),
      order: wish.order ?? false,
      topicSysFlag: wish.topicSysFlag ?? 0,
    });
  }

  /** Creates or replaces a topic by administration; its name is valid. */
  update(config: TopicConfig): TopicEntry | Refusal {
    const known = this.#entries.get(config.topicName);
    if (known === undefined) return this.#create(config);
    const moreCount = queueCountOf(config) - queueCountOf(known.config);
    return this.#queueRefusal(moreCount, config.topicName) ?? this.#put(config);
  }

  delete(topic: string): TopicEntry | undefined {
    const entry = this.#entries.get(topic);
    if (entry === undefined) return undefined;
    this.#entries.delete(topic);
    this.#queueCount -= queueCountOf(entry.config);
    this.#touch();
    this.#options.onDeleted(entry);
    return entry;
  }

  #loadStored(text: string): void {
    const root = objectOf(parseFastjson(text));
    this.#dataVersion = decodeDataVersion(root?.['dataVersion']);
    const version = this.#dataVersion;
    for (const value of Object.values(objectOf(root?.['topicConfigTable']) ?? {})) {
      const config = decodeTopicConfig(value);
      const fault = config === null ? 'it is not a topic' : topicNameFault(config.topicName);
      if (config === null || fault !== null) {
        this.#options.logger.warn({ topic: config?.topicName, fault }, 'stored topic is ignored');
      } else this.#put(config);
    }
    this.#dataVersion = version;
  }

  #storedText(config: TopicConfig): string {
    let text = this.#storedTexts.get(config);
    if (text === undefined) {
      text = `${JSON.stringify(config.topicName)}:${JSON.stringify(topicConfigJson(config))}`;
      this.#storedTexts.set(config, text);
    }
    return text;
  }

  /** The config of a topic whose settings may be inherited; null where there is none. */
  #inheritableConfig(topic: string): TopicConfig | null {
    const config = this.#entries.get(topic)?.config;
    if (config === undefined || (config.perm & Perm.INHERIT) === 0) return null;
    const isSwitchedOff =
      topic === SystemTopic.AUTO_CREATE && !this.#options.config.autoCreateTopicEnable;
    return isSwitchedOff ? null : config;
  }

  #create(config: TopicConfig): TopicEntry | Refusal {
    const userTopicCount = this.#entries.size - this.#systemTopics.size;
    if (userTopicCount >= this.#options.config.topicCountMax) {
      this.#options.refusals.add('topic-limit', { topic: config.topicName });
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: `the broker has ${userTopicCount} topics, as many as topicCountMax allows: delete some, or raise it`,
      };
    }
    return this.#queueRefusal(queueCountOf(config), config.topicName) ?? this.#put(config);
  }

  /** Null where there may be so many queues more. */
  #queueRefusal(moreCount: number, topic: string): Refusal | null {
    const { config, refusals } = this.#options;
    if (moreCount <= 0 || this.#queueCount + moreCount <= config.queueCountMax) return null;
    refusals.add('queue-limit', { topic, queueCount: this.#queueCount, moreCount });
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `the broker has ${this.#queueCount} queues, and queueCountMax allows ${config.queueCountMax}: delete topics, or raise it`,
    };
  }

  #put(config: TopicConfig): TopicEntry {
    const known = this.#entries.get(config.topicName);
    const entry: TopicEntry = {
      topicId: known?.topicId ?? this.#nextTopicId++,
      config,
      sendForbidden: isSendForbidden(config.topicName),
    };
    this.#entries.set(config.topicName, entry);
    this.#queueCount +=
      queueCountOf(config) - (known === undefined ? 0 : queueCountOf(known.config));
    this.#touch();
    this.#options.onChanged(entry);
    return entry;
  }

  #touch(): void {
    this.#isDirty = true;
    this.#dataVersion = nextDataVersion(this.#dataVersion, this.#options.wallClock.nowMs());
  }
}

function queueCountOf({ readQueueNums, writeQueueNums }: TopicConfig): number {
  return Math.max(readQueueNums, writeQueueNums);
}

/** A topic that may be read and written, with nothing special. */
export function plainTopicConfig(topicName: string, queueNums: number): TopicConfig {
  return {
    topicName,
    readQueueNums: queueNums,
    writeQueueNums: queueNums,
    perm: Perm.READ | Perm.WRITE,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false,
    attributes: new Map(),
  };
}

function notExist(topic: string): Refusal {
  return {
    code: ResponseCode.TOPIC_NOT_EXIST,
    remark: `topic[${topic}] not exist, apply first please!`,
  };
}

function* systemTopicConfigs(
  config: BrokerControlConfig,
  scheduleLevelCount: number,
): Generator<TopicConfig> {
  const everything = Perm.READ | Perm.WRITE | Perm.INHERIT;
  yield plainTopicConfig(SystemTopic.SELF_TEST, 1);
  if (config.autoCreateTopicEnable) {
    const topic = plainTopicConfig(SystemTopic.AUTO_CREATE, config.defaultTopicQueueNums);
    yield { ...topic, perm: everything };
  }
  yield plainTopicConfig(SystemTopic.BENCHMARK, 1024);
  // Tools create topics by asking for the route of a topic named like the cluster.
  const clusterPerm = config.clusterTopicEnable ? everything : Perm.INHERIT;
  yield { ...plainTopicConfig(config.clusterName, 16), perm: clusterPerm };
  const brokerPerm = config.brokerTopicEnable ? everything : Perm.INHERIT;
  yield { ...plainTopicConfig(config.brokerName, 1), perm: brokerPerm };
  yield plainTopicConfig(SystemTopic.OFFSET_MOVED_EVENT, 1);
  const scheduleQueueNums = Math.max(SCHEDULE_QUEUE_COUNT_MIN, scheduleLevelCount);
  yield plainTopicConfig(SystemTopic.SCHEDULE, scheduleQueueNums);
  if (config.traceTopicEnable) yield plainTopicConfig(config.msgTraceTopicName, 1);
  yield plainTopicConfig(`${config.clusterName}_REPLY_TOPIC`, 1);
  yield plainTopicConfig(`rmq_sys_REVIVE_LOG_${config.clusterName}`, config.reviveQueueNums);
  const memberTopic = plainTopicConfig(`rmq_sys_SYNC_BROKER_MEMBER_${config.brokerName}`, 1);
  yield { ...memberTopic, perm: Perm.INHERIT };
  yield plainTopicConfig(SystemTopic.HALF, 1);
  yield plainTopicConfig(SystemTopic.OP_HALF, 1);
  if (config.timerWheelEnable) yield plainTopicConfig(SystemTopic.WHEEL_TIMER, 1);
}
