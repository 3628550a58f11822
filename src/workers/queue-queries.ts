/**
 * @agent dispatcher
 *
 * Requests about queues and stored messages that need the ConsumeQueue, the index or the log:
 * offsets by bound or by time (29–32), the start of a queue for a new group (14), messages by key
 * (12) and by place (33), how far queues are (202), their units (321). Off the hot path.
 *
 * Source: AdminBrokerProcessor.java, QueryMessageProcessor.java, ConsumerManageProcessor.java.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import {
  RequestFault,
  requiredInteger,
  requiredLong,
  requiredText,
} from '../broker/request-fields.ts';
import { printDouble, printFastjsonTable } from '../protocol/fastjson.ts';
import { readProperty } from '../protocol/message-properties.ts';
import { javaStringHash } from '../protocol/java-string-hash.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import type { Answer, RemotingCommand } from '../protocol/remoting-command.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import { ConsumeQueueUnits } from '../store/consume-queue-units.ts';
import type { IndexStore } from '../store/index-store.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { BrokerStatistics } from './broker-statistics.ts';
import type { TopicStates } from './topic-state.ts';

export interface QueueQueriesOptions {
  topics: TopicStates;
  segments: CommitLogSegments;
  positions: StorePositions;
  index: IndexStore | null;
  statistics: BrokerStatistics;
  brokerName: string;
  /** What of the end of the log counts as in memory (accessMessageInMemoryMaxRatio of RocketMQ). */
  inMemoryBytesMax: number;
  /** A message is shown only to who has named its topic, which is what access control went by. */
  checksTopic?: boolean;
}

const UNIQUE_KEY_COUNT_MAX = 32;
const QUERY_COUNT_MAX = 64;
const QUERY_BYTES_MAX = 4 * 1024 * 1024;
/** Candidates with the same hash that are compared before a query ends. */
const CANDIDATE_COUNT_MAX = 4096;
/** A guess: an answer of some 100 KiB. */
const UNIT_COUNT_MAX = 1024;

export class QueueQueries {
  readonly #options: QueueQueriesOptions;
  readonly #view = new RecordView();

  constructor(options: QueueQueriesOptions) {
    this.#options = options;
  }

  answer(request: RemotingCommand): Answer {
    try {
      return this.#answer(request);
    } catch (error) {
      if (!(error instanceof RequestFault)) throw error;
      return { code: ResponseCode.SYSTEM_ERROR, remark: error.message };
    }
  }

  #answer(request: RemotingCommand): Answer {
    switch (request.code) {
      case RequestCode.GET_MAX_OFFSET:
        return offsetAnswer(this.#queueOf(request)?.maxOffset ?? 0);
      case RequestCode.GET_MIN_OFFSET:
        return offsetAnswer(this.#queueOf(request)?.minOffset ?? 0);
      case RequestCode.SEARCH_OFFSET_BY_TIMESTAMP:
        return this.#searchByTime(request);
      case RequestCode.GET_EARLIEST_MSG_STORETIME:
        return {
          code: ResponseCode.SUCCESS,
          extFields: [['timestamp', String(this.#earliestStoreTime(request))]],
        };
      case RequestCode.VIEW_MESSAGE_BY_ID:
        return this.#viewMessage(request);
      case RequestCode.QUERY_MESSAGE:
        return this.#queryMessage(request);
      case RequestCode.GET_TOPIC_STATS_INFO:
        return this.#topicStats(request);
      default:
        return {
          code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
          remark: ` request type ${request.code} not supported`,
        };
    }
  }

  #queueOf(request: RemotingCommand): ConsumeQueue | undefined {
    const topic = this.#options.topics.topicNamed(requiredText(request, 'topic'));
    return topic?.queues[requiredInteger(request, 'queueId')];
  }

  /** TopicStatsTable.java: where each queue begins and ends, and when its last message came. */
  #topicStats(request: RemotingCommand): Answer {
    const name = request.extFields.get('topic') ?? '';
    const topic = this.#options.topics.topicNamed(name);
    if (topic === undefined || !topic.isConfigured) {
      return {
        code: ResponseCode.TOPIC_NOT_EXIST,
        remark: `topic[${name.slice(0, 256)}] not exist`,
      };
    }
    const queueCount = Math.max(topic.readQueueNums, topic.writeQueueNums);
    const entries = Array.from({ length: queueCount }, (_, queueId) => {
      const queue = topic.queues[queueId];
      const maxOffset = queue?.maxOffset ?? 0;
      return this.#entry(name, queueId, {
        lastUpdateTimestamp: Math.max(0, this.storeTimestampIn(queue, maxOffset - 1)),
        maxOffset,
        minOffset: queue?.minOffset ?? 0,
      });
    });
    const putTps = printDouble(this.#options.statistics.topicPutTps(name));
    const text = `{"offsetTable":${printFastjsonTable(entries)},"topicPutTps":${putTps}}`;
    return { code: ResponseCode.SUCCESS, body: Buffer.from(text) };
  }

  /** QueryConsumeQueueResponseBody.java: what a queue's units say; `rest` is what control adds. */
  units(
    topic: string,
    queueId: number,
    range: { index: number; count: number },
    rest: Record<string, unknown>,
  ): Answer {
    const queue = this.#options.topics.topicNamed(topic)?.queues[queueId];
    if (queue === undefined) {
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: `${queueId}@${topic.slice(0, 256)} is not exist!`,
      };
    }
    const bounds = { maxQueueIndex: queue.maxOffset, minQueueIndex: queue.minOffset };
    const countMax = Math.min(range.count, UNIT_COUNT_MAX);
    const units = new ConsumeQueueUnits(Math.max(1, countMax));
    const isInside = range.index >= queue.minOffset && range.index < queue.maxOffset;
    const count = isInside && countMax > 0 ? queue.read(range.index, countMax, units) : 0;
    if (!isInside) {
      const remark = `Index ${range.index} of ${queueId}@${topic.slice(0, 256)} is not exist!`;
      return { code: ResponseCode.SUCCESS, remark };
    }
    const queueData = Array.from({ length: count }, (_, index) => ({
      eval: false,
      physicOffset: units.physicalOffset[index],
      physicSize: units.bytes[index],
      // Beyond 2^53 only the due times of the schedule topic could go, and they do not.
      tagsCode: units.tagsHigh[index] * 0x1_0000_0000 + (units.tagsLow[index] >>> 0),
    }));
    const body = JSON.stringify({ ...rest, ...bounds, queueData });
    return { code: ResponseCode.SUCCESS, body: Buffer.from(body) };
  }

