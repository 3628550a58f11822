/**
 * @agent any
 *
 * What every client command has: where to ask, how to print, and how it ends. A command is given its
 * context and returns; trouble is thrown, and said here.
 */
import { createInterface } from 'node:readline/promises';
import { type Command, Option } from 'commander';
import type { Admin } from '../client/admin.ts';
import { parseCount, parsePositiveDuration } from './argument-values.ts';
import {
  clientSecurity,
  type ClientSecurity,
  type SecurityOptions,
  withSecurity,
} from './client-security.ts';
import { ExitCode, failureOf, UsageError } from './command-errors.ts';
import { type Column, printJson, printLine, tableLines } from './command-output.ts';
import { Interruption } from './interruption.ts';

export const DEFAULT_SERVERS = '127.0.0.1:9876';
const DEFAULT_TIMEOUT_MS = 5000;
const DEFAULT_WATCH_SECONDS = 2;
const CLEAR_SCREEN = '\x1b[H\x1b[2J\x1b[3J';

interface CommonOptions extends SecurityOptions {
  servers: string;
  json?: boolean;
  timeout: number;
  watch?: number | true;
  yes?: boolean;
}

/** What a status view prints: one object or many for programs, lines for people. */
export interface View {
  readonly objects: readonly object[];
  readonly lines: readonly string[];
}

export function withServers(command: Command): Command {
  return withSecurity(command)
    .addOption(
      new Option('--servers <LIST>', 'name servers (host:port;…), or a ws:// URL of a broker')
        .default(DEFAULT_SERVERS)
        .env('MILLRACE_SERVERS'),
    )
    .addOption(
      new Option('--timeout <DURATION>', 'for each request')
        .argParser(parsePositiveDuration)
        .default(DEFAULT_TIMEOUT_MS, '5s'),
    )
    .option('--json', 'print JSON: one object, or one a line');
}

export function withWatch(command: Command): Command {
  return command.addOption(
    new Option(
      '--watch [SECONDS]',
      'again and again: drawn anew on a terminal, else JSON lines',
    ).argParser(parseCount(1, 86_400)),
  );
}

export function withConfirmation(command: Command): Command {
  return command.option('--yes', 'do it without a question');
}

export class CommandContext {
  readonly servers: string;
  readonly isJson: boolean;
  readonly timeoutMs: number;
  readonly #options: CommonOptions;
  readonly #watch: number | true | undefined;
  readonly #isConfirmed: boolean;
  #admin: Admin | null = null;
  #interruption: Interruption | null = null;

  constructor(options: CommonOptions) {
    this.#options = options;
    this.servers = options.servers;
    this.timeoutMs = options.timeout;
    this.isJson = options.json === true;
    this.#watch = options.watch;
    this.#isConfirmed = options.yes === true;
  }

  /** Of those that end in order; any other command is ended by a signal at once. */
  get interruption(): Interruption {
    this.#interruption ??= new Interruption();
    return this.#interruption;
  }

  /** By whom requests are signed, and TLS. @throws UsageError */
  get security(): ClientSecurity {
    return clientSecurity(this.#options);
  }

  /** Loaded when a command first needs it. */
  async admin(): Promise<Admin> {
    const { Admin: Client } = await import('../client/index.ts');
    const { servers, timeoutMs, security } = this;
    const admin = this.#admin ?? new Client({ servers, timeoutMs, ...security });
    this.#admin = admin;
    return admin;
  }

  async close(): Promise<void> {
    await this.#admin?.close();
  }

  /** One thing, as an object or as lines. */
  async printOne(object: object, lines: readonly string[]): Promise<void> {
    if (this.isJson) await printJson(object);
    else for (const line of lines) await printLine(line);
  }

  async printView(view: View): Promise<void> {
    if (this.isJson) for (const object of view.objects) await printJson(object);
    else for (const line of view.lines) await printLine(line);
  }

  /** Once, or each few seconds until a signal comes; trouble in between is told and passed. */
  async watch(look: () => Promise<View>): Promise<void> {
    if (this.#watch === undefined) {
      await this.printView(await look());
      return;
    }
    const seconds = this.#watch === true ? DEFAULT_WATCH_SECONDS : this.#watch;
    const isDrawn = process.stdout.isTTY && !this.isJson;
    let hasLooked = false;
    while (!this.interruption.hasCome) {
      try {
        const view = await look();
        hasLooked = true;
        if (isDrawn) {
          const title = `every ${seconds} s, ${new Date().toISOString()}; Ctrl-C ends`;
          process.stdout.write(`${CLEAR_SCREEN}${title}\n\n${view.lines.join('\n')}\n`);
        } else {
          const timeMs = Date.now();
          for (const object of view.objects) await printJson({ timeMs, ...object });
        }
      } catch (error) {
        // What never worked is a mistake; what worked before may work again.
        const failure = failureOf(error, this.servers);
        if (failure === null || !hasLooked) throw error;
        process.stderr.write(`millrace: ${failure.message}\n`);
      }
      await this.interruption.pause(seconds * 1000);
    }
  }

  /** Asks on a terminal; elsewhere --yes must have said so. @throws UsageError */
  async confirm(what: string): Promise<boolean> {
    if (this.#isConfirmed) return true;
    if (!process.stdin.isTTY || !process.stderr.isTTY)
      throw new UsageError(`${what}\n  Nothing was done: add --yes to do it`);
    const asking = createInterface({ input: process.stdin, output: process.stderr });
    try {
      const answer = await asking.question(`${what}\nDo it? [y/N] `, {
        signal: this.interruption.signal,
      });
      return /^y(es)?$/i.test(answer.trim());
    } catch {
      return false;
    } finally {
      asking.close();
    }
  }
}

/** The action of a command: `body` gets its context, its operands and its flags. */
export function action(
  body: (
    context: CommandContext,
    operands: readonly string[],
    /** As the command declares them; commander knows no types. */
    options: never,
  ) => Promise<number | void>,
): (this: Command) => Promise<void> {
  return async function run(this: Command): Promise<void> {
    const options = this.opts<CommonOptions>();
    const context = new CommandContext(options);
    let exitCode: number = ExitCode.OK;
    try {
      exitCode = (await body(context, operandsOf(this), options as never)) ?? ExitCode.OK;
    } catch (error) {
      const failure = failureOf(error, context.servers);
      if (failure === null) throw error;
      exitCode = failure.exitCode;
      const { code, message, hint } = failure;
      const text = context.isJson
        ? JSON.stringify({ error: code, message, ...(hint === null ? {} : { hint }) })
        : `millrace: ${message}${hint === null ? '' : `\n  ${hint}`}`;
      process.stderr.write(`${text}\n`);
    }
    await context.close();
    process.exitCode = exitCode;
  };
}

/** Of `<a> [b...]`: one after the other, those that were not given left out. */
function operandsOf(command: Command): string[] {
  return (command.processedArgs as (string | string[] | undefined)[])
    .flat()
    .filter((operand) => operand !== undefined);
}

export function viewOf<Row extends object>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  whenEmpty: string,
): View {
  return { objects: rows, lines: rows.length === 0 ? [whenEmpty] : tableLines(rows, columns) };
}
