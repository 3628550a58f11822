/**
 * @agent any
 *
 * The queues that this member reads: each with its process queue and its puller. Takes what the
 * rebalancer has worked out, and everything else that moves a queue: seeks, resets, lost locks.
 *
 * ```
 *  wanted ──[lock]──▶ where to go on? ──▶ assigned: pulling ─┬─ not wanted ──▶ released
 *                                             ▲              ├─ 21, seek, reset ──▶ a new process queue
 *                                             └──────────────┘                       at the new offset
 *  released:  nothing more is handed out ─[ordered: its call ends]─▶ offset said ─[unlock]
 * ```
 * A process queue never moves. Whoever still holds messages of an old one changes nothing any more.
 */
import type { ClientCore } from './client-core.ts';
import { asClientError, type ClientError } from './client-error.ts';
import { type MessageHome, type ConsumedRecord, readConsumed } from './consumed-message.ts';
import type { MessageQueue } from './message.ts';
import { type ConsumeFrom, type OffsetStore, queueKey, type QueueOffset } from './offset-store.ts';
import { keepProgramAlive } from './platform.ts';
import { ProcessQueue, type ProcessQueueLimits } from './process-queue.ts';
import type { QueueLocks } from './queue-locks.ts';
import { QueuePuller } from './queue-puller.ts';
import type { Subscription } from './subscription.ts';

/** Why messages of a queue are no longer this member's, or come again. */
export type RevokeReason =
  /** Another member has it now, or it is gone. */
  | 'rebalance'
  /** The broker holds nothing at the offset, or an operator has set another one. */
  | 'moved'
  /** Somebody else has the lock. */
  | 'lock-lost'
  /** The program has called `seek`. */
  | 'seek';

export interface QueueAssignment {
  readonly queue: MessageQueue;
  readonly processQueue: ProcessQueue<ConsumedRecord>;
  readonly puller: QueuePuller<ConsumedRecord>;
}

export interface QueueAssignmentsOptions {
  readonly core: ClientCore;
  readonly group: string;
  readonly from: ConsumeFrom;
  readonly offsets: OffsetStore;
  readonly isOrdered: boolean;
  /** Of an ordered clustering group alone. */
  readonly locks: QueueLocks | null;
  readonly limits: ProcessQueueLimits;
  readonly pullCountMax: number;
  readonly home: MessageHome;
  readonly subscriptionOf: (topic: string) => Subscription;
  readonly isPaused: (queue: MessageQueue) => boolean;
  readonly onReady: (processQueue: ProcessQueue<ConsumedRecord>) => void;
  readonly onAssigned: (queues: readonly MessageQueue[]) => void;
  readonly onRevoked: (queues: readonly MessageQueue[], reason: RevokeReason) => void;
  /** The broker does not know this member. Done when it has been told. */
  readonly onUnknown: () => Promise<void>;
  /** Another look at the division is due. */
  readonly onUnbalanced: () => void;
  readonly onError: (error: ClientError) => void;
}

/** A call that has not ended by then keeps its queue locked (a guess). */
const RELEASE_TIMEOUT_MS = 30_000;

export class QueueAssignments {
  readonly #options: QueueAssignmentsOptions;
  readonly #assignments = new Map<string, QueueAssignment>();
  /** On their way out: not to be had again before that is over. */
  readonly #releasing = new Map<string, QueueAssignment>();
  #isClosed = false;

  constructor(options: QueueAssignmentsOptions) {
    this.#options = options;
  }

  get all(): Iterable<QueueAssignment> {
    return this.#assignments.values();
  }

  get(queue: MessageQueue): QueueAssignment | undefined {
    return this.#assignments.get(queueKey(queue));
  }

