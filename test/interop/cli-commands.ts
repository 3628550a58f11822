/**
 * The commands of `millrace`, asked the same of a broker of each kind: what they print as JSON, and how
 * they end, must be the same, but for the differences listed here.
 */
import { execFile } from 'node:child_process';
import path from 'node:path';

export interface CommandBroker {
  nameServer: string;
  brokerName: string;
}

export interface Printed {
  readonly command: string;
  readonly exitCode: number;
  /** One for each object, without what differs from run to run. */
  readonly lines: readonly string[];
}

interface Step {
  /** `{id}`, `{uniqueKey}`: of the first message. */
  readonly command: string;
  readonly input?: string;
  /** Asked again until it ends well: an index, or a copy of a table, is written a moment later. */
  readonly isAwaited?: true;
}

const main = path.join(import.meta.dirname, '../../src/cli/main.ts');
const STEP_TIMEOUT_MS = 60_000;
const AWAIT_MS = 20_000;

const steps: readonly (string | Step)[] = [
  'topic create Commands --queues 1',
  'topic create Commands',
  'topic create CommandsPair --queues 2 --attribute message.type=NORMAL',
  'topic create CommandsOrdered --queues 1 --order',
  'topic create a.b',
  'topic list',
  'topic list --system',
  'topic route Commands',
  'topic route Nowhere',
  'topic update CommandsPair --read-queues 3',
  'topic update CommandsOrdered --no-order',
  'topic update Nowhere --perm r',
  'send Commands first --key key-1 --key key-2 --tag TagA --property amount=5',
  { command: 'send Commands', input: 'second\nthird\n' },
  { command: 'send Commands --batch 2', input: 'fourth\nfifth\n' },
  'send CommandsPair load --count 100 --concurrency 8',
  'topic status Commands',
  'topic status Nowhere',
  { command: 'query key Commands key-2', isAwaited: true },
  { command: 'query unique-key Commands {uniqueKey}', isAwaited: true },
  'query id {id}',
  'query key Commands key-3',
  'query offset Commands --queue 0 --offset 1 --count 3',
  'query offset Commands --queue 0 --offset 99',
  'query offset Commands --queue 7 --offset 0',
  'query time Commands --from -1h',
  'query time Commands --to 2001-01-01',
  'tail Commands --from first --count 5',
  'tail Commands --from first --count 1 --tags TagA',
  'tail Nowhere',
  'group create commands-made --retries 3',
  'group create commands-made',
  'group progress commands-made',
  'group members commands-made',
  'group progress nobody',
  'consume Commands --group commands-all --from first --count 5',
  'group progress commands-all --topic Commands',
  'group list',
  'offset get commands-all Commands',
  'offset get commands-made Commands',
  'offset reset commands-all Commands --to first --yes',
  'consume Commands --group commands-all --count 5',
  'offset set commands-all Commands --queue 0 --to-offset 3 --yes',
  'offset set commands-all Commands --queue 0 --to-offset 99 --yes',
  'offset reset commands-all Commands --to -1h --yes',
  'offset reset commands-all Commands --to last --yes',
  'offset clone commands-all commands-copy --topic Commands --yes',
  'offset get commands-copy Commands',
  'offset reset nobody Commands --to last --yes',
  'offset reset commands-all Commands --to last',
  'topic create CommandsTimed --queues 1',
  'send CommandsTimed later --delay 3s',
  'tail CommandsTimed --from first --count 1',
  'send CommandsTimed leveled --delay-level 1',
  'consume CommandsTimed --group commands-timed --from first --count 2',
  'topic update Commands --perm r',
  'send Commands refused',
  'clock advance 1s',
  'group delete commands-all --yes',
  'group delete commands-all --yes',
  'topic delete Commands --yes',
  'topic delete Commands --yes',
  'topic list',
];

/** What each command prints, in the order of the commands. */
export async function commandOutputs(broker: CommandBroker): Promise<Printed[]> {
  const printed: Printed[] = [];
  const names = new Map<string, string>();
  for (const entry of steps) {
    const step: Step = typeof entry === 'string' ? { command: entry } : entry;
    const command = step.command.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
      const value = names.get(name);
      if (value === undefined) throw new Error(`${step.command}: nothing has told ${name}`);
      return value;
    });
    const ended = await awaited(broker, command, step);
    const objects = ended.output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    if (command.startsWith('send Commands first')) {
      names.set('id', String(objects[0]?.['offsetMessageId']));
      names.set('uniqueKey', String(objects[0]?.['messageId']));
    }
    const lines = objects.map((object) =>
      JSON.stringify(object, (name, value: unknown) => plain(name, value)),
    );
    printed.push({ command: step.command, exitCode: ended.exitCode, lines });
  }
  return printed;
}

