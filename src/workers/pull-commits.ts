/**
 * @agent dispatcher, control
 *
 * The offsets that consumers commit with their pulls, on their way from the dispatcher to control. A
 * pull may bring one each millisecond, so a commit is three numbers: the names of group and topic go
 * once, before the first. What finds no room waits in its queue's place, where a later one replaces
 * it; order between queues does not matter.
 */
import { BACK_PRESSURED } from '../ring/agent.ts';
import type { SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { commitMessage, MessageType } from './ring-messages.ts';

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

  /** Sends what had no room, and shows control all; returns how many of those went. */
  flush(): number {
    let count = 0;
    if (this.#waiting.length > 0) {
      while (count < this.#waiting.length) {
        const { of, queueId } = this.#waiting[count];
        if (!this.#send(of, queueId)) break;
        count++;
      }
      this.#waiting.splice(0, count);
    }
    this.#ring.publish();
    return count;
  }

  #of(group: string, topic: string): CommittedTopic {
    let topics = this.#groups.get(group);
    if (topics === undefined) this.#groups.set(group, (topics = new Map()));
    let committed = topics.get(topic);
    if (committed === undefined)
      topics.set(topic, (committed = new CommittedTopic(this.#nextId++, group, topic)));
    return committed;
  }

  #send(committed: CommittedTopic, queueId: number): boolean {
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
    const offset = ring.claim(MessageType.COMMIT_OFFSET, commitMessage.totalBytes);
    if (offset === BACK_PRESSURED) return false;
    ring.int32[(offset + commitMessage.id) >> 2] = committed.id;
    ring.int32[(offset + commitMessage.queueId) >> 2] = queueId;
    ring.float64[(offset + commitMessage.offset) >> 3] = committed.wanted[queueId];
    ring.commit(commitMessage.totalBytes);
    committed.sent[queueId] = committed.wanted[queueId];
    return true;
  }
}

/** Control's end. */
export class PullCommitReader {
  readonly #ring: SpscRingConsumer;
  readonly #names: [string, string][] = [];

  constructor(ring: SpscRingConsumer) {
    this.#ring = ring;
  }

  /** Hands on every commit that has come; returns how many. */
  drain(store: (group: string, topic: string, queueId: number, offset: number) => void): number {
    const ring = this.#ring;
    let count = 0;
    while (ring.peek()) {
      const at = ring.payloadOffset;
      const id = ring.int32[(at + commitMessage.id) >> 2];
      if (ring.type === MessageType.COMMIT_NAMES) {
        const text = ring.bytes.toString(
          'utf8',
          at + commitMessage.totalBytes,
          at + ring.payloadBytes,
        );
        this.#names[id] = JSON.parse(text) as [string, string];
      } else {
        const [group, topic] = this.#names[id];
        const queueId = ring.int32[(at + commitMessage.queueId) >> 2];
        store(group, topic, queueId, ring.float64[(at + commitMessage.offset) >> 3]);
      }
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }
}
