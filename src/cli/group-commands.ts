/**
 * @agent any
 *
 * `millrace group`: which consumer groups there are, how far they are, who is in them, and making and
 * deleting them.
 */
import { type Command, Option } from 'commander';
import {
  type GroupMember,
  type GroupOnBroker,
  type GroupSummary,
  groupTopics,
  type QueueProgress,
} from '../client/admin-groups.ts';
import type { Admin } from '../client/admin.ts';
import { ClientError } from '../client/client-error.ts';
import { parseCount } from './argument-values.ts';
import {
  action,
  type CommandContext,
  viewOf,
  withConfirmation,
  withServers,
  withWatch,
} from './command-context.ts';
import { countText, tableLines, timeText } from './command-output.ts';
import { notDone, withBrokers } from './topic-commands.ts';

interface BrokerOptions {
  broker?: string;
  cluster?: string;
}

const RETRY_COUNT_MAX = 10_000;
const QUEUE_COUNT_MAX = 65_536;
/** A guess: groups asked for their members at once. */
const GROUPS_AT_ONCE = 8;

const examples = `
Examples:
  millrace group list                                  how far behind each is, and its members
  millrace group progress stock --watch 5
  millrace group progress stock --topic orders --json
  millrace group members stock
  millrace group create stock --retries 5
  millrace group delete stock --yes`;

export function addGroupCommands(program: Command, description: string): void {
  const group = program.command('group').description(description).addHelpText('after', examples);
  withWatch(withBrokers(withServers(group.command('list'))))
    .description('consumer groups, by name')
    .option('--system', 'also those of the system')
    .action(action(listGroups));
  withBrokers(withServers(group.command('create')))
    .description('make a consumer group, on every broker unless said')
    .argument('<group>', 'its name: letters, digits, _ - % |')
    .addOption(
      new Option('--retries <N>', 'deliveries after the first, before a message is a dead letter')
        .argParser(parseCount(0, RETRY_COUNT_MAX))
        .default(16),
    )
    .addOption(
      new Option('--retry-queues <N>', 'queues of its retry topic; with 0 what fails is dropped')
        .argParser(parseCount(0, QUEUE_COUNT_MAX))
        .default(1),
    )
    .option('--order', 'it consumes in order')
    .option('--no-broadcast', 'its members may not consume by broadcast')
    .action(action(createGroup));
  withConfirmation(withBrokers(withServers(group.command('delete'))))
    .description('delete a consumer group, its offsets, its retries and its dead letters')
    .argument('<group>')
    .action(action(deleteGroup));
  withWatch(withServers(group.command('progress')))
    .description('how far a group is in each queue')
    .argument('<group>')
    .option('--topic <TOPIC>', 'in this topic alone')
    .action(action(showProgress));
  withWatch(withServers(group.command('members')))
    .description('who is in a group now, and what it subscribes to')
    .argument('<group>')
    .action(action(showMembers));
}

interface CreateOptions {
  retries: number;
  retryQueues: number;
  order?: boolean;
  broadcast: boolean;
}

type ListedGroup = GroupSummary & { memberCount: number; model: string | null };

const groupColumns = [
  { title: 'GROUP', text: ({ group }: ListedGroup) => group },
  {
    title: 'MEMBERS',
    align: 'right' as const,
    text: ({ memberCount }: ListedGroup) => memberCount,
  },
  {
    title: 'BEHIND',
    align: 'right' as const,
    text: ({ behind }: ListedGroup) => countText(behind),
  },
  { title: 'MODEL', text: ({ model }: ListedGroup) => model?.toLowerCase() ?? null },
  {
    title: 'BROKERS',
    text: ({ brokers }: ListedGroup) => brokers.map(({ brokerName }) => brokerName).join(','),
  },
];

async function listGroups(
  context: CommandContext,
  _operands: readonly string[],
  { system: includeSystem, broker, cluster }: BrokerOptions & { system?: boolean },
): Promise<void> {
  const admin = await context.admin();
  await context.watch(async () => {
    const groups = await admin.groups({ includeSystem, broker, cluster });
    return viewOf(await withMembers(admin, groups), groupColumns, 'no consumer groups');
  });
}

async function withMembers(admin: Admin, groups: readonly GroupSummary[]): Promise<ListedGroup[]> {
  const listed: ListedGroup[] = [];
  for (let at = 0; at < groups.length; at += GROUPS_AT_ONCE) {
    const some = groups
      .slice(at, at + GROUPS_AT_ONCE)
      .map(async (group): Promise<ListedGroup[]> => {
        try {
          const { members, model } = await admin.groupMembers(group.group);
          return [{ ...group, memberCount: members.length, model }];
        } catch (error) {
          // It was deleted in between.
          if (ClientError.is(error) && error.code === 'GROUP_NOT_FOUND') return [];
          throw error;
        }
      });
    listed.push(...(await Promise.all(some)).flat());
  }
  return listed;
}

