/**
 * @agent control
 *
 * The control logic of the broker behind one door: topics, consumer and producer groups, consumer
 * offsets, queue locks, retries. Requests come in, effects go out; it does no I/O, reads no clock
 * but those given, and never waits.
 *
 * What it must never do: answer a oneway request, answer before what the answer relies on has been
 * published, or fail because of what a client sent.
 */
import type { MonotonicClock } from '../base/clock.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import {
  type Answer,
  encodeAnswer,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
  type RemotingCommand,
} from '../protocol/remoting-command.ts';
import type { DataVersion, TopicConfig } from '../protocol/topic-config.ts';
import { auditRequest } from './audit-log.ts';
import type { ClientRequest } from './client-calls.ts';
import type { ClampedOffset } from './consumer-offset-table.ts';
import type { PersistedFile, TopicEntry } from './control-effects.ts';
import { type Connection, ControlState, type ControlStateOptions } from './control-state.ts';
import { objectOf } from './json-value.ts';
import { readChange, type SettingChange } from './live-settings.ts';
import { MetricsPages, type RouteCounts } from './metrics-pages.ts';
import { RequestFault } from './request-fields.ts';
import { requestHandlers } from './request-handlers.ts';
import { groupOfRetryTopic } from './resource-name.ts';
import { isRefusal, type Refusal } from './topic-table.ts';
import { checkHalf } from './transaction-handlers.ts';

export interface BrokerControlOptions extends ControlStateOptions {
  /** Texts of the stored files, where there are any. */
  stored: {
    topics?: string | undefined;
    subscriptionGroups?: string | undefined;
    consumerOffsets?: string | undefined;
    liveSettings?: string | undefined;
  };
}

/** What a send says about the topic that it wants created. */
export interface SendTopicRequest {
  topic: string;
  defaultTopic: string;
  defaultTopicQueueNums: number;
  topicSysFlag?: number;
}

/**
 * Topics and groups are written at once when they change, and then at most so often: a burst of
 * 10,000 auto-created topics must not write 10,000 growing files (a guess).
 */
const TABLE_PERSIST_INTERVAL_MS = 500;

export class BrokerControl {
  readonly #state: ControlState;
  readonly #monotonicClock: MonotonicClock;
  readonly #connections = new Map<number, Connection>();
  #metrics: MetricsPages | null = null;
  #nextScanMs: number;
  #nextOffsetPersistMs: number;
  #nextTablePersistMs: number;

  /** @throws BrokerError where the configuration or a stored text can't be read. */
  constructor(options: BrokerControlOptions) {
    const { stored, config, monotonicClock } = options;
    this.#monotonicClock = monotonicClock;
    this.#state = new ControlState(options);
    const { topics, subscriptionGroups, offsets, levels } = this.#state;
    if (stored.liveSettings !== undefined) this.#loadSettings(stored.liveSettings);
    topics.load(stored.topics, levels.maxLevel);
    if (stored.subscriptionGroups !== undefined) subscriptionGroups.load(stored.subscriptionGroups);
    if (stored.consumerOffsets !== undefined) offsets.load(stored.consumerOffsets);
    this.#publishAccess();
    for (const group of subscriptionGroups.groups()) this.#state.publishGroup(group.groupName);
    const nowMs = monotonicClock.nowMs();
    this.#nextScanMs = nowMs + config.scanIntervalMs;
    this.#nextOffsetPersistMs = nowMs + config.flushConsumerOffsetIntervalMs;
    this.#nextTablePersistMs = nowMs;
  }

  onConnectionOpened(connection: Connection): void {
    this.#connections.set(connection.id, connection);
  }

  onConnectionClosed(connectionId: number): void {
    this.#connections.delete(connectionId);
    this.#state.clientCalls.onConnectionClosed(connectionId);
    this.#removeMembers(connectionId);
  }