  /** Store time of the message at a queue offset; -1 where there is none. */
  storeTimestampIn(queue: ConsumeQueue | undefined, offset: number): number {
    if (queue === undefined || offset < queue.minOffset || offset >= queue.maxOffset) return -1;
    return queue.storeTimestampAt(offset, (physicalOffset) =>
      this.storeTimestampAt(physicalOffset),
    );
  }

  #entry(topic: string, queueId: number, value: Record<string, number>): [object, string] {
    return [{ brokerName: this.#options.brokerName, queueId, topic }, JSON.stringify(value)];
  }

  /** First offset of a queue whose message is not older than a time. */
  offsetByTime(queue: ConsumeQueue, timestampMs: number): number {
    return queue.offsetByTime(timestampMs, 'LOWER', (offset) => this.storeTimestampAt(offset));
  }

  /**
   * Code 14: a group without a stored offset starts at 0 in a young queue, so that it misses nothing that
   * was sent while it started: where the queue has its beginning, and that is so near to the end of the
   * log that it is still in memory. In any other queue the client decides (ConsumeFromWhere).
   */
  queueStart(topic: string, queueId: number): Answer {
    const queue = this.#options.topics.topicNamed(topic)?.queues[queueId];
    if (queue === undefined || queue.maxOffset === 0) return offsetAnswer(0);
    if (queue.minOffset <= 0 && this.#isInMemory(queue)) return offsetAnswer(0);
    return {
      code: ResponseCode.QUERY_NOT_FOUND,
      remark: 'Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first',
    };
  }

  #isInMemory(queue: ConsumeQueue): boolean {
    const { positions, inMemoryBytesMax } = this.#options;
    const unit = new ConsumeQueueUnits(1);
    if (queue.read(0, 1, unit) === 0) return false;
    return positions.load(PositionSlot.APPENDED) - unit.physicalOffset[0] <= inMemoryBytesMax;
  }

  #searchByTime(request: RemotingCommand): Answer {
    const queue = this.#queueOf(request);
    const timestampMs = requiredLong(request, 'timestamp');
    if (queue === undefined) return offsetAnswer(0);
    const boundary =
      request.extFields.get('boundaryType')?.toUpperCase() === 'UPPER' ? 'UPPER' : 'LOWER';
    return offsetAnswer(
      queue.offsetByTime(timestampMs, boundary, (offset) => this.storeTimestampAt(offset)),
    );
  }

