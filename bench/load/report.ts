/**
 * The result of one run as text for people: a line for what ran, a line for each figure.
 */
import type { LatencySummary } from './latency.ts';
import type { LoadOptions } from './load-options.ts';
import type { LoadResult, Mark, TimedFigures, TransactionFigures } from './load-result.ts';
import type { MemoryGrowth } from './memory-watch.ts';

const MIB = 1024 * 1024;

const markTexts: Readonly<Record<Mark, string>> = {
  'generator-limited': 'the generator was the limit, not the broker: give it more --threads',
  'generator-late': 'most of the tail is the delay of the generator itself, or of the machine',
  disturbed: 'other processes took CPU meanwhile',
  stolen: 'the hypervisor gave much of the time to other machines',
  'rate-not-held': 'the broker did not hold the rate asked for',
  errors: 'some answers had a code other than 0',
  unanswered: 'some sends were never answered',
  lost: 'some acknowledged messages never arrived',
  early: 'some messages came before their time',
  duplicates: 'some messages came twice',
  'fill-overran': 'the first messages were due before the last was sent: give it more --lead',
  'not-asked': 'the broker has not asked for all that was undecided: give it more --check-wait',
};

export function formatResult(result: LoadResult): string {
  const things = result.transactions === null ? 'messages' : 'transactions';
  const lines = [
    describe(result.options),
    row(
      'rate',
      `${count(result.ratePerSecond)} ${things === 'messages' ? 'msg' : things}/s, ${count(result.messageCount)} ${things} in ${result.seconds.toFixed(2)} s`,
    ),
  ];
  if (result.backlog !== null) {
    lines.push(row('sent at', `${count(result.backlog.sendRatePerSecond)} msg/s`));
    lines.push(row('first reading', `${count(result.backlog.firstReadRatePerSecond)} msg/s`));
  }
  if (result.sendLatency !== null) lines.push(row('send', latency(result.sendLatency)));
  if (result.endToEndLatency !== null)
    lines.push(row('end to end', latency(result.endToEndLatency)));
  if (result.brokerCpuUsPerMessage !== null) lines.push(row('broker', brokerText(result)));
  lines.push(row('generator', generatorText(result)));
  if (result.otherCores !== null)
    lines.push(row('others', `${result.otherCores.toFixed(2)} cores used by other processes`));
  if (result.timed !== null) lines.push(...timedRows(result.timed));
  if (result.transactions !== null) lines.push(...transactionRows(result.transactions));
  if (result.memory !== null) lines.push(row('memory', memoryText(result.memory)));
  for (const error of result.errors) {
    lines.push(row('error', `code ${error.code}, ${count(error.count)} times: ${error.remark}`));
  }
  if (result.unansweredCount > 0) lines.push(row('unanswered', count(result.unansweredCount)));
  if (result.lostCount > 0) lines.push(row('lost', count(result.lostCount)));
  for (const mark of result.marks) lines.push(row('MARK', `${mark}: ${markTexts[mark]}`));
  return lines.join('\n');
}

function describe(options: LoadOptions): string {
  const what: Record<LoadOptions['mode'], string> = {
    send: `${options.connectionCount} connections x ${options.outstandingCount} outstanding`,
    paced: `${count(options.ratePerSecond)} msg/s over ${options.connectionCount} connections`,
    'end-to-end': `${count(options.ratePerSecond)} msg/s over ${options.connectionCount} connections, ${options.consumerCount} consumers`,
    backlog: `${count(options.messageCount)} messages, ${options.consumerCount} consumers, pulls of 32`,
    fill: `${count(options.messageCount)} messages`,
    read: `all that is there, ${options.consumerCount} consumers, pulls of 32`,
    timed: `${count(options.messageCount)} messages, due over ${options.dueSeconds} s after ${options.leadSeconds} s, ${options.consumerCount} consumers`,
    transactions: `${options.connectionCount} connections x ${options.outstandingCount} outstanding, 1 % rolled back, 1 % undecided`,
    waiting: `${count(options.messageCount)} messages, due in 1 to ${options.dueDays} days`,
  };
  return `${options.mode}: ${what[options.mode]}, ${options.bodyBytes} B, ${options.queueCount} queues, ${options.codec} headers`;
}

