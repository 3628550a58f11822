/**
 * @agent any
 *
 * `millrace send`: one message, a message for each line of standard input, or a load of many with its
 * rate and how long they took.
 */
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { type Command, Option } from 'commander';
import { LatencyCounts, LatencyHistogram } from '../base/latency-histogram.ts';
import { ClientError } from '../client/client-error.ts';
import type { OutgoingMessage, SendResult } from '../client/message.ts';
import type { Producer } from '../client/producer.ts';
import {
  parseCount,
  parseDuration,
  parseNamed,
  parseSize,
  parseTime,
  parseWords,
} from './argument-values.ts';
import { action, type CommandContext, withServers } from './command-context.ts';
import { CommandError, ExitCode, UsageError } from './command-errors.ts';
import { countText, printJson, printLine } from './command-output.ts';
import { Progress } from './progress.ts';

interface SendOptions {
  file?: string;
  count?: number;
  size?: number;
  rate?: number;
  concurrency?: number;
  batch: number;
  key?: string[];
  tag?: string;
  property?: Record<string, string>;
  delay?: number;
  deliverAt?: Date;
  delayLevel?: number;
  orderKey?: string;
  group: string;
  progress?: boolean;
}

const DELAY_LEVEL_MAX = 18;
const CONCURRENCY_MAX = 4096;
const LOAD_CONCURRENCY = 64;
const BATCH_MAX = 1024;
/** Of a load's messages, as the benchmark's. */
const LOAD_BODY_BYTES = 128;

const examples = `
Examples:
  millrace send orders '{"id":42}' --key order-42 --tag created
  millrace send orders --file order.json --property customer=7
  cat lines.txt | millrace send orders                  a message for each line
  millrace send reminders 'pay!' --delay 30m
  millrace send orders --count 100000 --size 1k --rate 20000

A message that stands behind --count is sent so many times.`;

export function addSendCommand(program: Command, description: string): void {
  withServers(program.command('send'))
    .description(description)
    .argument('<topic>')
    .argument('[body]', 'what is sent; without it, --file, --count or standard input')
    .option('--file <FILE>', 'send what is in this file as one message; - for standard input')
    .addOption(
      new Option('--key <KEY>', 'word by which it is found again; may be given again').argParser(
        parseWords,
      ),
    )
    .option('--tag <TAG>', 'what consumers subscribe by')
    .addOption(
      new Option('--property <NAME=VALUE>', 'property; may be given again').argParser(parseNamed),
    )
    .addOption(
      new Option('--delay <DURATION>', 'deliver so long after it came')
        .argParser(parseDuration)
        .conflicts(['deliverAt', 'delayLevel']),
    )
    .addOption(
      new Option('--deliver-at <TIME>', 'deliver at this time')
        .argParser(parseTime)
        .conflicts('delayLevel'),
    )
    .addOption(
      new Option('--delay-level <N>', "RocketMQ's delay level").argParser(
        parseCount(1, DELAY_LEVEL_MAX),
      ),
    )
    .option('--order-key <KEY>', 'those with the same one go to one queue, in order')
    .option('--group <GROUP>', 'producer group', 'millrace-cli')
    .addOption(
      new Option('--batch <N>', 'so many messages in one request')
        .argParser(parseCount(1, BATCH_MAX))
        .default(1),
    )
    .addOption(new Option('--count <N>', 'load: so many messages').argParser(parseCount(1)))
    .addOption(
      new Option('--size <BYTES>', 'load: of each body, 128 unless said').argParser(parseSize),
    )
    .addOption(
      new Option('--rate <N>', 'so many messages a second at most').argParser(parseCount(1)),
    )
    .addOption(
      new Option('--concurrency <N>', 'requests in flight: 1 unless said, 64 for a load').argParser(
        parseCount(1, CONCURRENCY_MAX),
      ),
    )
    .option('--progress', 'tell how far it is, also where standard error is no terminal')
    .addHelpText('after', examples)
    .action(action(send));
}