  #earliestStoreTime(request: RemotingCommand): number {
    const queue = this.#queueOf(request);
    if (queue === undefined || queue.maxOffset === queue.minOffset) return -1;
    return queue.storeTimestampAt(queue.minOffset, (offset) => this.storeTimestampAt(offset));
  }

  /** Store time of the record at a place of the log; -1 where none begins there. */
  storeTimestampAt(physicalOffset: number): number {
    return this.#recordAt(physicalOffset) ? this.#view.storeTimestampMs : -1;
  }

  /** Reads the record at a place of the log into `#view`; false where none begins there. */
  #recordAt(physicalOffset: number): boolean {
    const { segments, positions } = this.#options;
    const readable = positions.load(PositionSlot.DISPATCHED);
    if (!(physicalOffset >= positions.load(PositionSlot.MINIMUM) && physicalOffset < readable))
      return false;
    const segment = segments.segmentAt(physicalOffset);
    if (segment === null) return false;
    const base = physicalOffset - (physicalOffset % segments.segmentBytes);
    const limit = Math.min(segments.segmentBytes, readable - base);
    const kind = this.#view.read(segment.bytes, physicalOffset - base, limit, false);
    return kind === RecordKind.MESSAGE && this.#view.physicalOffset === physicalOffset;
  }

  #recordBytes(): Buffer {
    const view = this.#view;
    return view.buffer.subarray(view.start, view.start + view.totalBytes);
  }

  #viewMessage(request: RemotingCommand): Answer {
    const offset = requiredInteger(request, 'offset');
    if (!this.#recordAt(offset) || this.#isOfAnother(request.extFields.get('topic'))) {
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: `can not find message by the offset: ${offset}`,
      };
    }
    return { code: ResponseCode.SUCCESS, body: this.#recordBytes() };
  }

  /** Whether the record in `#view` is of another topic than a request was let in for. */
  #isOfAnother(topic = ''): boolean {
    if (this.#options.checksTopic !== true || topic === '') return false;
    const { buffer, topicStart, topicBytes } = this.#view;
    return buffer.toString('utf8', topicStart, topicStart + topicBytes) !== topic;
  }

  #queryMessage(request: RemotingCommand): Answer {
    const { index } = this.#options;
    const fields = request.extFields;
    const topic = requiredText(request, 'topic');
    const key = requiredText(request, 'key');
    const isUnique = fields.get('_UNIQUE_KEY_QUERY') === 'true';
    const wanted = isUnique ? UNIQUE_KEY_COUNT_MAX : requiredInteger(request, 'maxNum');
    const beginMs = requiredLong(request, 'beginTimestamp');
    const endMs = requiredLong(request, 'endTimestamp');
    const countMax = Math.min(wanted, QUERY_COUNT_MAX);
    const found: Buffer[] = [];
    let foundBytes = 0;
    if (index !== null) {
      const hashed = Buffer.from(`${topic}#${key}`);
      const candidates = index.query(
        javaStringHash(hashed, 0, hashed.length),
        beginMs,
        endMs,
        CANDIDATE_COUNT_MAX,
      );
      for (const physicalOffset of candidates) {
        if (found.length >= countMax || foundBytes >= QUERY_BYTES_MAX) break;
        if (!this.#recordAt(physicalOffset) || !this.#hasKey(topic, key)) continue;
        found.push(this.#recordBytes());
        foundBytes += this.#view.totalBytes;
      }
    }
    const extFields: [string, string][] = [
      ['indexLastUpdateTimestamp', String(index?.lastIndexed.timestampMs ?? 0)],
      ['indexLastUpdatePhyoffset', String(index?.lastIndexed.physicalOffset ?? 0)],
    ];
    if (found.length === 0) {
      return {
        code: ResponseCode.QUERY_NOT_FOUND,
        remark: 'can not find message, maybe time range not correct',
        extFields,
      };
    }
    return { code: ResponseCode.SUCCESS, extFields, body: Buffer.concat(found) };
  }

  /** Whether the record in `#view` really has this topic and key: hashes collide. */
  #hasKey(topic: string, key: string): boolean {
    const view = this.#view;
    const bytes = view.buffer;
    if (bytes.toString('utf8', view.topicStart, view.topicStart + view.topicBytes) !== topic)
      return false;
    const end = view.propertiesStart + view.propertiesBytes;
    for (const name of keyNames) {
      const value = readProperty(bytes, view.propertiesStart, end, name);
      if (value !== undefined && (value === key || value.split(' ').includes(key))) return true;
    }
    return false;
  }
}

const keyNames = [Buffer.from('UNIQ_KEY'), Buffer.from('KEYS')];

function offsetAnswer(offset: number): Answer {
  return { code: ResponseCode.SUCCESS, extFields: [['offset', String(offset)]] };
}