async function createGroup(
  context: CommandContext,
  [group]: readonly string[],
  options: BrokerOptions & CreateOptions,
): Promise<void> {
  const admin = await context.admin();
  const made = await admin.createGroup(group, {
    retryMax: options.retries,
    retryQueueCount: options.retryQueues,
    isOrdered: options.order,
    mayBroadcast: options.broadcast,
    broker: options.broker,
    cluster: options.cluster,
  });
  const lines = tableLines(made.brokers, [
    { title: 'BROKER', text: ({ brokerName }: GroupOnBroker) => brokerName },
    { title: 'RETRIES', align: 'right', text: ({ retryMax }) => retryMax },
    { title: 'RETRY QUEUES', align: 'right', text: ({ retryQueueCount }) => retryQueueCount },
    { title: 'ORDER', text: ({ isOrdered }) => (isOrdered ? 'yes' : 'no') },
    { title: 'BROADCAST', text: ({ mayBroadcast }) => (mayBroadcast ? 'yes' : 'no') },
  ]);
  await context.printOne(made, [`made group ${group}`, ...lines]);
}

async function deleteGroup(
  context: CommandContext,
  [group]: readonly string[],
  options: BrokerOptions,
): Promise<number | void> {
  const admin = await context.admin();
  // First whether it is there: a broker may make the topic of its retries when it is asked for.
  const progress = await admin.groupProgress(group);
  const [members, ...counts] = await Promise.all([
    admin.groupMembers(group),
    ...groupTopics(group).map((topic) => messageCountOf(admin, topic)),
  ]);
  const topics = [...new Set(progress.queues.map(({ topic }) => topic))].filter(
    (topic) => !topic.startsWith('%'),
  );
  const [retryCount, deadLetterCount] = counts;
  const offsets = topics.length === 0 ? 'no offsets' : `its offsets in ${topics.join(', ')}`;
  const online =
    members.members.length === 0
      ? ''
      : ` It has ${members.members.length} members online, which would make it anew.`;
  const what = `This deletes group ${group}: ${offsets}, ${countText(retryCount)} messages for retries and ${countText(deadLetterCount)} dead letters.${online}`;
  if (!(await context.confirm(what))) return notDone(context);
  const deleted = await admin.deleteGroup(group, options);
  await context.printOne({ ...deleted, topics, deadLetterCount }, [
    `deleted group ${group} on ${deleted.brokers.join(', ')}`,
  ]);
}

async function messageCountOf(admin: Admin, topic: string): Promise<number> {
  try {
    return (await admin.topicStatus(topic)).messageCount;
  } catch (error) {
    if (ClientError.is(error) && error.code === 'TOPIC_NOT_FOUND') return 0;
    throw error;
  }
}

const progressColumns = [
  { title: 'TOPIC', text: ({ topic }: QueueProgress) => topic },
  { title: 'BROKER', text: ({ brokerName }: QueueProgress) => brokerName },
  { title: 'QUEUE', align: 'right' as const, text: ({ queueId }: QueueProgress) => queueId },
  {
    title: 'CONSUMED',
    align: 'right' as const,
    text: ({ consumerOffset }: QueueProgress) => consumerOffset,
  },
  {
    title: 'END',
    align: 'right' as const,
    text: ({ brokerOffset }: QueueProgress) => brokerOffset,
  },
  { title: 'BEHIND', align: 'right' as const, text: ({ behind }: QueueProgress) => behind },
  { title: 'LAST', text: ({ lastConsumedMs }: QueueProgress) => timeText(lastConsumedMs) },
];

async function showProgress(
  context: CommandContext,
  [group]: readonly string[],
  { topic }: { topic?: string },
): Promise<void> {
  const admin = await context.admin();
  await context.watch(async () => {
    const progress = await admin.groupProgress(group, topic);
    const rate = `${progress.consumeTps.toFixed(1)}/s in the last minute`;
    const sum = `${countText(progress.behind)} behind, ${rate}`;
    const table = tableLines(progress.queues, progressColumns);
    const lines =
      progress.queues.length === 0 ? [`group ${group} has consumed nothing`] : [...table, sum];
    return { objects: [progress], lines };
  });
}

async function showMembers(context: CommandContext, [group]: readonly string[]): Promise<void> {
  const admin = await context.admin();
  await context.watch(async () => {
    const found = await admin.groupMembers(group);
    if (!found.isOnline) return { objects: [found], lines: [`nobody of group ${group} is online`] };
    const members = tableLines(found.members, [
      { title: 'CLIENT', text: ({ clientId }: GroupMember) => clientId },
      { title: 'ADDRESS', text: ({ address }) => address },
      { title: 'LANGUAGE', text: ({ language }) => language },
      { title: 'VERSION', align: 'right', text: ({ version }) => version },
    ]);
    const subscriptions = tableLines(found.subscriptions, [
      { title: 'TOPIC', text: ({ topic }) => topic },
      { title: 'FILTER', text: ({ type }) => type },
      { title: 'EXPRESSION', text: ({ expression }) => expression },
    ]);
    const kind = `${found.model?.toLowerCase() ?? ''}, ${found.type?.toLowerCase() ?? ''}, ${found.from?.toLowerCase() ?? ''}`;
    return { objects: [found], lines: [...members, '', ...subscriptions, '', kind] };
  });
}
