/**
 * @agent any
 *
 * Runs agents on a thread. `ThreadRunner` owns a thread that has no events: it sleeps in
 * Atomics.wait. `EventLoopRunner` shares the main thread with sockets and timers.
 */
import type { Agent } from './agent.ts';
import type { Doorbell } from './doorbell.ts';
import { failedClaimCount } from './spsc-ring.ts';

/** Longest sleep: bounds the harm of a deadline that an agent forgot to report. */
const SLEEP_MS_MAX = 1000;

/** Time until an agent whose ring was full looks again: nobody rings when there is room. */
const RETRY_MS = 1;

/** Duty cycles that find nothing before a thread goes to sleep; a sleep and wake-up cost about 10 us. */
const IDLE_CYCLES_BEFORE_SLEEP = 16;

function runAll(agents: readonly Agent[], nowMs: number): number {
  let work = 0;
  for (let index = 0; index < agents.length; index++) work += agents[index].doWork(nowMs);
  return work;
}

function earliestDeadline(agents: readonly Agent[]): number {
  let earliest = Infinity;
  for (const agent of agents) earliest = Math.min(earliest, agent.nextDeadlineMs());
  return earliest;
}

/** State of a thread in its shared lifecycle cell. */
export const Lifecycle = {
  RUNNING: 0,
  /** Hand on what is held, and go on running. */
  PREPARING: 1,
  /** Drain what is there, close the agents, return. */
  STOPPING: 2,
} as const;

export class ThreadRunner {
  readonly #agents: readonly Agent[];
  readonly #doorbell: Doorbell;
  readonly #lifecycle: Int32Array;
  readonly #nowMs: () => number;

  constructor(
    agents: readonly Agent[],
    doorbell: Doorbell,
    lifecycle: Int32Array,
    nowMs: () => number,
  ) {
    this.#agents = agents;
    this.#doorbell = doorbell;
    this.#lifecycle = lifecycle;
    this.#nowMs = nowMs;
  }

  /** Runs the agents until stopped, drains, closes them in order and returns. */
  run(): void {
    let idleCycles = 0;
    let isPrepared = false;
    for (;;) {
      const lifecycle = Atomics.load(this.#lifecycle, 0);
      if (lifecycle === Lifecycle.STOPPING) break;
      if (lifecycle === Lifecycle.PREPARING && !isPrepared) {
        isPrepared = true;
        this.#prepareClose();
      }
      if (runAll(this.#agents, this.#nowMs()) > 0) {
        idleCycles = 0;
        continue;
      }
      if (++idleCycles < IDLE_CYCLES_BEFORE_SLEEP) continue;
      idleCycles = 0;
      this.#sleep(lifecycle);
    }
    // A thread that did not get to run meanwhile has not seen that it was to prepare.
    if (!isPrepared) this.#prepareClose();
    while (runAll(this.#agents, this.#nowMs()) > 0);
    for (const agent of this.#agents) agent.close();
  }

  #prepareClose(): void {
    for (const agent of this.#agents) agent.prepareClose?.();
  }

  #sleep(lifecycle: number): void {
    const sequence = this.#doorbell.prepareToSleep();
    const failedBefore = failedClaimCount();
    if (Atomics.load(this.#lifecycle, 0) !== lifecycle || runAll(this.#agents, this.#nowMs()) > 0) {
      this.#doorbell.stayAwake();
      return;
    }
    const longestMs = failedClaimCount() === failedBefore ? SLEEP_MS_MAX : RETRY_MS;
    const waitMs = Math.min(longestMs, earliestDeadline(this.#agents) - this.#nowMs());
    if (waitMs > 0) this.#doorbell.sleep(sequence, waitMs);
    else this.#doorbell.stayAwake();
  }
}

/** Duty cycles in one turn of the event loop before sockets get their turn again. */
const CYCLES_PER_TURN = 4;

export class EventLoopRunner {
  readonly #agents: readonly Agent[];
  readonly #doorbell: Doorbell;
  readonly #nowMs: () => number;
  readonly #onFailure: (error: unknown) => void;
  #scheduled = false;
  #closed = false;
  #isIdle = false;
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Infinity;

  /** `onFailure` hears of an exception that left an agent; no agent runs after it. */
  constructor(
    agents: readonly Agent[],
    doorbell: Doorbell,
    nowMs: () => number,
    onFailure: (error: unknown) => void,
  ) {
    this.#agents = agents;
    this.#doorbell = doorbell;
    this.#nowMs = nowMs;
    this.#onFailure = onFailure;
  }

  /** Runs the agents once the events at hand are handled. Called for each event that brings work. */
  schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  /** No agent had anything to do in the last turn, and no other turn is coming at once. */
  get isIdle(): boolean {
    return this.#isIdle && !this.#scheduled;
  }

  /** By the wall clock: when an agent has something to do; Infinity for never. */
  nextWallDeadlineMs(): number {
    let earliest = Infinity;
    for (const agent of this.#agents)
      earliest = Math.min(earliest, agent.nextWallDeadlineMs?.() ?? Infinity);
    return earliest;
  }

  /** Has the agents hand on what they hold; turns go on. */
  prepareClose(): void {
    for (const agent of this.#agents) agent.prepareClose?.();
    this.schedule();
  }

  close(): void {
    if (this.#closed) return;
    this.abandon();
    for (const agent of this.#agents) agent.close();
  }

  /** Stops without another word to any agent: one of them has failed. */
  abandon(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#closed) return;
    this.#isIdle = false;
    try {
      this.#doorbell.stayAwake();
      for (let index = 0; index < this.#agents.length; index++) this.#agents[index].beginTurns?.();
      let cycle = 0;
      while (cycle < CYCLES_PER_TURN && runAll(this.#agents, this.#nowMs()) > 0) cycle++;
      for (let index = 0; index < this.#agents.length; index++) this.#agents[index].endTurns?.();
      if (cycle === CYCLES_PER_TURN) {
        this.schedule();
        return;
      }
      this.#doorbell.prepareToSleep();
      const failedBefore = failedClaimCount();
      if (runAll(this.#agents, this.#nowMs()) > 0) {
        this.schedule();
        return;
      }
      const hasRoom = failedClaimCount() === failedBefore;
      this.#isIdle = hasRoom;
      const retryMs = hasRoom ? Infinity : this.#nowMs() + RETRY_MS;
      this.#armTimer(Math.min(retryMs, earliestDeadline(this.#agents)));
    } catch (error) {
      this.#closed = true;
      this.#onFailure(error);
    }
  };

  /** Keeps one timer that fires no later than the deadline; an early one only costs a turn. */
  #armTimer(deadlineMs: number): void {
    const nowMs = this.#nowMs();
    const wantedMs = Math.min(deadlineMs, nowMs + SLEEP_MS_MAX);
    if (this.#timer !== null && this.#timerAtMs > nowMs && this.#timerAtMs <= wantedMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAtMs = wantedMs;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.schedule();
      },
      Math.max(1, Math.ceil(wantedMs - nowMs)),
    );
  }
}
