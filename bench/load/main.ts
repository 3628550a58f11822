/**
 * The command `npm run bench:load -- MODE`: one load on a running broker, Millrace or Apache RocketMQ.
 * README.md beside this file says what the figures mean.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { bodyStamp } from './body-stamp.ts';
import { parseAddress } from './broker-setup.ts';
import { defaultOptions, type LoadMode, type LoadOptions } from './load-options.ts';
import type { Progress } from './load-plan.ts';
import type { Mark } from './load-result.ts';
import { runLoad } from './load-run.ts';
import { count, formatResult } from './report.ts';

const modes: readonly LoadMode[] = [
  'send',
  'paced',
  'end-to-end',
  'backlog',
  'fill',
  'read',
  'timed',
  'transactions',
  'waiting',
];
/** Where it is not the same for all: `waiting` is about what a broker holds. */
const WAITING_MESSAGE_COUNT = 5_000_000;

/** A body says which message it is. */
const stampedModes: ReadonlySet<LoadMode> = new Set<LoadMode>([
  'end-to-end',
  'timed',
  'transactions',
  'waiting',
]);
/** These are not as they must be; the other marks are about the machine. */
const faults: ReadonlySet<Mark> = new Set<Mark>([
  'errors',
  'unanswered',
  'lost',
  'early',
  'duplicates',
]);

const examples = `
Modes:
  send         each connection keeps --outstanding sends in flight: the highest rate
  paced        sends at --rate whatever the answers do; latency from the intended send
  end-to-end   paced sends, and consumers that long-poll all queues; latency to the receipt
  backlog      sends --messages, then reads them all twice; the second reading counts
  fill, read   the two halves of a backlog, each by itself
  timed        sends --messages, due evenly over --due seconds after --lead seconds, and consumes them
  transactions halves and their ends; of a hundred one is rolled back, one decided when the broker asks
  waiting      sends --messages (default: 5,000,000), due by chance in 1 to --days days, and leaves them

Examples:
  npm run bench:load -- send --address 127.0.0.1:10911 --pid 4711
  npm run bench:load -- paced --address 127.0.0.1:10911 --rate 20000 --seconds 30
  npm run bench:load -- backlog --name-server 127.0.0.1:9876 --consumers 16 --json
  npm run bench:load -- timed --address 127.0.0.1:10911 --pid 4711 --messages 100000 --lead 10 --due 10

A broker that is to hold messages for 40 days needs timerMaxDelaySec=3456000 or more.
The exit code is 1 where a run fails, or ends with errors, unanswered sends, or messages that are lost,
early or there twice.`;

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
    .option('--batch <N>', 'messages in a request', integer(1), standard.batchCount)
    .option('--seconds <N>', 'length of the measurement', integer(1), standard.seconds)
    .option('--warmup <N>', 'seconds before it', integer(0), standard.warmupSeconds)
    .option('--rate <N>', 'messages a second', integer(1), standard.ratePerSecond)
    .option('--consumers <N>', 'connections that pull', integer(1), standard.consumerCount)
    .option('--messages <N>', 'messages to send first (default: 1000000)', integer(1))
    .option(
      '--lead <N>',
      'seconds from the first send to the first due',
      integer(1),
      standard.leadSeconds,
    )
    .option('--due <N>', 'seconds over which messages are due', integer(1), standard.dueSeconds)
    .option('--days <N>', 'days at most until one is due', integer(2), standard.dueDays)
    .option('--late <N>', 'seconds after which a message is lost', integer(1), standard.lateSeconds)
    .option(
      '--check-wait <N>',
      'seconds for the broker to ask for what is undecided',
      integer(0),
      standard.checkWaitSeconds,
    )
    .option('--tags <TAGS>', 'tags of the consumers; every message has TagA', standard.tags)
    .option('--filter <SQL>', 'SQL92 expression of the consumers; every message must match it')
    .option('--threads <N>', 'threads of the generator', integer(1), standard.threadCount)
    .option(
      '--web-port <N>',
      'send and pull by WebSocket to this port of the broker, not by TCP',
      integer(1),
    )
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
    ...defaultOptions,
    mode,
    address: flags['address'] ?? null,
    nameServer: flags['nameServer'] ?? null,
    webPort: flags['webPort'] ?? null,
    topic: flags['topic'],
    queueCount: flags['queues'],
    connectionCount: flags['connections'],
    outstandingCount: flags['outstanding'],
    bodyBytes: flags['body'],
    batchCount: flags['batch'],
    seconds: flags['seconds'],
    warmupSeconds: flags['warmup'],
    codec: flags['codec'],
    filter: flags['filter'] ?? null,
    tags: flags['tags'],
    ratePerSecond: flags['rate'],
    consumerCount: flags['consumers'],
    messageCount:
      flags['messages'] ??
      (mode === 'waiting' ? WAITING_MESSAGE_COUNT : defaultOptions.messageCount),
    leadSeconds: flags['lead'],
    dueSeconds: flags['due'],
    dueDays: flags['days'],
    lateSeconds: flags['late'],
    checkWaitSeconds: flags['checkWait'],
    threadCount: flags['threads'],
    brokerPid: flags['pid'] ?? null,
  };
  if (options.address === null && options.nameServer === null)
    command.error('--address or --name-server is needed');
  if (stampedModes.has(mode) && options.bodyBytes < bodyStamp.totalBytes)
    command.error(`${mode} needs bodies of at least ${bodyStamp.totalBytes} bytes`);
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
  const isClean = !result.marks.some((mark) => faults.has(mark));
  process.exitCode = isClean ? 0 : 1;
} catch (error) {
  console.error(`bench:load: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
