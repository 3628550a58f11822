/**
 * Millrace alone, for long: does it stall, does its memory stay flat, does a message cost the same
 * however many are stored?
 *
 * ```
 * pace    70 % of the highest rate     highest latency of each 100 ms, memory each second
 * full    as fast as it goes           memory each second
 * stored  10^4, 10^5, … messages       broker CPU for a message, of each step to the next
 * ```
 * Each part has a broker of its own on an empty store, and leaves a fifth of the disk free. In the first two the
 * oldest messages are deleted from STORE_BYTES_MAX on, as on a disk that is nearly full: all that a broker does
 * from time to time, it does then.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fileCalls } from '../../src/store/file-calls.ts';
import type { RunningBroker } from '../load/contender-process.ts';
import { commandContender } from '../load/contenders.ts';
import { defaultOptions, type LoadOptions, TIMELINE_STEP_MS } from '../load/load-options.ts';
import type { LoadResult } from '../load/load-result.ts';
import { runLoad } from '../load/load-run.ts';
import { readProcessUsage } from '../load/process-usage.ts';
import { count, milliseconds } from '../load/report.ts';
import type { Machine } from './machine.ts';
import type { ProgressBar } from './progress-bar.ts';
import { type CostPoint, type MemoryPoint, type SoakResult, soakPage } from './soak-page.ts';

const PACE_SHARE = 0.7;
/** Of the run that finds the highest rate, and of the sends before it. */
const PROBE_SECONDS = 10;
const HEAT_SECONDS = 10;
const STALL_MS = 50;
/** In the steps around the beginning of a stall: what it may be due to. */
const STOLEN_STALL_MS = 40;
const MEMORY_BYTES_MAX = 250e6;
/** Memory of the last fifth of the time against that of the second. */
const GROWTH_MAX = 1.1;
/** What a message of the base point takes beside its body: record, ConsumeQueue and index. */
const STORED_BYTES = 272;
/** Short, so that many of them fit on the disk of a small machine. */
const COUNTED_BODY_BYTES = 16;
const DISK_USED_MAX = 0.8;
/** More than the page cache of a small machine holds. */
const STORE_BYTES_MAX = 24 * 1024 ** 3;
/** Three segments of the log, the least that retention has something to do with. */
const ROOM_BYTES_MIN = 3 * 1024 ** 3;
/** CPU for a message at the end against that on the way to SETTLED_COUNT, when compilers are warm. */
const COST_GROWTH_MAX = 1.25;
const SETTLED_COUNT = 1_000_000;

export interface SoakOptions {
  readonly millrace: string;
  readonly directory: string;
  readonly output: string;
  readonly brokerPort: number;
  readonly nameServerPort: number;
  readonly threads: number;
  readonly machine: Machine;
  /** Of each of the first two parts. */
  readonly seconds: number;
  readonly messageCountMax: number;
  readonly bar: ProgressBar;
}

/** Returns the exit code. */
export async function soak(options: SoakOptions): Promise<number> {
  const room = roomOf(options.directory);
  const paced = await withBroker(options, {
    use: (broker) => pace(options, broker),
    retention: room.retention,
  });
  const full = await withBroker(options, {
    use: (broker) => fullLoad(options, broker),
    retention: room.retention,
  });
  const countMax = Math.min(
    options.messageCountMax,
    room.bytes / (STORED_BYTES + COUNTED_BODY_BYTES),
  );
  const costs = await withBroker(options, { use: (broker) => costByStored(broker, countMax) });
  options.bar.end();
  const result: SoakResult = { machine: options.machine, paced, full, costs };
  const faults = report(result);
  fs.writeFileSync(`${options.output}-soak.json`, `${JSON.stringify(result)}\n`);
  fs.writeFileSync(`${options.output}-soak.html`, soakPage(result));
  console.log(`\n${options.output}-soak.json and ${options.output}-soak.html have it all.`);
  return faults === 0 ? 0 : 1;
}

/** What the disk has room for; and where a broker begins to delete: the variables of its settings. */
function roomOf(directory: string): { bytes: number; retention: Record<string, string> } {
  const { totalBytes, freeBytes, availableBytes } = fileCalls.space(directory);
  const usedBytes = totalBytes - freeBytes;
  const diskBytes = usedBytes + availableBytes;
  const bytes = DISK_USED_MAX * diskBytes - usedBytes;
  if (bytes < ROOM_BYTES_MIN)
    throw new Error(
      `${directory} has room for ${count(Math.max(0, bytes) / 1e6)} MB below ${100 * DISK_USED_MAX} % of its disk; ${count(ROOM_BYTES_MIN / 1e6)} MB are needed`,
    );
  const usedMax = (usedBytes + Math.min(bytes, STORE_BYTES_MAX)) / diskBytes;
  return {
    bytes,
    retention: { MILLRACE_DISK_SPACE_CLEAN_FORCIBLY_RATIO: Math.floor(100 * usedMax).toFixed(0) },
  };
}

