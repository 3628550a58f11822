/**
 * @agent any
 *
 * Administration of a cluster from a program: topics, consumer groups and their offsets, stored
 * messages, brokers. Works against Millrace and Apache RocketMQ, over TCP and WebSocket.
 *
 * ```ts
 * await using admin = new Admin({ servers: '127.0.0.1:9876' });
 * await admin.createTopic('orders', { queueCount: 4 });
 * for (const { topic, kind } of await admin.topics()) console.log(topic, kind);
 * ```
 * Each method throws ClientError and nothing else. What is about all of a cluster is done on each
 * master, one after the other: where one fails, those before it are done, and the message names it.
 */
import type { AdminContext } from './admin-answers.ts';
import * as brokers from './admin-brokers.ts';
import { followTopic, type FollowOptions } from './admin-follow.ts';
import * as groups from './admin-groups.ts';
import * as messages from './admin-messages.ts';
import * as offsets from './admin-offsets.ts';
import * as topics from './admin-topics.ts';
import { ClientError } from './client-error.ts';
import type { MessageQueue, ReceivedMessage } from './message.ts';
import { ConnectedCore, type CoreOptions } from './connected-core.ts';

/** `timeoutMs` is of one request; 5000 unless said. */
export type AdminOptions = CoreOptions;

const TIMEOUT_MS = 5000;

export class Admin {
  readonly #context: AdminContext;

  constructor(options: AdminOptions) {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    if (!(timeoutMs > 0))
      throw new ClientError('INVALID_ARGUMENT', `timeoutMs is ${timeoutMs}; it must be above 0`);
    const core = new ConnectedCore({ ...options, timeoutMs });
    const first = Array.isArray(options.servers) ? options.servers[0] : options.servers;
    this.#context = { core, timeoutMs, isWebSocket: /^\s*wss?:/.test(String(first)) };
  }

  // Topics

