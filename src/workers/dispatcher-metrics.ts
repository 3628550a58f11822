/**
 * @agent dispatcher
 *
 * Completes the pages of a scrape that control begins: counts of messages by topic and group, how far
 * groups are behind, the store. Each page is a bounded piece of work.
 */
import type { LatencyHistogram } from '../base/latency-histogram.ts';
import { addLine, type MetricLabels, type MetricLines } from '../base/prometheus-text.ts';
import { brokerLabels, type ControlMetrics, topicLabels } from '../broker/metrics-pages.ts';
import type { StatsItem } from '../broker/statistics.ts';
import { ResponseCode } from '../protocol/codes.ts';
import type { Answer } from '../protocol/remoting-command.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { BrokerStatistics } from './broker-statistics.ts';
import type { MetricDistributions, MetricsPage } from './ring-messages.ts';
import type { TopicStates } from './topic-state.ts';

/** Counted topics and groups of one page, besides the queues that control brings. */
const COUNTS_PER_PAGE = 256;

export interface DispatcherMetricsOptions {
  clusterName: string;
  brokerName: string;
  topics: TopicStates;
  statistics: BrokerStatistics;
  positions: StorePositions;
  storeTimestampIn: (queue: ConsumeQueue | undefined, offset: number) => number;
  storeTimestampAt: (physicalOffset: number) => number;
  /** When the next timed message is due; Infinity for none. */
  nextTimerMs: () => number;
  appendLatency: LatencyHistogram;
  heldPullCount: () => number;
  wallNowMs: () => number;
}

/** A group and topic of which more queues are to come. */
interface Lag {
  messages: number;
  oldestMs: number;
}

export class DispatcherMetrics {
  readonly #options: DispatcherMetricsOptions;
  readonly #labels: MetricLabels;
  #counted: Iterator<readonly ['in' | 'out', string, StatsItem]> | null = null;
  #lag: Lag = { messages: 0, oldestMs: Infinity };

  constructor(options: DispatcherMetricsOptions) {
    this.#options = options;
    this.#labels = brokerLabels(options);
  }

  answer(control: ControlMetrics): Answer {
    const { lines } = control;
    const isFirst = control.page === 0;
    if (isFirst) {
      this.#counted = this.#walk();
      this.#lag = { messages: 0, oldestMs: Infinity };
      this.#addStore(lines);
    }
    this.#addCounts(lines);
    for (const { group, topic, queues, isLast } of control.progress) {
      for (const [queueId, offset] of queues) this.#addQueue(lines, group, topic, queueId, offset);
      if (isLast) this.#endGroup(lines, group, topic);
    }
    const page: MetricsPage = {
      lines,
      hasMore: control.hasMore || this.#counted !== null,
      distributions: isFirst ? this.#distributions() : null,
    };
    return { code: ResponseCode.SUCCESS, body: Buffer.from(JSON.stringify(page)) };
  }

  *#walk(): Generator<readonly ['in' | 'out', string, StatsItem]> {
    const { statistics } = this.#options;
    for (const [topic, item] of statistics.topicPuts()) yield ['in', topic, item];
    for (const [name, item] of statistics.groupGets()) yield ['out', name, item];
  }

  #addCounts(lines: MetricLines): void {
    for (let count = 0; count < COUNTS_PER_PAGE && this.#counted !== null; count++) {
      const { value, done } = this.#counted.next();
      if (done === true) {
        this.#counted = null;
        return;
      }
      const [direction, name, item] = value;
      if (direction === 'in') this.#addPuts(lines, name, item);
      else {
        const at = name.indexOf('@');
        const labels = { ...this.#labels, ...topicLabels(name.slice(0, at), name.slice(at + 1)) };
        addLine(lines, 'rocketmq_messages_out_total', labels, item.messages);
        addLine(lines, 'rocketmq_throughput_out_total', labels, item.bytes);
      }
    }
  }

  #addPuts(lines: MetricLines, topic: string, item: StatsItem): void {
    const labels = { ...this.#labels, ...topicLabels(topic) };
    addLine(lines, 'rocketmq_messages_in_total', labels, item.messages);
    addLine(lines, 'rocketmq_throughput_in_total', labels, item.bytes);
    if (!topic.startsWith('%DLQ%')) return;
    const group = topic.slice('%DLQ%'.length);
    const dead = { ...this.#labels, ...topicLabels(topic, group) };
    addLine(lines, 'rocketmq_send_to_dlq_messages_total', dead, item.messages);
  }

  #addQueue(
    lines: MetricLines,
    group: string,
    topic: string,
    queueId: number,
    offset: number,
  ): void {
    const { topics, storeTimestampIn } = this.#options;
    const queue = topics.topicNamed(topic)?.queues[queueId];
    const messages = Math.max(0, (queue?.maxOffset ?? 0) - offset);
    const labels = {
      ...this.#labels,
      consumer_group: group,
      topic,
      queue_id: queueId,
    };
    addLine(lines, 'millrace_consumer_queue_lag_messages', labels, messages);
    if (messages === 0 || queue === undefined) return;
    this.#lag.messages += messages;
    const storedMs = storeTimestampIn(queue, Math.max(offset, queue.minOffset));
    if (storedMs > 0) this.#lag.oldestMs = Math.min(this.#lag.oldestMs, storedMs);
  }

  #endGroup(lines: MetricLines, group: string, topic: string): void {
    const { messages, oldestMs } = this.#lag;
    this.#lag = { messages: 0, oldestMs: Infinity };
    const labels = { ...this.#labels, ...topicLabels(topic, group) };
    const ageMs = oldestMs === Infinity ? 0 : Math.max(0, this.#options.wallNowMs() - oldestMs);
    addLine(lines, 'rocketmq_consumer_lag_messages', labels, messages);
    addLine(lines, 'rocketmq_consumer_lag_latency', labels, Math.round(ageMs));
  }

  #addStore(lines: MetricLines): void {
    const { positions, storeTimestampAt, nextTimerMs, wallNowMs } = this.#options;
    const store = { ...this.#labels, storage_type: 'local', storage_medium: 'disk' };
    const appended = positions.load(PositionSlot.APPENDED);
    const minimum = positions.load(PositionSlot.MINIMUM);
    const behind = (slot: PositionSlot): number => Math.max(0, appended - positions.load(slot));
    addLine(lines, 'rocketmq_storage_size', store, appended - minimum);
    const oldestMs = storeTimestampAt(minimum);
    const keptMs = oldestMs > 0 ? Math.max(0, wallNowMs() - oldestMs) : 0;
    addLine(lines, 'rocketmq_storage_message_reserve_time', store, Math.round(keptMs));
    const flushBehind = behind(PositionSlot.FLUSHED);
    addLine(lines, 'rocketmq_storage_flush_behind_bytes', store, flushBehind);
    const dispatchBehind = behind(PositionSlot.DISPATCHED);
    addLine(lines, 'rocketmq_storage_dispatch_behind_bytes', store, dispatchBehind);
    const lateMs = Math.max(0, wallNowMs() - nextTimerMs());
    addLine(lines, 'rocketmq_timer_dequeue_latency', this.#labels, Math.round(lateMs));
    addLine(lines, 'millrace_held_pulls', this.#labels, this.#options.heldPullCount());
  }

  #distributions(): MetricDistributions {
    const { statistics, appendLatency } = this.#options;
    return {
      sendMs: [...appendLatency.copy()],
      pullMs: [...statistics.pullLatency.copy()],
      sizes: [...statistics.sizes],
      sizeSum: statistics.putBytes,
    };
  }
}