type Load = (load: Partial<LoadOptions>, what: string) => Promise<LoadResult>;

interface Broker {
  load: Load;
  running: RunningBroker;
}

async function withBroker<Result>(
  options: SoakOptions,
  {
    use,
    retention = {},
  }: { use: (broker: Broker) => Promise<Result>; retention?: Record<string, string> },
): Promise<Result> {
  const directory = fs.mkdtempSync(path.join(options.directory, 'soak-'));
  const removeDirectory = (): void => fs.rmSync(directory, { recursive: true, force: true });
  process.once('exit', removeDirectory);
  const { brokerPort, nameServerPort, bar } = options;
  const contender = commandContender('Millrace', options.millrace, retention);
  try {
    const running = await contender.start({
      directory,
      brokerPort,
      nameServerPort,
      flush: 'async',
    });
    const startedMs = performance.now();
    const load: Load = (load, what) =>
      runLoad(
        {
          ...defaultOptions,
          ...load,
          topic: 'Soak',
          address: `127.0.0.1:${brokerPort}`,
          nameServer: `127.0.0.1:${nameServerPort}`,
          brokerPid: running.pid,
          threadCount: options.threads,
        },
        () => bar.show(performance.now() - startedMs, 1000 * (options.seconds + 25), what),
      );
    try {
      return await use({ load, running });
    } finally {
      await running.stop();
    }
  } finally {
    removeDirectory();
    process.removeListener('exit', removeDirectory);
  }
}

async function pace(
  { seconds }: SoakOptions,
  { load, running }: Broker,
): Promise<SoakResult['paced']> {
  await load({ warmupSeconds: 0, seconds: HEAT_SECONDS }, 'heat');
  const probe = await load({ warmupSeconds: 0, seconds: PROBE_SECONDS }, 'highest rate');
  const ratePerSecond = Math.round(PACE_SHARE * probe.ratePerSecond);
  const memory = MemorySeries.start(running.pid);
  const paced = await load(
    { mode: 'paced', ratePerSecond, seconds, warmupSeconds: 1, hasTimeline: true },
    `${count(ratePerSecond)} msg/s`,
  );
  return {
    maxRatePerSecond: probe.ratePerSecond,
    ratePerSecond,
    seconds,
    timelineMs: paced.timeline,
    stolenMs: paced.stolenTimeline,
    stallCount: stallsOf(paced.timeline),
    stolenStallCount: stolenStallsOf(paced.timeline, paced.stolenTimeline),
    latency: paced.sendLatency,
    lateness: paced.scheduleLateness,
    marks: paced.marks,
    memory: memory.stop(),
  };
}

async function fullLoad(
  { seconds }: SoakOptions,
  { load, running }: Broker,
): Promise<SoakResult['full']> {
  await load({ warmupSeconds: 0, seconds: HEAT_SECONDS }, 'heat');
  const memory = MemorySeries.start(running.pid);
  const full = await load({ warmupSeconds: 0, seconds }, 'full load');
  return { seconds, ratePerSecond: full.ratePerSecond, memory: memory.stop() };
}

async function costByStored({ load }: Broker, countMax: number): Promise<CostPoint[]> {
  const points: CostPoint[] = [];
  let storedCount = 0;
  for (let target = 10_000; target <= countMax; target *= 10) {
    const fill = await load(
      { mode: 'fill', messageCount: target - storedCount, bodyBytes: COUNTED_BODY_BYTES },
      `${count(target)} messages`,
    );
    storedCount = target;
    points.push({ storedCount, cpuUsPerMessage: fill.brokerCpuUsPerMessage ?? 0 });
  }
  return points;
}

/** Memory of a process, each second. */
class MemorySeries {
  readonly #points: MemoryPoint[] = [];
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;

  private constructor(pid: number) {
    this.#timer = setInterval(() => {
      const usage = readProcessUsage(pid);
      if (usage === null) return;
      const atSeconds = (performance.now() - this.#startedMs) / 1000;
      this.#points.push({ atSeconds, rssAnonBytes: usage.rssAnonBytes });
    }, 1000);
  }

  static start(pid: number): MemorySeries {
    return new MemorySeries(pid);
  }

  stop(): MemoryPoint[] {
    clearInterval(this.#timer);
    return this.#points;
  }
}

