/**
 * Finds what no history of a broker may show. Rules 1 to 6 and 8 of the checker hold for one node; the
 * group's own come with the group.
 *
 * | rule | says |
 * |---|---|
 * | loss | what was acknowledged is there, at the offset that was answered |
 * | phantom | what is there was sent, byte for byte, and not refused |
 * | identity | an offset of a queue names one message for ever; offsets have no gap |
 * | order | what a client sent to a queue one after the other stands there one after the other |
 * | skip | whatever is below a committed offset was delivered; no offset is made up |
 * | durable | what was seen is there after every later death |
 * | transaction | a half is not seen, a commit is, a rollback never |
 * | due | nothing comes before its time, store timestamps never go back |
 * | metadata | a queue does not begin again; an offset that was committed long ago is not forgotten |
 *
 * Pure: the same history gives the same violations. `flush` says what deaths a message survives that was
 * seen or acknowledged: all of them, or only that of the process.
 */
import {
  type Death,
  type DumpedQueue,
  type HistoryEvent,
  type MessageKind,
  queueKey,
} from './history.ts';

export const checkerRules = [
  'loss',
  'phantom',
  'identity',
  'order',
  'skip',
  'durable',
  'transaction',
  'due',
  'metadata',
] as const;
export type CheckerRule = (typeof checkerRules)[number];

export interface Violation {
  rule: CheckerRule;
  what: string;
}

/** A committed offset is stored every 5 s; so long later at the latest it is on the disk. */
const OFFSET_STORE_MS_MAX = 8000;

interface Message {
  kind: MessageKind;
  key: string;
  client: number;
  digest: number;
  dueMs: number;
  outcome: 'ok' | 'fail' | 'info' | 'open';
  queueOffset: number;
  decision: 'none' | 'commit' | 'rollback';
  isCommitAcknowledged: boolean;
  isRollbackAcknowledged: boolean;
  /** A power cut under asynchronous flush may have taken it. */
  mayBeGone: boolean;
}

interface Queue {
  /** By offset: which message stands there, once somebody saw it or was told so. */
  readonly ids: Map<number, string>;
  /** Offsets that somebody has seen. */
  readonly seen: Set<number>;
  /** Where it begins, as this broker says. */
  minOffset: number;
  /** Highest place at which it ever began: what is below may be gone. */
  expiredTo: number;
}

interface GroupQueue {
  readonly delivered: Set<number>;
  readonly asked: Set<number>;
  /** In the order in which they were asked for. */
  commits: { offset: number; atMs: number }[];
  /** What a broker that starts now must know at least. */
  storedOffset: number;
  lastDelivered: number;
  /** Below, what was delivered may be gone, and others may stand there. */
  forgottenTo: number;
}

export interface CheckOptions {
  flush: 'sync' | 'async';
  /** Old messages are deleted: queues may begin later than at 0. */
  hasRetention?: boolean;
}

/** All violations of a history. */
export function checkHistory(events: readonly HistoryEvent[], options: CheckOptions): Violation[] {
  const checker = new HistoryChecker(options);
  for (const event of events) checker.add(event);
  return checker.violations;
}

