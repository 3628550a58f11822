/**
 * @agent dispatcher, control
 *
 * Offsets of consumer groups that change in the dispatcher: resets, and those that consumers commit with their pulls, on their way from the dispatcher to control. A
 * pull may bring one each millisecond, so a commit is three numbers: the names of group and topic go
 * once, before the first. What finds no room waits in its queue's place, where a later one replaces
 * it; order between queues does not matter, but resets go in order.
 */
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { commitMessage, MessageType, type ResetAssigned } from './ring-messages.ts';

/** What one group has committed of one topic. */
class CommittedTopic {
  readonly id: number;
  readonly names: Buffer;
  areNamesSent = false;
  /** By queue: the last offset that came, and the last that went. */
  readonly wanted: number[] = [];
  readonly sent: number[] = [];

  constructor(id: number, group: string, topic: string) {
    this.id = id;
    this.names = Buffer.from(JSON.stringify([group, topic]));
  }
}

/** The dispatcher's end. */
export class PullCommits {
  readonly #ring: SpscRingProducer;
  readonly #groups = new Map<string, Map<string, CommittedTopic>>();
  readonly #waiting: { of: CommittedTopic; queueId: number }[] = [];
  /** Resets that found no room: the payload of one assigned, or the queue of one taken. */
  readonly #waitingResets: (Buffer | { of: CommittedTopic; queueId: number })[] = [];
  #nextId = 0;

  constructor(ring: SpscRingProducer) {
    this.#ring = ring;
  }

