/**
 * @agent dispatcher
 *
 * What the broker has done, for tools: messages in by topic, messages out by group and topic, and the
 * totals. The dispatcher sees every record and answers every pull, so it counts both; how long
 * appends took comes from the writer. Nothing of it outlives the process, as in RocketMQ.
 *
 * Source: BrokerStatsManager.java, StoreStatsService.java, BrokerStats.java.
 */
import type { MonotonicClock, WallClock } from '../base/clock.ts';
import { LatencyCounts, LatencyHistogram } from '../base/latency-histogram.ts';
import { messageSizeBounds } from '../base/prometheus-text.ts';
import {
  RateHistory,
  statsDataJson,
  type StatsItem,
  StatsTable,
  StatsWindow,
} from '../broker/statistics.ts';
import { isSystemTopic } from '../broker/resource-name.ts';
import { printDouble } from '../protocol/fastjson.ts';
import type { GroupState, TopicState } from './topic-state.ts';

const SAMPLE_INTERVAL_MS = 1000;
const LATENCY_INTERVAL_MS = 60_000;
const BROKER_PUT = 'BROKER_PUT_NUMS';
const BROKER_GET = 'BROKER_GET_NUMS';

/** Order of the counters in the rate history. */
const Rate = { PUT: 0, GET_FOUND: 1, GET_MISS: 2, TRANSFERRED: 3 } as const;
const RATE_COUNT = 4;

/** Bounds of StoreStatsService's distribution, in ms, and its words. */
const distribution: readonly (readonly [boundMs: number, words: string])[] = [
  [1, '[<=0ms]'],
  [10, '[0~10ms]'],
  [50, '[10~50ms]'],
  [100, '[50~100ms]'],
  [200, '[100~200ms]'],
  [500, '[200~500ms]'],
  [1000, '[500ms~1s]'],
  [2000, '[1~2s]'],
  [3000, '[2~3s]'],
  [4000, '[3~4s]'],
  [5000, '[4~5s]'],
  [10_000, '[5~10s]'],
  [Infinity, '[10s~]'],
];

/** Bounds of size classes: rocketmq_message_size of BrokerMetricsManager.java. */
const SIZE_BOUNDS = messageSizeBounds;

export interface BrokerStatisticsOptions {
  clusterName: string;
  brokerName: string;
  monotonicClock: MonotonicClock;
  wallClock: WallClock;
  /** Of appends, counted by the writer. */
  appendLatency: LatencyHistogram;
}

export class BrokerStatistics {
  /** Of pulls that were not held. */
  readonly pullLatency = new LatencyHistogram();
  /** Records by size class. */
  readonly sizes = new Float64Array(SIZE_BOUNDS.length + 1);
  readonly #options: BrokerStatisticsOptions;
  readonly #topicPuts: StatsTable;
  /** By `topic@group`. */
  readonly #groupGets: StatsTable;
  readonly #totals: StatsTable;
  readonly #put: StatsItem;
  readonly #get: StatsItem;
  readonly #rates: RateHistory;
  #getMissCount = 0;
  /** Messages in and out, without those of system topics. */
  #userPutCount = 0;
  #userGetCount = 0;
  #pullMsMax = 0;
  #nextSampleMs = 0;
  #nextLatencyMs: number;
  #latencyBefore: Int32Array;
  /** Totals at the last two midnights. */
  #morning = { put: 0, get: 0, putYesterday: 0, getYesterday: 0 };
  #nextDayMs: number;

  constructor(options: BrokerStatisticsOptions) {
    this.#options = options;
    const nowMs = options.monotonicClock.nowMs();
    this.#topicPuts = new StatsTable(nowMs);
    this.#groupGets = new StatsTable(nowMs);
    this.#totals = new StatsTable(nowMs);
    this.#put = this.#totals.getOrCreate(BROKER_PUT, nowMs);
    this.#get = this.#totals.getOrCreate(BROKER_GET, nowMs);
    this.#rates = new RateHistory(RATE_COUNT, nowMs);
    this.#latencyBefore = options.appendLatency.copy();
    this.#nextLatencyMs = nowMs + LATENCY_INTERVAL_MS;
    this.#nextDayMs = this.#midnightAfter();
  }

