/**
 * @agent control
 *
 * Which client of a group may consume a queue in order. A lock lives 60 s from its last renewal;
 * until then no other client gets it, so that no two clients ever hold a queue at once. Times are
 * monotonic: a step of the calendar neither frees a lock nor keeps one.
 *
 * ```
 * free ── lock(a) ──▶ held by a ── unlock(a), or 60 s without lock(a) ──▶ free
 * ```
 * Source: RebalanceLockManager.java.
 */
import type { MonotonicClock } from '../base/clock.ts';

/** rocketmq.broker.rebalance.lockMaxLiveTime */
export const LOCK_LIVE_MS = 60_000;

export interface LockedQueue {
  readonly topic: string;
  readonly queueId: number;
}

interface Lock {
  clientId: string;
  renewedMs: number;
}

export class QueueLockTable {
  readonly #clock: MonotonicClock;
  /** By group, then by queue. */
  readonly #groups = new Map<string, Map<string, Lock>>();

  constructor(clock: MonotonicClock) {
    this.#clock = clock;
  }

  /** Gives or renews a lock; false when another client holds it. */
  tryLock(group: string, queue: LockedQueue, clientId: string): boolean {
    const nowMs = this.#clock.nowMs();
    let locks = this.#groups.get(group);
    if (locks === undefined) this.#groups.set(group, (locks = new Map()));
    const key = keyOf(queue);
    const lock = locks.get(key);
    if (lock !== undefined && lock.clientId !== clientId && !hasExpired(lock, nowMs)) return false;
    locks.set(key, { clientId, renewedMs: nowMs });
    return true;
  }

  /** Frees a lock that this client holds; anyone else's stays. */
  unlock(group: string, queue: LockedQueue, clientId: string): void {
    const locks = this.#groups.get(group);
    const key = keyOf(queue);
    if (locks?.get(key)?.clientId !== clientId) return;
    locks.delete(key);
    if (locks.size === 0) this.#groups.delete(group);
  }

  /** True where any client of the group holds a queue: the group consumes in order. */
  hasLiveLock(group: string): boolean {
    const nowMs = this.#clock.nowMs();
    for (const lock of this.#groups.get(group)?.values() ?? []) {
      if (!hasExpired(lock, nowMs)) return true;
    }
    return false;
  }

  /** Forgets locks that nobody renews, so that the table can't grow for ever. */
  removeExpired(): void {
    const nowMs = this.#clock.nowMs();
    for (const [group, locks] of this.#groups) {
      for (const [key, lock] of locks) if (hasExpired(lock, nowMs)) locks.delete(key);
      if (locks.size === 0) this.#groups.delete(group);
    }
  }
}

function hasExpired(lock: Lock, nowMs: number): boolean {
  return nowMs - lock.renewedMs > LOCK_LIVE_MS;
}

function keyOf(queue: LockedQueue): string {
  return `${queue.topic}@${queue.queueId}`;
}