  /** What this member has to read of a topic. False where it has to be tried again soon. */
  async apply(topic: string, queues: readonly MessageQueue[]): Promise<boolean> {
    if (this.#isClosed) return true;
    const { offsets, onAssigned, onError, locks } = this.#options;
    const wanted = new Set(queues.map(queueKey));
    const given = [...this.#assignments.values()].filter(
      ({ queue }) => queue.topic === topic && !wanted.has(queueKey(queue)),
    );
    if (given.length > 0) await this.#release(given, 'rebalance');
    let isComplete = true;
    let added = queues.filter((queue) => {
      const key = queueKey(queue);
      if (this.#releasing.has(key)) isComplete = false;
      return !this.#assignments.has(key) && !this.#releasing.has(key);
    });
    let lockedUntilMs = Infinity;
    if (locks !== null) {
      const granted = await this.#lock(topic, added);
      if (granted.queues.length < added.length) isComplete = false;
      added = granted.queues;
      lockedUntilMs = granted.untilMs;
      isComplete &&= granted.isComplete;
    }
    const begun = await Promise.all(
      added.map(async (queue) => {
        try {
          const offset = await offsets.initialOffset(queue, this.#options.from);
          return { queue, offset };
        } catch (error) {
          onError(asClientError(error, `where to go on in ${queueKey(queue)}`));
          return null;
        }
      }),
    );
    if (this.#isClosed) return true;
    const started = begun.filter((entry) => entry !== null);
    if (started.length > 0) onAssigned(started.map(({ queue }) => queue));
    for (const { queue, offset } of started) this.#begin(queue, offset, lockedUntilMs);
    return isComplete && started.length === added.length;
  }

  /** Topics that are subscribed to no more. */
  async retain(topics: readonly string[]): Promise<void> {
    const given = [...this.#assignments.values()].filter(
      ({ queue }) => !topics.includes(queue.topic),
    );
    if (given.length > 0) await this.#release(given, 'rebalance');
  }

  /** Goes on at another offset. False where the queue is not assigned. */
  async move(queue: MessageQueue, offset: number, reason: RevokeReason): Promise<boolean> {
    const key = queueKey(queue);
    const former = this.#assignments.get(key);
    if (former === undefined) return false;
    const { onRevoked, onAssigned, isOrdered } = this.#options;
    former.puller.stop();
    former.processQueue.drop();
    onRevoked([queue], reason);
    // The next message in order is not handed out while one is being worked on.
    if (isOrdered) await within(former.processQueue.idle(), RELEASE_TIMEOUT_MS);
    if (this.#assignments.get(key) !== former || this.#isClosed) return false;
    onAssigned([queue]);
    this.#begin(queue, offset, former.processQueue.lockedUntilMs);
    await this.#say([{ queue, offset }], false);
    return true;
  }

  /** Says how far the group is, where that has changed. Never rejects. */
  async commit(options: { mustAnswer: boolean }): Promise<void> {
    await this.#commitOf([...this.#assignments.values()], options.mustAnswer);
  }

  /** Asks for the locks of all queues anew. */
  async renewLocks(): Promise<void> {
    const { locks } = this.#options;
    if (locks === null || this.#isClosed) return;
    const held = [...this.#assignments.values(), ...this.#releasing.values()];
    if (held.length === 0) return;
    const { granted, refused, untilMs } = await locks.lock(held.map(({ queue }) => queue));
    const lost: QueueAssignment[] = [];
    for (const assignment of held) {
      const key = queueKey(assignment.queue);
      if (granted.has(key)) this.#trust(assignment, untilMs);
      else if (refused.has(key) && this.#assignments.get(key) === assignment) lost.push(assignment);
    }
    if (lost.length > 0) this.#lose(lost);
  }

  /**
   * A broker that was started again has forgotten its locks, and offsets of the last seconds: those are
   * said anew, and nothing is handed out in order before the locks are back.
   */
  onDisconnected(address: string): void {
    for (const { queue, processQueue, puller } of this.#assignments.values()) {
      if (this.#addressOf(queue) !== address) continue;
      puller.committedOffset = -1;
      if (this.#options.locks !== null) processQueue.lockedUntilMs = 0;
    }
  }

  /** Pauses and goes on as `isPaused` says now. */
  updatePauses(): void {
    for (const { queue, processQueue, puller } of this.#assignments.values()) {
      processQueue.pause(this.#options.isPaused(queue));
      puller.wake();
      this.#options.onReady(processQueue);
    }
  }

  /** Lets calls that run end, says offsets, unlocks. Never rejects. */
  async close(timeoutMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const all = [...this.#assignments.values()];
    for (const { processQueue, puller } of all) {
      puller.stop();
      processQueue.pause(true);
    }
    await within(Promise.all(all.map(({ processQueue }) => processQueue.idle())), timeoutMs);
    const ended = [...all, ...this.#releasing.values()].filter(
      ({ processQueue }) => processQueue.handedOutCount === 0,
    );
    for (const { processQueue } of [...all, ...this.#releasing.values()]) processQueue.abandon();
    await this.#commitOf(all, true);
    this.#assignments.clear();
    // The rest ends by itself, a minute after its last renewal.
    await this.#options.locks?.unlock(ended.map(({ queue }) => queue));
  }

  #begin(queue: MessageQueue, offset: number, lockedUntilMs: number): void {
    const { core, group, isOrdered, limits, pullCountMax, offsets, home, onReady } = this.#options;
    const processQueue = new ProcessQueue<ConsumedRecord>(queue, { offset, isOrdered, limits });
    processQueue.lockedUntilMs = lockedUntilMs;
    processQueue.pause(this.#options.isPaused(queue));
    const puller = new QueuePuller<ConsumedRecord>({
      core,
      group,
      processQueue,
      subscription: () => this.#options.subscriptionOf(queue.topic),
      countMax: pullCountMax,
      commits: offsets.isRemote,
      read: (body, _queue, subscription) => readConsumed(body, processQueue, subscription, home),
      onMessages: onReady,
      onMoved: (_processQueue, next) => {
        void this.move(queue, next, 'moved');
      },
      onUnknown: this.#options.onUnknown,
      onError: this.#options.onError,
    });
    this.#assignments.set(queueKey(queue), { queue, processQueue, puller });
    void puller.run();
  }

  async #release(given: readonly QueueAssignment[], reason: RevokeReason): Promise<void> {
    const { locks, onRevoked } = this.#options;
    for (const { queue, puller, processQueue } of given) {
      this.#assignments.delete(queueKey(queue));
      puller.stop();
      if (locks === null) processQueue.drop();
      else processQueue.pause(true);
    }
    if (locks === null) {
      onRevoked(
        given.map(({ queue }) => queue),
        reason,
      );
      await this.#commitOf(given, false);
      return;
    }
    for (const assignment of given) {
      this.#releasing.set(queueKey(assignment.queue), assignment);
      void this.#releaseLocked(assignment, locks, reason);
    }
  }

  /** The next member gets the lock when the last call has ended and its offset is said. */
  async #releaseLocked(
    assignment: QueueAssignment,
    locks: QueueLocks,
    reason: RevokeReason,
  ): Promise<void> {
    const { queue, processQueue } = assignment;
    await processQueue.idle();
    processQueue.drop();
    this.#options.onRevoked([queue], reason);
    await this.#commitOf([assignment], true);
    if (!this.#isClosed) await locks.unlock([queue]);
    this.#releasing.delete(queueKey(queue));
  }

  /** Locks for queues that are new, and for those whose lock is in doubt. */
  async #lock(
    topic: string,
    added: readonly MessageQueue[],
  ): Promise<{ queues: MessageQueue[]; untilMs: number; isComplete: boolean }> {
    const { locks } = this.#options;
    const nowMs = performance.now();
    const doubtful = [...this.#assignments.values()].filter(
      ({ queue, processQueue }) => queue.topic === topic && processQueue.lockedUntilMs <= nowMs,
    );
    const asked = [...added, ...doubtful.map(({ queue }) => queue)];
    if (locks === null || asked.length === 0)
      return { queues: [...added], untilMs: Infinity, isComplete: true };
    const { granted, refused, untilMs } = await locks.lock(asked);
    let isComplete = true;
    const lost: QueueAssignment[] = [];
    for (const assignment of doubtful) {
      const key = queueKey(assignment.queue);
      if (granted.has(key)) this.#trust(assignment, untilMs);
      else isComplete = false;
      if (refused.has(key)) lost.push(assignment);
    }
    if (lost.length > 0) this.#lose(lost);
    return { queues: added.filter((queue) => granted.has(queueKey(queue))), untilMs, isComplete };
  }

  #trust(assignment: QueueAssignment, untilMs: number): void {
    assignment.processQueue.lockedUntilMs = untilMs;
    this.#options.onReady(assignment.processQueue);
  }

  /** Somebody else reads these now, further on than this member, perhaps: no offset is said. */
  #lose(lost: readonly QueueAssignment[]): void {
    for (const { queue, puller, processQueue } of lost) {
      this.#assignments.delete(queueKey(queue));
      puller.stop();
      processQueue.drop();
    }
    this.#options.onRevoked(
      lost.map(({ queue }) => queue),
      'lock-lost',
    );
    this.#options.onUnbalanced();
  }

  async #commitOf(assignments: readonly QueueAssignment[], mustAnswer: boolean): Promise<void> {
    const changed = assignments.filter(
      ({ processQueue, puller }) => processQueue.commitOffset !== puller.committedOffset,
    );
    if (changed.length === 0) return;
    const entries = changed.map(({ queue, processQueue }) => ({
      queue,
      offset: processQueue.commitOffset,
    }));
    for (const [index, { puller }] of changed.entries())
      puller.committedOffset = entries[index].offset;
    const isSaid = await this.#say(entries, mustAnswer);
    if (!isSaid) for (const { puller } of changed) puller.committedOffset = -1;
  }

  async #say(entries: readonly QueueOffset[], mustAnswer: boolean): Promise<boolean> {
    try {
      await this.#options.offsets.commit(entries, { mustAnswer });
      return true;
    } catch (error) {
      this.#options.onError(asClientError(error, 'offsets could not be said'));
      return false;
    }
  }

  #addressOf(queue: MessageQueue): string | null {
    try {
      return this.#options.core.masterAddress(queue.brokerName);
    } catch {
      return null;
    }
  }
}

/** Waits, but no longer than so. */
async function within(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  await Promise.race([
    work,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
      keepProgramAlive(timer, true);
    }),
  ]);
  if (timer !== null) clearTimeout(timer);
}
