/**
 * @agent dispatcher
 *
 * Delivers delayed messages: walks the queue of each level in SCHEDULE_TOPIC_XXXX in order, and
 * when a message is due stores it again on its real topic and queue. Every message is delivered at
 * least once, never before its time, in the order of its level.
 *
 * ```
 * queue of a level:   | delivered … | head: due in 3 s | … |
 *                     min         position             max
 * ```
 * The ConsumeQueue's tagsCode of such a message is its due time. `position` is the head; what is
 * written to `config/delayOffset.json` is the confirmed position, which follows only after the
 * owner knows that what was appended is kept: see `takeMark`.
 *
 * Source: ScheduleMessageService.java.
 */
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import { PROPERTIES_BYTES_MAX } from '../protocol/message-properties.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import { encodeRecord, fieldsOf, type RecordDraft } from '../protocol/record-encoder.ts';
import { type DataVersion, decodeDataVersion, nextDataVersion } from '../protocol/topic-config.ts';
import { type DelayLevels, levelOfQueueId } from './delay-level.ts';
import { integerOf, objectOf } from './json-value.ts';
import { realDestinationOf } from './real-destination.ts';

/** One unit of a schedule queue. */
export interface DelayUnit {
  physicalOffset: number;
  bytes: number;
  /** Milliseconds since the epoch. */
  dueMs: number;
}

/** The queues of SCHEDULE_TOPIC_XXXX and the log behind them. */
export interface DelayQueueReader {
  minOffset(queueId: number): number;
  /** The offset after the last message; 0 for a queue that does not exist. */
  maxOffset(queueId: number): number;
  /** Fills `into`; false where the unit is no message. */
  read(queueId: number, offset: number, into: DelayUnit): boolean;
  /** The whole record; null where it has expired. */
  record(physicalOffset: number, bytes: number): Buffer | null;
}

export interface DelayDeliveryOptions {
  levels: DelayLevels;
  wallClock: WallClock;
  queues: DelayQueueReader;
  /** Undefined for a topic that does not exist (any more). */
  topicIdOf: (topic: string) => number | undefined;
  /** False when there is no room now: the draft was not taken. */
  append: (draft: RecordDraft) => boolean;
  logger: Logger;
}

/** Positions at one moment, by level - 1. */
export type DelayMark = readonly number[];

/** Deliveries of one turn, so that a backlog does not hold up the agent's other work (a guess). */
const DELIVERIES_PER_TURN_MAX = 256;

interface LevelState {
  readonly queueId: number;
  /** Offset of the next message to deliver. */
  position: number;
  /** When the message at `position` is due; Infinity while the queue is empty. */
  headDueMs: number;
  /** What the owner has confirmed, and `store` writes. */
  confirmed: number;
  /** The clock was found set back at `aheadSinceMs`: it had been ahead by `aheadMs` ... */
  aheadMs: number;
  aheadSinceMs: number;
  /** ... when messages below this offset were stored with later times than that. */
  aheadUntil: number;
}

export class DelayDelivery {
  readonly #options: DelayDeliveryOptions;
  readonly #levels: LevelState[] = [];
  readonly #unit: DelayUnit = { physicalOffset: 0, bytes: 0, dueMs: 0 };
  readonly #view = new RecordView();
  #dataVersion: DataVersion = { counter: 0, stateVersion: 0, timestamp: 0 };
  #nextLevel = 0;
  /** There was no room to append in this turn. */
  #isBlocked = false;