  /** By name; those of the system where `includeSystem` says so. */
  topics(
    options?: brokers.BrokerChoice & { includeSystem?: boolean | undefined },
  ): Promise<topics.TopicSummary[]> {
    return topics.listTopics(this.#context, options);
  }

  /** On every master, or those chosen. @throws ClientError ALREADY_EXISTS */
  createTopic(
    topic: string,
    options: topics.TopicSettings & brokers.BrokerChoice = {},
  ): Promise<topics.TopicSummary> {
    return topics.createTopic(this.#context, topic, options);
  }

  /** Changes what is given and leaves the rest. @throws ClientError TOPIC_NOT_FOUND */
  updateTopic(
    topic: string,
    options: topics.TopicSettings & brokers.BrokerChoice,
  ): Promise<topics.TopicSummary> {
    return topics.updateTopic(this.#context, topic, options);
  }

  /** With its messages and offsets. @throws ClientError TOPIC_NOT_FOUND */
  deleteTopic(
    topic: string,
    options?: brokers.BrokerChoice,
  ): Promise<{ topic: string; brokers: string[] }> {
    return topics.deleteTopic(this.#context, topic, options);
  }

  topicRoute(topic: string): Promise<topics.TopicRouteDetails> {
    return topics.readRoute(this.#context, topic);
  }

  topicStatus(topic: string): Promise<topics.TopicStatus> {
    return topics.readStatus(this.#context, topic);
  }

  // Consumer groups

  groups(
    options?: brokers.BrokerChoice & { includeSystem?: boolean | undefined },
  ): Promise<groups.GroupSummary[]> {
    return groups.listGroups(this.#context, options);
  }

  /** @throws ClientError ALREADY_EXISTS */
  createGroup(
    group: string,
    options: groups.GroupSettings & brokers.BrokerChoice = {},
  ): Promise<{ group: string; brokers: groups.GroupOnBroker[] }> {
    return groups.createGroup(this.#context, group, options);
  }

  /** With its offsets, retries and dead letters. @throws ClientError GROUP_NOT_FOUND */
  deleteGroup(
    group: string,
    options?: brokers.BrokerChoice,
  ): Promise<{ group: string; brokers: string[] }> {
    return groups.deleteGroup(this.#context, group, options);
  }

  /** How far a group is in each queue. @throws ClientError GROUP_NOT_FOUND */
  groupProgress(group: string, topic?: string): Promise<groups.GroupProgress> {
    return groups.readProgress(this.#context, group, topic);
  }

  /** Who is in a group now, and what it subscribes to. @throws ClientError GROUP_NOT_FOUND */
  groupMembers(group: string): Promise<groups.GroupMembers> {
    return groups.readMembers(this.#context, group);
  }

  // Offsets

  /** Of a group in each queue of a topic; null where it has none yet. */
  offsets(group: string, topic: string): Promise<offsets.QueueOffset[]> {
    return offsets.readOffsets(this.#context, group, topic);
  }

  /** Moves a group in a topic; its members, where there are any, go on at the new place. */
  resetOffset(
    group: string,
    topic: string,
    target: offsets.OffsetTarget,
    queues?: offsets.QueueChoice,
  ): Promise<offsets.OffsetReset> {
    return offsets.resetOffsets(this.#context, group, topic, target, queues);
  }

  /** Moves a group in one queue. */
  async setOffset(group: string, queue: MessageQueue, offset: number): Promise<offsets.OffsetMove> {
    const { topic, brokerName: broker, queueId } = queue;
    const choice = { broker, queueId };
    const reset = await offsets.resetOffsets(this.#context, group, topic, { offset }, choice);
    return reset.queues[0];
  }

  /** Gives group `to` the offsets of group `from`. */
  cloneOffsets(from: string, to: string, topic?: string): Promise<offsets.OffsetReset[]> {
    return offsets.cloneOffsets(this.#context, from, to, topic);
  }

  /** Where a queue begins and ends. */
  queueBounds(queue: MessageQueue): Promise<messages.QueueBounds> {
    return messages.queueBounds(this.#context, queue);
  }

  /** Offset of the first message in a queue that is not older. */
  offsetByTime(queue: MessageQueue, time: Date): Promise<number> {
    return messages.timeOffset(this.#context, queue, time.getTime());
  }

  // Messages

  /** By the id that the broker gave it. @throws ClientError NOT_FOUND */
  messageById(offsetMessageId: string): Promise<ReceivedMessage> {
    return messages.messageById(this.#context, offsetMessageId);
  }

  messagesByKey(topic: string, key: string, query?: messages.KeyQuery): Promise<ReceivedMessage[]> {
    return messages.messagesByKey(this.#context, topic, key, query);
  }

  /** By the id that its producer gave it. */
  messagesByUniqueKey(topic: string, messageId: string): Promise<ReceivedMessage[]> {
    return messages.messagesByUniqueKey(this.#context, topic, messageId);
  }

  /** @throws ClientError NOT_FOUND */
  messageByOffset(queue: MessageQueue, offset: number): Promise<ReceivedMessage> {
    return messages.messageAt(this.#context, queue, offset);
  }

  messagesByTime(topic: string, query: messages.TimeQuery): Promise<ReceivedMessage[]> {
    return messages.messagesByTime(this.#context, topic, query);
  }

  /** Up to so many messages of a queue from an offset on; no offset of a group is touched. */
  peek(queue: MessageQueue, offset: number, count = 1): Promise<ReceivedMessage[]> {
    return messages.peekQueue(this.#context, queue, offset, count);
  }

  /** Messages of a topic as they come, for all viewers; no offset of a group is touched. */
  follow(topic: string, options?: FollowOptions): AsyncGenerator<ReceivedMessage, void, undefined> {
    return followTopic(this.#context, topic, options);
  }

  // Brokers

  brokers(): Promise<brokers.BrokerInfo[]> {
    return brokers.listBrokers(this.#context);
  }

  /** Whether each master answers, and how it is. */
  health(): Promise<brokers.BrokerHealth[]> {
    return brokers.readHealth(this.#context);
  }

  /** Figures of a broker, by RocketMQ's names. */
  brokerRuntime(broker: string): Promise<Record<string, string>> {
    return brokers.readRuntime(this.#context, broker);
  }

  brokerConfig(broker: string): Promise<Record<string, string>> {
    return brokers.readConfig(this.#context, broker);
  }

  updateBrokerConfig(
    broker: string,
    settings: Readonly<Record<string, string | number | boolean>>,
  ): Promise<void> {
    return brokers.changeConfig(this.#context, broker, settings);
  }

  /** Routes tell producers to send to other brokers. */
  wipeWritePermission(broker: string): Promise<{ topicCount: number }> {
    return brokers.setWritePermission(this.#context, broker, false);
  }

  addWritePermission(broker: string): Promise<{ topicCount: number }> {
    return brokers.setWritePermission(this.#context, broker, true);
  }

  /** Moves the clock of a broker that was started with a virtual one. @throws ClientError NOT_SUPPORTED */
  advanceClock(ms: number): Promise<{ wallMs: number }> {
    return brokers.moveClocks(this.#context, ms);
  }

  async close(): Promise<void> {
    await this.#context.core.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
