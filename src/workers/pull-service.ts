/**
 * @agent dispatcher
 *
 * Answers pulls: checks them against the published state of topics and groups, reads ConsumeQueue
 * units, filters by tag, and answers with ranges of the log, or holds the pull until a message
 * arrives or its time is over.
 *
 * ```
 *  request ─▶ checks ─▶ read ─┬─ found, moved, scanned without a match ─▶ answer
 *                             └─ nothing yet, may wait ─▶ held ─┬─ news at its queue ─▶ read again
 *                                                               └─ deadline ─▶ answer 19 or 20
 * ```
 * Source: PullMessageProcessor.java, DefaultMessageStore.java (getMessage), PullRequestHoldService.java.
 */
import type { Refusals } from '../base/refusals.ts';
import type { PublishedSettings } from '../broker/control-effects.ts';
import { HeldPullTable } from '../broker/held-pull-table.ts';
import {
  compileFilter,
  EXPRESSION_BYTES_MAX,
  expressionTooLong,
  type FilterFault,
  isFilterFault,
  isTagExpression,
  type MessageFilter,
  unsupportedExpression,
} from '../broker/message-filter.ts';
import type { BrokerStatistics } from './broker-statistics.ts';
import type { SqlFilter } from '../broker/sql-filter.ts';
import { ResponseCode } from '../protocol/codes.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import { serializeTypeOf } from '../protocol/remoting-command.ts';
import { RequestScanner } from '../protocol/request-scanner.ts';
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import { ConsumeQueueUnits } from '../store/consume-queue-units.ts';
import { BLOCK_UNITS } from '../store/unit-blocks.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { FrameReader } from './frame-proxy.ts';
import type { ReactorProxy } from './reactor-proxy.ts';
import { pendingReset, takeReset } from './offset-resets.ts';
import type { PullCommits } from './pull-commits.ts';
import { logRange, MessageType, pullAnswerMessage } from './ring-messages.ts';
import type {
  GroupState,
  QueueState,
  TopicState,
  TopicStates,
  WaitingPull,
} from './topic-state.ts';

export interface PullServiceOptions {
  topics: TopicStates;
  segments: CommitLogSegments;
  positions: StorePositions;
  toReactor: ReactorProxy;
  commits: PullCommits;
  statistics: BrokerStatistics;
  longPollingEnable: boolean;
  /** Pulls that wait at once; more are answered PULL_NOT_FOUND. */
  heldPullCountMax: number;
  refusals: Refusals;
  /** Whether subscriptions may be SQL92 expressions. */
  enablePropertyFilter: boolean;
}

const PullFlag = { COMMIT_OFFSET: 1, SUSPEND: 2, SUBSCRIPTION: 4 } as const;
const PERM_READ = 4;

/** Messages and bytes of one answer (maxTransferCountOnMessageInMemory, maxTransferBytesOnMessageInMemory). */
const MESSAGE_COUNT_MAX = 32;
const BODY_BYTES_MAX = 256 * 1024;
/** ConsumeQueue units that one pull looks at before the client is told to go on (maxFilterMessageSize 16000 bytes). */
const SCAN_COUNT = 800;
/** Of those, what is read at once where the first units had too few that match. */
const UNITS_PER_READ = BLOCK_UNITS;
/**
 * Operations of SQL92 conditions that one pull takes, whatever it finds: 1 ms of the thread that answers
 * sends. Conditions of up to 16 operations are asked of SCAN_COUNT messages, longer ones of fewer.
 */
const SQL_OPERATION_COUNT_MAX = 16 * SCAN_COUNT;
/** The same of what a condition looks at: 8 ms at the worst, more than SCAN_COUNT messages of 1 KiB of properties. */
const SQL_TEXT_LENGTH_MAX = 1024 * 1024;
/** A pull without long polling is held this long where it may wait (shortPollingTimeMills). */
const SHORT_POLLING_MS = 1000;
const SUSPEND_MS_MAX = 60_000;
/**
 * Compiled expressions that are kept, and characters of them; a compiled one takes some 10 bytes for each.
 * Of those that are refused only short ones are kept: nobody needs them often.
 */
const FILTER_CACHE_COUNT_MAX = 1000;
const FILTER_CACHE_LENGTH_MAX = 2 * 1024 * 1024;
const FAULT_CACHE_KEY_MAX = 8192;