  /** A record was stored. */
  onPut(topic: TopicState, bytes: number): void {
    if (topic.puts === null) {
      topic.puts = this.#topicPuts.getOrCreate(topic.topic, this.#nowMs());
      topic.isSystem = this.#isSystem(topic.topic);
    }
    const item = topic.puts;
    item.times++;
    item.messages++;
    item.bytes += bytes;
    const all = this.#put;
    all.times++;
    all.messages++;
    all.bytes += bytes;
    this.sizes[bytes <= SIZE_BOUNDS[0] ? 0 : sizeClassOf(bytes)]++;
    if (!topic.isSystem) this.#userPutCount++;
  }

  /** A pull was answered with messages. */
  onGet(group: GroupState, topic: TopicState, messages: number, bytes: number): void {
    let item = group.gets.get(topic);
    if (item === undefined) {
      item = this.#groupGets.getOrCreate(`${topic.topic}@${group.group}`, this.#nowMs());
      group.gets.set(topic, item);
    }
    item.times++;
    item.messages += messages;
    item.bytes += bytes;
    const all = this.#get;
    all.times++;
    all.messages += messages;
    all.bytes += bytes;
    if (!topic.isSystem) this.#userGetCount += messages;
  }

  /** A pull found nothing. */
  onMiss(): void {
    this.#getMissCount++;
  }

