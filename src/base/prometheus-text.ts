/**
 * @agent any
 *
 * Metrics in the text format of Prometheus, version 0.0.4: families with their lines, and lines with
 * labels. Names are RocketMQ's where it has the metric (BrokerMetricsConstant.java,
 * DefaultStoreMetricsConstant.java, RemotingMetricsConstant.java); what it has not is `millrace_…`.
 */
export type MetricKind = 'counter' | 'gauge' | 'histogram' | 'summary';

export type MetricLabels = Readonly<Record<string, string | number | boolean>>;

/** Lines by family. A family's lines stand together in the answer, wherever they came from. */
export type MetricLines = Record<string, string[]>;

/** Every family, in the order of the answer. */
export const metricFamilies: readonly (readonly [name: string, kind: MetricKind, help: string])[] =
  [
    ['rocketmq_broker_permission', 'gauge', 'Permission bits of the broker: 4 read, 2 write'],
    ['rocketmq_topic_number', 'gauge', 'Topics'],
    ['millrace_queues', 'gauge', 'Queues of all topics'],
    ['rocketmq_consumer_group_number', 'gauge', 'Consumer groups that are configured'],
    ['rocketmq_producer_connections', 'gauge', 'Producers that are connected'],
    ['millrace_group_members', 'gauge', 'Members of consumer and producer groups'],
    ['millrace_subscription_bytes', 'gauge', 'Characters of what consumers subscribe to'],
    ['millrace_registered_brokers', 'gauge', 'Brokers that the name server knows'],
    ['millrace_route_bytes', 'gauge', 'Memory of what brokers have registered at the name server'],
    ['millrace_held_pulls', 'gauge', 'Pulls that wait for messages'],
    ['rocketmq_consumer_connections', 'gauge', 'Consumers that are connected, by group'],
    ['rocketmq_messages_in_total', 'counter', 'Messages stored, by topic'],
    ['rocketmq_throughput_in_total', 'counter', 'Bytes of messages stored, by topic'],
    ['rocketmq_messages_out_total', 'counter', 'Messages pulled, by topic and group'],
    ['rocketmq_throughput_out_total', 'counter', 'Bytes of messages pulled, by topic and group'],
    ['rocketmq_message_size', 'histogram', 'Bytes of messages as stored, all topics'],
    ['rocketmq_send_to_dlq_messages_total', 'counter', 'Messages that became dead letters'],
    ['rocketmq_consumer_lag_messages', 'gauge', 'Messages behind the end, by group and topic'],
    [
      'rocketmq_consumer_lag_latency',
      'gauge',
      'Age in ms of the oldest message that is not committed, by group and topic',
    ],
    [
      'millrace_consumer_queue_lag_messages',
      'gauge',
      'Messages behind the end, by group, topic and queue',
    ],
    ['millrace_metrics_left_out', 'gauge', 'Lines left out because of metricsLineCountMax'],
    ['rocketmq_storage_size', 'gauge', 'Bytes of the log'],
    ['rocketmq_storage_message_reserve_time', 'gauge', 'Age in ms of the oldest message'],
    ['rocketmq_storage_flush_behind_bytes', 'gauge', 'Bytes appended and not yet on disk'],
    ['rocketmq_storage_dispatch_behind_bytes', 'gauge', 'Bytes appended and not yet dispatched'],
    [
      'rocketmq_timer_dequeue_latency',
      'gauge',
      'Time in ms by which the earliest timed message is overdue',
    ],
    ['rocketmq_rpc_latency', 'histogram', 'Time in ms from arrival to answer'],
    ['millrace_rpc_latency_quantile', 'summary', 'The same since the start, quantiles in ms'],
    ['millrace_connections', 'gauge', 'Open connections, by port'],
    ['millrace_connections_accepted_total', 'counter', 'Connections that were accepted'],
    ['millrace_connections_refused_total', 'counter', 'Connections beyond the limit'],
    [
      'millrace_connections_closed_total',
      'counter',
      'Connections that the broker ended, by reason',
    ],
    ['millrace_requests_waiting_bytes', 'gauge', 'Buffers of frames that have not arrived whole'],
    ['millrace_answers_waiting_bytes', 'gauge', 'Bytes of answers that peers have not taken'],
    [
      'millrace_refusals_total',
      'counter',
      'What was refused or dropped, by cause (docs/limits.md)',
    ],
    ['millrace_connections_waiting', 'gauge', 'Connections that wait because of acceptRateMax'],
    ['millrace_web_refused_total', 'counter', 'WebSockets refused because of their origin'],
    ['millrace_network_received_bytes_total', 'counter', 'Bytes of frames that came in'],
    ['millrace_network_sent_bytes_total', 'counter', 'Bytes of frames that went out'],
    ['process_resident_memory_bytes', 'gauge', 'Resident memory, the mapped log included'],
    ['process_cpu_seconds_total', 'counter', 'CPU time of all threads'],
    ['process_start_time_seconds', 'gauge', 'Start of the process since the epoch'],
  ];

/** Of rocketmq_message_size, in bytes (BrokerMetricsManager.java). */
export const messageSizeBounds = [1024, 4096, 524_288, 1_048_576, 2_097_152, 4_194_304];

/** One line; `name` may have a suffix of the family's (`_bucket`). */
export function metricLine(name: string, labels: MetricLabels, value: number): string {
  let text = '';
  for (const [label, content] of Object.entries(labels))
    text += `${text === '' ? '' : ','}${label}="${escapeLabel(String(content))}"`;
  return `${name}${text === '' ? '' : `{${text}}`} ${value}\n`;
}

export function escapeLabel(text: string): string {
  return text.replace(/["\\\n]/g, (one) => (one === '\n' ? '\\n' : `\\${one}`));
}

export function addLine(
  lines: MetricLines,
  family: string,
  labels: MetricLabels,
  value: number,
): void {
  (lines[family] ??= []).push(metricLine(family, labels, value));
}

/** The head of a family and its lines. */
export function familyText(
  [name, kind, help]: readonly [string, MetricKind, string],
  lines: readonly string[],
): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines.join('')}`;
}

/** The lines of a histogram whose counts are of one bucket each, the last one without a bound. */
export function histogramLines(
  name: string,
  labels: MetricLabels,
  bounds: readonly number[],
  counts: readonly number[],
  sum: number,
): string[] {
  let total = 0;
  const lines = counts.map((count, index) => {
    total += count;
    const le = index < bounds.length ? String(bounds[index]) : '+Inf';
    return metricLine(`${name}_bucket`, { ...labels, le }, total);
  });
  lines.push(metricLine(`${name}_sum`, labels, sum), metricLine(`${name}_count`, labels, total));
  return lines;
}
