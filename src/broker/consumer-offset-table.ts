/**
 * @agent control
 *
 * How far each consumer group has consumed each queue: the content of `config/consumerOffset.json`,
 * and the resets that an administrator has asked for and that the group has not seen yet.
 *
 * An offset is the queue offset of the next message to consume. While a reset is pending its target
 * counts and commits are ignored, so that a client that has not heard of it can't undo it.
 *
 * Source: ConsumerOffsetManager.java.
 */
import type { WallClock } from '../base/clock.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import { type DataVersion, decodeDataVersion, nextDataVersion } from '../protocol/topic-config.ts';
import { integerOf, objectOf } from './json-value.ts';

/** Neither topics nor groups may contain it. */
const SEPARATOR = '@';

export interface ClampedOffset {
  topic: string;
  group: string;
  queueId: number;
  from: number;
  to: number;
}

export const CommitOutcome = {
  STORED: 0,
  /** A reset is pending. */
  RESET_PENDING: 1,
  /** A pull's commit was below what is stored. */
  NOT_NEWER: 2,
} as const;
export type CommitOutcome = (typeof CommitOutcome)[keyof typeof CommitOutcome];

export class ConsumerOffsetTable {
  readonly #wallClock: WallClock;
  /** By `topic@group`, then by queue. */
  readonly #offsets = new Map<string, Progress>();
  readonly #resets = new Map<string, Map<number, number>>();
  #dataVersion: DataVersion = { counter: 0, stateVersion: 0, timestamp: 0 };
  #isDirty = false;

  constructor(wallClock: WallClock) {
    this.#wallClock = wallClock;
  }

  /** True when something changed since the last `store`. */
  get isDirty(): boolean {
    return this.#isDirty;
  }

  load(text: string): void {
    const root = objectOf(parseFastjson(text));
    this.#dataVersion = decodeDataVersion(root?.['dataVersion']);
    for (const [key, value] of Object.entries(objectOf(root?.['offsetTable']) ?? {})) {
      if (!key.includes(SEPARATOR)) continue;
      for (const [queueId, stored] of Object.entries(objectOf(value) ?? {})) {
        const offset = integerOf(stored, -1);
        const queue = integerOf(queueId, -1);
        if (offset >= 0 && queue >= 0) this.#progressOf(key).set(queue, offset);
      }
    }
    this.#isDirty = false;
  }

