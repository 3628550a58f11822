/**
 * @agent any
 *
 * `millrace topic`: which topics there are, what is in them and where, and making, changing and
 * deleting them.
 */
import { type Command, Option } from 'commander';
import type {
  QueueStatus,
  TopicKind,
  TopicOnBroker,
  TopicPermission,
  TopicSummary,
} from '../client/admin-topics.ts';
import { parseCount, parseNamed } from './argument-values.ts';
import {
  action,
  type CommandContext,
  viewOf,
  withConfirmation,
  withServers,
  withWatch,
} from './command-context.ts';
import { UsageError } from './command-errors.ts';
import { countText, tableLines, timeText } from './command-output.ts';

interface SettingOptions {
  queues?: number;
  readQueues?: number;
  writeQueues?: number;
  perm?: TopicPermission;
  order?: boolean;
  attribute?: Record<string, string>;
  broker?: string;
  cluster?: string;
}

interface ListOptions {
  system?: boolean;
  all?: boolean;
  broker?: string;
  cluster?: string;
}

const QUEUE_COUNT_MAX = 65_536;

const examples = `
Examples:
  millrace topic list                                  without those of retries, dead letters and the system
  millrace topic create orders --queues 4
  millrace topic create ledger --queues 1 --order
  millrace topic update orders --perm r                takes no more messages
  millrace topic status orders --watch
  millrace topic delete orders --yes`;

export function addTopicCommands(program: Command, description: string): void {
  const topic = program.command('topic').description(description).addHelpText('after', examples);
  withWatch(withBrokers(withServers(topic.command('list'))))
    .description('topics, by name')
    .option('--all', 'also those of retries and dead letters')
    .option('--system', 'also those of the system')
    .action(action(listTopics));
  withSettings(withServers(topic.command('create')))
    .description('make a topic, on every broker unless said')
    .argument('<topic>', 'its name: letters, digits, _ - % |')
    .action(action(createTopic));
  withSettings(withServers(topic.command('update')))
    .description('change what is given, and leave the rest')
    .argument('<topic>')
    .action(action(updateTopic));
  withConfirmation(withBrokers(withServers(topic.command('delete'))))
    .description('delete a topic, its messages and the offsets of its groups')
    .argument('<topic>')
    .action(action(deleteTopic));
  withWatch(withServers(topic.command('route')))
    .description('brokers and queues, as the name server tells clients')
    .argument('<topic>')
    .action(action(showRoute));
  withWatch(withServers(topic.command('status')))
    .description('what is in each queue')
    .argument('<topic>')
    .action(action(showStatus));
}

export function withBrokers(command: Command): Command {
  return command
    .option('--broker <NAME>', 'on this broker alone')
    .option('--cluster <NAME>', 'on the brokers of this cluster alone');
}

function withSettings(command: Command): Command {
  const queues = parseCount(0, QUEUE_COUNT_MAX);
  return withBrokers(command)
    .addOption(new Option('--queues <N>', 'queues on each broker').argParser(queues))
    .addOption(new Option('--read-queues <N>', 'queues that consumers read').argParser(queues))
    .addOption(new Option('--write-queues <N>', 'queues that producers send to').argParser(queues))
    .addOption(
      new Option('--perm <PERM>', 'what it lets do: read and write, one, or nothing').choices([
        'rw',
        'r',
        'w',
        '-',
      ]),
    )
    .option('--order', 'its queues are fixed, for messages in order')
    .option('--no-order', 'its queues are not fixed')
    .addOption(
      new Option(
        '--attribute <NAME=VALUE>',
        'such as message.type=FIFO; may be given again',
      ).argParser(parseNamed),
    );
}

const isListed = (kind: TopicKind, options: ListOptions): boolean =>
  kind === 'normal' || (kind === 'system' ? options.system === true : options.all === true);

async function listTopics(
  context: CommandContext,
  _operands: readonly string[],
  options: ListOptions,
): Promise<void> {
  const admin = await context.admin();
  await context.watch(async () => {
    const { broker, cluster } = options;
    const all = await admin.topics({ includeSystem: options.system, broker, cluster });
    const topics = all.filter(({ kind }) => isListed(kind, options));
    return viewOf(topics, topicColumns, 'no topics');
  });
}

const topicColumns = [
  { title: 'TOPIC', text: ({ topic }: TopicSummary) => topic },
  { title: 'KIND', text: ({ kind }: TopicSummary) => kind },
  {
    title: 'QUEUES',
    align: 'right' as const,
    text: ({ brokers }: TopicSummary) =>
      brokers.reduce(
        (sum, { readQueueCount, writeQueueCount }) =>
          sum + Math.max(readQueueCount, writeQueueCount),
        0,
      ),
  },
  {
    title: 'PERM',
    text: ({ brokers }: TopicSummary) =>
      [...new Set(brokers.map(({ permission }) => permission))].join(','),
  },
  {
    title: 'ORDER',
    text: ({ brokers }: TopicSummary) =>
      brokers.some(({ isOrdered }) => isOrdered) ? 'yes' : 'no',
  },
  {
    title: 'BROKERS',
    text: ({ brokers }: TopicSummary) => brokers.map(({ brokerName }) => brokerName).join(','),
  },
];

