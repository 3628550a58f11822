/**
 * Looks for a crash that the broker does not survive.
 *
 * ```
 *  life        a broker under a seeded workload ──●────●──●───────●──▶
 *  states                                         │    │  │       │     at calls of the file layer, and
 *                                                 ▼    ▼  ▼       ▼     between turns
 *  recovery    each state is started, worked with, read whole, and its history checked;
 *              some are crashed again, while they recover or later
 * ```
 * A life is decided by its seed alone. Its states are the page cache (kill -9) or the durable copies
 * with any part of what was not synced, in units of 512 B or 4 KiB (loss of power).
 */
import { ManualClock } from '../../src/base/clock.ts';
import { type Logger, silentLogger } from '../../src/base/logging.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import { checkHistory, type Violation } from './checker.ts';
import type { Death } from './history.ts';
import { InlineBroker, type Mutation } from './inline-broker.ts';
import { dueMsMax, Workload, workloadQueueCount } from './workload.ts';

/** `start`: the broker did not start or ended by itself; `liveness`: it started, and serves nothing. */
export type FoundRule = Violation['rule'] | 'start' | 'liveness';

export interface Found {
  rule: FoundRule;
  what: string;
  /** Of the life in which it was found. */
  lifeSeed: number;
  /** Number of the state in its life. */
  state: number;
}

export interface LifeResult {
  stateCount: number;
  /** Messages acknowledged, summed over the histories that were checked. */
  acknowledgedCount: number;
  found: Found[];
}

export interface LifeOptions {
  seed: number;
  mutation?: Mutation | undefined;
  /** Stop at the first that is found. */
  stopsEarly?: boolean;
  /** Called with the workload of the first history that something was found in. */
  onFound?: (workload: Workload) => void;
  logger?: Logger;
}

interface CrashState {
  files: FaultyFiles;
  workload: Workload;
  wallMs: number;
  death: Death;
  depth: number;
}

const START_MS = Date.UTC(2024, 0, 1);
const SEGMENT_BYTES = 64 * 1024;
const STEPS_MIN = 30;
const STEPS_MAX = 90;
/** So many of the file layer's calls are also places to crash at. */
const CALL_CHANCE = 0.06;
const STEP_CHANCE = 0.25;
const SECOND_CRASH_CHANCE = 0.15;
const RECOVERY_CRASH_CHANCE = 0.1;
const DEPTH_MAX = 3;
const KEEP_CHANCES = [0, 0.05, 0.3, 0.5, 0.7, 0.95, 1];

/** Lives one broker, and checks what becomes of its crashes. */
export function liveOnce(options: LifeOptions): LifeResult {
  return new Life(options).run();
}

/** The seed of one life of a run; lives of runs with other seeds are others. */
export function lifeSeedOf(seed: number, life: number): number {
  return (Math.imul(seed, 0x9e3779b1) + life) >>> 0;
}

