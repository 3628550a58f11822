/**
 * @agent any
 *
 * What agents are made of on the thread that will run them, whatever the placement: that thread's view of the shared
 * memory and of the store, and the settings.
 */
import { systemMonotonicClock, type WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { Refusals } from '../base/refusals.ts';
import { Doorbell } from '../ring/doorbell.ts';
import { LargeMessagePool } from '../ring/large-message-pool.ts';
import { type RingMemory, SpscRingConsumer, SpscRingProducer } from '../ring/spsc-ring.ts';
import { CommitLogSegments } from '../store/commit-log-segments.ts';
import { createMappedFiles } from '../store/mapped-files.ts';
import { createPlainFiles } from '../store/plain-files.ts';
import type { StoreFiles } from '../store/segment.ts';
import { StoreDirectory } from '../store/store-directory.ts';
import { StorePositions } from '../store/store-positions.ts';
import type { AgentSettings } from './agent-settings.ts';
import type { AgentName, BrokerMemory, Placement } from './broker-memory.ts';
import type { DerivedFiles } from './store-recovery.ts';

/** Batches of the log that another thread writes, for a thread that has an event loop to hear of it. */
export interface WriteDeferral {
  /** From so many bytes of long records on. */
  readonly bytesMin: number;
  /** Runs this thread's agents soon. */
  readonly wake: () => void;
}

/** What a thread needs to make its agents. */
export interface ThreadContext {
  thread: string;
  placement: Placement;
  memory: BrokerMemory;
  settings: AgentSettings;
  logger: Logger;
  /** The calendar's: tests move it. */
  wallClock: WallClock;
  /** From 0 up to 1: tests seed it. */
  random: () => number;
  /** Moves the clock for a client, and says what time it is then; null where it goes by itself. */
  advanceClock: ((millis: number) => Promise<number>) | null;
  /** How long batches of the log are written; null: this thread waits for all of them. */
  deferral: WriteDeferral | null;
  /** Posts to the main thread's event loop. */
  wakeMain: () => void;
}

export function storeFilesOf(kind: 'mapped' | 'plain'): StoreFiles {
  return kind === 'mapped' ? createMappedFiles() : createPlainFiles();
}

export class AgentParts {
  readonly files: StoreFiles;
  readonly positions: StorePositions;
  readonly directory: StoreDirectory;
  /** Of all agents of this thread. */
  readonly refusals: Refusals;
  /** ConsumeQueues and index, to be set on the dispatcher's thread before it is made. */
  derived: DerivedFiles | null = null;
  readonly context: ThreadContext;
  readonly #pools = new Map<string, LargeMessagePool>();
  #segments: CommitLogSegments | null = null;

  constructor(
    context: ThreadContext,
    files: StoreFiles = storeFilesOf(context.settings.storeKind),
  ) {
    this.context = context;
    this.files = files;
    this.positions = new StorePositions(context.memory.positions);
    this.directory = new StoreDirectory(files, context.settings.storeRoot);
    const { logger, memory } = context;
    this.refusals = new Refusals(logger, systemMonotonicClock.nowMs, memory.refusals);
  }

  /** The segments as this thread sees them, shared by its agents. */
  get segments(): CommitLogSegments {
    this.#segments ??= new CommitLogSegments({
      files: this.files,
      directory: this.directory.commitLog,
      segmentBytes: this.context.settings.segmentBytes,
    });
    return this.#segments;
  }

  consumer(name: string): SpscRingConsumer {
    return new SpscRingConsumer(this.#ringMemory(name));
  }

  producer(name: string): SpscRingProducer {
    const to = name.split('→')[1] as AgentName;
    const thread = this.#threadOf(to);
    // Agents on one thread see each other's records in the same turn.
    return new SpscRingProducer(
      this.#ringMemory(name),
      thread === this.context.thread ? null : this.#doorbell(thread),
    );
  }

  pool(owner: string): LargeMessagePool {
    let pool = this.#pools.get(owner);
    if (pool === undefined) {
      const { memory, slotBytes, short } = this.context.memory.pools[owner];
      pool = new LargeMessagePool(memory, slotBytes, short);
      this.#pools.set(owner, pool);
    }
    return pool;
  }

  /** Lets go of what this thread has open of the log, after its agents are closed. */
  close(): void {
    this.#segments?.close();
  }

  /** The doorbell of the thread that runs an agent, for rings between other agents. */
  doorbellOf(agent: AgentName): Doorbell {
    return this.#doorbell(this.#threadOf(agent));
  }

  isHere(agent: AgentName): boolean {
    return this.#threadOf(agent) === this.context.thread;
  }

  #threadOf(agent: AgentName): string {
    for (const [thread, agents] of this.context.placement)
      if (agents.includes(agent)) return thread;
    throw new Error(`no thread runs ${agent}`);
  }

  #doorbell(thread: string): Doorbell {
    const memory = this.context.memory.doorbells[thread];
    return new Doorbell(memory, thread === 'main' ? this.context.wakeMain : null);
  }

  #ringMemory(name: string): RingMemory {
    const memory = this.context.memory.rings[name];
    if (memory === undefined) throw new Error(`there is no ring ${name}`);
    return memory;
  }

  get workerNames(): AgentName[] {
    return Array.from(
      { length: this.context.settings.workerCount },
      (_, index): AgentName => `worker${index}`,
    );
  }
}