  store(): string {
    if (this.#isDirty)
      this.#dataVersion = nextDataVersion(this.#dataVersion, this.#wallClock.nowMs());
    this.#isDirty = false;
    return this.json();
  }

  /** The file's text and the body of code 43. Numeric keys are quoted: every reader accepts that. */
  json(): string {
    let table = '';
    for (const [key, progress] of this.#offsets)
      table += `${table === '' ? '' : ','}${JSON.stringify(key)}:${progress.json()}`;
    return `{"dataVersion":${JSON.stringify(this.#dataVersion)},"offsetTable":{${table}}}`;
  }

  /** What counts for the group: a pending reset, or what it committed; null where there is neither. */
  query(topic: string, group: string, queueId: number): number | null {
    const key = keyOf(topic, group);
    return this.#resets.get(key)?.get(queueId) ?? this.#offsets.get(key)?.get(queueId) ?? null;
  }

  /** How far every group is in every topic, for a walk that may pause. */
  *progress(): Generator<{
    topic: string;
    group: string;
    queues: Iterable<[queueId: number, offset: number]>;
  }> {
    for (const [key, progress] of this.#offsets) {
      const at = key.indexOf(SEPARATOR);
      yield { topic: key.slice(0, at), group: key.slice(at + 1), queues: progress.entries() };
    }
  }

  /** Topics of which the group has committed anything. */
  topicsOf(group: string): string[] {
    const end = SEPARATOR + group;
    return [...this.#offsets.keys()]
      .filter((key) => key.endsWith(end))
      .map((key) => key.slice(0, -end.length));
  }

  /** A commit by request: what the client states is stored, also when it is lower (a client's seek). */
  commit(topic: string, group: string, queueId: number, offset: number): CommitOutcome {
    return this.#commit(keyOf(topic, group), queueId, offset);
  }

  #commit(key: string, queueId: number, offset: number): CommitOutcome {
    if (this.#resets.get(key)?.has(queueId) === true) return CommitOutcome.RESET_PENDING;
    if (this.#progressOf(key).set(queueId, offset)) this.#isDirty = true;
    return CommitOutcome.STORED;
  }

  /**
   * A commit that came along with a pull. Such pulls overtake each other at a rebalance, when the
   * old owner's is still on its way: it never lowers an offset.
   */
  commitByPull(topic: string, group: string, queueId: number, offset: number): CommitOutcome {
    const key = keyOf(topic, group);
    const stored = this.#offsets.get(key)?.get(queueId);
    if (stored !== undefined && offset < stored) return CommitOutcome.NOT_NEWER;
    return this.#commit(key, queueId, offset);
  }

  /** Asks for a reset; it counts at once, and stays pending until a pull has taken it. */
  assignReset(topic: string, group: string, queueId: number, offset: number): void {
    const key = keyOf(topic, group);
    const resets = this.#resets.get(key);
    if (resets === undefined) this.#resets.set(key, new Map([[queueId, offset]]));
    else resets.set(queueId, offset);
    this.#progressOf(key).set(queueId, offset);
    this.#isDirty = true;
  }

  /** The pending reset of a queue, which is then done; null where there is none. */
  takeReset(topic: string, group: string, queueId: number): number | null {
    const key = keyOf(topic, group);
    const queues = this.#resets.get(key);
    const offset = queues?.get(queueId);
    if (queues === undefined || offset === undefined) return null;
    queues.delete(queueId);
    if (queues.size === 0) this.#resets.delete(key);
    return offset;
  }

  /** Sets a group where another one is, in the queues of a topic that this one has begun. */
  clone(topic: string, from: string, to: string): void {
    const source = this.#offsets.get(keyOf(topic, from));
    if (source === undefined) return;
    const copy = new Progress();
    for (const [queueId, offset] of source.entries()) copy.set(queueId, offset);
    this.#offsets.set(keyOf(topic, to), copy);
    this.#isDirty = true;
  }

  /** Groups that have offsets of this topic. */
  groupsOf(topic: string): string[] {
    const prefix = topic + SEPARATOR;
    const keys = [...this.#offsets.keys()].filter((key) => key.startsWith(prefix));
    return keys.map((key) => key.slice(prefix.length));
  }

  removeTopic(topic: string): void {
    const prefix = topic + SEPARATOR;
    this.#removeWhere((key) => key.startsWith(prefix));
  }

  removeGroup(group: string): void {
    const suffix = SEPARATOR + group;
    this.#removeWhere((key) => key.endsWith(suffix));
  }

  /**
   * Lowers offsets above their queue's maximum, which a crash can leave behind; otherwise consumers
   * would skip the messages stored there next. Returns what was lowered. A queue whose maximum is
   * not known (null) keeps its offset.
   */
  clampTo(maxOffsetOf: (topic: string, queueId: number) => number | null): ClampedOffset[] {
    const clamped: ClampedOffset[] = [];
    for (const [key, progress] of this.#offsets) {
      const separatorAt = key.indexOf(SEPARATOR);
      const topic = key.slice(0, separatorAt);
      const group = key.slice(separatorAt + 1);
      for (const [queueId, from] of progress.entries()) {
        const to = maxOffsetOf(topic, queueId);
        if (to === null || from <= to) continue;
        progress.set(queueId, to);
        clamped.push({ topic, group, queueId, from, to });
      }
    }
    if (clamped.length > 0) this.#isDirty = true;
    return clamped;
  }

  #progressOf(key: string): Progress {
    let progress = this.#offsets.get(key);
    if (progress === undefined) this.#offsets.set(key, (progress = new Progress()));
    return progress;
  }

  #removeWhere(matches: (key: string) => boolean): void {
    for (const key of this.#offsets.keys()) {
      if (!matches(key)) continue;
      this.#offsets.delete(key);
      this.#isDirty = true;
    }
    for (const key of this.#resets.keys()) if (matches(key)) this.#resets.delete(key);
  }
}

function keyOf(topic: string, group: string): string {
  return topic + SEPARATOR + group;
}

/** How far one group is in one topic. Its text is kept while it stands still: most of them do. */
class Progress {
  readonly #offsets = new Map<number, number>();
  #text: string | null = null;

  get(queueId: number): number | undefined {
    return this.#offsets.get(queueId);
  }

  entries(): Iterable<[number, number]> {
    return this.#offsets;
  }

  /** False where nothing changed. */
  set(queueId: number, offset: number): boolean {
    if (this.#offsets.get(queueId) === offset) return false;
    this.#offsets.set(queueId, offset);
    this.#text = null;
    return true;
  }

  json(): string {
    if (this.#text !== null) return this.#text;
    let text = '';
    for (const [queueId, offset] of this.#offsets)
      text += `${text === '' ? '' : ','}"${queueId}":${offset}`;
    return (this.#text = `{${text}}`);
  }
}
