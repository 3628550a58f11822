/**
 * @agent any
 *
 * `millrace completion bash|zsh` prints a script that asks `millrace __complete WORDS` what may stand
 * at the end of a command line. The answer comes from the tree of commands itself, and from the broker
 * for names of topics and groups; one that is slow or down gives none.
 *
 * The scripts hold no command: what is new is completed without a new script.
 */
import type { Argument, Command, Option } from 'commander';
import type { Admin } from '../client/admin.ts';
import { clientSecurity, type ClientSecurity } from './client-security.ts';
import { DEFAULT_SERVERS } from './command-context.ts';
import { printLine } from './command-output.ts';

/** A person waits for it at each press of the key. */
const ASK_TIMEOUT_MS = 800;

const bashScript = `# millrace completion for bash: source <(millrace completion bash)
_millrace() {
  local words word
  # Names of topics may hold %, which bash leaves alone, and : or =, which it takes for ends of words.
  words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  word=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while IFS= read -r line; do
    [[ $line == "$word"* ]] && COMPREPLY+=("$line")
  done < <("\${COMP_WORDS[0]}" __complete -- "\${words[@]}" 2>/dev/null)
}
complete -o default -F _millrace millrace
`;

const zshScript = `#compdef millrace
# millrace completion for zsh: source <(millrace completion zsh)
_millrace() {
  local -a found
  found=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[*]}" ]]; then
    compadd -- "\${found[@]}"
  else
    _files
  fi
}
compdef _millrace millrace
`;

export function addCompletionCommand(program: Command, description: string): void {
  program
    .command('completion')
    .description(description)
    .argument('<shell>', 'bash or zsh')
    .addHelpText(
      'after',
      '\nExamples:\n  source <(millrace completion bash)      in ~/.bashrc\n  source <(millrace completion zsh)       in ~/.zshrc, behind compinit',
    )
    .action(async function print(this: Command): Promise<void> {
      const [shell] = this.args;
      if (shell !== 'bash' && shell !== 'zsh')
        this.error(
          `error: ${JSON.stringify(shell)} is no shell that can be completed: bash or zsh`,
        );
      await printLine((shell === 'bash' ? bashScript : zshScript).trimEnd());
    });
}

/** `words` stand behind `millrace`; the last one is being written. */
export async function printCandidates(program: Command, words: readonly string[]): Promise<void> {
  for (const line of await candidates(program, words)) await printLine(line);
}

/** What may stand for the last word. */
async function candidates(program: Command, words: readonly string[]): Promise<string[]> {
  const before = words.slice(0, -1);
  const last = words.at(-1) ?? '';
  const place = walk(program, before);
  if (place === null) return [];
  const { command, pending, operandCount, servers } = place;
  let found: string[];
  if (pending !== null) {
    found = await valuesOf(pending, servers);
  } else if (last.startsWith('-')) {
    found = flagsOf(command);
  } else {
    const children = command.commands
      .filter((child) => !isHidden(command, child))
      .map((child) => child.name());
    const argument = argumentAt(command, operandCount);
    found = [
      ...children,
      ...(argument === undefined ? [] : await namesFor(argument.name(), servers)),
    ];
    if (argument?.argChoices !== undefined) found.push(...argument.argChoices);
    if (command.name() === 'completion' && operandCount === 0) found.push('bash', 'zsh');
  }
  return found.filter((candidate) => candidate.startsWith(last));
}

interface Place {
  command: Command;
  /** The flag whose value comes next. */
  pending: Option | null;
  operandCount: number;
  servers: string;
}

/** Follows the words that stand; null where one of them is no command. */
function walk(program: Command, words: readonly string[]): Place | null {
  let command = program;
  let pending: Option | null = null;
  let operandCount = 0;
  let servers = process.env['MILLRACE_SERVERS'] ?? DEFAULT_SERVERS;
  for (const word of words) {
    if (pending !== null) {
      if (pending.attributeName() === 'servers') servers = word;
      pending = null;
      continue;
    }
    if (word.startsWith('-')) {
      const [flag, value] = word.split('=', 2);
      const option = optionsOf(command).find(({ long, short }) => flag === long || flag === short);
      if (option?.attributeName() === 'servers' && value !== undefined) servers = value;
      if (option?.required === true && value === undefined) pending = option;
      continue;
    }
    const child = command.commands.find(
      (known) => known.name() === word || known.aliases().includes(word),
    );
    if (child !== undefined) {
      command = child;
      operandCount = 0;
    } else if (command.commands.length > 0) {
      return null;
    } else {
      operandCount++;
    }
  }
  return { command, pending, operandCount, servers };
}

function isHidden(command: Command, child: Command): boolean {
  return !command.createHelp().visibleCommands(command).includes(child);
}

function optionsOf(command: Command): Option[] {
  return [...command.createHelp().visibleOptions(command)];
}

function flagsOf(command: Command): string[] {
  return optionsOf(command)
    .map(({ long }) => long)
    .filter((long) => long !== undefined && long !== null);
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const declared = command.registeredArguments;
  const last = declared.at(-1);
  return declared[index] ?? (last?.variadic === true ? last : undefined);
}

/** What may stand behind a flag. */
async function valuesOf(option: Option, servers: string): Promise<string[]> {
  if (option.argChoices !== undefined) return [...option.argChoices];
  const [, name = ''] = /<([A-Z]+)>/.exec(option.flags) ?? [];
  return namesFor(name.toLowerCase(), servers);
}

function securityOfVariables(): ClientSecurity {
  const { MILLRACE_CREDENTIALS: credentials, MILLRACE_TLS_CA: tlsCa, MILLRACE_TLS } = process.env;
  try {
    return clientSecurity({
      tls: MILLRACE_TLS !== undefined,
      ...(credentials === undefined ? {} : { credentials }),
      ...(tlsCa === undefined ? {} : { tlsCa }),
    });
  } catch {
    return {};
  }
}

/** Names that the broker knows, by what an argument is called. */
async function namesFor(kind: string, servers: string): Promise<string[]> {
  const asked: Readonly<Record<string, (admin: Admin) => Promise<string[]>>> = {
    topic: async (admin) => (await admin.topics()).map(({ topic }) => topic),
    group: async (admin) => (await admin.groups()).map(({ group }) => group),
    from: async (admin) => (await admin.groups()).map(({ group }) => group),
    to: async (admin) => (await admin.groups()).map(({ group }) => group),
  };
  const ask = asked[kind];
  if (ask === undefined) return [];
  const { Admin: Client } = await import('../client/index.ts');
  // Flags that stand on the line are not looked at: variables say by whom completions are asked for.
  const admin = new Client({ servers, timeoutMs: ASK_TIMEOUT_MS, ...securityOfVariables() });
  try {
    return await ask(admin);
  } catch {
    // Nobody can be told anything while a word is written.
    return [];
  } finally {
    await admin.close();
  }
}
