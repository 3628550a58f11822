/**
 * @agent dispatcher
 *
 * Follows the log and derives from each record its ConsumeQueue unit and its index entries.
 * Reads only below `readable`; skips what recovery reported as damaged.
 *
 * Source: CommitLog.java (checkMessageAndReturnSize), IndexService.java (buildIndex).
 */
import { type DelayLevels, delayLevelOf } from '../broker/delay-level.ts';
import type { BrokerStatistics } from './broker-statistics.ts';
import { realDestinationOf } from '../broker/real-destination.ts';
import { SystemTopic } from '../broker/resource-name.ts';
import type { DispatchKernel } from '../kernel/dispatch-kernel.ts';
import { javaStringHash } from '../protocol/java-string-hash.ts';
import { readInt32, RecordKind, RecordView, SysFlag } from '../protocol/message-record.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import type { IndexStore } from '../store/index-store.ts';
import type { QueueState, TopicState, TopicStates } from './topic-state.ts';

export interface DamagedRange {
  from: number;
  to: number;
}

export interface RecordDispatcherOptions {
  segments: CommitLogSegments;
  /** Reads plain records; null where there is none. */
  kernel: DispatchKernel | null;
  topics: TopicStates;
  /** Null where messageIndexEnable is false. */
  index: IndexStore | null;
  delayLevels: DelayLevels;
  /** Null where records are read again, not new. */
  statistics: BrokerStatistics | null;
  /** Hears of each record of a topic that `isTold`; null where it looks for them itself. */
  onTimerRecord: ((topic: string, view: RecordView) => void) | null;
  /** Everything below is in the derived files already. */
  position: number;
  damage: readonly DamagedRange[];
}

/** Where messages wait that are another topic's. */
const waitingTopics: ReadonlySet<string> = new Set([
  SystemTopic.SCHEDULE,
  SystemTopic.WHEEL_TIMER,
  SystemTopic.HALF,
]);

/** Longer records are read where they are: they would not pay for being copied. */
const KERNEL_RECORD_BYTES_MAX = 4096;
const NAME_END = 1;
const VALUE_END = 2;
const SPACE = 0x20;

const tagsName = Buffer.from('TAGS');
const keysName = Buffer.from('KEYS');
const uniqueKeyName = Buffer.from('UNIQ_KEY');
const delayName = Buffer.from('DELAY');

export class RecordDispatcher {
  readonly #options: RecordDispatcherOptions;
  readonly #view = new RecordView();
  #position: number;
  #lastTimestampMs = 0;
  /** Where the halves of the commits are that were dispatched; kept by recovery alone. */
  readonly commits: number[] = [];
  /** Queues that messages which wait belong to, by topic; kept by recovery alone. */
  readonly waitedFor = new Map<string, Set<number>>();
  /** Queues that have got messages since `takeNews`. */
  #news: QueueState[] = [];
  /** Place in the log of what the kernel has loaded. */
  #windowFrom = -1;
  #tagsStart = -1;
  #tagsEnd = -1;
  #delayStart = -1;
  #delayEnd = -1;

  constructor(options: RecordDispatcherOptions) {
    this.#options = options;
    this.#position = options.position;
  }

  get position(): number {
    return this.#position;
  }

  /** Store timestamp of the last dispatched record. */
  get lastTimestampMs(): number {
    return this.#lastTimestampMs;
  }

  /** Queues that got messages and have pulls waiting. */
  takeNews(): QueueState[] {
    const news = this.#news;
    if (news.length > 0) this.#news = [];
    return news;
  }

  /** Has pulls that are held at this queue looked at again, though no message came. */
  markNews(queue: QueueState): void {
    if (queue.hasNews || queue.waiting.length === 0) return;
    queue.hasNews = true;
    this.#news.push(queue);
  }

