/**
 * @agent any
 *
 * `millrace offset`: where a consumer group goes on in a topic, and moving it.
 */
import { type Command, Option } from 'commander';
import type { OffsetMove, OffsetTarget, QueueOffset } from '../client/admin-offsets.ts';
import { parseCount, parseFrom } from './argument-values.ts';
import {
  action,
  type CommandContext,
  viewOf,
  withConfirmation,
  withServers,
  withWatch,
} from './command-context.ts';
import { UsageError } from './command-errors.ts';
import { tableLines } from './command-output.ts';
import { notDone } from './topic-commands.ts';

interface QueueOptions {
  broker?: string;
  queue?: number;
}

const QUEUE_ID_MAX = 65_535;

const examples = `
Examples:
  millrace offset get stock orders
  millrace offset reset stock orders --to first        consumes everything again
  millrace offset reset stock orders --to last         skips what waits
  millrace offset reset stock orders --to -2h          goes back two hours
  millrace offset set stock orders --queue 0 --to-offset 42
  millrace offset clone stock stock-copy --topic orders`;

export function addOffsetCommands(program: Command, description: string): void {
  const offset = program.command('offset').description(description).addHelpText('after', examples);
  withWatch(withServers(offset.command('get')))
    .description('where a group goes on in each queue of a topic')
    .argument('<group>')
    .argument('<topic>')
    .action(action(showOffsets));
  withConfirmation(withQueues(withServers(offset.command('reset'))))
    .description('move a group in a topic; its members go on at the new place')
    .argument('<group>')
    .argument('<topic>')
    .addOption(
      new Option('--to <PLACE>', 'first, last, or a time')
        .argParser(parseFrom)
        .conflicts('toOffset'),
    )
    .addOption(
      new Option('--to-offset <N>', 'the next message to consume, in every queue chosen').argParser(
        parseCount(0),
      ),
    )
    .action(action(resetOffsets));
  withConfirmation(withServers(offset.command('set')))
    .description('move a group in one queue')
    .argument('<group>')
    .argument('<topic>')
    .addOption(
      new Option('--queue <N>', 'the queue')
        .argParser(parseCount(0, QUEUE_ID_MAX))
        .makeOptionMandatory(),
    )
    .option('--broker <NAME>', 'of this broker, where several have the topic')
    .addOption(
      new Option('--to-offset <N>', 'the next message to consume')
        .argParser(parseCount(0))
        .makeOptionMandatory(),
    )
    .action(action(resetOffsets));
  withConfirmation(withServers(offset.command('clone')))
    .description('give a group the offsets of another')
    .argument('<from>', 'group that has them')
    .argument('<to>', 'group that gets them')
    .option('--topic <TOPIC>', 'in this topic alone')
    .action(action(cloneOffsets));
}

interface TargetOptions {
  to?: 'first' | 'last' | Date;
  toOffset?: number;
}

function withQueues(command: Command): Command {
  return command
    .addOption(
      new Option('--queue <N>', 'in this queue alone').argParser(parseCount(0, QUEUE_ID_MAX)),
    )
    .option('--broker <NAME>', 'in the queues of this broker alone');
}

const offsetColumns = [
  { title: 'BROKER', text: ({ brokerName }: QueueOffset) => brokerName },
  { title: 'QUEUE', align: 'right' as const, text: ({ queueId }: QueueOffset) => queueId },
  { title: 'OFFSET', align: 'right' as const, text: ({ offset }: QueueOffset) => offset },
  { title: 'MIN', align: 'right' as const, text: ({ minOffset }: QueueOffset) => minOffset },
  { title: 'MAX', align: 'right' as const, text: ({ maxOffset }: QueueOffset) => maxOffset },
];

async function showOffsets(
  context: CommandContext,
  [group, topic]: readonly string[],
): Promise<void> {
  const admin = await context.admin();
  await context.watch(async () => {
    const queues = await admin.offsets(group, topic);
    const { lines } = viewOf(queues, offsetColumns, `topic ${topic} has no queue to read`);
    return { objects: [{ group, topic, queues }], lines };
  });
}

async function resetOffsets(
  context: CommandContext,
  [group, topic]: readonly string[],
  options: QueueOptions & TargetOptions,
): Promise<number | void> {
  const { to, toOffset, broker, queue: queueId } = options;
  const target: OffsetTarget | undefined = toOffset === undefined ? to : { offset: toOffset };
  if (target === undefined)
    throw new UsageError(
      'where to go is not given: --to first, --to last, --to TIME or --to-offset N',
    );
  const admin = await context.admin();
  const queues = (await admin.offsets(group, topic)).filter(
    (queue) =>
      (broker === undefined || queue.brokerName === broker) &&
      (queueId === undefined || queue.queueId === queueId),
  );
  const { members } = await admin.groupMembers(group);
  const online = members.length === 0 ? '' : ` Its ${members.length} members online go on there.`;
  const which = queueId === undefined ? `${queues.length} queues` : `queue ${queueId}`;
  const what = `This moves group ${group} in ${which} of topic ${topic} to ${targetText(target)}.${online}`;
  if (!(await context.confirm(what))) return notDone(context);
  const reset = await admin.resetOffset(group, topic, target, { broker, queueId });
  await context.printOne(reset, tableLines(reset.queues, moveColumns));
}

function targetText(target: OffsetTarget): string {
  if (target === 'first') return 'the first message';
  if (target === 'last') return 'the end, past all messages';
  if (target instanceof Date) return `the messages from ${target.toISOString()} on`;
  return `offset ${target.offset}`;
}

const moveColumns = [
  { title: 'TOPIC', text: ({ topic }: OffsetMove) => topic },
  { title: 'BROKER', text: ({ brokerName }: OffsetMove) => brokerName },
  { title: 'QUEUE', align: 'right' as const, text: ({ queueId }: OffsetMove) => queueId },
  { title: 'BEFORE', align: 'right' as const, text: ({ before }: OffsetMove) => before },
  { title: 'AFTER', align: 'right' as const, text: ({ after }: OffsetMove) => after },
];

async function cloneOffsets(
  context: CommandContext,
  [from, to]: readonly string[],
  { topic }: { topic?: string },
): Promise<number | void> {
  const admin = await context.admin();
  const progress = await admin.groupProgress(from, topic);
  const topics = [...new Set(progress.queues.map((queue) => queue.topic))].filter(
    (name) => !name.startsWith('%'),
  );
  const where = topics.length === 0 ? 'no topic' : topics.join(', ');
  const what = `This moves group ${to} to the offsets of group ${from} in ${where}.`;
  if (!(await context.confirm(what))) return notDone(context);
  const resets = await admin.cloneOffsets(from, to, topic);
  const queues = resets.flatMap((reset) => reset.queues);
  await context.printOne({ from, group: to, queues }, tableLines(queues, moveColumns));
}
