/**
 * @agent reactor
 *
 * What reactor and process know for a scrape of metrics, a broker's or a name server's, and how an answer is
 * written.
 */
import {
  addLine,
  familyText,
  type MetricLabels,
  type MetricLines,
  metricFamilies,
} from '../base/prometheus-text.ts';
import type { Refusals } from '../base/refusals.ts';
import { Listener } from '../workers/ring-messages.ts';
import type { Reactor } from './reactor.ts';
import type { WebReply } from './web-listener.ts';

/** Some text that goes to the client at once. */
const WRITE_CHARS = 64 * 1024;

const listenerNames: readonly (readonly [number, string])[] = [
  [Listener.BROKER, 'broker'],
  [Listener.VIP, 'vip'],
  [Listener.NAME_SERVER, 'name-server'],
  [Listener.WEB, 'web'],
];

export interface ProcessCounts {
  readonly reactor: Reactor;
  readonly refusals: Refusals;
  /** Connections that wait for their turn to come in. */
  readonly waitingCount: number;
}

export function addProcessLines(
  lines: MetricLines,
  labels: MetricLabels,
  { reactor, refusals, waitingCount }: ProcessCounts,
): void {
  const { counts } = reactor;
  const add = (family: string, value: number, more: MetricLabels = {}): void =>
    addLine(lines, family, { ...labels, ...more }, value);
  for (const [listener, name] of listenerNames)
    add('millrace_connections', reactor.countOf(listener), { listener: name });
  add('millrace_connections_accepted_total', counts.accepted);
  add('millrace_connections_refused_total', counts.refused);
  for (const [reason, count] of counts.closed)
    add('millrace_connections_closed_total', count, { reason });
  add('millrace_requests_waiting_bytes', reactor.requests.bytes);
  add('millrace_answers_waiting_bytes', reactor.backlog.bytes);
  for (const [cause, count] of refusals.counts()) {
    add('millrace_refusals_total', count, { cause });
    // From before there were causes.
    if (cause === 'web-origin') add('millrace_web_refused_total', count);
  }
  add('millrace_connections_waiting', waitingCount);
  add('millrace_network_received_bytes_total', counts.bytesIn);
  add('millrace_network_sent_bytes_total', counts.bytesOut);
  const { user, system } = process.cpuUsage();
  add('process_resident_memory_bytes', process.memoryUsage.rss());
  add('process_cpu_seconds_total', (user + system) / 1_000_000);
  add('process_start_time_seconds', Math.round(performance.timeOrigin) / 1000);
}

/** Answers with all lines, family after family, as the client takes them. */
export async function writeMetrics(reply: WebReply, all: MetricLines): Promise<void> {
  reply.begin(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  for (const family of metricFamilies) {
    const lines = all[family[0]];
    if (lines === undefined) continue;
    const text = familyText(family, lines);
    for (let at = 0; at < text.length; at += WRITE_CHARS) {
      if (!reply.isOpen) return;
      await reply.write(text.slice(at, at + WRITE_CHARS));
    }
  }
  reply.end('');
}
