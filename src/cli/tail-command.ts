/**
 * @agent any
 *
 * `millrace tail`: the messages of a topic as they come. Nobody joins a group, so no offset moves and
 * every viewer sees everything.
 */
import { type Command, Option } from 'commander';
import { parseCount, parseFrom } from './argument-values.ts';
import { action, type CommandContext, withServers } from './command-context.ts';
import { countText, printJson, printLine } from './command-output.ts';
import { messageLine, messageObject } from './message-output.ts';

interface TailOptions {
  from: 'first' | 'last' | Date;
  tags?: string;
  sql?: string;
  count?: number;
}

const examples = `
Examples:
  millrace tail orders                       what comes from now on
  millrace tail orders --from -5m --tags "created || paid"
  millrace tail orders --sql "amount > 100" --json | jq .body`;

export function addTailCommand(program: Command, description: string): void {
  withFilter(withServers(program.command('tail')))
    .description(description)
    .argument('<topic>')
    .addOption(
      new Option('--from <PLACE>', 'last for what comes from now on, first, or a time')
        .argParser(parseFrom)
        .default('last'),
    )
    .addOption(new Option('--count <N>', 'end after so many').argParser(parseCount(1)))
    .addHelpText('after', examples)
    .action(action(tail));
}

export function withFilter(command: Command): Command {
  return command
    .addOption(new Option('--tags <TAGS>', 'with one of these tags: "a || b"').conflicts('sql'))
    .option('--sql <EXPRESSION>', 'whose properties make this SQL92 expression true');
}

export function filterOf({
  tags,
  sql,
}: {
  tags?: string;
  sql?: string;
}): string | { sql: string } | undefined {
  return sql === undefined ? tags : { sql };
}

async function tail(
  context: CommandContext,
  [topic]: readonly string[],
  options: TailOptions,
): Promise<void> {
  const admin = await context.admin();
  const view = admin.follow(topic, {
    from: options.from,
    filter: filterOf(options),
    signal: context.interruption.signal,
    onReady: (queueCount) => {
      if (process.stderr.isTTY)
        process.stderr.write(`${queueCount} queues of topic ${topic}; Ctrl-C ends\n`);
    },
    onError: (error) => process.stderr.write(`millrace: ${error.message}; trying again\n`),
  });
  let count = 0;
  for await (const message of view) {
    if (context.isJson) await printJson(messageObject(message));
    else await printLine(messageLine(message));
    if (++count === options.count) break;
  }
  if (process.stderr.isTTY) process.stderr.write(`${countText(count)} messages seen\n`);
}
