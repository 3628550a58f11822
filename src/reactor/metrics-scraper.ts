/**
 * @agent reactor
 *
 * Puts a scrape of metrics together: asks control and dispatcher for page after page, adds what the
 * reactor and the process know, and writes family after family as the client takes them.
 *
 * ```
 *  GET /metrics ─▶ METRICS_ASKED(0) ─▶ control ─▶ dispatcher ─▶ page 0 ─▶ METRICS_ASKED(1) ─▶ …
 *                                                              all pages ─▶ text, by family
 * ```
 * Between two pages everybody else has a turn. Whoever asks while a scrape runs gets the same one.
 */
import { bucketMidMs } from '../base/latency-histogram.ts';
import {
  addLine,
  histogramLines,
  messageSizeBounds,
  type MetricLabels,
  type MetricLines,
  metricLine,
} from '../base/prometheus-text.ts';
import type { Refusals } from '../base/refusals.ts';
import { decodeFrame } from '../protocol/remoting-command.ts';
import type { MetricDistributions, MetricsPage } from '../workers/ring-messages.ts';
import { addProcessLines, writeMetrics } from './process-metrics.ts';
import type { Reactor } from './reactor.ts';
import type { WebReply } from './web-listener.ts';

/** Of the Java broker (RemotingMetricsManager.java), in ms. */
const LATENCY_BOUNDS_MS = [1, 3, 5, 7, 10, 100, 1000, 2000, 3000];
const QUANTILES = [0.5, 0.9, 0.99, 0.999];
const PAGE_TIMEOUT_MS = 10_000;
const RETRY_MS = 2;

export interface MetricsScraperOptions {
  readonly reactor: () => Reactor | null;
  readonly labels: MetricLabels;
  /** metricsLineCountMax */
  readonly lineCountMax: number;
  /** Asks for a page; false where there is no room now. */
  readonly ask: (page: number) => boolean;
  readonly refusals: Refusals;
  /** Connections that wait for their turn to come in. */
  readonly waitingCount: () => number;
}

/** What one scrape has found. */
interface Scrape {
  readonly lines: MetricLines;
  lineCount: number;
  leftOutCount: number;
}

export class MetricsScraper {
  readonly #options: MetricsScraperOptions;
  #running: Promise<Scrape> | null = null;
  #onPage: ((page: MetricsPage) => void) | null = null;

  constructor(options: MetricsScraperOptions) {
    this.#options = options;
  }

  /** The answer of control and dispatcher to a page that was asked for. */
  onFrame(frame: Buffer): void {
    const onPage = this.#onPage;
    this.#onPage = null;
    onPage?.(JSON.parse(decodeFrame(frame.subarray(4)).body.toString()) as MetricsPage);
  }

  async answer(reply: WebReply): Promise<void> {
    let scrape: Scrape;
    try {
      if (this.#options.reactor() === null) throw new Error('the broker is starting');
      this.#running ??= this.#scrape().finally(() => (this.#running = null));
      scrape = await this.#running;
    } catch (error) {
      reply.begin(503, { 'content-type': 'text/plain; charset=utf-8' });
      reply.end(`${error instanceof Error ? error.message : String(error)}\n`);
      return;
    }
    await writeMetrics(reply, scrape.lines);
  }

  async #scrape(): Promise<Scrape> {
    const scrape: Scrape = { lines: {}, lineCount: 0, leftOutCount: 0 };
    const { labels } = this.#options;
    for (let page = 0, hasMore = true; hasMore; page++) {
      const answer = await this.#page(page);
      this.#take(scrape, answer.lines);
      if (answer.distributions !== null)
        await addDistributions(scrape.lines, labels, answer.distributions);
      hasMore = answer.hasMore;
    }
    const { reactor: reactorOf, refusals, waitingCount } = this.#options;
    const reactor = reactorOf();
    if (reactor !== null)
      addProcessLines(scrape.lines, labels, { reactor, refusals, waitingCount: waitingCount() });
    addLine(scrape.lines, 'millrace_metrics_left_out', labels, scrape.leftOutCount);
    return scrape;
  }

  #take(scrape: Scrape, lines: MetricLines): void {
    for (const [family, some] of Object.entries(lines)) {
      const room = Math.max(0, this.#options.lineCountMax - scrape.lineCount);
      const taken = some.length <= room ? some : some.slice(0, room);
      const known = (scrape.lines[family] ??= []);
      for (const line of taken) known.push(line);
      scrape.lineCount += taken.length;
      scrape.leftOutCount += some.length - taken.length;
    }
  }

  async #page(page: number): Promise<MetricsPage> {
    const { ask } = this.#options;
    let timer: NodeJS.Timeout | null = null;
    try {
      return await new Promise<MetricsPage>((resolve, reject) => {
        const late = (): void => reject(new Error('the broker is too busy to count'));
        timer = setTimeout(late, PAGE_TIMEOUT_MS);
        this.#onPage = resolve;
        const tryAsking = (): void => {
          if (!ask(page) && this.#onPage === resolve) setTimeout(tryAsking, RETRY_MS);
        };
        tryAsking();
      });
    } finally {
      if (timer !== null) clearTimeout(timer);
      this.#onPage = null;
    }
  }
}

async function addDistributions(
  lines: MetricLines,
  labels: MetricLabels,
  found: MetricDistributions,
): Promise<void> {
  const { sizes, sizeSum, sendMs, pullMs } = found;
  const { build } = await import('hdr-histogram-js');
  lines['rocketmq_message_size'] = histogramLines(
    'rocketmq_message_size',
    labels,
    messageSizeBounds,
    sizes,
    sizeSum,
  );
  for (const [request_code, counts] of [
    ['send_message', sendMs],
    ['pull_message', pullMs],
  ] as const) {
    const histogram = build({ highestTrackableValue: 2 ** 31, numberOfSignificantValueDigits: 2 });
    const inBounds = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);
    let sumMs = 0;
    for (const [index, signed] of counts.entries()) {
      const count = signed >>> 0;
      if (count === 0) continue;
      const ms = bucketMidMs(index);
      histogram.recordValueWithCount(Math.max(1, Math.round(ms * 1000)), count);
      const at = LATENCY_BOUNDS_MS.findIndex((boundMs) => ms <= boundMs);
      inBounds[at < 0 ? LATENCY_BOUNDS_MS.length : at] += count;
      sumMs += ms * count;
    }
    const of = {
      ...labels,
      protocol_type: 'remoting',
      request_code,
      response_code: 'success',
      is_long_polling: false,
      result: 'success',
    };
    (lines['rocketmq_rpc_latency'] ??= []).push(
      ...histogramLines('rocketmq_rpc_latency', of, LATENCY_BOUNDS_MS, inBounds, round(sumMs)),
    );
    const name = 'millrace_rpc_latency_quantile';
    const quantiles = (lines[name] ??= []);
    const short = { ...labels, request_code };
    for (const quantile of QUANTILES) {
      const us = histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(quantile * 100);
      quantiles.push(metricLine(name, { ...short, quantile }, us / 1000));
    }
    quantiles.push(
      metricLine(`${name}_sum`, short, round(sumMs)),
      metricLine(`${name}_count`, short, histogram.totalCount),
    );
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
