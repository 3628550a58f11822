/**
 * @agent flusher
 *
 * Carries retention out: looks at the disk, refuses or accepts messages, and moves the start of the log. Other
 * threads let go of what is below when they see it, and the preparer deletes it. Every ten seconds a round begins, of up to
 * ten segments, and one goes after the other: ten at once held up senders for half a second.
 *
 * A clock that jumps forward, or a machine that has slept, makes all messages old at once. For a day after such a
 * jump nothing is deleted for its age: somebody may have meant another year. A disk that is too full still is a reason.
 *
 * Where the clock is moved by hand, retention is run whenever it has moved, and says when it wants to be
 * run next (`nextWallDeadlineMs`): when the oldest segment has expired, at the next hour of deleteWhen.
 */
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import {
  DELETE_COUNT_MAX,
  planRetention,
  type RetentionPlan,
  type RetentionPolicy,
} from '../store/retention.ts';
import type { StoreFiles } from '../store/segment.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';

export interface LogRetentionOptions {
  files: StoreFiles;
  directory: string;
  segments: CommitLogSegments;
  positions: StorePositions;
  policy: RetentionPolicy;
  wallClock: WallClock;
  /** The clock stands still until it is moved. */
  isClockMoved: boolean;
  logger: Logger;
}

/** cleanResourceInterval: a disk that was full for a moment only keeps its messages. */
const ROUND_INTERVAL_MS = 10_000;
/** A disk that is always nearly full is told of so often. */
const ANNOUNCE_INTERVAL_MS = 3_600_000;
/** The wall clock may go ahead of the monotonic one by so much between two looks, which are a second apart. */
const JUMP_MS_MIN = 3_600_000;
/** Time in which somebody sees the warning and sets the clock right. A guess. */
const JUMP_PAUSE_MS = 86_400_000;

export class LogRetention {
  readonly #options: LogRetentionOptions;
  #policy: RetentionPolicy;
  /** Given up last, and deleted by the preparer; -1: none. */
  #givenUp = -1;
  #nextRoundMs = 0;
  /** Segments that the round may still take. */
  #roundLeft = 0;
  /** The last look took one, and there was more. */
  #hasMore = false;
  /** Where the clock is moved: when it was, and what had been copied, at the last run. */
  #lastWallMs = -1;
  #lastMoved = -1;
  /** At the last run, by the monotonic clock. */
  #lastMs = -1;
  /** By the monotonic clock: until then ages are not believed. */
  #distrustUntilMs = 0;
  #lastRule: RetentionPlan['rule'] = 'none';
  #nextAnnounceMs = -Infinity;

  constructor(options: LogRetentionOptions) {
    this.#options = options;
    this.#policy = options.policy;
  }