class HistoryChecker {
  readonly violations: Violation[] = [];
  readonly #options: CheckOptions;
  readonly #messages = new Map<string, Message>();
  readonly #queues = new Map<string, Queue>();
  readonly #groups = new Map<string, GroupQueue>();

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  add(event: HistoryEvent): void {
    switch (event.type) {
      case 'send':
        this.#messages.set(event.id, {
          kind: event.kind,
          key: queueKey(event.topic, event.queueId),
          client: event.client,
          digest: event.digest,
          dueMs: event.dueMs ?? 0,
          outcome: 'open',
          queueOffset: -1,
          decision: 'none',
          isCommitAcknowledged: false,
          isRollbackAcknowledged: false,
          mayBeGone: false,
        });
        break;
      case 'sent': {
        const message = this.#message(event.id);
        message.outcome = event.outcome;
        if (event.outcome !== 'ok' || event.queueOffset === undefined) break;
        message.queueOffset = event.queueOffset;
        this.#name(message.key, event.queueOffset, event.id, 'acknowledged');
        break;
      }
      case 'end': {
        const message = this.#message(event.id);
        // The first decision that may have been taken stands; one after it changes nothing.
        if (message.decision === 'none') message.decision = event.decision;
        break;
      }
      case 'ended': {
        const message = this.#message(event.id);
        // One that retention moved is elsewhere: its producer is asked again, and told where.
        const isKept = !message.mayBeGone && this.#options.hasRetention !== true;
        if (event.outcome === 'fail' && message.outcome === 'ok' && isKept)
          this.#complain('transaction', `${event.id} was acknowledged, its decision refused`);
        if (event.outcome !== 'ok') break;
        message.isCommitAcknowledged ||= message.decision === 'commit';
        message.isRollbackAcknowledged ||= message.decision === 'rollback';
        break;
      }
      case 'delivered':
        this.#onDelivered(event);
        break;
      case 'commit': {
        const group = this.#group(event.group, event.topic, event.queueId);
        group.asked.add(event.offset);
        group.commits.push(event);
        this.#checkSkip(event, group, event.offset);
        break;
      }
      case 'offset':
        this.#onOffset(event);
        break;
      case 'minimum':
        this.#onMinimum(queueKey(event.topic, event.queueId), event.offset);
        break;
      case 'rewind':
        this.#group(event.group, event.topic, event.queueId).lastDelivered = event.offset - 1;
        break;
      case 'death':
        this.#onDeath(event.death, event.atMs);
        break;
      case 'dump':
        this.#onDump(event.queues, event.atMs, event.isSettled);
        break;
      default:
        throw new Error(`unknown event ${JSON.stringify(event)}`);
    }
  }

  #onDelivered(event: Extract<HistoryEvent, { type: 'delivered' }>): void {
    const { group, topic, queueId, queueOffset, id } = event;
    const key = queueKey(topic, queueId);
    const where = `${key}@${queueOffset}`;
    this.#checkSeen(key, event, where);
    if (event.storeTimestampMs > event.atMs)
      this.#complain('due', `${id} at ${where} was stored in the future`);
    this.#queue(key).seen.add(queueOffset);
    const state = this.#group(group, topic, queueId);
    if (queueOffset <= state.lastDelivered)
      this.#complain(
        'order',
        `${group} was given ${where} after ${state.lastDelivered} of the same queue`,
      );
    state.lastDelivered = queueOffset;
    state.delivered.add(queueOffset);
  }

  #onOffset(event: Extract<HistoryEvent, { type: 'offset' }>): void {
    const group = this.#group(event.group, event.topic, event.queueId);
    if (event.offset < group.storedOffset)
      this.#complain(
        'metadata',
        `${event.group} stands at ${event.offset} of ${queueKey(event.topic, event.queueId)}, and committed ${group.storedOffset} long before the broker ended`,
      );
    // One beyond the end of what a power cut left is lowered to it.
    const isAsked = event.offset <= group.forgottenTo || group.asked.has(event.offset);
    if (!isAsked)
      this.#complain(
        'skip',
        `${event.group} stands at ${queueKey(event.topic, event.queueId)}@${event.offset}, which it never asked for`,
      );
    this.#checkSkip(event, group, event.offset);
  }

  /** Everything that stands below an offset of a group was delivered to it. */
  #checkSkip(
    event: { group: string; topic: string; queueId: number },
    group: GroupQueue,
    offset: number,
  ): void {
    const queue = this.#queue(queueKey(event.topic, event.queueId));
    const from = Math.max(queue.expiredTo, group.forgottenTo);
    for (let at = from; at < offset; at++) {
      if (group.delivered.has(at)) continue;
      this.#complain(
        'skip',
        `${event.group} stands at ${offset} of ${queueKey(event.topic, event.queueId)}, and was never given ${at}`,
      );
      return;
    }
  }

  #onMinimum(key: string, offset: number): void {
    const queue = this.#queue(key);
    if (offset < queue.minOffset)
      this.#complain('metadata', `${key} began at ${queue.minOffset}, and now at ${offset}`);
    if (offset > 0 && this.#options.hasRetention !== true)
      this.#complain('loss', `${key} begins at ${offset}, and nothing was to be deleted`);
    queue.minOffset = Math.max(queue.minOffset, offset);
    queue.expiredTo = Math.max(queue.expiredTo, offset);
  }

  #onDeath(death: Death, atMs: number): void {
    for (const group of this.#groups.values()) {
      for (const commit of group.commits)
        if (commit.atMs < atMs - OFFSET_STORE_MS_MAX) group.storedOffset = commit.offset;
      group.commits = [];
    }
    if (death !== 'power' || this.#options.flush === 'sync') return;
    for (const message of this.#messages.values()) {
      message.mayBeGone = true;
      message.queueOffset = -1;
    }
    for (const queue of this.#queues.values()) {
      queue.ids.clear();
      queue.seen.clear();
    }
    for (const group of this.#groups.values()) {
      for (const offset of group.delivered)
        group.forgottenTo = Math.max(group.forgottenTo, offset + 1);
      group.delivered.clear();
      group.storedOffset = 0;
    }
  }

  #onDump(queues: readonly DumpedQueue[], atMs: number, isSettled: boolean): void {
    const places = new Map<string, number>();
    const stamps: { physicalOffset: number; storeTimestampMs: number; where: string }[] = [];
    const dumped = new Set<string>();
    for (const dump of queues) {
      const key = queueKey(dump.topic, dump.queueId);
      dumped.add(key);
      const queue = this.#queue(key);
      this.#onMinimum(key, dump.minOffset);
      let expected = dump.minOffset;
      for (const message of dump.messages) {
        const where = `${key}@${message.queueOffset}`;
        if (message.queueOffset !== expected)
          this.#complain('identity', `${where} follows ${expected - 1}`);
        expected = message.queueOffset + 1;
        this.#checkSeen(key, message, where);
        places.set(message.id, (places.get(message.id) ?? 0) + 1);
        queue.seen.add(message.queueOffset);
        stamps.push({ ...message, where });
      }
      if (expected !== dump.maxOffset)
        this.#complain('identity', `${key} ends at ${dump.maxOffset}, its messages at ${expected}`);
      this.#checkKept(key, queue, dump);
    }
    for (const [key, queue] of this.#queues)
      if (!dumped.has(key) && queue.ids.size > 0)
        this.#complain('loss', `${key} is gone, and held acknowledged or delivered messages`);
    this.#checkStamps(stamps);
    this.#checkOrder();
    this.#checkMessages(places, atMs, isSettled);
  }

  /** What was acknowledged or seen, and is not too old, is still there. */
  #checkKept(key: string, queue: Queue, dump: DumpedQueue): void {
    for (const [offset, id] of queue.ids) {
      if (offset < queue.expiredTo || offset < dump.maxOffset) continue;
      const isSeen = queue.seen.has(offset);
      this.#complain(
        isSeen ? 'durable' : 'loss',
        `${id} at ${key}@${offset} was ${isSeen ? 'delivered' : 'acknowledged'}, and is gone: the queue ends at ${dump.maxOffset}`,
      );
    }
  }

  #checkStamps(
    stamps: { physicalOffset: number; storeTimestampMs: number; where: string }[],
  ): void {
    stamps.sort((one, other) => one.physicalOffset - other.physicalOffset);
    for (let index = 1; index < stamps.length; index++) {
      const [before, after] = [stamps[index - 1], stamps[index]];
      if (after.storeTimestampMs < before.storeTimestampMs)
        this.#complain('due', `store timestamps go back from ${before.where} to ${after.where}`);
      if (after.physicalOffset === before.physicalOffset)
        this.#complain('identity', `${before.where} and ${after.where} are one record of the log`);
    }
  }

  /** What one client sends over its connection to one queue stands there in that order. */
  #checkOrder(): void {
    const last = new Map<string, { queueOffset: number; id: string }>();
    for (const [id, message] of this.#messages) {
      if (message.queueOffset < 0) continue;
      const lane = `${message.client} ${message.key}`;
      const before = last.get(lane);
      if (before !== undefined && before.queueOffset >= message.queueOffset)
        this.#complain(
          'order',
          `${id} at ${message.key}@${message.queueOffset} was sent after ${before.id}, which stands at ${before.queueOffset}`,
        );
      last.set(lane, { queueOffset: message.queueOffset, id });
    }
  }

  #checkMessages(places: ReadonlyMap<string, number>, atMs: number, isSettled: boolean): void {
    for (const [id, message] of this.#messages) {
      const count = places.get(id) ?? 0;
      if (message.kind === 'plain' && count > 1)
        this.#complain('identity', `${id} was sent once and stands ${count} times`);
      if (count > 0 || message.mayBeGone) continue;
      if (message.kind === 'plain') {
        const { expiredTo } = this.#queue(message.key);
        if (message.outcome === 'ok' && message.queueOffset >= expiredTo)
          this.#complain('loss', `${id} was acknowledged at ${message.key}@${message.queueOffset}`);
      } else if (message.kind === 'timed') {
        const isDue = message.outcome === 'ok' && message.dueMs <= atMs && isSettled;
        // What was delivered may have become too old since.
        if (isDue && this.#queue(message.key).expiredTo === 0)
          this.#complain('loss', `${id} was acknowledged, due ${message.dueMs}, and never came`);
      } else if (message.isCommitAcknowledged && isSettled) {
        if (this.#queue(message.key).expiredTo === 0)
          this.#complain('transaction', `${id} was committed, and never came`);
      }
    }
  }

  /** What holds for a message whoever sees it. */
  #checkSeen(
    key: string,
    seen: { queueOffset: number; storeTimestampMs: number; id: string; digest: number },
    where: string,
  ): void {
    const message = this.#messages.get(seen.id);
    if (message === undefined) {
      this.#complain('phantom', `nobody sent ${seen.id}, which stands at ${where}`);
      return;
    }
    if (message.digest !== seen.digest)
      this.#complain('phantom', `${seen.id} at ${where} is not what was sent`);
    if (message.key !== key)
      this.#complain('phantom', `${seen.id} at ${where} was sent to ${message.key}`);
    if (message.outcome === 'fail') this.#complain('phantom', `${seen.id} at ${where} was refused`);
    if (message.kind === 'timed' && seen.storeTimestampMs < message.dueMs)
      this.#complain('due', `${seen.id} came ${message.dueMs - seen.storeTimestampMs} ms early`);
    if (message.kind === 'half' && message.decision !== 'commit')
      this.#complain(
        'transaction',
        `${seen.id} at ${where} is seen, its decision was ${message.decision}`,
      );
    this.#name(key, seen.queueOffset, seen.id, 'seen');
  }

  /** An offset is given once. */
  #name(key: string, offset: number, id: string, what: string): void {
    const { ids } = this.#queue(key);
    const known = ids.get(offset);
    if (known !== undefined && known !== id)
      this.#complain('identity', `${key}@${offset} was ${known}, and ${id} is ${what} there`);
    ids.set(offset, id);
  }

  #message(id: string): Message {
    const message = this.#messages.get(id);
    if (message === undefined) throw new Error(`the history answers ${id}, which nobody sent`);
    return message;
  }

  #queue(key: string): Queue {
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = { ids: new Map(), seen: new Set(), minOffset: 0, expiredTo: 0 };
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #group(group: string, topic: string, queueId: number): GroupQueue {
    const key = `${group} ${queueKey(topic, queueId)}`;
    let state = this.#groups.get(key);
    if (state === undefined) {
      state = {
        delivered: new Set(),
        asked: new Set(),
        commits: [],
        storedOffset: 0,
        lastDelivered: -1,
        forgottenTo: 0,
      };
      this.#groups.set(key, state);
    }
    return state;
  }

  #complain(rule: CheckerRule, what: string): void {
    this.violations.push({ rule, what });
  }
}
