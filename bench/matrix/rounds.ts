/**
 * Runs the matrix: in rounds, in each of which every system has its turn on an empty store, first in one
 * order, then in the other. Only one broker runs at a time.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Flush, RunningBroker } from '../load/contender-process.ts';
import { defaultOptions, type LoadOptions } from '../load/load-options.ts';
import type { LoadResult } from '../load/load-result.ts';
import { runLoad } from '../load/load-run.ts';
import { readProcessUsage } from '../load/process-usage.ts';
import { waitForQuiet } from '../load/quiet-machine.ts';
import { dropTopic } from '../load/wires.ts';
import type { Durations, MatrixWorkload } from './matrix.ts';
import { dropFromPageCache } from './page-cache.ts';
import type { System, SystemKey } from './systems.ts';

/** Between the first send and the reading of memory. */
const SETTLE_MS = 1500;

export interface StartFigures {
  readonly acceptMs: number;
  readonly firstSendMs: number;
  /** Memory of all its processes, SETTLE_MS after the first send. */
  readonly idleRssAnonBytes: number;
}

/** One workload on one system in one round. */
export interface Run {
  readonly round: number;
  readonly system: SystemKey;
  readonly workload: string;
  /** Null where it failed. */
  readonly result: LoadResult | null;
  readonly failure: string | null;
}

/** One start of a broker process on an empty store. */
export interface Start {
  readonly round: number;
  readonly system: SystemKey;
  readonly flush: Flush;
  readonly figures: StartFigures;
}

export interface Rounds {
  readonly runs: readonly Run[];
  readonly starts: readonly Start[];
  /** Below what was asked for where the time did not suffice. */
  readonly roundCount: number;
}

export interface RoundsOptions {
  readonly systems: readonly System[];
  readonly workloads: readonly MatrixWorkload[];
  readonly durations: Durations;
  readonly roundCount: number;
  /** No round is begun that would end after this, judged by the longest so far. */
  readonly timeLimitMs: number;
  /** Stores and logs go under it and are removed when the process ends. */
  readonly directory: string;
  readonly brokerPort: number;
  readonly nameServerPort: number;
  readonly threadCount: number;
  readonly quietTimeoutMs: number;
  /** What a turn may spend on runs that are made again. */
  readonly repeatMsMax: number;
  readonly log: (line: string) => void;
  /** `done` of all runs that the rounds have. */
  readonly onProgress: (done: number, all: number, what: string) => void;
}

export async function runRounds(options: RoundsOptions): Promise<Rounds> {
  const sittings = new Sittings(options);
  const startedMs = performance.now();
  let longestMs = 0;
  let round = 0;
  for (; round < options.roundCount; round++) {
    const beganMs = performance.now();
    if (beganMs - startedMs + longestMs > options.timeLimitMs) break;
    // Who goes first alternates, so that a drift of the machine falls on all.
    const order = round % 2 === 0 ? options.systems : [...options.systems].reverse();
    for (const system of order) {
      for (const flush of ['async', 'sync'] as const) await sittings.sit(system, round, flush);
    }
    longestMs = Math.max(longestMs, performance.now() - beganMs);
  }
  return { runs: sittings.runs, starts: sittings.starts, roundCount: round };
}

class Sittings {
  readonly runs: Run[] = [];
  readonly starts: Start[] = [];
  readonly #options: RoundsOptions;
  readonly #allCount: number;
  readonly #directories: string[] = [];

  constructor(options: RoundsOptions) {
    this.#options = options;
    process.once('exit', () => {
      for (const directory of this.#directories)
        fs.rmSync(directory, { recursive: true, force: true });
    });
    const perRound = options.systems.reduce(
      (sum, { key }) => sum + options.workloads.filter(({ systems }) => systems.has(key)).length,
      0,
    );
    this.#allCount = perRound * options.roundCount;
  }

  /** Starts one broker, runs its workloads, and leaves empty files behind. */
  async sit(system: System, round: number, flush: Flush): Promise<void> {
    const options = this.#options;
    const own = options.workloads.filter(
      (workload) => workload.flush === flush && workload.systems.has(system.key),
    );
    if (own.length === 0) return;
    const directory = fs.mkdtempSync(path.join(options.directory, 'bench-'));
    this.#directories.push(directory);
    const say = (line: string): void =>
      options.log(`round ${round + 1}, ${system.contender.name}, ${flush} flush: ${line}`);
    const seat = new Seat(options, system, { directory, flush });
    try {
      await waitForQuiet({ ...options, log: say });
      const figures = await seat.start();
      this.starts.push({ round, system: system.key, flush, figures });
      say(`first send after ${Math.round(figures.firstSendMs)} ms`);
      await seat.heat();
      for (const workload of own) {
        options.onProgress(this.runs.length, this.#allCount, `${system.key}: ${workload.name}`);
        const run = { round, system: system.key, workload: workload.name };
        const outcome = await this.#attempt(() => seat.run(workload));
        this.runs.push({ ...run, ...outcome });
        say(`${workload.name}: ${outcome.failure ?? sayResult(outcome.result)}`);
      }
    } catch (error) {
      const failure = reasonOf(error);
      say(`FAILED: ${failure}`);
      const done = new Set(
        this.runs
          .filter((run) => run.round === round && run.system === system.key)
          .map(({ workload }) => workload),
      );
      for (const { name } of own)
        if (!done.has(name))
          this.runs.push({ round, system: system.key, workload: name, result: null, failure });
    } finally {
      await seat.leave();
      emptyFiles(directory);
    }
  }

  async #attempt(
    run: () => Promise<LoadResult>,
  ): Promise<{ result: LoadResult | null; failure: string | null }> {
    try {
      return { result: await run(), failure: null };
    } catch (error) {
      return { result: null, failure: reasonOf(error) };
    }
  }
}

/** Shorter ones may stay: there are ten thousands of them, and few bytes in each. */
const EMPTIED_BYTES_MIN = 64 * 1024;

/**
 * Gives the disk back what files take. The files themselves go once all is measured: for five minutes ext4
 * looks at every inode that was deleted before it takes one, and whoever makes many files pays for it.
 */
function emptyFiles(directory: string): void {
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (entry.isFile() && fs.statSync(file).blocks * 512 >= EMPTIED_BYTES_MIN)
      fs.truncateSync(file, 0);
  }
}

