/**
 * @agent control
 *
 * What control knows for a scrape of metrics, in pages: each is a bounded piece of work, so that sends
 * go on between two of them however many groups and queues there are. The first page also counts topics,
 * groups and who is connected.
 *
 * Source of names and labels: BrokerMetricsManager.java.
 */
import { addLine, type MetricLabels, type MetricLines } from '../base/prometheus-text.ts';
import type { ControlState } from './control-state.ts';
import { isSystemTopic } from './resource-name.ts';

/** Queues of one page; each may cost a read of its ConsumeQueue and of the log. */
const QUEUES_PER_PAGE = 256;

/** How far a group is in some queues of a topic. */
export interface GroupProgress {
  readonly group: string;
  readonly topic: string;
  readonly queues: (readonly [queueId: number, offset: number])[];
  /** No more queues of this topic follow. */
  readonly isLast: boolean;
}

export interface ControlMetrics {
  /** 0 begins a scrape. */
  readonly page: number;
  readonly lines: MetricLines;
  readonly progress: readonly GroupProgress[];
  /** There are more pages. */
  readonly hasMore: boolean;
}

/** What the name server of this process keeps. */
export interface RouteCounts {
  readonly brokerCount: number;
  readonly routeBytes: number;
}

export class MetricsPages {
  readonly #state: ControlState;
  readonly #labels: MetricLabels;
  #progress: Iterator<GroupProgress> | null = null;

  constructor(state: ControlState) {
    this.#state = state;
    this.#labels = brokerLabels(state.config);
  }

  /** The next page; page 0 begins anew. `routes` is null where there is no name server here. */
  next(page: number, routes: RouteCounts | null): ControlMetrics {
    const lines: MetricLines = {};
    if (page === 0) {
      this.#progress = this.#walk();
      this.#count(lines);
      if (routes !== null) addRouteLines(lines, this.#labels, routes);
    }
    const progress: GroupProgress[] = [];
    let queueCount = 0;
    while (this.#progress !== null && queueCount < QUEUES_PER_PAGE) {
      const { value, done } = this.#progress.next();
      if (done === true) {
        this.#progress = null;
        break;
      }
      progress.push(value);
      queueCount += value.queues.length + 1;
    }
    return { page, lines, progress, hasMore: this.#progress !== null };
  }

  *#walk(): Generator<GroupProgress> {
    for (const { topic, group, queues } of this.#state.offsets.progress()) {
      if (this.#state.subscriptionGroups.get(group) === undefined) continue;
      let some: [number, number][] = [];
      for (const [queueId, offset] of queues) {
        if (some.length >= QUEUES_PER_PAGE) {
          yield { group, topic, queues: some, isLast: false };
          some = [];
        }
        some.push([queueId, offset]);
      }
      yield { group, topic, queues: some, isLast: true };
    }
  }

  #count(lines: MetricLines): void {
    const { topics, subscriptionGroups, producers, consumers } = this.#state;
    const labels = this.#labels;
    addLine(lines, 'rocketmq_broker_permission', labels, READ_AND_WRITE);
    addLine(lines, 'rocketmq_topic_number', labels, topics.size);
    addLine(lines, 'millrace_queues', labels, topics.queueCount);
    const memberCount = consumers.memberCount + producers.memberCount;
    addLine(lines, 'millrace_group_members', labels, memberCount);
    addLine(lines, 'millrace_subscription_bytes', labels, consumers.subscriptionBytes);
    addLine(lines, 'rocketmq_consumer_group_number', labels, subscriptionGroups.size);
    const producerCounts = new Counts();
    for (const [, members] of producers.groups()) {
      for (const { language, version } of members.values())
        producerCounts.add(clientLabels(language, version));
    }
    const consumerCounts = new Counts();
    for (const { name, members, consumeType } of consumers.groups()) {
      const consume_mode = consumeType === 'CONSUME_ACTIVELY' ? 'pull' : 'push';
      const is_system = isSystemGroup(name);
      for (const { language, version } of members.values()) {
        consumerCounts.add({
          consumer_group: name,
          ...clientLabels(language, version),
          consume_mode,
          is_system,
        });
      }
    }
    for (const [counted, count] of producerCounts.all())
      addLine(lines, 'rocketmq_producer_connections', { ...labels, ...counted }, count);
    for (const [counted, count] of consumerCounts.all())
      addLine(lines, 'rocketmq_consumer_connections', { ...labels, ...counted }, count);
  }
}

const READ_AND_WRITE = 6;

export function addRouteLines(
  lines: MetricLines,
  labels: MetricLabels,
  { brokerCount, routeBytes }: RouteCounts,
): void {
  addLine(lines, 'millrace_registered_brokers', labels, brokerCount);
  addLine(lines, 'millrace_route_bytes', labels, routeBytes);
}

/** Labels that all lines of a broker have. */
export function brokerLabels(config: { clusterName: string; brokerName: string }): MetricLabels {
  return { node_type: 'broker', cluster: config.clusterName, node_id: config.brokerName };
}

/** Labels of what a topic, and a group that reads it, did. */
export function topicLabels(topic: string, group?: string): MetricLabels {
  const is_system = isSystemTopic(topic) || (group !== undefined && isSystemGroup(group));
  if (group === undefined) return { topic, is_system };
  const is_retry = topic.startsWith('%RETRY%') || topic.startsWith('%DLQ%');
  return { topic, consumer_group: group, is_retry, is_system };
}

function isSystemGroup(group: string): boolean {
  return group.toLowerCase().startsWith('cid_rmq_sys_');
}

function clientLabels(language: string, version: number): MetricLabels {
  return { language: language.toLowerCase(), version, protocol_type: 'remoting' };
}

/** Counts by labels. */
class Counts {
  readonly #counts = new Map<string, [labels: MetricLabels, count: number]>();

  add(labels: MetricLabels): void {
    const key = JSON.stringify(labels);
    const known = this.#counts.get(key);
    if (known === undefined) this.#counts.set(key, [labels, 1]);
    else known[1]++;
  }

  all(): Iterable<[labels: MetricLabels, count: number]> {
    return this.#counts.values();
  }
}
