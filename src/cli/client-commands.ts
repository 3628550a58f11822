/**
 * @agent any
 *
 * The commands that are clients of a broker, each in a file that is loaded when it is called, so that
 * starting a broker does not wait for them. The others are known by name and description alone.
 */
import nodeModule from 'node:module';
import type { Command } from 'commander';

interface ClientCommand {
  readonly name: string;
  readonly description: string;
  /** Not told in the help: for tests. */
  readonly isHidden?: true;
  readonly load: () => Promise<(program: Command, description: string) => void>;
}

const clientCommands: readonly ClientCommand[] = [
  {
    name: 'topic',
    description: 'topics: list, create, update, delete, route, status',
    load: async () => (await import('./topic-commands.ts')).addTopicCommands,
  },
  {
    name: 'group',
    description: 'consumer groups: list, create, delete, progress, members',
    load: async () => (await import('./group-commands.ts')).addGroupCommands,
  },
  {
    name: 'offset',
    description: 'offsets of consumer groups: get, reset, set, clone',
    load: async () => (await import('./offset-commands.ts')).addOffsetCommands,
  },
  {
    name: 'send',
    description: 'send messages: one, lines, or a load',
    load: async () => (await import('./send-command.ts')).addSendCommand,
  },
  {
    name: 'consume',
    description: 'consume messages as a member of a group',
    load: async () => (await import('./consume-command.ts')).addConsumeCommand,
  },
  {
    name: 'tail',
    description: 'watch the messages of a topic; no group is touched',
    load: async () => (await import('./tail-command.ts')).addTailCommand,
  },
  {
    name: 'query',
    description: 'find stored messages: id, key, unique-key, offset, time',
    load: async () => (await import('./query-commands.ts')).addQueryCommands,
  },
  {
    name: 'doctor',
    description: 'say what is wrong with a broker and its store, and what to do',
    load: async () => (await import('./doctor-command.ts')).addDoctorCommand,
  },
  {
    name: 'clock',
    description: 'the clock of a broker under test: advance',
    isHidden: true,
    load: async () => (await import('./clock-commands.ts')).addClockCommands,
  },
  {
    name: 'completion',
    description: 'print a script that completes commands, for bash or zsh',
    load: async () => (await import('./completion-command.ts')).addCompletionCommand,
  },
];

/** Those that look at the tree of all commands. */
const needAll: ReadonlySet<string> = new Set(['completion', '__complete']);

/** Adds all: whole where the command line may mean them, by name otherwise. */
export async function addClientCommands(
  program: Command,
  commandLine: readonly string[],
): Promise<void> {
  const isAll = needAll.has(commandLine[0]);
  const meant = new Set(
    commandLine[0] === 'help' ? commandLine.slice(1, 2) : commandLine.slice(0, 1),
  );
  // Node 22.8 and newer keep compiled code beside temporary files: 0.15 s of CPU for a command, not 0.55.
  if (isAll || clientCommands.some(({ name }) => meant.has(name)))
    nodeModule.enableCompileCache?.();
  for (const { name, description, isHidden, load } of clientCommands) {
    if (isAll || meant.has(name)) (await load())(program, description);
    else program.command(name, { hidden: isHidden === true }).description(description);
  }
}