  constructor(options: DelayDeliveryOptions) {
    this.#options = options;
    for (let queueId = 0; queueId < options.levels.maxLevel; queueId++) {
      this.#levels.push({
        queueId,
        position: 0,
        headDueMs: 0,
        confirmed: 0,
        aheadMs: 0,
        aheadSinceMs: 0,
        aheadUntil: 0,
      });
    }
  }

  /** Takes the positions of a `delayOffset.json`. */
  load(text: string): void {
    const root = objectOf(parseFastjson(text));
    this.#dataVersion = decodeDataVersion(root?.['dataVersion']);
    const table = objectOf(root?.['offsetTable']) ?? {};
    for (const state of this.#levels) {
      const offset = integerOf(table[String(levelOfQueueId(state.queueId))], 0);
      state.position = Math.max(0, offset);
      state.confirmed = state.position;
      state.headDueMs = 0;
    }
  }

  /** The text of `delayOffset.json`, up to the confirmed positions. */
  store(): string {
    this.#dataVersion = nextDataVersion(this.#dataVersion, this.#options.wallClock.nowMs());
    return this.json();
  }

  /** The same without a new version: the body of code 45. */
  json(): string {
    const offsetTable = Object.fromEntries(
      this.#levels.map((state) => [levelOfQueueId(state.queueId), state.confirmed]),
    );
    return JSON.stringify({ dataVersion: this.#dataVersion, offsetTable });
  }

  /**
   * The positions now. When everything appended until now is kept as surely as the broker promises
   * (appended for asynchronous flush, flushed for synchronous), `confirm` it: a position stored
   * earlier could lose the deliveries that a crash takes back.
   */
  takeMark(): DelayMark {
    return this.#levels.map((state) => state.position);
  }

  /** Returns whether that changed what `store` writes. */
  confirm(mark: DelayMark): boolean {
    let hasChanged = false;
    for (const state of this.#levels) {
      const position = mark[state.queueId] ?? state.confirmed;
      if (position !== state.confirmed) hasChanged = true;
      state.confirmed = position;
    }
    return hasChanged;
  }

  /** Next offset of each level and the end of its queue, for the runtime info. */
  *progress(): Generator<{ level: number; position: number; maxOffset: number }> {
    for (const { queueId, position } of this.#levels) {
      const maxOffset = this.#options.queues.maxOffset(queueId);
      yield { level: levelOfQueueId(queueId), position, maxOffset };
    }
  }

  /** Delivers what is due; returns how many messages it handled. */
  doWork(): number {
    const levelCount = this.#levels.length;
    let work = 0;
    this.#isBlocked = false;
    for (let turn = 0; turn < levelCount; turn++) {
      const state = this.#levels[this.#nextLevel];
      work += this.#deliverLevel(state, DELIVERIES_PER_TURN_MAX - work);
      // The same level goes on next time, so that a busy one holds up none behind it for long.
      if (this.#isBlocked || work >= DELIVERIES_PER_TURN_MAX) return work;
      this.#nextLevel = (this.#nextLevel + 1) % levelCount;
    }
    return work;
  }

  /**
   * Wall-clock time at which the next message is due; Infinity when none waits. New messages come
   * without notice: the owner calls `doWork` after it has dispatched any.
   */
  nextDueMs(): number {
    let next = Infinity;
    for (const state of this.#levels) next = Math.min(next, state.headDueMs);
    return next;
  }

  /** Handles up to `countMax` messages of a level; returns how many. */
  #deliverLevel(state: LevelState, countMax: number): number {
    const { queues, wallClock } = this.#options;
    const maxOffset = queues.maxOffset(state.queueId);
    if (state.position >= maxOffset && state.headDueMs === Infinity) return 0;
    this.#correctPosition(state, maxOffset);
    const nowMs = wallClock.nowMs();
    let handled = 0;
    while (state.position < maxOffset) {
      if (handled >= countMax) return handled;
      if (queues.read(state.queueId, state.position, this.#unit)) {
        state.headDueMs = this.#dueOf(state, nowMs, maxOffset);
        if (state.headDueMs > nowMs) return handled;
        if (!this.#deliver(state)) {
          this.#isBlocked = true;
          return handled;
        }
      }
      state.position++;
      handled++;
    }
    state.headDueMs = Infinity;
    return handled;
  }

  /** Moves a position that the queue no longer, or not yet, has. */
  #correctPosition(state: LevelState, maxOffset: number): void {
    const minOffset = this.#options.queues.minOffset(state.queueId);
    const position = Math.min(Math.max(state.position, minOffset), maxOffset);
    if (position === state.position) return;
    this.#options.logger.warn(
      { level: levelOfQueueId(state.queueId), from: state.position, to: position },
      'position of a delay level corrected to what its queue holds',
    );
    state.position = position;
    state.confirmed = Math.min(state.confirmed, position);
    state.headDueMs = 0;
  }

  /**
   * When the unit at hand is due. A time further off than the level's whole delay means that the
   * clock was set back since it was stored, or that the level was shortened: from the moment that
   * this shows, what is in the queue waits for one delay of its level, no longer, and no less.
   * A delay is counted from the end of the millisecond that the store timestamp names.
   */
  #dueOf(state: LevelState, nowMs: number, maxOffset: number): number {
    const { levels, wallClock } = this.#options;
    const delayMs = levels.delayMs(levelOfQueueId(state.queueId));
    const dueMs = this.#unit.dueMs + wallClock.cutMs;
    const storedMs = this.#unit.dueMs - delayMs;
    if (state.position < state.aheadUntil && storedMs > state.aheadSinceMs)
      return dueMs - state.aheadMs;
    if (storedMs <= nowMs) return dueMs;
    state.aheadMs = storedMs - nowMs;
    state.aheadSinceMs = nowMs;
    state.aheadUntil = maxOffset;
    return nowMs + wallClock.cutMs + delayMs;
  }

  /** Stores the message at the head where it belongs; false when there is no room now. */
  #deliver(state: LevelState): boolean {
    const { queues, topicIdOf, append, logger } = this.#options;
    const where = { level: levelOfQueueId(state.queueId), offset: state.position };
    const record = queues.record(this.#unit.physicalOffset, this.#unit.bytes);
    const view = this.#view;
    const isReadable =
      record !== null &&
      view.read(record, 0, record.length, false) === RecordKind.MESSAGE &&
      view.propertiesBytes <= PROPERTIES_BYTES_MAX;
    if (!isReadable) {
      logger.warn(where, 'delayed message skipped: its record is gone');
      return true;
    }
    const destination = realDestinationOf(view);
    const topicId = destination === null ? undefined : topicIdOf(destination.topic);
    if (destination === null || topicId === undefined) {
      logger.warn(
        { ...where, ...destination },
        'delayed message skipped: no such topic to deliver to',
      );
      return true;
    }
    return append({
      topicId,
      queueId: destination.queueId,
      record: encodeRecord({ ...fieldsOf(view), ...destination }),
    });
  }
}