const settingColumns = [
  { title: 'BROKER', text: ({ brokerName }: TopicOnBroker) => brokerName },
  {
    title: 'READ',
    align: 'right' as const,
    text: ({ readQueueCount }: TopicOnBroker) => readQueueCount,
  },
  {
    title: 'WRITE',
    align: 'right' as const,
    text: ({ writeQueueCount }: TopicOnBroker) => writeQueueCount,
  },
  { title: 'PERM', text: ({ permission }: TopicOnBroker) => permission },
  { title: 'ORDER', text: ({ isOrdered }: TopicOnBroker) => (isOrdered ? 'yes' : 'no') },
  {
    title: 'ATTRIBUTES',
    text: ({ attributes }: TopicOnBroker) =>
      Object.entries(attributes)
        .map(([name, value]) => `${name}=${value}`)
        .join(',') || null,
  },
];

function settingsOf(options: SettingOptions): {
  queueCount: number | undefined;
  readQueueCount: number | undefined;
  writeQueueCount: number | undefined;
  permission: TopicPermission | undefined;
  isOrdered: boolean | undefined;
  attributes: Record<string, string> | undefined;
  broker: string | undefined;
  cluster: string | undefined;
} {
  return {
    queueCount: options.queues,
    readQueueCount: options.readQueues,
    writeQueueCount: options.writeQueues,
    permission: options.perm,
    isOrdered: options.order,
    attributes: options.attribute,
    broker: options.broker,
    cluster: options.cluster,
  };
}

async function createTopic(
  context: CommandContext,
  [topic]: readonly string[],
  options: SettingOptions,
): Promise<void> {
  const admin = await context.admin();
  const made = await admin.createTopic(topic, settingsOf(options));
  await context.printOne(made, [
    `made topic ${topic}`,
    ...tableLines(made.brokers, settingColumns),
  ]);
}

async function updateTopic(
  context: CommandContext,
  [topic]: readonly string[],
  options: SettingOptions,
): Promise<void> {
  const { broker: _broker, cluster: _cluster, ...settings } = settingsOf(options);
  if (Object.values(settings).every((value) => value === undefined))
    throw new UsageError(
      'nothing to change is given: --queues, --read-queues, --write-queues, --perm, --order or --attribute',
    );
  const admin = await context.admin();
  const changed = await admin.updateTopic(topic, settingsOf(options));
  await context.printOne(changed, [
    `changed topic ${topic}`,
    ...tableLines(changed.brokers, settingColumns),
  ]);
}

async function deleteTopic(
  context: CommandContext,
  [topic]: readonly string[],
  options: { broker?: string; cluster?: string },
): Promise<number | void> {
  const admin = await context.admin();
  const { queues } = await admin.topicStatus(topic);
  const touched = queues.filter(
    ({ brokerName }) => options.broker === undefined || options.broker === brokerName,
  );
  const messageCount = touched.reduce((sum, queue) => sum + queue.messageCount, 0);
  const brokers = [...new Set(touched.map(({ brokerName }) => brokerName))].join(', ');
  const what = `This deletes topic ${topic} on ${brokers}: ${countText(touched.length)} queues with ${countText(messageCount)} messages, and what groups have consumed of them.`;
  if (!(await context.confirm(what))) return notDone(context);
  const deleted = await admin.deleteTopic(topic, options);
  await context.printOne({ ...deleted, messageCount }, [
    `deleted topic ${topic} on ${deleted.brokers.join(', ')}`,
  ]);
}

/** Somebody said no. */
export function notDone(_context: CommandContext): number {
  process.stderr.write('nothing was done\n');
  return 1;
}

async function showRoute(context: CommandContext, [topic]: readonly string[]): Promise<void> {
  const admin = await context.admin();
  await context.watch(async () => {
    const route = await admin.topicRoute(topic);
    const rows = route.queues.map((queues) => {
      const broker = route.brokers.find(({ brokerName }) => brokerName === queues.brokerName);
      const addresses = Object.entries(broker?.addresses ?? {});
      const text = addresses.map(([id, address]) => (id === '0' ? address : `${address} (${id})`));
      return { ...queues, cluster: broker?.cluster ?? null, addresses: text.join(' ') };
    });
    const lines = tableLines(rows, [
      { title: 'BROKER', text: ({ brokerName }) => brokerName },
      { title: 'CLUSTER', text: ({ cluster }) => cluster },
      { title: 'ADDRESS', text: ({ addresses }) => addresses || null },
      { title: 'READ', align: 'right', text: ({ readQueueCount }) => readQueueCount },
      { title: 'WRITE', align: 'right', text: ({ writeQueueCount }) => writeQueueCount },
      { title: 'PERM', text: ({ permission }) => permission },
    ]);
    if (route.orderConfig !== null) lines.push(`ordered: ${route.orderConfig}`);
    return { objects: [route], lines };
  });
}

const statusColumns = [
  { title: 'BROKER', text: ({ brokerName }: QueueStatus) => brokerName },
  { title: 'QUEUE', align: 'right' as const, text: ({ queueId }: QueueStatus) => queueId },
  { title: 'MIN', align: 'right' as const, text: ({ minOffset }: QueueStatus) => minOffset },
  { title: 'MAX', align: 'right' as const, text: ({ maxOffset }: QueueStatus) => maxOffset },
  {
    title: 'MESSAGES',
    align: 'right' as const,
    text: ({ messageCount }: QueueStatus) => messageCount,
  },
  { title: 'LAST', text: ({ lastMessageMs }: QueueStatus) => timeText(lastMessageMs) },
];

async function showStatus(context: CommandContext, [topic]: readonly string[]): Promise<void> {
  const admin = await context.admin();
  await context.watch(async () => {
    const status = await admin.topicStatus(topic);
    const rate = `${status.putTps.toFixed(1)}/s in the last minute`;
    const sum = `${countText(status.messageCount)} messages in ${status.queues.length} queues, ${rate}`;
    return { objects: [status], lines: [...tableLines(status.queues, statusColumns), sum] };
  });
}