/** A system that runs, and can be started again on what it stored. */
class Seat {
  readonly #options: RoundsOptions;
  readonly #system: System;
  readonly #place: { directory: string; flush: Flush };
  #isHeated = false;
  #repeatMsLeft: number;
  #broker: RunningBroker | null = null;

  constructor(options: RoundsOptions, system: System, place: { directory: string; flush: Flush }) {
    this.#options = options;
    this.#system = system;
    this.#place = place;
    this.#repeatMsLeft = options.repeatMsMax;
  }

  async start(): Promise<StartFigures> {
    const { brokerPort, nameServerPort } = this.#options;
    const broker = await this.#system.contender.start({
      ...this.#place,
      brokerPort,
      nameServerPort,
    });
    this.#broker = broker;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const { acceptMs, firstSendMs } = broker;
    return { acceptMs, firstSendMs, idleRssAnonBytes: broker.rssAnonBytes() };
  }

  /** Ends the system for good: what it stored is not read any more. */
  async leave(): Promise<void> {
    await this.#take()?.discard();
  }

  async #stop(): Promise<void> {
    await this.#take()?.stop();
  }

  #take(): RunningBroker | null {
    const broker = this.#broker;
    this.#broker = null;
    return broker;
  }

  async heat(): Promise<void> {
    this.#isHeated = true;
    await this.#load({
      ...defaultOptions,
      topic: 'Load-heat',
      warmupSeconds: 0,
      seconds: this.#options.durations.heatSeconds,
    });
  }

  async run(workload: MatrixWorkload): Promise<LoadResult> {
    // A broker may have ended at the workload before; this one shall not pay for it.
    const isGone = this.#broker === null || readProcessUsage(this.#broker.pid) === null;
    if (workload.isCold || isGone) {
      await this.#stop();
      if (workload.isCold) dropFromPageCache(this.#place.directory);
      await this.start();
      this.#isHeated = false;
    }
    if (!workload.isCold && !this.#isHeated) await this.heat();
    if (workload.fill !== null) await this.#load(workload.fill);
    let result = await this.#load(workload.load);
    // What is read is in the page cache now.
    if (!workload.isCold) result = await this.#repeatWhileStolen(workload, result);
    if (workload.isLastOfTopic) await this.#drop(workload.load);
    return result;
  }

  /** Of all attempts the one from which least was taken, however it came out. */
  async #repeatWhileStolen(workload: MatrixWorkload, first: LoadResult): Promise<LoadResult> {
    const { load, fill, isLastOfTopic } = workload;
    let best = first;
    while (best.marks.includes('stolen') && this.#repeatMsLeft > 0) {
      const startedMs = performance.now();
      // Consumers begin with an empty topic, as they did.
      if (fill === null && isLastOfTopic) await this.#drop(load);
      const next = await this.#load(load);
      this.#repeatMsLeft -= performance.now() - startedMs;
      if (next.stolenShare < best.stolenShare) best = next;
    }
    return best;
  }

  #load(load: LoadOptions): Promise<LoadResult> {
    return runLoad(this.#aimed(load));
  }

  #drop(load: LoadOptions): Promise<void> {
    return dropTopic(this.#aimed(load));
  }

  #aimed(load: LoadOptions): LoadOptions {
    const { brokerPort, nameServerPort, threadCount } = this.#options;
    return {
      ...load,
      protocol: this.#system.contender.protocol,
      address: `127.0.0.1:${brokerPort}`,
      nameServer: `127.0.0.1:${nameServerPort}`,
      brokerPid: this.#broker?.pid ?? null,
      threadCount,
    };
  }
}

function sayResult(result: LoadResult | null): string {
  if (result === null) return 'nothing';
  const marks = result.marks.map((mark) => ` [${mark}]`).join('');
  return `${Math.round(result.ratePerSecond)} msg/s${marks}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