async function send(
  context: CommandContext,
  [topic, body]: readonly string[],
  options: SendOptions,
): Promise<number | void> {
  checkSources(body, options);
  const { Producer: Client } = await import('../client/index.ts');
  const producer = new Client({
    servers: context.servers,
    ...context.security,
    group: options.group,
    timeoutMs: context.timeoutMs,
  });
  try {
    const run = new SendRun(context, producer, topic, options);
    return await run.run(bodiesOf(body, options, context.interruption.signal));
  } finally {
    await producer.close();
  }
}

/** @throws UsageError */
function checkSources(body: string | undefined, options: SendOptions): void {
  if (body !== undefined && options.file !== undefined)
    throw new UsageError('a body and --file are two messages; give one of them');
  if (options.size !== undefined && (options.count === undefined || body !== undefined))
    throw new UsageError('--size is of the bodies that --count makes; a body has its own');
  const isTimed = [options.delay, options.deliverAt, options.delayLevel].some(
    (value) => value !== undefined,
  );
  if (options.batch > 1 && isTimed)
    throw new UsageError('messages of a batch can not be timed; leave --batch out');
}

async function* bodiesOf(
  body: string | undefined,
  options: SendOptions,
  signal: AbortSignal,
): AsyncGenerator<string | Uint8Array> {
  const { file, count, size } = options;
  let one: string | Uint8Array | undefined = body;
  if (file !== undefined) one = contentOf(file);
  if (count !== undefined) {
    const repeated = one ?? filler(size ?? LOAD_BODY_BYTES);
    for (let index = 0; index < count; index++) yield repeated;
  } else if (one === undefined) {
    if (process.stdin.isTTY) process.stderr.write('a message for each line; Ctrl-D ends\n');
    const lines = createInterface({ input: process.stdin, crlfDelay: Infinity, signal });
    for await (const line of lines) yield line;
  } else {
    yield one;
  }
}

/** Letters, so that it can be looked at. */
function filler(bytes: number): Uint8Array {
  return Buffer.alloc(bytes, 'abcdefghijklmnopqrstuvwxyz');
}

/** @throws CommandError */
function contentOf(file: string): Uint8Array {
  try {
    // Read through the descriptor: a pipe has no size.
    return fs.readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandError(`${file} can not be read: ${why}`);
  }
}

class SendRun {
  readonly #context: CommandContext;
  readonly #producer: Producer;
  readonly #topic: string;
  readonly #options: SendOptions;
  readonly #latencies = new LatencyHistogram();
  readonly #latencyStart = this.#latencies.copy();
  readonly #startedMs = performance.now();
  #takenCount = 0;
  #sentCount = 0;
  #sentBytes = 0;
  #failedCount = 0;
  #failure: ClientError | null = null;
  /** A failure that the next message would meet too. */
  #isOver = false;

  constructor(context: CommandContext, producer: Producer, topic: string, options: SendOptions) {
    this.#context = context;
    this.#producer = producer;
    this.#topic = topic;
    this.#options = options;
  }