function row(name: string, text: string): string {
  return `  ${name.padEnd(14)}${text}`;
}

function latency(summary: LatencySummary): string {
  const parts: [string, number][] = [
    ['p50', summary.p50Ms],
    ['p90', summary.p90Ms],
    ['p99', summary.p99Ms],
    ['p99.9', summary.p999Ms],
    ['p99.99', summary.p9999Ms],
    ['max', summary.maxMs],
  ];
  return `${parts.map(([name, ms]) => `${name} ${milliseconds(ms)}`).join('  ')} ms`;
}

function brokerText(result: LoadResult): string {
  const parts = [
    `${(result.brokerCpuUsPerMessage ?? 0).toFixed(2)} us CPU a ${result.transactions === null ? 'message' : 'transaction'}`,
    `${(result.brokerCores ?? 0).toFixed(2)} cores`,
  ];
  if (result.brokerRssAnonBytes !== null)
    parts.push(`${Math.round(result.brokerRssAnonBytes / MIB)} MiB anonymous memory`);
  return parts.join(', ');
}

function generatorText(result: LoadResult): string {
  const shares = result.generatorThreadShares.map((share) => `${Math.round(100 * share)} %`);
  const parts = [
    `${result.generatorCpuUsPerMessage.toFixed(2)} us CPU a message`,
    `threads at ${shares.join(', ')} of a core`,
  ];
  if (result.scheduleLateness !== null) {
    const { p50Ms, p99Ms, maxMs } = result.scheduleLateness;
    parts.push(
      `${result.isGeneratorRealTime ? 'in real time, ' : ''}behind its schedule p50 ${milliseconds(p50Ms)}  p99 ${milliseconds(p99Ms)}  max ${milliseconds(maxMs)} ms`,
    );
  }
  return parts.join(', ');
}

function timedRows(timed: TimedFigures): string[] {
  const shares = timed.generatorThreadShares.map((share) => `${Math.round(100 * share)} %`);
  const delivery = [`generator threads at ${shares.join(', ')} of a core`];
  if (timed.brokerCpuUsPerMessage !== null)
    delivery.unshift(`${timed.brokerCpuUsPerMessage.toFixed(2)} us CPU of the broker a message`);
  const early = timed.earlyCount === 0 ? '' : `, by ${count(timed.earliestMs)} ms at most`;
  return [
    row('late by', timed.lateness === null ? 'nothing was received' : latency(timed.lateness)),
    row('delivery', delivery.join(', ')),
    row('early', `${count(timed.earlyCount)} messages${early}`),
    row('twice', `${count(timed.duplicateCount)} messages`),
  ];
}

function transactionRows(transactions: TransactionFigures): string[] {
  const { unknownCount, checkedCount, strayCheckCount, expectedCount, readableCount } =
    transactions;
  return [
    ...(transactions.latency === null ? [] : [row('transaction', latency(transactions.latency))]),
    row(
      'undecided',
      `${count(unknownCount)}, asked for ${count(checkedCount)}; ${count(strayCheckCount)} times for others`,
    ),
    row('committed', `${count(expectedCount)} messages, ${count(readableCount)} to be read`),
  ];
}

function memoryText(memory: MemoryGrowth): string {
  const text = (before: number, peak: number): string =>
    `+${count((peak - before) / MIB)} MiB, from ${count(before / MIB)} to ${count(peak / MIB)}`;
  return `anonymous ${text(memory.beforeRssAnonBytes, memory.peakRssAnonBytes)}; resident ${text(memory.beforeRssBytes, memory.peakRssBytes)}`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function milliseconds(ms: number): string {
  return ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0);
}