const Field = {
  consumerGroup: 0,
  topic: 1,
  queueId: 2,
  queueOffset: 3,
  maxMsgNums: 4,
  sysFlag: 5,
  commitOffset: 6,
  suspendTimeoutMillis: 7,
  subscription: 8,
  subVersion: 9,
  expressionType: 10,
} as const;
const fieldNames: readonly Uint8Array[] = Object.keys(Field).map((name) => Buffer.from(name));

export class PullService {
  readonly scanner = new RequestScanner();
  readonly #options: PullServiceOptions;
  #longPollingEnable: boolean;
  #enablePropertyFilter: boolean;
  readonly #held = new HeldPullTable<WaitingPull>();
  readonly #fields = new Int32Array(fieldNames.length);
  readonly #units = new ConsumeQueueUnits(UNITS_PER_READ);
  readonly #filters = new Map<string, MessageFilter | FilterFault>();
  /** Characters of the keys of `#filters`. */
  #filtersLength = 0;
  readonly #view = new RecordView();
  /** Ranges of the answer being built: physical offset and bytes in turn. */
  readonly #ranges = new Float64Array(MESSAGE_COUNT_MAX * 2);
  #rangeCount = 0;
  #bodyBytes = 0;
  #messageCount = 0;
  /** Where the last range ends. */
  #rangeEnd = -1;
  /** Of SQL_TEXT_LENGTH_MAX, for the read at hand. */
  #textLeft = 0;
  /** Where the log begins. */
  #minimum = 0;
  // Outcome of the last read, and where it began.
  #begin = 0;
  #code = 0;
  #next = 0;
  #min = 0;
  #max = 0;

  constructor(options: PullServiceOptions) {
    this.#options = options;
    this.#longPollingEnable = options.longPollingEnable;
    this.#enablePropertyFilter = options.enablePropertyFilter;
  }

  /** Takes changed settings. */
  change(settings: PublishedSettings): void {
    this.#longPollingEnable = settings.longPollingEnable ?? this.#longPollingEnable;
    this.#enablePropertyFilter = settings.enablePropertyFilter ?? this.#enablePropertyFilter;
  }

  get heldCount(): number {
    return this.#held.count;
  }

  nextDeadlineMs(): number {
    return this.#held.nextDeadlineMs();
  }

