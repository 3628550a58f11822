/**
 * @agent dispatcher
 *
 * What the dispatcher knows of topics and groups: their snapshots from control, their ConsumeQueues,
 * and who waits at which queue. Looked up by the bytes of a name where it stands in a record or
 * request.
 */
import type { FilterFault, MessageFilter } from '../broker/message-filter.ts';
import { SystemTopic } from '../broker/resource-name.ts';
import { ByteTable } from '../protocol/byte-table.ts';
import { javaStringHash } from '../protocol/java-string-hash.ts';
import type { StatsItem } from '../broker/statistics.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import type { ConsumeQueueStore } from '../store/consume-queue-store.ts';
import type { HeldPull } from '../broker/held-pull-table.ts';
import type { GroupSnapshot, Snapshot, SubscriptionSnapshot } from './ring-messages.ts';

/** A pull that waits at a queue, with all that is needed to answer it. */
export interface WaitingPull extends HeldPull {
  connectionId: number;
  opaque: number;
  serializeType: number;
  topic: TopicState;
  queueId: number;
  /** What was asked for. */
  offset: number;
  /** Everything below was scanned and did not match. */
  scannedTo: number;
  group: GroupState;
  messageCountMax: number;
  filter: MessageFilter;
}

/** Topics whose records the timers and transactions have to know. */
const toldTopics: ReadonlySet<string> = new Set([
  SystemTopic.WHEEL_TIMER,
  SystemTopic.HALF,
  SystemTopic.OP_HALF,
]);

/** A queue at which pulls wait, or have waited. */
export class QueueState {
  readonly consumeQueue: ConsumeQueue;
  /** Pulls that wait for the next message here. */
  waiting: WaitingPull[] = [];
  /** Messages have arrived since waiting pulls were last looked at. */
  hasNews = false;

  constructor(consumeQueue: ConsumeQueue) {
    this.consumeQueue = consumeQueue;
  }
}

export class TopicState {
  readonly topic: string;
  /** Java hash of "topic#", from which the hash of an index key goes on. */
  readonly indexSeed: number;
  /** False while only the log knows the topic: no configuration, so no reads. */
  isConfigured = false;
  topicId = -1;
  perm = 0;
  readQueueNums = 0;
  writeQueueNums = 0;
  /** Counts of the messages that came; null before the first. */
  puts: StatsItem | null = null;
  /** Not counted as what users send; known from the first message on. */
  isSystem = false;
  /** Somebody besides the queue is told of each record: it has to be looked at later. */
  readonly isTold: boolean;
  /** By queue id; a queue appears with its first message. */
  readonly queues: readonly (ConsumeQueue | undefined)[];
  /** By queue id, the queues of those that pulls have waited at. */
  readonly waited: (QueueState | undefined)[] = [];

  constructor(topic: string, queues: readonly (ConsumeQueue | undefined)[]) {
    this.topic = topic;
    this.queues = queues;
    this.isTold = toldTopics.has(topic);
    const seed = Buffer.from(`${topic}#`);
    this.indexSeed = javaStringHash(seed, 0, seed.length);
  }
}

export interface SubscriptionState extends SubscriptionSnapshot {
  /** Compiled by the first pull that uses it; null until then. */
  filter: MessageFilter | FilterFault | null;
}

export class GroupState {
  readonly group: string;
  exists = false;
  consumeEnable = false;
  /** By topic; null where no member is alive. */
  subscriptions: Map<string, SubscriptionState> | null = null;

  /** Counts of the messages that the group got, by topic. */
  readonly gets = new Map<TopicState, StatsItem>();
  /** Offsets that pulls of the group are to be answered with once, by topic and queue. */
  resets: Map<string, Map<number, number>> | null = null;

  constructor(group: string) {
    this.group = group;
  }
}

export class TopicStates {
  readonly #consumeQueues: ConsumeQueueStore;
  readonly #topics: ByteTable<TopicState>;
  readonly #groups: ByteTable<GroupState>;

  constructor(consumeQueues: ConsumeQueueStore, seed: number) {
    this.#consumeQueues = consumeQueues;
    this.#topics = new ByteTable(seed);
    this.#groups = new ByteTable(seed);
    for (const topic of consumeQueues.topics()) this.#add(topic);
  }

  topicAt(bytes: Uint8Array, start: number, end: number): TopicState | undefined {
    return this.#topics.get(bytes, start, end);
  }

  groupAt(bytes: Uint8Array, start: number, end: number): GroupState | undefined {
    return this.#groups.get(bytes, start, end);
  }

  topicNamed(topic: string): TopicState | undefined {
    return this.#topics.getName(topic);
  }

  /** The group, known from now on. */
  groupNamed(name: string): GroupState {
    let group = this.#groups.getName(name);
    if (group === undefined) this.#groups.set(name, (group = new GroupState(name)));
    return group;
  }

  /** Topics without a configuration: what only stored messages speak of. */
  unconfigured(): TopicState[] {
    return [...this.#topics.values()].filter((topic) => !topic.isConfigured);
  }

  /** The topic of a record, known from now on. */
  topicOfRecord(bytes: Buffer, start: number, end: number): TopicState {
    return this.#topics.get(bytes, start, end) ?? this.#add(bytes.toString('utf8', start, end));
  }

  /** The queue of a record, made where it is the first. */
  queueOfRecord(topic: TopicState, queueId: number): ConsumeQueue {
    return topic.queues[queueId] ?? this.#consumeQueues.getOrCreate(topic.topic, queueId);
  }

  /** The queue that a pull waits at. */
  waitedQueue(topic: TopicState, queueId: number): QueueState {
    return (topic.waited[queueId] ??= new QueueState(this.queueOfRecord(topic, queueId)));
  }

  apply(snapshot: Snapshot): void {
    if (snapshot.kind === 'topic') {
      const topic = this.#topics.getName(snapshot.topic) ?? this.#add(snapshot.topic);
      topic.isConfigured = true;
      topic.topicId = snapshot.topicId;
      topic.perm = snapshot.perm;
      topic.readQueueNums = snapshot.readQueueNums;
      topic.writeQueueNums = snapshot.writeQueueNums;
    } else if (snapshot.kind === 'topicDeleted') {
      this.delete(snapshot.topic);
    } else if (snapshot.kind === 'group') this.#applyGroup(snapshot);
  }

  /** Forgets a topic and deletes its queues. */
  delete(name: string): void {
    const topic = this.#topics.getName(name);
    this.#topics.delete(name);
    this.#consumeQueues.deleteTopic(name);
    if (topic === undefined) return;
    for (const group of this.#groups.values()) {
      group.gets.delete(topic);
      group.resets?.delete(name);
    }
  }

  #applyGroup(snapshot: GroupSnapshot): void {
    const group = this.groupNamed(snapshot.group);
    if (!snapshot.exists) {
      group.resets = null;
      group.gets.clear();
    }
    group.exists = snapshot.exists;
    group.consumeEnable = snapshot.consumeEnable;
    group.subscriptions =
      snapshot.subscriptions === null
        ? null
        : new Map(
            snapshot.subscriptions.map((subscription) => [
              subscription.topic,
              { ...subscription, filter: null },
            ]),
          );
  }

  #add(name: string): TopicState {
    const topic = new TopicState(name, this.#consumeQueues.queuesOf(name));
    this.#topics.set(name, topic);
    return topic;
  }
}
