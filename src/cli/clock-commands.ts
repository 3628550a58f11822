/**
 * @agent any
 *
 * `millrace clock advance`: moves the clock of a broker that a test has started with a virtual one.
 */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { parseDuration } from './argument-values.ts';
import { action, type CommandContext, withServers } from './command-context.ts';
import { UsageError } from './command-errors.ts';

export function addClockCommands(program: Command, description: string): void {
  const clock = program.command('clock', { hidden: true }).description(description);
  withServers(clock.command('advance'))
    .description('let time pass, from one due time to the next')
    .argument('<duration>', 'such as 30m')
    .action(action(advance));
}

async function advance(context: CommandContext, [text]: readonly string[]): Promise<void> {
  const ms = durationOf(text);
  const admin = await context.admin();
  const { wallMs } = await admin.advanceClock(ms);
  await context.printOne({ advancedMs: ms, wallMs }, [
    `the broker's clock is at ${new Date(wallMs).toISOString()}`,
  ]);
}

function durationOf(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof InvalidArgumentError)
      throw new UsageError(`${JSON.stringify(text)} can not be used: ${error.message}`);
    throw error;
  }
}