  /** Handles the pull in `frame`, already scanned by `scanner`; false when its answer has no room. */
  onPull(frame: FrameReader, nowMs: number): boolean {
    const scanner = this.scanner;
    const fields = this.#fields;
    scanner.locate(fieldNames, fields);
    const groupField = fields[Field.consumerGroup];
    const topicField = fields[Field.topic];
    if (groupField < 0 || topicField < 0) {
      return this.#refuse(frame, ResponseCode.SYSTEM_ERROR, 'a pull needs consumerGroup and topic');
    }
    const { topics } = this.#options;
    const { bytes, valueStart, valueEnd } = scanner;
    const group = topics.groupAt(bytes, valueStart[groupField], valueEnd[groupField]);
    if (group === undefined || !group.exists) {
      const remark = `subscription group [${scanner.text(groupField) ?? ''}] does not exist; start a consumer of the group, or create it`;
      return this.#refuse(frame, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark);
    }
    if (!group.consumeEnable) {
      const remark = `subscription group no permission, ${scanner.text(groupField) ?? ''}`;
      return this.#refuse(frame, ResponseCode.NO_PERMISSION, remark);
    }
    const topic = topics.topicAt(bytes, valueStart[topicField], valueEnd[topicField]);
    if (topic === undefined || !topic.isConfigured) {
      return this.#refuse(
        frame,
        ResponseCode.TOPIC_NOT_EXIST,
        `topic[${scanner.text(topicField) ?? ''}] not exist, apply first please!`,
      );
    }
    if ((topic.perm & PERM_READ) === 0) {
      return this.#refuse(
        frame,
        ResponseCode.NO_PERMISSION,
        `the topic[${topic.topic}] pulling message is forbidden`,
      );
    }
    const queueId = scanner.integer(fields[Field.queueId], 0);
    if (!(queueId >= 0 && queueId < topic.readQueueNums)) {
      const remark = `queueId[${queueId}] is illegal, topic:[${topic.topic}] topicConfig.readQueueNums:[${topic.readQueueNums}]`;
      return this.#refuse(frame, ResponseCode.INVALID_PARAMETER, remark);
    }
    const offset = scanner.integer(fields[Field.queueOffset], 0);
    const messageCountMax = scanner.integer(fields[Field.maxMsgNums], MESSAGE_COUNT_MAX);
    const sysFlag = scanner.integer(fields[Field.sysFlag], 0);
    const suspendMs = scanner.integer(fields[Field.suspendTimeoutMillis], 0);
    const commitOffset = scanner.integer(fields[Field.commitOffset], -1);
    if (Number.isNaN(offset + messageCountMax + sysFlag + suspendMs + commitOffset)) {
      return this.#refuse(
        frame,
        ResponseCode.SYSTEM_ERROR,
        'a number of the request header is not one',
      );
    }
    const filter = this.#filterOf(frame, group, topic, sysFlag);
    if (filter === null) return this.#wasRefused;

    if (group.resets !== null && pendingReset(group, topic.topic, queueId) !== null)
      return this.#answerReset(group, topic, queueId, frame.connectionId, scanner);
    this.#read(topic.queues[queueId], offset, messageCountMax, filter);
    const maySuspend =
      (sysFlag & PullFlag.SUSPEND) !== 0 && this.#code === ResponseCode.PULL_NOT_FOUND;
    const isFull = maySuspend && this.#held.count >= this.#options.heldPullCountMax;
    if (!maySuspend || isFull) {
      if (!this.#answer(frame.connectionId, scanner.opaque, scanner.serializeType)) return false;
      this.#count(group, topic);
      if (isFull) this.#options.refusals.add('pull-not-held', { group: group.group });
      this.#options.statistics.onPullTime(nowMs - frame.arrivalMs);
    } else {
      const holdMs = this.#longPollingEnable
        ? Math.min(Math.max(suspendMs, 0), SUSPEND_MS_MAX)
        : SHORT_POLLING_MS;
      this.#hold({
        deadlineMs: nowMs + holdMs,
        heldIndex: -1,
        connectionId: frame.connectionId,
        opaque: scanner.opaque,
        serializeType: scanner.serializeType,
        group,
        topic,
        queueId,
        offset,
        scannedTo: offset,
        messageCountMax,
        filter,
      });
    }
    if ((sysFlag & PullFlag.COMMIT_OFFSET) !== 0 && commitOffset >= 0) {
      this.#options.commits.commit(group.group, topic.topic, queueId, commitOffset);
    }
    return true;
  }

  /** Reads again for pulls that wait at this queue; false when an answer has no room: call again later. */
  onNews(queue: QueueState): boolean {
    queue.hasNews = false;
    const waiting = queue.waiting;
    let kept = 0;
    let hasRoom = true;
    for (let index = 0; index < waiting.length; index++) {
      const pull = waiting[index];
      if (pull.heldIndex < 0) continue;
      if (hasRoom && pendingReset(pull.group, pull.topic.topic, pull.queueId) !== null) {
        hasRoom = this.#answerReset(pull.group, pull.topic, pull.queueId, pull.connectionId, pull);
        if (hasRoom) {
          this.#held.finish(pull);
          continue;
        }
      }
      if (hasRoom) {
        this.#read(queue.consumeQueue, pull.scannedTo, pull.messageCountMax, pull.filter);
        // One that has not looked at all of the news is sent for the rest: it would not be woken for that.
        const isNothing =
          this.#code === ResponseCode.PULL_NOT_FOUND ||
          (this.#code === ResponseCode.PULL_RETRY_IMMEDIATELY && this.#next >= this.#max);
        if (isNothing) pull.scannedTo = this.#next;
        else if (this.#answer(pull.connectionId, pull.opaque, pull.serializeType)) {
          this.#count(pull.group, pull.topic);
          this.#held.finish(pull);
          continue;
        } else hasRoom = false;
      }
      waiting[kept++] = pull;
    }
    waiting.length = kept;
    return hasRoom;
  }

  /** Answers pulls whose time is over; returns how many. */
  expire(nowMs: number): number {
    let count = 0;
    for (;;) {
      const pull = this.#held.takeExpired(nowMs);
      if (pull === null) return count;
      const queue = pull.topic.waited[pull.queueId];
      this.#read(queue?.consumeQueue, pull.scannedTo, pull.messageCountMax, pull.filter);
      if (this.#code === ResponseCode.PULL_NOT_FOUND && pull.scannedTo > pull.offset) {
        // The client goes on behind what did not match, instead of scanning it again.
        this.#code = ResponseCode.PULL_RETRY_IMMEDIATELY;
        this.#next = pull.scannedTo;
      }
      if (!this.#answer(pull.connectionId, pull.opaque, pull.serializeType)) {
        this.#held.add(pull);
        return count;
      }
      this.#count(pull.group, pull.topic);
      if (queue !== undefined)
        queue.waiting = queue.waiting.filter((other) => other.heldIndex >= 0);
      count++;
    }
  }

  /** Answers with the offset that an administrator has set; false when there is no room. */
  #answerReset(
    group: GroupState,
    topic: TopicState,
    queueId: number,
    connectionId: number,
    request: { readonly opaque: number; readonly serializeType: number },
  ): boolean {
    const queue = topic.queues[queueId];
    this.#rangeCount = 0;
    this.#bodyBytes = 0;
    this.#messageCount = 0;
    this.#code = ResponseCode.PULL_OFFSET_MOVED;
    this.#next = pendingReset(group, topic.topic, queueId) ?? 0;
    this.#min = queue?.minOffset ?? 0;
    this.#max = queue?.maxOffset ?? 0;
    if (!this.#answer(connectionId, request.opaque, request.serializeType)) return false;
    takeReset(group, topic.topic, queueId);
    this.#options.commits.takeReset(group.group, topic.topic, queueId);
    return true;
  }

  /** Counts the answer that has just gone out. */
  #count(group: GroupState, topic: TopicState): void {
    const { statistics } = this.#options;
    if (this.#messageCount > 0) statistics.onGet(group, topic, this.#messageCount, this.#bodyBytes);
    else statistics.onMiss();
  }

  #wasRefused = false;

  /** The filter of a pull; null where it was refused, with `#wasRefused` saying whether the refusal went out. */
  #filterOf(
    frame: FrameReader,
    group: GroupState,
    topic: TopicState,
    sysFlag: number,
  ): MessageFilter | null {
    const scanner = this.scanner;
    const fields = this.#fields;
    const expressionType = scanner.text(fields[Field.expressionType]);
    if (!isTagExpression(expressionType) && !this.#enablePropertyFilter)
      return this.#usable(frame, unsupportedExpression(expressionType));
    if ((sysFlag & PullFlag.SUBSCRIPTION) !== 0) {
      const field = fields[Field.subscription];
      if (field >= 0 && scanner.valueEnd[field] - scanner.valueStart[field] > EXPRESSION_BYTES_MAX)
        return this.#usable(frame, expressionTooLong);
      return this.#usable(frame, this.#compiled(expressionType, scanner.text(field) ?? ''));
    }
    const subscription = group.subscriptions?.get(topic.topic);
    if (subscription !== undefined) {
      subscription.filter ??= this.#compiled(subscription.expressionType, subscription.subString);
      return this.#usable(frame, subscription.filter);
    }
    const what =
      group.subscriptions === null
        ? "the consumer's group info not exist"
        : "the consumer's subscription not exist";
    this.#wasRefused = this.#refuse(frame, ResponseCode.SUBSCRIPTION_NOT_EXIST, what);
    return null;
  }

  #usable(frame: FrameReader, filter: MessageFilter | FilterFault): MessageFilter | null {
    if (!isFilterFault(filter)) return filter;
    this.#wasRefused = this.#refuse(frame, filter.code, filter.remark);
    return null;
  }

  #compiled(expressionType: string | null, expression: string): MessageFilter | FilterFault {
    const key = `${isTagExpression(expressionType) ? '' : expressionType} ${expression}`;
    let filter = this.#filters.get(key);
    if (filter === undefined) {
      filter = compileFilter(expressionType, expression);
      if (key.length > FAULT_CACHE_KEY_MAX && isFilterFault(filter)) return filter;
      this.#filtersLength += key.length;
      if (
        this.#filters.size >= FILTER_CACHE_COUNT_MAX ||
        this.#filtersLength > FILTER_CACHE_LENGTH_MAX
      ) {
        this.#filters.clear();
        this.#filtersLength = key.length;
      }
      this.#filters.set(key, filter);
    }
    return filter;
  }

  #hold(pull: WaitingPull): void {
    const { topics } = this.#options;
    topics.waitedQueue(pull.topic, pull.queueId).waiting.push(pull);
    this.#held.add(pull);
  }

  /** Reads at most one answer's worth; leaves code, next offset, bounds and ranges. */
  #read(
    queue: ConsumeQueue | undefined,
    offset: number,
    messageCountMax: number,
    filter: MessageFilter,
  ): void {
    this.#rangeCount = 0;
    this.#bodyBytes = 0;
    this.#messageCount = 0;
    this.#min = queue?.minOffset ?? 0;
    this.#max = queue?.maxOffset ?? 0;
    this.#begin = offset;
    if (queue === undefined || this.#max === 0) {
      this.#code = offset === 0 ? ResponseCode.PULL_NOT_FOUND : ResponseCode.PULL_OFFSET_MOVED;
      this.#next = 0;
    } else if (offset < this.#min) {
      this.#code = ResponseCode.PULL_OFFSET_MOVED;
      this.#next = this.#min;
    } else if (offset === this.#max) {
      this.#code = ResponseCode.PULL_NOT_FOUND;
      this.#next = offset;
    } else if (offset > this.#max) {
      this.#code = ResponseCode.PULL_OFFSET_MOVED;
      this.#next = this.#max;
    } else this.#collect(queue, offset, messageCountMax, filter);
  }

  #collect(
    queue: ConsumeQueue,
    offset: number,
    messageCountMax: number,
    filter: MessageFilter,
  ): void {
    const countMax = Math.min(Math.max(messageCountMax, 1), MESSAGE_COUNT_MAX);
    const end = offset + scanCountOf(filter, countMax);
    this.#minimum = this.#options.positions.load(PositionSlot.MINIMUM);
    this.#rangeEnd = -1;
    this.#textLeft = SQL_TEXT_LENGTH_MAX;
    this.#next = offset;
    // As a rule most messages match, so as many as are wanted come first.
    for (let readCount = countMax; this.#next < end; readCount = UNITS_PER_READ) {
      const wantedCount = Math.min(readCount, end - this.#next);
      const unitCount = queue.read(this.#next, wantedCount, this.#units);
      const takenCount = this.#takeUnits(queue, unitCount, countMax, filter);
      if (takenCount < 0) return;
      this.#next += takenCount;
      const isFull = this.#messageCount === countMax || this.#textLeft <= 0;
      if (isFull || unitCount === 0 || takenCount < unitCount) break;
    }
    if (this.#messageCount > 0) this.#code = ResponseCode.SUCCESS;
    else if (this.#next > offset) this.#code = ResponseCode.PULL_RETRY_IMMEDIATELY;
    // A hole that the disk has no units for: the client tries again behind it.
    else this.#code = ResponseCode.PULL_NOT_FOUND;
  }

  /** Adds what matches of the units read from `#next` on; returns how many were looked at, -1 where retention has taken one. */
  #takeUnits(
    queue: ConsumeQueue,
    unitCount: number,
    countMax: number,
    { tags, sql }: MessageFilter,
  ): number {
    const units = this.#units;
    const ranges = this.#ranges;
    const segmentBytes = this.#options.segments.segmentBytes;
    let index = 0;
    for (; index < unitCount && this.#messageCount < countMax && this.#textLeft > 0; index++) {
      if (!tags.matchesAll && !tags.matches(units.tagsHigh[index], units.tagsLow[index])) continue;
      const bytes = units.bytes[index];
      // A unit that stands for no message.
      if (bytes === 0) continue;
      const physicalOffset = units.physicalOffset[index];
      if (physicalOffset < this.#minimum) {
        // Retention has taken it, and the queue follows once its round of writing is over.
        this.#code = ResponseCode.PULL_OFFSET_MOVED;
        this.#min = queue.offsetAbove(this.#minimum);
        this.#next = this.#min;
        return -1;
      }
      if (sql !== null) {
        const isWanted = this.#matchesSql(sql, physicalOffset, bytes);
        this.#textLeft -= sql.textLength;
        if (sql.hasGivenUp) this.#onGivenUp(queue, this.#next + index);
        if (!isWanted) continue;
      }
      if (this.#messageCount > 0 && this.#bodyBytes + bytes > BODY_BYTES_MAX) break;
      if (physicalOffset === this.#rangeEnd && physicalOffset % segmentBytes !== 0) {
        ranges[this.#rangeCount * 2 - 1] = ranges[this.#rangeCount * 2 - 1] + bytes;
      } else {
        ranges[this.#rangeCount * 2] = physicalOffset;
        ranges[this.#rangeCount * 2 + 1] = bytes;
        this.#rangeCount++;
      }
      this.#rangeEnd = physicalOffset + bytes;
      this.#bodyBytes += bytes;
      this.#messageCount++;
    }
    return index;
  }

  #onGivenUp({ topic, queueId }: ConsumeQueue, queueOffset: number): void {
    this.#options.refusals.add('filter-text', { topic, queueId, queueOffset });
  }

  #matchesSql(sql: SqlFilter, physicalOffset: number, bytes: number): boolean {
    const { segments } = this.#options;
    const segment = segments.segmentAt(physicalOffset);
    if (segment === null) return false;
    const view = this.#view;
    const start = physicalOffset % segments.segmentBytes;
    if (view.read(segment.bytes, start, start + bytes, false) !== RecordKind.MESSAGE) return false;
    const { propertiesStart } = view;
    return sql.matches(segment.bytes, propertiesStart, propertiesStart + view.propertiesBytes);
  }

  /** Sends the outcome of the last read; false when there is no room. */
  #answer(connectionId: number, opaque: number, serializeType: number): boolean {
    const ring = this.#options.toReactor.ring;
    const payloadBytes = pullAnswerMessage.totalBytes + this.#rangeCount * logRange.totalBytes;
    const offset = ring.claim(MessageType.PULL_ANSWER, payloadBytes);
    if (offset === BACK_PRESSURED) return false;
    const { int32, float64 } = ring;
    int32[(offset + pullAnswerMessage.connectionId) >> 2] = connectionId;
    int32[(offset + pullAnswerMessage.opaque) >> 2] = opaque;
    int32[(offset + pullAnswerMessage.serializeType) >> 2] = serializeType;
    int32[(offset + pullAnswerMessage.code) >> 2] = this.#code;
    float64[(offset + pullAnswerMessage.nextBeginOffset) >> 3] = this.#next;
    float64[(offset + pullAnswerMessage.minOffset) >> 3] = this.#min;
    float64[(offset + pullAnswerMessage.maxOffset) >> 3] = this.#max;
    float64[(offset + pullAnswerMessage.beginOffset) >> 3] = this.#begin;
    int32[(offset + pullAnswerMessage.rangeCount) >> 2] = this.#rangeCount;
    int32[(offset + pullAnswerMessage.bodyBytes) >> 2] = this.#bodyBytes;
    const rangesAt = (offset + pullAnswerMessage.totalBytes) >> 3;
    for (let index = 0; index < this.#rangeCount * 2; index++)
      float64[rangesAt + index] = this.#ranges[index];
    ring.commit(payloadBytes);
    return true;
  }

  /** Refuses the pull at hand; every answer to a pull carries the four offsets (protocol: 15.3). */
  #refuse(frame: FrameReader, code: number, remark: string): boolean {
    const { connectionId } = frame;
    const { toReactor, refusals } = this.#options;
    const { opaque, serializeType } = this.scanner;
    const request = { opaque, serializeType: serializeTypeOf(serializeType) };
    if (!toReactor.answer(connectionId, request, { code, remark, extFields: noOffsets }))
      return false;
    refusals.addPull(code, { connectionId, code, remark });
    return true;
  }
}

const noOffsets: readonly (readonly [string, string])[] = [
  ['suggestWhichBrokerId', '0'],
  ['nextBeginOffset', '0'],
  ['minOffset', '0'],
  ['maxOffset', '0'],
];

/** Units that one pull looks at. */
function scanCountOf({ tags, sql }: MessageFilter, countMax: number): number {
  if (sql !== null)
    return Math.min(SCAN_COUNT, Math.floor(SQL_OPERATION_COUNT_MAX / (1 + sql.operationCount)));
  return tags.matchesAll ? countMax : SCAN_COUNT;
}