  /** Handles one request, or a client's answer to one of ours; its answer, if it gets one, is an effect. */
  onRequest(connectionId: number, request: RemotingCommand): void {
    if ((request.flag & FLAG_RESPONSE) !== 0) {
      this.#state.clientCalls.onAnswer(connectionId, request);
      return;
    }
    const answer = this.#handle(connectionId, request);
    if (this.#state.access !== null) this.#audit(connectionId, request, answer);
    if (answer === null || (request.flag & FLAG_ONEWAY) !== 0) return;
    this.#state.effects.answer(connectionId, encodeAnswer(request, answer));
  }

  /**
   * Makes sure that the topic of a send exists. Null: it does, and has been published. Else what
   * the sender is answered.
   */
  ensureSendTopic(connectionId: number, request: SendTopicRequest): Answer | null {
    const group = groupOfRetryTopic(request.topic);
    const created =
      group === null
        ? this.#state.topics.createForSend({
            ...request,
            topicSysFlag: request.topicSysFlag ?? 0,
            remoteAddress: this.#connections.get(connectionId)?.remoteAddress ?? '',
          })
        : this.#state.ensureGroup(group);
    if (!isRefusal(created)) return null;
    // What is a limit was counted as that.
    if (created.code !== ResponseCode.SYSTEM_ERROR)
      this.#state.refusals.addSend(created.code, { topic: request.topic, remark: created.remark });
    return created;
  }

  /** Takes the commit that came with a pull, of a group and topic that the dispatcher has checked. */
  commitOffset(group: string, topic: string, queueId: number, offset: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0) return;
    this.#state.offsets.commitByPull(topic, group, queueId, offset);
  }

  /** An administrator's reset, which counts from now on. */
  assignReset(reset: {
    group: string;
    topic: string;
    targets: readonly (readonly [queueId: number, offset: number])[];
  }): void {
    for (const [queueId, offset] of reset.targets)
      this.#state.offsets.assignReset(reset.topic, reset.group, queueId, offset);
  }

  /** The group has been told of its reset: commits count again. */
  takeReset(group: string, topic: string, queueId: number): void {
    this.#state.offsets.takeReset(topic, group, queueId);
  }

  /** The producer of the half message at a place of the log is to be asked. */
  checkHalf(physicalOffset: number, checkTimes: number): void {
    checkHalf(this.#state, physicalOffset, checkTimes);
  }

  /**
   * Creates a consumer group's retry topic when its route is asked for before the group's first
   * heartbeat; else consumers find it only half a minute later. True when the topic exists now.
   */
  ensureRetryTopic(topic: string): boolean {
    const group = groupOfRetryTopic(topic);
    if (group === null) return false;
    this.#state.ensureGroup(group);
    return this.#state.topics.get(topic) !== undefined;
  }

  /** A name server says that this topic is consumed in order (namespace ORDER_TOPIC_CONFIG). */
  orderTopic(topic: string): void {
    const { topics, logger } = this.#state;
    const config = topics.get(topic)?.config;
    if (config === undefined || config.order) return;
    logger.info(
      { topic },
      'topic is consumed in order: a name server has an order configuration of it',
    );
    topics.update({ ...config, order: true });
  }

  /** A topic that recovery met in the log: created if topics.json lacks it, with queues for all of it. */
  recoverTopic(topic: string, queueCount: number): TopicEntry | Refusal {
    const { topics, logger } = this.#state;
    const known = topics.get(topic);
    if (known === undefined) {
      logger.warn({ topic, queueCount }, 'topic found in the log but not in topics.json is back');
      return topics.createForGroup({ topic, queueNums: queueCount });
    }
    if (known.config.writeQueueNums >= queueCount || known.config.readQueueNums >= queueCount)
      return known;
    return topics.update({ ...known.config, readQueueNums: queueCount });
  }

  /** After recovery: no group may stand beyond the end of its queue. Logs and returns what it lowered. */
  clampOffsets(maxOffsetOf: (topic: string, queueId: number) => number | null): ClampedOffset[] {
    const clamped = this.#state.offsets.clampTo(maxOffsetOf);
    for (const one of clamped) {
      this.#state.logger.warn(
        one,
        'consumer offset was beyond the end of its queue and is lowered',
      );
    }
    return clamped;
  }

  /** Expiry, notifications, appends that waited for room, persistence. `nowMs` is monotonic. */
  doWork(nowMs: number): number {
    let work = this.#appendPending() + this.#notifyMembers();
    work += this.#state.clientCalls.expire(nowMs);
    if (nowMs >= this.#nextScanMs) {
      this.#nextScanMs = nowMs + this.#state.config.scanIntervalMs;
      work += this.#scan();
      this.#state.sendBacks.sample(nowMs);
    }
    if (nowMs >= this.#nextOffsetPersistMs) {
      this.#nextOffsetPersistMs = nowMs + this.#state.config.flushConsumerOffsetIntervalMs;
      work += this.#persist('consumerOffset.json', this.#state.offsets);
    }
    if (nowMs >= this.#nextTablePersistMs && this.#persistTables() > 0) {
      this.#nextTablePersistMs = nowMs + TABLE_PERSIST_INTERVAL_MS;
      work++;
    }
    return work;
  }

  /** Monotonic time of the next thing to do without being asked. */
  nextDeadlineMs(): number {
    const { topics, subscriptionGroups, pendingAppends, groupsToNotify, clientCalls } = this.#state;
    if (pendingAppends.length > 0 || groupsToNotify.size > 0) return this.#monotonicClock.nowMs();
    const mustPersist = topics.isDirty || subscriptionGroups.isDirty;
    const persistMs = mustPersist ? this.#nextTablePersistMs : Infinity;
    const callMs = clientCalls.nextDeadlineMs;
    return Math.min(this.#nextScanMs, this.#nextOffsetPersistMs, persistMs, callMs);
  }

  /** Has a page of metrics answered to a connection. */
  askMetrics(connectionId: number, page: number, routes: RouteCounts | null): void {
    this.#metrics ??= new MetricsPages(this.#state);
    const metrics = this.#metrics.next(page, routes);
    const request = { opaque: page, serializeType: 0 } as const;
    this.#state.effects.askDispatcher(connectionId, request, { kind: 'metrics', metrics });
  }

  /** Undefined where there is no such topic (any more). */
  topicConfig(topic: string): TopicConfig | undefined {
    return this.#state.topics.get(topic)?.config;
  }

  get dataVersion(): DataVersion {
    return this.#state.topics.dataVersion;
  }

  /** Writes all that changed; for an orderly stop. */
  persistAll(): void {
    this.#persistTables();
    this.#persist('consumerOffset.json', this.#state.offsets);
  }

  #audit(connectionId: number, request: RemotingCommand, answer: Answer | null): void {
    const { remoteAddress = '' } = this.#connections.get(connectionId) ?? {};
    auditRequest(this.#state.logger, request, remoteAddress, answer?.code ?? null);
  }

  /** Tells the gate whom it may let in; until then it lets in nobody. */
  #publishAccess(): void {
    const { access, effects } = this.#state;
    if (access === null) return;
    effects.publishAccess(access.snapshot());
    if (!access.isNew) return;
    effects.persist('users.json', access.users.store());
    effects.persist('acls.json', access.policies.store());
  }

  /** Settings that were changed over the network hold again; one that is allowed no more is passed over. */
  #loadSettings(text: string): void {
    const changes: SettingChange[] = [];
    for (const [name, value] of Object.entries(objectOf(parseFastjson(text)) ?? {})) {
      const change = readChange(name, String(value));
      if (typeof change === 'string') this.#state.logger.warn({ name }, change);
      else changes.push(change);
    }
    if (changes.length === 0) return;
    this.#state.changeSettings(changes);
    const settings = Object.fromEntries(this.#state.changedSettings);
    this.#state.logger.info(
      { settings },
      'settings changed over the network win over the configuration',
    );
  }

  #handle(connectionId: number, request: RemotingCommand): Answer | null {
    const handler = requestHandlers.get(request.code);
    const { refusals } = this.#state;
    if (handler === undefined) {
      refusals.add('request-unknown', { connectionId, code: request.code });
      return {
        code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
        remark: ` request type ${request.code} not supported`,
      };
    }
    const connection = this.#connections.get(connectionId);
    // A frame that was on its way when its connection closed.
    if (connection === undefined) return null;
    try {
      return handler(this.#state, request, connection);
    } catch (error) {
      if (error instanceof RequestFault) {
        const { refusal, message: remark } = error;
        refusals.add(refusal, { connectionId, code: request.code, remark });
        return { code: ResponseCode.SYSTEM_ERROR, remark };
      }
      this.#state.logger.error({ code: request.code, error: String(error) }, 'request failed');
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: `the broker failed on this request: ${String(error)}`,
      };
    }
  }

  /** Drops every membership of a connection and tells those that stay. */
  #removeMembers(connectionId: number): void {
    this.#state.producers.removeConnection(connectionId);
    for (const group of this.#state.consumers.removeConnection(connectionId)) {
      if (group.members.size === 0) this.#state.publishGroup(group.name);
      else this.#state.notifyMembers(group.name);
    }
  }

  #appendPending(): number {
    const { pendingAppends, effects } = this.#state;
    let count = 0;
    while (count < pendingAppends.length) {
      const pending = pendingAppends[count];
      if (!effects.append(pending.draft, pending.answerTo)) break;
      count++;
    }
    if (count > 0) pendingAppends.splice(0, count);
    return count;
  }

  #notifyMembers(): number {
    const { groupsToNotify, consumers, clientCalls } = this.#state;
    if (groupsToNotify.size === 0) return 0;
    let count = 0;
    for (const name of groupsToNotify) {
      const notice: ClientRequest = {
        code: RequestCode.NOTIFY_CONSUMER_IDS_CHANGED,
        extFields: [['consumerGroup', name]],
      };
      const connectionIds = new Set<number>();
      for (const member of consumers.get(name)?.members.values() ?? [])
        connectionIds.add(member.connectionId);
      for (const connectionId of connectionIds) clientCalls.tell(connectionId, notice);
      count += connectionIds.size;
    }
    groupsToNotify.clear();
    return count;
  }

  /** Closes connections whose client has gone silent, and forgets locks that nobody renews. */
  #scan(): number {
    const { consumers, producers, locks, effects, config, logger } = this.#state;
    locks.removeExpired();
    const expired = new Set([
      ...consumers.expiredConnections(config.channelExpiredTimeoutMs),
      ...producers.expiredConnections(config.channelExpiredTimeoutMs),
    ]);
    for (const connectionId of expired) {
      const remoteAddress = this.#connections.get(connectionId)?.remoteAddress;
      logger.warn(
        { connectionId, remoteAddress },
        'client sent no heartbeat for too long and is closed',
      );
      this.#removeMembers(connectionId);
      effects.closeConnection(connectionId);
    }
    return expired.size + this.#notifyMembers();
  }

  #persistTables(): number {
    const { topics, subscriptionGroups } = this.#state;
    return (
      this.#persist('topics.json', topics) +
      this.#persist('subscriptionGroup.json', subscriptionGroups)
    );
  }

  #persist(file: PersistedFile, table: { readonly isDirty: boolean; store(): string }): number {
    if (!table.isDirty) return 0;
    this.#state.effects.persist(file, table.store());
    return 1;
  }
}
