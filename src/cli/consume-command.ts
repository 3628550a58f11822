/**
 * @agent any
 *
 * `millrace consume`: messages as a member of a group gets them, each acknowledged when it is printed.
 * Ends when nothing waits any more, unless it is to follow.
 */
import { type Command, Option } from 'commander';
import type { ConsumedMessage } from '../client/consumed-message.ts';
import { parseCount, parseFrom, parsePositiveDuration } from './argument-values.ts';
import { action, type CommandContext, withServers } from './command-context.ts';
import { countText, printJson, printLine } from './command-output.ts';
import { messageLine, messageObject } from './message-output.ts';
import { Progress } from './progress.ts';
import { filterOf, withFilter } from './tail-command.ts';

interface ConsumeOptions {
  group: string;
  count?: number;
  from: 'first' | 'last' | Date;
  tags?: string;
  sql?: string;
  follow?: boolean;
  idle: number;
  broadcast?: boolean;
  bodyOnly?: boolean;
  progress?: boolean;
}

const IDLE_MS = 3000;

const examples = `
Examples:
  millrace consume orders --group stock                  what waits for group stock, then ends
  millrace consume orders --group stock --follow
  millrace consume orders --group audit --from first --count 10 --json
  millrace consume orders --group paid --tags "paid || refunded"

Messages are acknowledged: the group does not get them again. "millrace tail" only looks.`;

export function addConsumeCommand(program: Command, description: string): void {
  withFilter(withServers(program.command('consume')))
    .description(description)
    .argument('<topic>')
    .requiredOption('--group <GROUP>', 'consumer group to join')
    .addOption(
      new Option('--from <PLACE>', 'where a group without offsets begins: first, last, or a time')
        .argParser(parseFrom)
        .default('last'),
    )
    .addOption(new Option('--count <N>', 'end after so many').argParser(parseCount(1)))
    .addOption(
      new Option('--follow', 'wait for more when nothing waits any more').conflicts('idle'),
    )
    .addOption(
      new Option('--idle <DURATION>', 'nothing waits when none came for so long')
        .argParser(parsePositiveDuration)
        .default(IDLE_MS, '3s'),
    )
    .option('--broadcast', 'every member gets every message; no offset of the group is touched')
    .option('--body-only', 'print bodies and nothing else')
    .option('--progress', 'tell how far it is, also where standard error is no terminal')
    .addHelpText('after', examples)
    .action(action(consume));
}

type Step = IteratorResult<ConsumedMessage> | 'idle' | 'interrupted';

async function consume(
  context: CommandContext,
  [topic]: readonly string[],
  options: ConsumeOptions,
): Promise<void> {
  const { Consumer } = await import('../client/index.ts');
  const consumer = new Consumer({
    servers: context.servers,
    ...context.security,
    group: options.group,
    timeoutMs: context.timeoutMs,
    from: options.from,
    model: options.broadcast === true ? 'broadcasting' : 'clustering',
    onError: (error) => process.stderr.write(`millrace: ${error.message}; trying again\n`),
  });
  let count = 0;
  const shown = new Progress({
    verb: 'consumed',
    total: options.count,
    isWanted: options.progress === true,
    count: () => count,
  });
  try {
    consumer.subscribe(topic, filterOf(options) ?? '*');
    await consumer.start();
    const messages = consumer.messages()[Symbol.asyncIterator]();
    const waiting = new Waiting(context, options.follow === true ? null : options.idle);
    while (options.count === undefined || count < options.count) {
      const step = await waiting.step(messages.next());
      if (step === 'idle' || step === 'interrupted' || step.done === true) break;
      await print(context, step.value, options);
      await step.value.ack();
      count++;
    }
  } finally {
    await consumer.close();
    shown.end();
  }
  const summary = `${countText(count)} messages consumed in ${shown.seconds.toFixed(1)} s`;
  if (process.stderr.isTTY || options.progress === true) process.stderr.write(`${summary}\n`);
}

/** Ends waits for the next message: none came for so long, or a signal did. */
class Waiting {
  readonly #context: CommandContext;
  readonly #idleMs: number | null;
  #end: ((step: Step) => void) | null = null;

  constructor(context: CommandContext, idleMs: number | null) {
    this.#context = context;
    this.#idleMs = idleMs;
    // Once for all messages: a race for each would remember all of them.
    void context.interruption.come().then(() => this.#end?.('interrupted'));
  }

  async step(next: Promise<IteratorResult<ConsumedMessage>>): Promise<Step> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Step>((resolve, reject) => {
        this.#end = resolve;
        next.then(resolve, reject);
        if (this.#context.interruption.hasCome) resolve('interrupted');
        if (this.#idleMs !== null) timer = setTimeout(() => resolve('idle'), this.#idleMs);
      });
    } finally {
      clearTimeout(timer);
      this.#end = null;
    }
  }
}

async function print(
  context: CommandContext,
  message: ConsumedMessage,
  { bodyOnly }: ConsumeOptions,
): Promise<void> {
  if (context.isJson) await printJson(messageObject(message));
  else if (bodyOnly === true) await printLine(message.text());
  else await printLine(messageLine(message));
}