interface Ended {
  exitCode: number;
  output: string;
}

async function awaited(broker: CommandBroker, command: string, step: Step): Promise<Ended> {
  const deadline = Date.now() + AWAIT_MS;
  for (;;) {
    const ended = await run(broker, [...command.split(' '), '--json'], step.input ?? '');
    if (ended.exitCode === 0 || step.isAwaited !== true || Date.now() > deadline) return ended;
  }
}

function run(broker: CommandBroker, args: readonly string[], input: string): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, ...args],
      {
        timeout: STEP_TIMEOUT_MS,
        killSignal: 'SIGKILL',
        env: { PATH: process.env['PATH'], MILLRACE_SERVERS: broker.nameServer },
      },
      (error, output, errors) => {
        const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ exitCode, output: output + errors });
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Measured, or of this run: only that it is there is compared. */
const measured =
  /^(messageId|offsetMessageId|recallHandle|bornHost|rate|seconds|putTps|consumeTps|latencyMs|clientId)$/;

function plain(name: string, value: unknown): unknown {
  if (value === null) return null;
  if (measured.test(name)) return 'MEASURED';
  // In the order in which a broker adds its own.
  if (name === 'properties') return sorted(value as Record<string, string>);
  if (typeof value === 'number' && name.endsWith('Ms')) return 'TIME';
  if (typeof value !== 'string') return value;
  return value
    .replaceAll(/127\.0\.0\.1:\d+/g, 'ADDRESS')
    .replaceAll(/\b[0-9A-F]{32}\b/g, 'ID')
    .replaceAll(/\b1[78]\d{11}\b/g, 'TIME');
}

function sorted(fields: Readonly<Record<string, string>>): Record<string, string> {
  const names = Object.keys(fields).sort();
  return Object.fromEntries(names.map((name) => [name, String(plain(name, fields[name]))]));
}

interface Difference {
  /** How the command begins. */
  readonly command: string;
  /** Lines that are not compared. */
  readonly line: RegExp;
  readonly why: string;
}

/** Lines that must differ, or may; each with its reason. */
const differences: readonly Difference[] = [
  {
    command: 'topic create a.b',
    line: /illegal characters/,
    why: 'our broker repeats the name that it refuses',
  },
  {
    command: 'query offset Commands --queue 7',
    line: /queueId\[7\] is illegal/,
    why: 'the stock broker adds the address of who asks',
  },
];

/** @throws Error naming every line that only one of the brokers has, and differences that are none any more. */
export function compareCommands(theirs: readonly Printed[], ours: readonly Printed[]): string {
  const problems: string[] = [];
  const used = new Set<Difference>();
  let lineCount = 0;
  for (const [index, expected] of theirs.entries()) {
    const found = ours[index];
    const { command } = expected;
    const isCompared = (line: string): boolean => {
      const reasons = differences.filter(
        (one) => command.startsWith(one.command) && one.line.test(line),
      );
      for (const reason of reasons) used.add(reason);
      return reasons.length === 0;
    };
    if (found.exitCode !== expected.exitCode)
      problems.push(`${command}: exit code ${expected.exitCode}, ours ${found.exitCode}`);
    const left = expected.lines.filter(isCompared);
    const right = found.lines.filter(isCompared);
    for (const line of left)
      if (!right.includes(line)) problems.push(`${command}: not ours: ${line}`);
    for (const line of right)
      if (!left.includes(line)) problems.push(`${command}: only ours: ${line}`);
    if (left.length !== right.length)
      problems.push(`${command}: ${left.length} lines, ours ${right.length}`);
    lineCount += left.length;
  }
  for (const one of differences)
    if (!used.has(one)) problems.push(`no difference any more: ${one.command} ${String(one.line)}`);
  if (problems.length > 0) throw new Error(`command line:\n${problems.join('\n')}`);
  return `${theirs.length} commands, ${lineCount} JSON lines the same as with Apache`;
}
