/**
 * @agent any
 *
 * `millrace query`: stored messages, by what is known of them.
 */
import { type Command, Option } from 'commander';
import type { ReceivedMessage } from '../client/message.ts';
import { parseCount, parseTime } from './argument-values.ts';
import { action, type CommandContext, withServers } from './command-context.ts';
import { CommandError, UsageError } from './command-errors.ts';
import { messageLine, messageLines, messageObject } from './message-output.ts';

interface RangeOptions {
  from?: Date;
  to?: Date;
  max?: number;
}

const BROKER_COUNT_MAX = 64;
const TIME_COUNT_MAX = 100_000;
const TIME_COUNT = 100;

const examples = `
Examples:
  millrace query id 7F00000100002A9F0000000000000000     as brokers name it (offsetMsgId)
  millrace query unique-key orders 7F0000010B0318B4AAC22F1D3E2A0000
  millrace query key orders order-42
  millrace query offset orders --queue 0 --offset 17
  millrace query time orders --from -10m --max 20`;

export function addQueryCommands(program: Command, description: string): void {
  const query = program.command('query').description(description).addHelpText('after', examples);
  withServers(query.command('id'))
    .description('the message that a broker gave this id')
    .argument('<id>', '32 hexadecimal digits, 56 with IPv6')
    .action(action(byId));
  withServers(query.command('unique-key'))
    .description('the message that its producer gave this id')
    .argument('<topic>')
    .argument('<id>', 'what "send" prints as message id')
    .action(action(byUniqueKey));
  withRange(withServers(query.command('key')), BROKER_COUNT_MAX, BROKER_COUNT_MAX)
    .description('messages with this key, the oldest first')
    .argument('<topic>')
    .argument('<key>', 'one of those that were sent with it')
    .action(action(byKey));
  withServers(query.command('offset'))
    .description('messages of a queue from an offset on')
    .argument('<topic>')
    .addOption(
      new Option('--queue <N>', 'the queue').argParser(parseCount(0)).makeOptionMandatory(),
    )
    .addOption(
      new Option('--offset <N>', 'of the first message')
        .argParser(parseCount(0))
        .makeOptionMandatory(),
    )
    .option('--broker <NAME>', 'of this broker, where several have the topic')
    .addOption(
      new Option('--count <N>', 'so many').argParser(parseCount(1, TIME_COUNT_MAX)).default(1),
    )
    .action(action(byOffset));
  withRange(withServers(query.command('time')), TIME_COUNT_MAX, TIME_COUNT)
    .description('messages that were stored in this time, the oldest first')
    .argument('<topic>')
    .action(action(byTime));
}

function withRange(command: Command, countMax: number, absent: number): Command {
  return command
    .addOption(new Option('--from <TIME>', 'stored then or later').argParser(parseTime))
    .addOption(new Option('--to <TIME>', 'stored then or before').argParser(parseTime))
    .addOption(
      new Option('--max <N>', 'at most so many').argParser(parseCount(1, countMax)).default(absent),
    );
}

interface OffsetOptions {
  queue: number;
  offset: number;
  broker?: string;
  count: number;
}

/** One is told in full, several a line each. @throws CommandError where there is none */
async function print(
  context: CommandContext,
  messages: readonly ReceivedMessage[],
  whenNone: string,
): Promise<void> {
  if (messages.length === 0) throw new CommandError(whenNone);
  const lines = messages.length === 1 ? messageLines(messages[0]) : messages.map(messageLine);
  await context.printView({ objects: messages.map(messageObject), lines });
}

async function byId(context: CommandContext, [id]: readonly string[]): Promise<void> {
  const admin = await context.admin();
  await print(context, [await admin.messageById(id)], '');
}

async function byUniqueKey(context: CommandContext, [topic, id]: readonly string[]): Promise<void> {
  const admin = await context.admin();
  const found = await admin.messagesByUniqueKey(topic, id);
  await print(context, found, `topic ${topic} has no message with the id ${id}`);
}

async function byKey(
  context: CommandContext,
  [topic, key]: readonly string[],
  { from, to, max }: RangeOptions,
): Promise<void> {
  const admin = await context.admin();
  const found = await admin.messagesByKey(topic, key, { from, to, countMax: max });
  await print(context, found, `topic ${topic} has no message with the key ${key}`);
}

async function byOffset(
  context: CommandContext,
  [topic]: readonly string[],
  { queue: queueId, offset, broker, count }: OffsetOptions,
): Promise<void> {
  const admin = await context.admin();
  const route = await admin.topicRoute(topic);
  const names = route.queues.map(({ brokerName }) => brokerName);
  if (broker === undefined && names.length > 1)
    throw new UsageError(
      `topic ${topic} is on several brokers, --broker says which: ${names.join(', ')}`,
    );
  const queue = { topic, brokerName: broker ?? names[0] ?? '', queueId };
  const first = await admin.messageByOffset(queue, offset);
  const found = count === 1 ? [first] : await admin.peek(queue, offset, count);
  await print(context, found, '');
}

async function byTime(
  context: CommandContext,
  [topic]: readonly string[],
  { from, to, max }: RangeOptions,
): Promise<void> {
  if (from === undefined && to === undefined)
    throw new UsageError('no time is given: --from TIME, --to TIME or both');
  const admin = await context.admin();
  const found = await admin.messagesByTime(topic, { from: from ?? new Date(0), to, countMax: max });
  await print(context, found, `topic ${topic} has no message that was stored in this time`);
}
