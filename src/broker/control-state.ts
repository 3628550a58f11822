/**
 * @agent control
 *
 * What the request handlers share: the tables, and the few steps that more than one of them takes.
 * One object a broker; only the control agent touches it.
 */
import type { AccessTables } from '../access/access-tables.ts';
import type { MonotonicClock, WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import type { RecordDraft } from '../protocol/record-encoder.ts';
import {
  type Answer,
  encodeAnswer,
  FLAG_ONEWAY,
  type RemotingCommand,
} from '../protocol/remoting-command.ts';
import { ClientCalls } from './client-calls.ts';
import { ConsumerGroupTable } from './consumer-group-table.ts';
import { ConsumerOffsetTable } from './consumer-offset-table.ts';
import type { BrokerControlConfig } from './control-config.ts';
import type { AppendAnswer, ControlEffects, PublishedSettings } from './control-effects.ts';
import { applyChange, type SettingChange } from './live-settings.ts';
import { DelayLevels } from './delay-level.ts';
import { ProducerGroupTable } from './producer-group-table.ts';
import { QueueLockTable } from './queue-lock-table.ts';
import { retryTopicOf } from './resource-name.ts';
import type { SubscriptionGroupConfig } from './subscription-group-config.ts';
import { StatsTable } from './statistics.ts';
import { SubscriptionGroupTable } from './subscription-group-table.ts';
import { isRefusal, type Refusal, TopicTable } from './topic-table.ts';

/** A connection as the reactor announced it. */
export interface Connection {
  readonly id: number;
  /** `ip:port` of the peer. */
  readonly remoteAddress: string;
  readonly localAddress: string;
}

/** What of a request outlives the call that handles it: its body is a view of a frame. */
export type AskedRequest = Pick<RemotingCommand, 'opaque' | 'serializeType' | 'flag'>;

/**
 * Handles a request: its answer, or null where somebody else answers or nobody. What it throws is
 * answered with SYSTEM_ERROR.
 */
export type RequestHandler = (
  state: ControlState,
  request: RemotingCommand,
  connection: Connection,
) => Answer | null;

export interface ControlStateOptions {
  config: BrokerControlConfig;
  wallClock: WallClock;
  monotonicClock: MonotonicClock;
  random: () => number;
  /** Moves the clock, and says what time it is then; absent or null where it goes by itself. */
  advanceClock?: ((millis: number) => Promise<number>) | null;
  logger: Logger;
  refusals: Refusals;
  effects: ControlEffects;
  /** Users and policies; absent or null where access control is off. */
  access?: AccessTables | null;
}

export class ControlState {
  readonly config: BrokerControlConfig;
  readonly wallClock: WallClock;
  readonly monotonicClock: MonotonicClock;
  readonly random: () => number;
  readonly advanceClock: ((millis: number) => Promise<number>) | null;
  readonly logger: Logger;
  readonly refusals: Refusals;
  readonly effects: ControlEffects;
  readonly access: AccessTables | null;
  readonly levels: DelayLevels;
  readonly topics: TopicTable;
  readonly subscriptionGroups: SubscriptionGroupTable;
  readonly offsets: ConsumerOffsetTable;
  readonly consumers: ConsumerGroupTable;
  readonly producers: ProducerGroupTable;
  readonly locks: QueueLockTable;
  readonly clientCalls: ClientCalls;
  readonly bootTimestampMs: number;
  /** Producers of a group are asked in turn. */
  nextCheckedMember = 0;
  /** Messages that groups sent back, by `topic@group`. */
  readonly sendBacks: StatsTable;
  /** Settings that were changed while the broker ran, in this run or an earlier one. */
  readonly changedSettings = new Map<string, string>();
  /** Groups whose members must be told to rebalance, once a turn however many joined. */
  readonly groupsToNotify = new Set<string>();
  /** Appends that wait for room, in order. */
  readonly pendingAppends: { draft: RecordDraft; answerTo: AppendAnswer | null }[] = [];

  constructor(options: ControlStateOptions) {
    const { config, effects, wallClock, logger, refusals } = options;
    this.config = config;
    this.wallClock = wallClock;
    this.monotonicClock = options.monotonicClock;
    this.sendBacks = new StatsTable(options.monotonicClock.nowMs());
    this.random = options.random;
    this.advanceClock = options.advanceClock ?? null;
    this.logger = logger;
    this.refusals = refusals;
    this.access = options.access ?? null;
    this.effects = effects;
    this.levels = new DelayLevels(config.messageDelayLevel);
    this.topics = new TopicTable({
      config,
      wallClock,
      logger,
      refusals,
      onChanged: (entry) => {
        effects.publishTopic(entry);
        effects.topicChanged(entry.config.topicName);
      },
      onDeleted: (entry) => {
        effects.publishTopicDeleted(entry.topicId, entry.config.topicName);
        effects.topicChanged(entry.config.topicName);
      },
    });
    this.subscriptionGroups = new SubscriptionGroupTable({
      config,
      wallClock,
      logger,
      refusals,
      onChanged: (group) => this.publishGroup(group.groupName),
    });
    this.offsets = new ConsumerOffsetTable(wallClock);
    this.consumers = new ConsumerGroupTable(options.monotonicClock);
    this.producers = new ProducerGroupTable(options.monotonicClock);
    this.locks = new QueueLockTable(options.monotonicClock);
    this.clientCalls = new ClientCalls(options.monotonicClock, (connectionId, frame) =>
      effects.requestClient(connectionId, frame),
    );
    this.bootTimestampMs = wallClock.nowMs();
  }

  /** Makes changes of settings that are allowed, and keeps them. */
  changeSettings(changes: readonly SettingChange[]): void {
    const published: PublishedSettings = {};
    for (const change of changes) {
      Object.assign(published, applyChange(this.config, change));
      this.changedSettings.set(change.name, change.text);
    }
    this.effects.publishSettings(published);
    const text = JSON.stringify(Object.fromEntries(this.changedSettings));
    this.effects.persist('liveSettings.json', text);
  }

  /** The calendar's time at a moment of the monotonic clock. */
  wallTimeOf(monotonicMs: number): number {
    return Math.round(this.wallClock.nowMs() - (this.monotonicClock.nowMs() - monotonicMs));
  }

  /** Answers a request now, for whoever could not when it came. */
  answerLater(connectionId: number, request: AskedRequest, answer: Answer): void {
    if ((request.flag & FLAG_ONEWAY) === 0)
      this.effects.answer(connectionId, encodeAnswer(request, answer));
  }

  /** Tells the dispatcher what pulls of this group are checked against. */
  publishGroup(group: string): void {
    const config = this.subscriptionGroups.get(group);
    const live = this.consumers.get(group);
    this.effects.publishGroup({
      group,
      exists: config !== undefined,
      consumeEnable: config?.consumeEnable ?? false,
      // A copy: the dispatcher may read it when the group has already changed again.
      subscriptions: live === undefined ? null : new Map(live.subscriptions),
    });
  }

  /** Remembers to tell the members of a group that they are others than before. */
  notifyMembers(group: string): void {
    const live = this.consumers.get(group);
    if (live === undefined || live.messageModel === 'BROADCASTING') return;
    if (!this.config.notifyConsumerIdsChangedEnable) return;
    const config = this.subscriptionGroups.get(group);
    if (config?.notifyConsumerIdsChangedEnable !== false) this.groupsToNotify.add(group);
  }

  /** A consumer group's config and its retry topic, both created where that is allowed. */
  ensureGroup(
    group: string,
    wish: { order?: boolean; unitMode?: boolean } = {},
  ): SubscriptionGroupConfig | Refusal {
    const config = this.subscriptionGroups.find(group);
    if (isRefusal(config) || config.retryQueueNums <= 0) return config;
    const topic = this.topics.createForGroup({
      topic: retryTopicOf(group),
      queueNums: config.retryQueueNums,
      ...(wish.order === undefined ? {} : { order: wish.order }),
      topicSysFlag: wish.unitMode === true ? TOPIC_SYS_FLAG_UNIT_SUB : 0,
    });
    return isRefusal(topic) ? topic : config;
  }

  /** Stores a record now, or when there is room; a refusal where too many wait already. */
  append(draft: RecordDraft, answerTo: AppendAnswer | null): Refusal | null {
    if (this.pendingAppends.length === 0 && this.effects.append(draft, answerTo)) return null;
    if (this.pendingAppends.length >= this.config.pendingAppendCountMax) {
      this.refusals.add('store-busy');
      return busy;
    }
    this.pendingAppends.push({ draft, answerTo });
    return null;
  }
}

/** TopicSysFlag.java: the topic holds retries of a group in unit mode. */
const TOPIC_SYS_FLAG_UNIT_SUB = 2;

const busy: Refusal = {
  code: 2,
  remark: '[REJECTREQUEST]system busy, the broker has more messages to store than it can take',
};