  async run(bodies: AsyncGenerator<string | Uint8Array>): Promise<number | void> {
    const { count, concurrency, progress } = this.#options;
    const isLoad = count !== undefined;
    const shown = new Progress({
      verb: 'sent',
      total: count,
      isWanted: progress === true,
      count: () => this.#sentCount,
    });
    const laneCount = concurrency ?? (isLoad ? LOAD_CONCURRENCY : 1);
    await Promise.all(Array.from({ length: laneCount }, () => this.#lane(bodies, isLoad)));
    shown.end();
    await bodies.return(undefined);
    const isTold = process.stderr.isTTY || progress === true;
    if (isLoad || (isTold && this.#takenCount > 1)) await this.#summarize(isLoad);
    const wasCut = this.#context.interruption.hasCome;
    if (wasCut && isLoad && this.#sentCount + this.#failedCount < count)
      return ExitCode.INTERRUPTED;
    if (this.#failure === null) return;
    if (this.#failedCount > 1 || isLoad) {
      process.stderr.write(
        `millrace: ${countText(this.#failedCount)} messages were not sent; the first because: ${this.#failure.message}\n`,
      );
      return ExitCode.FAILED;
    }
    throw this.#failure;
  }

  async #lane(bodies: AsyncGenerator<string | Uint8Array>, isLoad: boolean): Promise<void> {
    const { batch, rate } = this.#options;
    while (!this.#isOver && !this.#context.interruption.hasCome) {
      const messages = await this.#take(bodies, batch);
      if (messages.length === 0) return;
      if (rate !== undefined) {
        const index = this.#takenCount - messages.length;
        const dueMs = this.#startedMs + (index * 1000) / rate;
        const waitMs = dueMs - performance.now();
        if (waitMs > 0) await this.#context.interruption.pause(waitMs);
        if (this.#context.interruption.hasCome) return;
      }
      const sentMs = performance.now();
      try {
        const results =
          messages.length === 1
            ? [await this.#producer.send(messages[0])]
            : await this.#producer.sendBatch(messages);
        this.#latencies.record(performance.now() - sentMs);
        this.#sentCount += results.length;
        for (const { body } of messages) this.#sentBytes += Buffer.byteLength(body);
        if (!isLoad) for (const result of results) await this.#print(result);
      } catch (error) {
        if (!ClientError.is(error)) throw error;
        this.#failedCount += messages.length;
        this.#failure ??= error;
        if (!isLoad || !error.canRetry) this.#isOver = true;
      }
    }
  }

  async #take(
    bodies: AsyncGenerator<string | Uint8Array>,
    count: number,
  ): Promise<OutgoingMessage[]> {
    const messages: OutgoingMessage[] = [];
    while (messages.length < count) {
      const next = await bodies.next();
      if (next.done === true) break;
      messages.push(this.#messageOf(next.value));
    }
    this.#takenCount += messages.length;
    return messages;
  }

  #messageOf(body: string | Uint8Array): OutgoingMessage {
    const { tag, key, property, orderKey, delay, deliverAt, delayLevel } = this.#options;
    return {
      topic: this.#topic,
      body,
      ...(tag === undefined ? {} : { tag }),
      ...(key === undefined ? {} : { keys: key }),
      ...(property === undefined ? {} : { properties: property }),
      ...(orderKey === undefined ? {} : { orderKey }),
      ...(delay === undefined ? {} : { delayMs: delay }),
      ...(deliverAt === undefined ? {} : { deliverAt }),
      ...(delayLevel === undefined ? {} : { delayLevel }),
    };
  }

  async #print(result: SendResult): Promise<void> {
    const { messageId, offsetMessageId, queue, queueOffset, status, recallHandle } = result;
    if (this.#context.isJson) {
      const { topic, brokerName, queueId } = queue;
      const handle = recallHandle === undefined ? {} : { recallHandle };
      const place = { topic, brokerName, queueId, queueOffset };
      await printJson({ status, messageId, offsetMessageId, ...place, ...handle });
      return;
    }
    const place = `${queue.brokerName}/${queue.queueId}@${queueOffset}`;
    const stored = status === 'ok' ? '' : `  (${status})`;
    await printLine(`sent ${messageId} to ${place}${stored}`);
  }

  async #summarize(isLoad: boolean): Promise<void> {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const counts = new LatencyCounts(this.#latencyStart, this.#latencies.copy());
    const rate = Math.round(this.#sentCount / Math.max(seconds, 0.001));
    // A bucket's end may be above all that is in it.
    const { maxMs } = this.#latencies;
    const latencyMs = {
      p50: Math.min(counts.percentileMs(0.5), maxMs),
      p99: Math.min(counts.percentileMs(0.99), maxMs),
      max: maxMs,
    };
    const text =
      `${countText(this.#sentCount)} messages sent, ${countText(this.#failedCount)} failed, ` +
      `in ${seconds.toFixed(2)} s: ${countText(rate)}/s, ` +
      `p50 ${latencyMs.p50.toFixed(2)} ms, p99 ${latencyMs.p99.toFixed(2)} ms, max ${latencyMs.max.toFixed(2)} ms`;
    if (!isLoad) {
      process.stderr.write(`${text}\n`);
      return;
    }
    await this.#context.printOne(
      {
        topic: this.#topic,
        sent: this.#sentCount,
        failed: this.#failedCount,
        bodyBytes: this.#sentBytes,
        seconds: Math.round(seconds * 1000) / 1000,
        rate,
        latencyMs,
      },
      [text],
    );
  }
}