  /** Dispatches up to `countMax` records below `readable`; returns how many. */
  dispatch(readable: number, countMax: number): number {
    const { segments, kernel } = this.#options;
    const segmentBytes = segments.segmentBytes;
    const view = this.#view;
    let count = 0;
    while (this.#position < readable && count < countMax) {
      const base = this.#position - (this.#position % segmentBytes);
      const segment = segments.segmentAt(base);
      if (segment === null)
        throw new Error(`no segment holds ${this.#position}, which is to be dispatched`);
      const limit = Math.min(segmentBytes, readable - base);
      let at = this.#position - base;
      while (at < limit && count < countMax) {
        const quickBytes =
          kernel === null ? 0 : this.#scanQuickly(kernel, segment.bytes, base, at, limit);
        if (kernel !== null && quickBytes > 0) {
          this.#dispatchQuickly(kernel, quickBytes, segment.bytes, at, limit);
          at += quickBytes;
          count++;
          continue;
        }
        const kind = view.read(segment.bytes, at, limit, false);
        if (kind === RecordKind.MESSAGE) {
          this.#dispatchRecord();
          at += view.totalBytes;
          count++;
        } else if (kind === RecordKind.BLANK) {
          at = segmentBytes;
        } else {
          at = this.#afterDamage(base + at) - base;
        }
      }
      this.#position = base + at;
    }
    return count;
  }