  /** Takes changed settings. */
  change(settings: { fileReservedTimeMs?: number; deleteHours?: number[] }): void {
    const { fileReservedTimeMs, deleteHours } = this.#policy;
    this.#policy = {
      ...this.#policy,
      fileReservedTimeMs: settings.fileReservedTimeMs ?? fileReservedTimeMs,
      deleteHours: settings.deleteHours ?? deleteHours,
    };
  }

  /** The clock has been moved, or what was in the way of deleting has gone, since the last run. */
  get isDue(): boolean {
    const { isClockMoved, wallClock, positions } = this.#options;
    if (!isClockMoved) return false;
    const moved = positions.load(PositionSlot.MOVED);
    return (
      wallClock.nowMs() !== this.#lastWallMs ||
      moved !== this.#lastMoved ||
      (this.#hasMore && this.#isDeleted())
    );
  }

  /** What was given up before is deleted: its space shows. */
  #isDeleted(): boolean {
    if (this.#givenUp >= 0 && !this.#options.segments.has(this.#givenUp)) this.#givenUp = -1;
    return this.#givenUp < 0;
  }

  /** By the wall clock; only known where it is moved by hand. */
  nextWallDeadlineMs(): number {
    const { isClockMoved, wallClock } = this.#options;
    const [oldest] = isClockMoved ? this.#listSegments() : [];
    if (oldest === undefined) return Infinity;
    const { deleteHours, fileReservedTimeMs } = this.#policy;
    const nowMs = wallClock.nowMs();
    let atMs = Math.max(nowMs + 1, Math.ceil(oldest.modifiedMs + fileReservedTimeMs));
    // At the latest at the same hour of the next day, which may have 25.
    for (let hours = 0; hours <= 25; hours++) {
      const at = new Date(atMs);
      if (deleteHours.includes(at.getHours())) return atMs;
      atMs = at.setHours(at.getHours() + 1, 0, 0, 0);
    }
    return Infinity;
  }

  /** Looks at the disk, and gives up at most one segment; returns their number. Called about once a second. */
  run(nowMs: number): number {
    const { files, directory, positions, wallClock, segments } = this.#options;
    const policy = this.#policy;
    const wallMs = wallClock.nowMs();
    const appended = positions.load(PositionSlot.APPENDED);
    const activeBase = appended - (appended % segments.segmentBytes);
    if (nowMs >= this.#nextRoundMs || this.isDue) {
      this.#nextRoundMs = nowMs + ROUND_INTERVAL_MS;
      this.#roundLeft = DELETE_COUNT_MAX;
    }
    const mayDelete = this.#roundLeft > 0 && this.#isDeleted();
    this.#watchClock(nowMs, wallMs);
    this.#lastWallMs = wallMs;
    this.#lastMoved = positions.load(PositionSlot.MOVED);
    const plan = planRetention(
      {
        nowMs: wallMs,
        hour: new Date(wallMs).getHours(),
        segments: mayDelete ? this.#listSegments() : [],
        activeBase,
        ...files.space(directory),
      },
      nowMs < this.#distrustUntilMs ? { ...policy, fileReservedTimeMs: Infinity } : policy,
    );
    this.#publishFullness(plan);
    this.#hasMore = false;
    if (!mayDelete) return 0;
    const wantedCount = plan.deleteBases.length;
    const count = wantedCount > 0 ? this.#giveUp(plan, nowMs) : 0;
    // Where something waits to be copied first the round goes on.
    this.#roundLeft = wantedCount === 0 ? 0 : this.#roundLeft - count;
    this.#hasMore = count > 0 && wantedCount > 1;
    return count;
  }

  /** Notices that the wall clock went on by far more than time did, or came back. */
  #watchClock(nowMs: number, wallMs: number): void {
    const { isClockMoved, logger } = this.#options;
    const isFirst = this.#lastMs < 0;
    const jumpMs = wallMs - this.#lastWallMs - (nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    if (isFirst || isClockMoved || Math.abs(jumpMs) < JUMP_MS_MIN) return;
    this.#distrustUntilMs = jumpMs > 0 ? nowMs + JUMP_PAUSE_MS : 0;
    const seconds = Math.round(jumpMs / 1000);
    if (jumpMs > 0)
      logger.warn(
        { seconds },
        'the clock jumped forward: no messages are deleted for their age until a day has passed, or it goes back',
      );
    else logger.warn({ seconds }, 'the clock jumped back');
  }

  #listSegments(): { base: number; modifiedMs: number }[] {
    const { segments, positions } = this.#options;
    const listed: { base: number; modifiedMs: number }[] = [];
    const appended = positions.load(PositionSlot.APPENDED);
    for (
      let base = positions.load(PositionSlot.MINIMUM);
      base + segments.segmentBytes <= appended && listed.length < DELETE_COUNT_MAX;
      base += segments.segmentBytes
    ) {
      listed.push({ base, modifiedMs: segments.modifiedMs(base) });
    }
    return listed;
  }

  #publishFullness(plan: RetentionPlan): void {
    const { positions, logger } = this.#options;
    const policy = this.#policy;
    const isFull = plan.isDiskFull ? 1 : 0;
    if (positions.load(PositionSlot.DISK_FULL) === isFull) return;
    const fields = {
      usedPercent: Math.round(plan.usedRatio),
      diskSpaceWarningLevelRatio: policy.diskSpaceWarningLevelRatio,
    };
    if (plan.isDiskFull) {
      logger.warn(
        fields,
        'the disk is fuller than diskSpaceWarningLevelRatio: messages are refused (14) until space is freed; pulls go on',
      );
    } else logger.info(fields, 'the disk has space again: messages are accepted');
    positions.publish(PositionSlot.DISK_FULL, isFull);
  }

  /** One line before a disk rule first deletes, so that nobody wonders where messages went. */
  #announce({ rule, usedRatio }: RetentionPlan, nowMs: number): void {
    if (rule === this.#lastRule && nowMs < this.#nextAnnounceMs) return;
    this.#lastRule = rule;
    this.#nextAnnounceMs = nowMs + ANNOUNCE_INTERVAL_MS;
    const { logger } = this.#options;
    const policy = this.#policy;
    const usedPercent = Math.round(usedRatio);
    if (rule === 'age')
      logger.info(
        { fileReservedTimeMs: policy.fileReservedTimeMs },
        'deleting segments older than fileReservedTime',
      );
    else
      logger.warn(
        { usedPercent, rule, ...policy },
        'the disk is crowded: deleting the oldest segments of the log',
      );
  }

  /** Gives up the oldest. What still waits in these segments is copied first, by the dispatcher: they go later. */
  #giveUp(plan: RetentionPlan, nowMs: number): number {
    this.#announce(plan, nowMs);
    const { deleteBases: wantedBases } = plan;
    const { segments, positions, logger } = this.#options;
    const { segmentBytes } = segments;
    const wanted = (wantedBases.at(-1) as number) + segmentBytes;
    positions.publish(
      PositionSlot.WANTED_MINIMUM,
      Math.max(wanted, positions.load(PositionSlot.WANTED_MINIMUM)),
    );
    const moved = positions.load(PositionSlot.MOVED);
    const minimum = wantedBases[0] + segmentBytes;
    if (minimum > moved) return 0;
    [this.#givenUp] = wantedBases;
    positions.publish(PositionSlot.MINIMUM, minimum);
    segments.forgetBelow(minimum);
    logger.info({ minimum, segmentBytes }, 'the oldest segment of the log is deleted');
    return 1;
  }
}