/** Steps in which latencies above STALL_MS began to come, whether they went on for one step or many. */
function stallStartsOf(timelineMs: readonly number[]): number[] {
  return timelineMs.flatMap((latencyMs, step) =>
    latencyMs > STALL_MS && !((timelineMs[step - 1] ?? 0) > STALL_MS) ? [step] : [],
  );
}

export function stallsOf(timelineMs: readonly number[]): number {
  return stallStartsOf(timelineMs).length;
}

/** Those of them that began while, or just after, the hypervisor gave STOLEN_STALL_MS to others. */
export function stolenStallsOf(timelineMs: readonly number[], stolenMs: readonly number[]): number {
  return stallStartsOf(timelineMs).filter((step) => {
    const nearby = stolenMs.slice(Math.max(0, step - 2), step + 2);
    return nearby.reduce((sum, ms) => sum + ms, 0) >= STOLEN_STALL_MS;
  }).length;
}

/** Mean of the last fifth against that of the second; 1 of too little. */
export function growthOf(memory: readonly MemoryPoint[]): number {
  const fifth = Math.floor(memory.length / 5);
  if (fifth === 0) return 1;
  const mean = (points: readonly MemoryPoint[]): number =>
    points.reduce((sum, point) => sum + point.rssAnonBytes, 0) / points.length;
  return mean(memory.slice(-fifth)) / mean(memory.slice(fifth, 2 * fifth));
}

/** The last cost against that on the way to SETTLED_COUNT; null where no more were stored. */
export function costGrowthOf(costs: readonly CostPoint[]): number | null {
  const settled = costs.find(({ storedCount }) => storedCount === SETTLED_COUNT);
  const last = costs.at(-1);
  if (settled === undefined || last === undefined || last === settled) return null;
  return last.cpuUsPerMessage / settled.cpuUsPerMessage;
}

/** Prints what it came to; returns how much is not as it must be. */
function report({ paced, full, costs }: SoakResult): number {
  const last = full.memory.at(-1)?.rssAnonBytes ?? 0;
  const growth = growthOf(full.memory);
  const costGrowth = costGrowthOf(costs);
  const lines = [
    `highest rate ${count(paced.maxRatePerSecond)} msg/s; paced at ${count(paced.ratePerSecond)} msg/s for ${paced.seconds} s:`,
    `  p50 ${milliseconds(paced.latency?.p50Ms ?? 0)}  p99 ${milliseconds(paced.latency?.p99Ms ?? 0)}  p99.99 ${milliseconds(paced.latency?.p9999Ms ?? 0)}  max ${milliseconds(paced.latency?.maxMs ?? 0)} ms${paced.marks.map((mark) => ` [${mark}]`).join('')}`,
    `  ${paced.stallCount} stalls above ${STALL_MS} ms in ${count(paced.timelineMs.length)} steps of ${TIMELINE_STEP_MS} ms, ${paced.stolenStallCount} of them where the host had taken ${STOLEN_STALL_MS} ms or more; the generator itself was up to ${milliseconds(paced.lateness?.maxMs ?? 0)} ms late`,
    `full load, ${count(full.ratePerSecond)} msg/s for ${full.seconds} s:`,
    `  memory at the end ${count(last / 1e6)} MB, ${growth.toFixed(2)} x that of the second fifth of the time`,
    'broker CPU for a message, on the way to so many stored:',
    ...costs.map(
      ({ storedCount, cpuUsPerMessage }) =>
        `  ${count(storedCount).padStart(12)}  ${cpuUsPerMessage.toFixed(2)} us`,
    ),
    ...(costGrowth === null
      ? []
      : [`  the last is ${costGrowth.toFixed(2)} x that on the way to ${count(SETTLED_COUNT)}`]),
  ];
  const bars: readonly (readonly [string, boolean])[] = [
    [
      `no stall above ${STALL_MS} ms, but where the host took time`,
      paced.stallCount === paced.stolenStallCount,
    ],
    [`memory at most ${MEMORY_BYTES_MAX / 1e6} MB`, last <= MEMORY_BYTES_MAX],
    [`memory grows to at most ${GROWTH_MAX} x`, growth <= GROWTH_MAX],
    ...(costGrowth === null
      ? []
      : [
          [
            `CPU for a message at most ${COST_GROWTH_MAX} x`,
            costGrowth <= COST_GROWTH_MAX,
          ] as const,
        ]),
  ];
  console.log(
    [...lines, ...bars.map(([what, holds]) => `${what}: ${holds ? 'passed' : 'MISSED'}`)].join(
      '\n',
    ),
  );
  return bars.filter(([, holds]) => !holds).length;
}