  #afterDamage(position: number): number {
    for (const range of this.#options.damage) {
      if (position >= range.from && position < range.to) return range.to;
    }
    throw new Error(`the log has no record at ${position}, below its readable end`);
  }

  /** Has the kernel read the record at `at` of a segment; its length, or 0 where it is not for the kernel. */
  #scanQuickly(
    kernel: DispatchKernel,
    bytes: Buffer,
    base: number,
    at: number,
    limit: number,
  ): number {
    if (limit - at < 4) return 0;
    const recordBytes = readInt32(bytes, at);
    if (recordBytes <= 0 || recordBytes > KERNEL_RECORD_BYTES_MAX) return 0;
    const start = base + at - this.#windowFrom;
    if (start >= 0 && start + recordBytes <= kernel.windowBytes) return kernel.scanRecord(start);
    kernel.load(bytes, at, limit);
    this.#windowFrom = base + at;
    return kernel.scanRecord(0);
  }

  /** Derives what the kernel has found. */
  #dispatchQuickly(
    kernel: DispatchKernel,
    recordBytes: number,
    bytes: Buffer,
    at: number,
    limit: number,
  ): void {
    const { topics, index, statistics, onTimerRecord } = this.#options;
    const { window, physicalOffset, storeTimestampMs, queueId } = kernel;
    this.#lastTimestampMs = storeTimestampMs;
    const topic = topics.topicOfRecord(window, kernel.topicStart, kernel.topicEnd);
    statistics?.onPut(topic, recordBytes);
    if (index !== null) {
      if (kernel.hasUniqueKey)
        index.put(kernel.uniqueKeyHash(topic.indexSeed), physicalOffset, storeTimestampMs);
      const { keysStart } = kernel;
      if (keysStart > 0) {
        const { keysEnd } = kernel;
        indexKeys(index, topic, window, keysStart, keysEnd, physicalOffset, storeTimestampMs);
      }
    }
    const tagsLow = kernel.hasTags ? kernel.tagsHash : 0;
    const queue = topics.queueOfRecord(topic, queueId);
    queue.append(kernel.queueOffset, physicalOffset, recordBytes, tagsLow >> 31, tagsLow);
    const waited = topic.waited[queueId];
    if (waited !== undefined) this.markNews(waited);
    if (onTimerRecord !== null && !topic.isTold) return;
    // Who is told wants to see the record itself.
    this.#view.read(bytes, at, limit, false);
    if (onTimerRecord === null) this.#keepDestination(topic.topic);
    else onTimerRecord(topic.topic, this.#view);
  }

  #dispatchRecord(): void {
    const view = this.#view;
    const bytes = view.buffer;
    this.#lastTimestampMs = view.storeTimestampMs;
    const { topics, index, statistics } = this.#options;
    const transaction = view.sysFlag & SysFlag.TRANSACTION_MASK;
    const topic = topics.topicOfRecord(bytes, view.topicStart, view.topicStart + view.topicBytes);
    statistics?.onPut(topic, view.totalBytes);
    this.#scanProperties(topic, transaction === SysFlag.TRANSACTION_ROLLBACK ? null : index);
    if (transaction !== 0 && transaction !== SysFlag.TRANSACTION_COMMIT) return;
    if (transaction !== 0 && this.#options.onTimerRecord === null)
      this.commits.push(view.preparedTransactionOffset);
    const queue = topics.queueOfRecord(topic, view.queueId);
    let tagsHigh = 0;
    let tagsLow = 0;
    if (this.#delayStart >= 0 && topic.topic === SystemTopic.SCHEDULE) {
      // Units of the schedule topic carry the time at which the message is due.
      const { delayLevels } = this.#options;
      const level = delayLevels.cap(
        delayLevelOf(bytes.toString('latin1', this.#delayStart, this.#delayEnd)),
      );
      const dueMs = delayLevels.dueMs(level, view.storeTimestampMs);
      tagsHigh = Math.floor(dueMs / 0x1_0000_0000);
      tagsLow = dueMs | 0;
    } else if (this.#tagsStart >= 0) {
      tagsLow = javaStringHash(bytes, this.#tagsStart, this.#tagsEnd);
      tagsHigh = tagsLow >> 31;
    }
    queue.append(view.queueOffset, view.physicalOffset, view.totalBytes, tagsHigh, tagsLow);
    const waited = topic.waited[view.queueId];
    if (waited !== undefined) this.markNews(waited);
    const { onTimerRecord } = this.#options;
    if (onTimerRecord === null) this.#keepDestination(topic.topic);
    else if (topic.isTold) onTimerRecord(topic.topic, view);
  }

  #keepDestination(topic: string): void {
    if (!waitingTopics.has(topic)) return;
    const destination = realDestinationOf(this.#view);
    if (destination === null) return;
    const queueIds = this.waitedFor.get(destination.topic) ?? new Set();
    this.waitedFor.set(destination.topic, queueIds.add(destination.queueId));
  }

  /** Walks the properties once: puts keys into the index, remembers where tags and delay stand. */
  #scanProperties(topic: TopicState, index: IndexStore | null): void {
    const view = this.#view;
    const bytes = view.buffer;
    const end = view.propertiesStart + view.propertiesBytes;
    this.#tagsStart = -1;
    this.#delayStart = -1;
    let at = view.propertiesStart;
    while (at < end) {
      const nameStart = at;
      while (at < end && bytes[at] !== NAME_END) at++;
      const nameBytes = at - nameStart;
      const valueStart = ++at;
      while (at < end && bytes[at] !== VALUE_END) at++;
      const valueEnd = at++;
      if (valueEnd <= valueStart) continue;
      if (nameBytes === 4) {
        if (nameIs(bytes, nameStart, tagsName)) {
          this.#tagsStart = valueStart;
          this.#tagsEnd = valueEnd;
        } else if (index !== null && nameIs(bytes, nameStart, keysName)) {
          const { physicalOffset, storeTimestampMs } = view;
          indexKeys(index, topic, bytes, valueStart, valueEnd, physicalOffset, storeTimestampMs);
        }
      } else if (nameBytes === 8) {
        if (index !== null && nameIs(bytes, nameStart, uniqueKeyName)) {
          index.put(
            javaStringHash(bytes, valueStart, valueEnd, topic.indexSeed),
            view.physicalOffset,
            view.storeTimestampMs,
          );
        }
      } else if (nameBytes === 5 && nameIs(bytes, nameStart, delayName)) {
        this.#delayStart = valueStart;
        this.#delayEnd = valueEnd;
      }
    }
  }
}

/** KEYS holds words between spaces, each a key of its own. */
function indexKeys(
  index: IndexStore,
  topic: TopicState,
  bytes: Buffer,
  start: number,
  end: number,
  physicalOffset: number,
  storeTimestampMs: number,
): void {
  let wordStart = start;
  for (let at = start; at <= end; at++) {
    if (at < end && bytes[at] !== SPACE) continue;
    if (at > wordStart) {
      const hash = javaStringHash(bytes, wordStart, at, topic.indexSeed);
      index.put(hash, physicalOffset, storeTimestampMs);
    }
    wordStart = at + 1;
  }
}

function nameIs(bytes: Buffer, start: number, name: Uint8Array): boolean {
  for (let index = 0; index < name.length; index++) {
    if (bytes[start + index] !== name[index]) return false;
  }
  return true;
}