  /** How long a pull took, from its arrival to its answer, where it was not held. */
  onPullTime(ms: number): void {
    this.pullLatency.record(ms);
    if (ms > this.#pullMsMax) this.#pullMsMax = ms;
  }

  onTopicDeleted(topic: string): void {
    this.#topicPuts.deleteWhere((name) => name === topic);
    this.#groupGets.deleteWhere((name) => name.startsWith(`${topic}@`));
  }

  onGroupDeleted(group: string): void {
    this.#groupGets.deleteWhere((name) => name.endsWith(`@${group}`));
  }

  /** Takes the samples that are due; call it about once a second. */
  sample(nowMs: number): void {
    if (nowMs < this.#nextSampleMs) return;
    this.#nextSampleMs = nowMs + SAMPLE_INTERVAL_MS;
    for (const table of [this.#topicPuts, this.#groupGets, this.#totals]) table.sample(nowMs);
    this.#rates.sample(nowMs, this.#counters());
    if (nowMs >= this.#nextLatencyMs) {
      this.#nextLatencyMs = nowMs + LATENCY_INTERVAL_MS;
      this.#latencyBefore = this.#options.appendLatency.copy();
    }
  }

  /** Midnight is over: what was counted until now was counted this morning. */
  beginDay(): void {
    this.#nextDayMs = this.#midnightAfter();
    const { put, get } = this.#morning;
    const totals = { put: this.#userPutCount, get: this.#userGetCount };
    this.#morning = { ...totals, putYesterday: put, getYesterday: get };
  }

  /** By the wall clock. */
  get nextDayMs(): number {
    return this.#nextDayMs;
  }

  /** Bytes of all records. */
  get putBytes(): number {
    return this.#put.bytes;
  }

  topicPuts(): Iterable<[topic: string, item: StatsItem]> {
    return this.#topicPuts.entries();
  }

  /** By `topic@group`. */
  groupGets(): Iterable<[name: string, item: StatsItem]> {
    return this.#groupGets.entries();
  }

  /** Messages a second, over the last minute, that went to a topic. */
  topicPutTps(topic: string): number {
    return this.#tps(this.#topicPuts.get(topic));
  }

  /** Messages a second, over the last minute, that a group got of a topic. */
  groupGetTps(group: string, topic: string): number {
    return this.#tps(this.#groupGets.get(`${topic}@${group}`));
  }

  /** The body of code 315; null where nothing of that name was counted. */
  statsData(name: string, key: string): string | null {
    const of = name.endsWith('_SIZE') ? 'bytes' : 'messages';
    const item = this.#itemOf(name, key);
    return item === undefined ? null : statsDataJson(item, this.#nowMs(), of);
  }

  /** What code 28 shows of it. */
  *runtimeInfo(): Generator<readonly [string, string]> {
    const nowMs = this.#nowMs();
    const { appendLatency } = this.#options;
    const [put, found, miss, transferred] = this.#counters();
    const rate = (counter: number, current: number): string =>
      this.#rates.rates(counter, nowMs, current);
    yield ['putTps', rate(Rate.PUT, put)];
    yield ['getFoundTps', rate(Rate.GET_FOUND, found)];
    yield ['getMissTps', rate(Rate.GET_MISS, miss)];
    yield ['getTotalTps', sumOfRates(rate(Rate.GET_FOUND, found), rate(Rate.GET_MISS, miss))];
    yield ['getTransferredTps', rate(Rate.TRANSFERRED, transferred)];
    yield ['putMessageTimesTotal', String(put)];
    yield ['putMessageSizeTotal', String(this.#put.bytes)];
    yield ['putMessageAverageSize', String(this.#put.bytes / Math.max(1, put))];
    yield ['putMessageFailedTimes', String(appendLatency.failureCount)];
    yield ['putMessageEntireTimeMax', String(Math.round(appendLatency.maxMs))];
    yield ['getMessageEntireTimeMax', String(Math.round(this.#pullMsMax))];
    const latency = new LatencyCounts(this.#latencyBefore, appendLatency.copy());
    yield ['putLatency99', latency.percentileMs(0.99).toFixed(2)];
    yield ['putLatency999', latency.percentileMs(0.999).toFixed(2)];
    const counts = latency.between(distribution.slice(0, -1).map(([boundMs]) => boundMs));
    const words = distribution.map(([, word], index) => `${word}:${counts[index]} `).join('');
    yield ['putMessageDistributeTime', words];
    yield ['msgPutTotalYesterdayMorning', String(this.#morning.putYesterday)];
    yield ['msgPutTotalTodayMorning', String(this.#morning.put)];
    yield ['msgPutTotalTodayNow', String(this.#userPutCount)];
    yield ['msgGetTotalYesterdayMorning', String(this.#morning.getYesterday)];
    yield ['msgGetTotalTodayMorning', String(this.#morning.get)];
    yield ['msgGetTotalTodayNow', String(this.#userGetCount)];
  }

  #itemOf(name: string, key: string): StatsItem | undefined {
    switch (name) {
      case 'TOPIC_PUT_NUMS':
      case 'TOPIC_PUT_SIZE':
        return this.#topicPuts.get(key);
      case 'GROUP_GET_NUMS':
      case 'GROUP_GET_SIZE':
        return this.#groupGets.get(key);
      case BROKER_PUT:
      case BROKER_GET:
        return key === this.#options.clusterName ? this.#totals.get(name) : undefined;
      default:
        return undefined;
    }
  }

  /** Topics that a broker has for itself; also those of its own and its cluster's name. */
  #isSystem(topic: string): boolean {
    const { clusterName, brokerName } = this.#options;
    return isSystemTopic(topic) || topic === clusterName || topic === brokerName;
  }

  #counters(): [number, number, number, number] {
    return [this.#put.messages, this.#get.times, this.#getMissCount, this.#get.messages];
  }

  #tps(item: StatsItem | undefined): number {
    return item?.snapshot(StatsWindow.MINUTE, this.#nowMs(), 'messages').tps ?? 0;
  }

  #nowMs(): number {
    return this.#options.monotonicClock.nowMs();
  }

  /** The next midnight of the broker's own time zone. */
  #midnightAfter(): number {
    return new Date(this.#options.wallClock.nowMs()).setHours(24, 0, 0, 0);
  }
}

function sizeClassOf(bytes: number): number {
  let index = 1;
  while (index < SIZE_BOUNDS.length && bytes > SIZE_BOUNDS[index]) index++;
  return index;
}

function sumOfRates(left: string, right: string): string {
  const others = right.split(' ').map(Number);
  return left
    .split(' ')
    .map((rate, index) => printDouble(Number(rate) + others[index]))
    .join(' ');
}
