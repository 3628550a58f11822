/**
 * What a long run came to, and its page: latency, memory and cost over time.
 */
import { type LatencySummary } from '../load/latency.ts';
import { TIMELINE_STEP_MS } from '../load/load-options.ts';
import { type Machine, machineText } from './machine.ts';
import { document } from './page.ts';
import { type Axis, escapeText, lineChart } from './plot.ts';

export interface MemoryPoint {
  readonly atSeconds: number;
  readonly rssAnonBytes: number;
}

export interface CostPoint {
  readonly storedCount: number;
  /** Of the messages since the point before. */
  readonly cpuUsPerMessage: number;
}

export interface SoakResult {
  readonly machine: Machine;
  readonly paced: {
    readonly maxRatePerSecond: number;
    readonly ratePerSecond: number;
    readonly seconds: number;
    /** Highest latency of each step. */
    readonly timelineMs: readonly number[];
    /** What the host took of the machine's cores in each step. */
    readonly stolenMs: readonly number[];
    readonly stallCount: number;
    /** Of these, those that began where the host took much. */
    readonly stolenStallCount: number;
    readonly latency: LatencySummary | null;
    /** Of the generator, behind its own schedule. */
    readonly lateness: LatencySummary | null;
    readonly marks: readonly string[];
    readonly memory: readonly MemoryPoint[];
  };
  readonly full: {
    readonly seconds: number;
    readonly ratePerSecond: number;
    readonly memory: readonly MemoryPoint[];
  };
  readonly costs: readonly CostPoint[];
}

const COLOR = '#0b6e4f';

export function soakPage({ machine, paced, full, costs }: SoakResult): string {
  const memoryLine = (memory: readonly MemoryPoint[]): string =>
    chart(
      memory.map(({ atSeconds, rssAnonBytes }) => [atSeconds, rssAnonBytes / 1e6] as const),
      secondsAxis(memory.at(-1)?.atSeconds ?? 1),
      { isLog: false, label: 'RssAnon, MB' },
    );
  const parts: [string, string][] = [
    [
      `Highest latency of each ${TIMELINE_STEP_MS} ms at ${Math.round(paced.ratePerSecond)} msg/s: ${paced.stallCount} stalls above 50 ms, ${paced.stolenStallCount} of them where the host took time`,
      chart(
        paced.timelineMs.map((ms, step) => [(step * TIMELINE_STEP_MS) / 1000, ms] as const),
        secondsAxis(paced.seconds),
        { isLog: true, label: 'ms' },
      ),
    ],
    [
      `What the host took of the cores in each ${TIMELINE_STEP_MS} ms`,
      chart(
        paced.stolenMs.map((ms, step) => [(step * TIMELINE_STEP_MS) / 1000, ms] as const),
        secondsAxis(paced.seconds),
        { isLog: false, label: 'ms' },
      ),
    ],
    ['Memory meanwhile', memoryLine(paced.memory)],
    [`Memory at full load, ${Math.round(full.ratePerSecond)} msg/s`, memoryLine(full.memory)],
    [
      'Broker CPU for a message, by messages stored',
      chart(
        costs.map(({ storedCount, cpuUsPerMessage }) => [storedCount, cpuUsPerMessage] as const),
        {
          isLog: true,
          label: 'messages stored',
          ticks: costs.map(({ storedCount }) => [
            storedCount,
            `10^${Math.round(Math.log10(storedCount))}`,
          ]),
        },
        { isLog: false, label: 'us' },
      ),
    ],
  ];
  const figures = parts.map(
    ([title, svg]) => `<figure><figcaption>${escapeText(title)}</figcaption>${svg}</figure>`,
  );
  return document(
    'Millrace, for long',
    `<h1>Millrace, for long</h1><p>${escapeText(machineText(machine))}</p>${figures.join('\n')}`,
  );
}

function chart(
  points: readonly (readonly [number, number])[],
  xAxis: Axis,
  yAxis: Omit<Axis, 'ticks'>,
): string {
  return lineChart([{ name: 'Millrace', color: COLOR, points }], xAxis, yAxis);
}

function secondsAxis(seconds: number): Axis {
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = share * seconds;
    return [at, at.toFixed(0)] as const;
  });
  return { isLog: false, label: 's', ticks };
}