  commit(group: string, topic: string, queueId: number, offset: number): void {
    const committed = this.#of(group, topic);
    if (committed.wanted[queueId] === offset) return;
    const isWaiting = committed.wanted[queueId] !== committed.sent[queueId];
    committed.wanted[queueId] = offset;
    if (!isWaiting && !this.#send(committed, queueId))
      this.#waiting.push({ of: committed, queueId });
  }

  /** An administrator has set these offsets. */
  assignReset(group: string, topic: string, targets: ResetAssigned['targets']): void {
    const message: ResetAssigned = { group, topic, targets };
    this.#waitingResets.push(Buffer.from(JSON.stringify(message)));
    this.#sendResets();
  }

  /** The producer of a half message is to be asked; false when there is no room. */
  checkHalf(physicalOffset: number, checkTimes: number): boolean {
    const ring = this.#ring;
    const offset = ring.claim(MessageType.CHECK_HALF, commitMessage.totalBytes);
    if (offset === BACK_PRESSURED) return false;
    ring.int32[(offset + commitMessage.id) >> 2] = checkTimes;
    ring.float64[(offset + commitMessage.offset) >> 3] = physicalOffset;
    ring.commit(commitMessage.totalBytes);
    return true;
  }

  /** The group has been told of the reset of this queue. */
  takeReset(group: string, topic: string, queueId: number): void {
    const of = this.#of(group, topic);
    // What was committed before counts no more: a waiting commit must not undo the reset, and the same
    // offset is news when it comes again.
    of.wanted[queueId] = -1;
    of.sent[queueId] = -1;
    this.#waitingResets.push({ of, queueId });
    this.#sendResets();
  }

  /** Sends what had no room, and shows control all; returns how many of those went. */
  flush(): number {
    const resetCount = this.#waitingResets.length > 0 ? this.#sendResets() : 0;
    const commitCount = this.#waiting.length > 0 ? this.#sendWaiting() : 0;
    this.#ring.publish();
    return resetCount + commitCount;
  }

  #of(group: string, topic: string): CommittedTopic {
    let topics = this.#groups.get(group);
    if (topics === undefined) this.#groups.set(group, (topics = new Map()));
    let committed = topics.get(topic);
    if (committed === undefined)
      topics.set(topic, (committed = new CommittedTopic(this.#nextId++, group, topic)));
    return committed;
  }

  #sendWaiting(): number {
    let count = 0;
    while (count < this.#waiting.length) {
      const { of, queueId } = this.#waiting[count];
      // A reset may have taken its place meanwhile.
      if (of.wanted[queueId] !== of.sent[queueId] && !this.#send(of, queueId)) break;
      count++;
    }
    this.#waiting.splice(0, count);
    return count;
  }

  #sendResets(): number {
    const ring = this.#ring;
    let count = 0;
    for (const waiting of this.#waitingResets) {
      if (Buffer.isBuffer(waiting)) {
        const offset = ring.claim(MessageType.RESET_ASSIGNED, waiting.length);
        if (offset === BACK_PRESSURED) break;
        ring.bytes.set(waiting, offset);
        ring.commit(waiting.length);
      } else if (!this.#sendNumbers(MessageType.RESET_TAKEN, waiting.of, waiting.queueId, 0)) break;
      count++;
    }
    this.#waitingResets.splice(0, count);
    return count;
  }

  #send(committed: CommittedTopic, queueId: number): boolean {
    const wanted = committed.wanted[queueId];
    if (!this.#sendNumbers(MessageType.COMMIT_OFFSET, committed, queueId, wanted)) return false;
    committed.sent[queueId] = wanted;
    return true;
  }

  #sendNumbers(type: number, committed: CommittedTopic, queueId: number, value: number): boolean {
    const ring = this.#ring;
    if (!committed.areNamesSent) {
      const { names } = committed;
      const payloadBytes = commitMessage.totalBytes + names.length;
      const offset = ring.claim(MessageType.COMMIT_NAMES, payloadBytes);
      if (offset === BACK_PRESSURED) return false;
      ring.int32[(offset + commitMessage.id) >> 2] = committed.id;
      ring.bytes.set(names, offset + commitMessage.totalBytes);
      ring.commit(payloadBytes);
      committed.areNamesSent = true;
    }
    const offset = ring.claim(type, commitMessage.totalBytes);
    if (offset === BACK_PRESSURED) return false;
    ring.int32[(offset + commitMessage.id) >> 2] = committed.id;
    ring.int32[(offset + commitMessage.queueId) >> 2] = queueId;
    ring.float64[(offset + commitMessage.offset) >> 3] = value;
    ring.commit(commitMessage.totalBytes);
    return true;
  }
}

/** Who stores the offsets. */
export interface OffsetReceiver {
  commitOffset(group: string, topic: string, queueId: number, offset: number): void;
  assignReset(reset: ResetAssigned): void;
  takeReset(group: string, topic: string, queueId: number): void;
  checkHalf(physicalOffset: number, checkTimes: number): void;
}

/** Control's end. */
export class PullCommitReader {
  readonly #ring: SpscRingConsumer;
  readonly #names: [string, string][] = [];

  constructor(ring: SpscRingConsumer) {
    this.#ring = ring;
  }

  /** Hands on everything that has come; returns how much. */
  drain(to: OffsetReceiver): number {
    const ring = this.#ring;
    let count = 0;
    while (ring.peek()) {
      const at = ring.payloadOffset;
      const id = ring.int32[(at + commitMessage.id) >> 2];
      if (ring.type === MessageType.RESET_ASSIGNED) {
        const text = ring.bytes.toString('utf8', at, at + ring.payloadBytes);
        to.assignReset(JSON.parse(text) as ResetAssigned);
      } else if (ring.type === MessageType.CHECK_HALF) {
        to.checkHalf(ring.float64[(at + commitMessage.offset) >> 3], id);
      } else if (ring.type === MessageType.COMMIT_NAMES) {
        const text = ring.bytes.toString(
          'utf8',
          at + commitMessage.totalBytes,
          at + ring.payloadBytes,
        );
        this.#names[id] = JSON.parse(text) as [string, string];
      } else {
        const [group, topic] = this.#names[id];
        const queueId = ring.int32[(at + commitMessage.queueId) >> 2];
        if (ring.type === MessageType.RESET_TAKEN) to.takeReset(group, topic, queueId);
        else to.commitOffset(group, topic, queueId, ring.float64[(at + commitMessage.offset) >> 3]);
      }
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }
}