class Life {
  readonly #options: LifeOptions;
  readonly #random: () => number;
  readonly #result: LifeResult = { stateCount: 0, acknowledgedCount: 0, found: [] };
  readonly #states: CrashState[] = [];
  readonly #flush: 'sync' | 'async';
  readonly #hasRetention: boolean;
  readonly #isIndexed: boolean;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#flush = this.#random() < 0.85 ? 'sync' : 'async';
    this.#hasRetention = this.#random() < 0.25;
    // A table of 20 MB for each start: rarely.
    this.#isIndexed = this.#random() < 0.01;
  }

  run(): LifeResult {
    const files = new FaultyFiles();
    const wallClock = new ManualClock(START_MS);
    const workload = new Workload(this.#random, 'm');
    this.#guard(() => {
      const broker = this.#start(files, wallClock);
      workload.attach(broker);
      const steps = STEPS_MIN + this.#pick(STEPS_MAX - STEPS_MIN);
      this.#work({ broker, files, workload, steps, depth: 0 });
      this.#checkEnd(broker, workload);
      this.#closeAndReopen(broker, files, workload, wallClock);
    });
    return this.#result;
  }

  #start(files: FaultyFiles, wallClock: ManualClock): InlineBroker {
    files.nowMs = () => wallClock.nowMs();
    const { mutation } = this.#options;
    const isDeferring =
      mutation === undefined ? this.#random() < 0.5 : mutation.isDeferring === true;
    return new InlineBroker({
      files,
      deferred: isDeferring ? files : null,
      wallClock,
      random: this.#random,
      logger: this.#options.logger ?? silentLogger,
      flush: this.#flush,
      segmentBytes: SEGMENT_BYTES,
      retention: { fileReservedTimeMs: this.#hasRetention ? 3000 : 3_600_000 },
      messageIndexEnable: this.#isIndexed,
      mutation,
    });
  }

  /** Some steps of the workload, with crash states taken on the way and recovered after each step. */
  #work(run: {
    broker: InlineBroker;
    files: FaultyFiles;
    workload: Workload;
    steps: number;
    depth: number;
  }): void {
    const { broker, files, workload, steps, depth } = run;
    const take = (): void => this.#takeState(files, workload, broker.wallClock.nowMs(), depth);
    const onCall = (): void => {
      if (this.#random() < CALL_CHANCE) take();
    };
    files.onCall = onCall;
    for (let step = 0; step < steps && !this.#isDone; step++) {
      const acts = this.#pick(6);
      for (let act = 0; act < acts; act++) workload.act();
      // Sometimes the crash finds requests half way.
      if (this.#random() < 0.2) {
        for (let turns = 1 + this.#pick(8); turns > 0; turns--) broker.turn();
        take();
      }
      broker.advance(this.#random() < 0.1 ? 1000 + this.#pick(2000) : 1 + this.#pick(100));
      if (this.#random() < STEP_CHANCE) take();
      files.onCall = null;
      while (this.#states.length > 0 && !this.#isDone)
        this.#recover(this.#states.pop() as CrashState);
      files.onCall = onCall;
    }
    files.onCall = null;
  }

  #takeState(files: FaultyFiles, workload: Workload, wallMs: number, depth: number): void {
    if (depth >= DEPTH_MAX) return;
    const death: Death = this.#random() < 0.15 ? 'process' : 'power';
    const keepChance = KEEP_CHANCES[this.#pick(KEEP_CHANCES.length)];
    const unitBytes = this.#random() < 0.5 ? 512 : 4096;
    const isKept = (): boolean => this.#random() < keepChance;
    this.#states.push({
      files: death === 'process' ? files.killProcess() : files.losePower({ unitBytes, isKept }),
      workload: new Workload(
        this.#random,
        `${'m'.repeat(depth + 2)}${this.#states.length}.`,
        workload,
      ),
      wallMs,
      death,
      depth: depth + 1,
    });
  }

  #recover(state: CrashState): void {
    this.#result.stateCount++;
    this.#guard(() => {
      const { files, workload, depth } = state;
      const wallClock = new ManualClock(state.wallMs + this.#pick(3000));
      workload.events.push({ type: 'death', death: state.death, atMs: state.wallMs });
      if (this.#random() < RECOVERY_CRASH_CHANCE) {
        const at = files.callCount + 1 + this.#pick(60);
        files.onCall = (call) => {
          if (call === at) this.#takeState(files, workload, wallClock.nowMs(), depth);
        };
      }
      const broker = this.#start(files, wallClock);
      try {
        workload.attach(broker);
        files.onCall = null;
        if (depth < DEPTH_MAX && this.#random() < SECOND_CRASH_CHANCE)
          this.#work({ broker, files, workload, steps: 1 + this.#pick(8), depth });
        this.#checkEnd(broker, workload);
      } finally {
        broker.kill();
      }
    });
  }

  /** Lets everything become due, reads it, and checks the history. */
  #checkEnd(broker: InlineBroker, workload: Workload): void {
    if (this.#isDone) return;
    const before = workload.events.length;
    workload.decideAll();
    for (let queueId = 0; queueId < workloadQueueCount; queueId++) workload.sendPlain(queueId);
    broker.advance(dueMsMax + 1000);
    // What a timed message met on its way is done in a second round.
    broker.advance(1000);
    const answers = workload.events.slice(before).filter(({ type }) => type === 'sent');
    const outcomes = answers.map((event) => (event.type === 'sent' ? event.outcome : ''));
    if (outcomes.filter((outcome) => outcome === 'ok').length < workloadQueueCount)
      this.#find('liveness', `sends were answered ${outcomes.join(', ')}`);
    workload.dump(true);
    const options = { flush: this.#flush, hasRetention: this.#hasRetention };
    for (const { rule, what } of checkHistory(workload.events, options)) this.#find(rule, what);
    if (this.#result.found.length > 0) this.#options.onFound?.(workload);
    for (const event of workload.events)
      if (event.type === 'sent' && event.outcome === 'ok') this.#result.acknowledgedCount++;
  }

  /** After a stop in order nothing is missing either. */
  #closeAndReopen(
    broker: InlineBroker,
    files: FaultyFiles,
    workload: Workload,
    wallClock: ManualClock,
  ): void {
    if (this.#isDone) return;
    broker.close();
    this.#recover({
      // What was stopped in order is on the disk, whatever happens then.
      files: files.losePower({ unitBytes: 4096, isKept: () => false }),
      workload: new Workload(this.#random, 'mmz', workload),
      wallMs: wallClock.nowMs(),
      death: 'stop',
      depth: DEPTH_MAX,
    });
  }

  get #isDone(): boolean {
    return this.#options.stopsEarly === true && this.#result.found.length > 0;
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#find('start', error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  #find(rule: FoundRule, what: string): void {
    const { seed } = this.#options;
    this.#result.found.push({ rule, what, lifeSeed: seed, state: this.#result.stateCount });
  }

  #pick(count: number): number {
    return Math.floor(this.#random() * count);
  }
}
