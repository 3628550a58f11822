/**
 * The command `npm run bench:load -- MODE`: one load on a running broker, Millrace or Apache RocketMQ.
 * README.md beside this file says what the figures mean.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { bodyStamp } from './body-stamp.ts';
import { parseAddress } from './broker-setup.ts';
import { defaultOptions, type LoadMode, type LoadOptions } from './load-options.ts';
import { type Progress, runLoad } from './load-run.ts';
import { count, formatResult } from './report.ts';

const modes: readonly LoadMode[] = ['send', 'paced', 'end-to-end', 'backlog'];

const examples = `
Modes:
  send         each connection keeps --outstanding sends in flight: the highest rate
  paced        sends at --rate whatever the answers do; latency from the intended send
  end-to-end   paced sends, and consumers that long-poll all queues; latency to the receipt
  backlog      sends --messages, then reads them all twice; the second reading counts

Examples:
  npm run bench:load -- send --address 127.0.0.1:10911 --pid 4711
  npm run bench:load -- paced --address 127.0.0.1:10911 --rate 20000 --seconds 30
  npm run bench:load -- backlog --name-server 127.0.0.1:9876 --consumers 16 --json

The exit code is 1 where a run fails, or ends with errors, unanswered sends or lost messages.`;

const integer =
  (minimum: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < minimum)
      throw new InvalidArgumentError(`a whole number, at least ${minimum}`);
    return value;
  };

const address = (text: string): string => {
  try {
    parseAddress(text);
  } catch {
    throw new InvalidArgumentError('host:port');
  }
  return text;
};

function program(): Command {
  const standard = defaultOptions;
  return new Command('bench:load')
    .description('Load on a RocketMQ broker, with the frames that the Java client sends.')
    .argument('<mode>', modes.join(', '))
    .option('--address <HOST:PORT>', 'the broker; needed without --name-server', address)
    .option('--name-server <HOST:PORT>', 'finds the broker, and waits for the route', address)
    .option('--topic <NAME>', 'created, or altered to --queues queues', standard.topic)
    .option('--queues <N>', 'queues of the topic', integer(1), standard.queueCount)
    .option('--connections <N>', 'connections that send', integer(1), standard.connectionCount)
    .option('--outstanding <N>', 'sends in flight on each', integer(1), standard.outstandingCount)
    .option('--body <BYTES>', 'bytes of a body', integer(0), standard.bodyBytes)
    .option('--seconds <N>', 'length of the measurement', integer(1), standard.seconds)
    .option('--warmup <N>', 'seconds before it', integer(0), standard.warmupSeconds)
    .option('--rate <N>', 'messages a second', integer(1), standard.ratePerSecond)
    .option('--consumers <N>', 'connections that pull', integer(1), standard.consumerCount)
    .option('--messages <N>', 'size of the backlog', integer(1), standard.backlogMessageCount)
    .option('--filter <SQL>', 'SQL92 expression of the consumers; every message must match it')
    .option('--threads <N>', 'threads of the generator', integer(1), standard.threadCount)
    .option('--pid <PID>', 'broker process, for its CPU and memory', integer(1))
    .addOption(
      new Option('--codec <CODEC>', 'header serialization')
        .choices(['json', 'rocketmq'])
        .default(standard.codec),
    )
    .option('--json', 'one JSON object instead of text')
    .addHelpText('after', examples);
}

function readOptions(command: Command): { options: LoadOptions; isJson: boolean } {
  command.parse();
  const mode = command.args[0] as LoadMode;
  const flags = command.opts<Record<string, never>>();
  if (!modes.includes(mode)) command.error(`unknown mode ${mode}; one of ${modes.join(', ')}`);
  const options: LoadOptions = {
    mode,
    address: flags['address'] ?? null,
    nameServer: flags['nameServer'] ?? null,
    topic: flags['topic'],
    queueCount: flags['queues'],
    connectionCount: flags['connections'],
    outstandingCount: flags['outstanding'],
    bodyBytes: flags['body'],
    seconds: flags['seconds'],
    warmupSeconds: flags['warmup'],
    codec: flags['codec'],
    filter: flags['filter'] ?? null,
    ratePerSecond: flags['rate'],
    consumerCount: flags['consumers'],
    backlogMessageCount: flags['messages'],
    threadCount: flags['threads'],
    brokerPid: flags['pid'] ?? null,
  };
  if (options.address === null && options.nameServer === null)
    command.error('--address or --name-server is needed');
  if (mode === 'end-to-end' && options.bodyBytes < bodyStamp.totalBytes)
    command.error(`end-to-end needs bodies of at least ${bodyStamp.totalBytes} bytes`);
  return { options, isJson: flags['json'] === true };
}

function showProgress({ stage, totals }: Progress): void {
  const parts = [`${stage}: ${count(totals.answeredCount)} acknowledged`];
  if (totals.receivedCount > 0) parts.push(`${count(totals.receivedCount)} received`);
  if (totals.errorCount > 0) parts.push(`${count(totals.errorCount)} errors`);
  process.stderr.write(`\r${parts.join(', ')}\u001b[K`);
}

const { options, isJson } = readOptions(program());
const isTerminal = process.stderr.isTTY;
try {
  const result = await runLoad(options, isTerminal ? showProgress : undefined);
  if (isTerminal) process.stderr.write('\r\u001b[K');
  console.log(isJson ? JSON.stringify(result) : formatResult(result));
  const isClean = result.marks.every(
    (mark) => mark !== 'errors' && mark !== 'unanswered' && mark !== 'lost',
  );
  process.exitCode = isClean ? 0 : 1;
} catch (error) {
  console.error(`bench:load: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
