/**
 * Completion, by the shells themselves: what bash and zsh offer once they have read our script.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CommandBench, CommandRun, mainFile } from './command-run.ts';

// Each command is a process of its own.
vi.setConfig({ testTimeout: 120_000 });

let bench: CommandBench;
let bin: string;

beforeAll(async () => {
  bench = await CommandBench.start();
  await bench.prints('topic create orders --queues 1');
  await bench.prints('topic create other --queues 1');
  await bench.prints('group create stock');
  bin = path.join(bench.directory, 'bin');
  fs.mkdirSync(bin);
  const command = `#!/bin/sh\nexec "${process.execPath}" "${mainFile}" "$@"\n`;
  fs.writeFileSync(path.join(bin, 'millrace'), command, { mode: 0o755 });
});

afterAll(async () => {
  await bench.close();
});

async function shell(file: string, args: readonly string[]): Promise<string[]> {
  const run = new CommandRun(
    file,
    args,
    { ...bench.environment, PATH: `${bin}:${process.env['PATH'] ?? ''}` },
    '',
  );
  const { exitCode, output, errors } = await run.ended;
  expect([exitCode, errors]).toEqual([0, '']);
  return output.split('\n').filter((line) => line !== '');
}

/** What bash offers for the last of these words. */
function inBash(...words: string[]): Promise<string[]> {
  const quoted = words.map((word) => `'${word}'`).join(' ');
  const script = `source <(millrace completion bash)
COMP_WORDS=(millrace ${quoted})
COMP_CWORD=${words.length}
_millrace
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return shell('bash', ['--norc', '--noprofile', '-c', script]);
}

describe('in bash', () => {
  test('commands and those below them', async () => {
    expect(await inBash('t')).toEqual(['topic', 'tail']);
    expect(await inBash('topic', '')).toEqual(
      expect.arrayContaining(['list', 'create', 'delete', 'route', 'status', 'update']),
    );
  });

  test('flags and their values', async () => {
    expect(await inBash('topic', 'create', 'x', '--q')).toEqual(['--queues']);
    expect(await inBash('topic', 'create', 'x', '--perm', '')).toEqual(['rw', 'r', 'w', '-']);
    expect(await inBash('start', '--store-d')).toEqual(['--store-dir']);
    expect(await inBash('completion', '')).toEqual(['bash', 'zsh']);
  });

  test('names that the broker knows', async () => {
    expect(await inBash('topic', 'status', 'o')).toEqual(['orders', 'other']);
    expect(await inBash('group', 'progress', '')).toEqual(['stock']);
    expect(await inBash('consume', 'orders', '--group', 's')).toEqual(['stock']);
    expect(await inBash('offset', 'reset', 'stock', 'or')).toEqual(['orders']);
    expect(await inBash('topic', 'status', '--servers', '127.0.0.1:1', 'o')).toEqual([]);
  });

  test('nothing behind a command that there is not', async () => {
    expect(await inBash('frobnicate', '')).toEqual([]);
  });
});

const zsh = ['/usr/bin/zsh', '/bin/zsh'].find((file) => fs.existsSync(file));

describe.skipIf(zsh === undefined)('in zsh', () => {
  /** `compadd` is what tells zsh; here it prints. */
  const inZsh = (...words: string[]): Promise<string[]> => {
    const quoted = words.map((word) => `'${word}'`).join(' ');
    const script = `autoload -Uz compinit; compinit -u -d '${bench.directory}/zcompdump'
source <(millrace completion zsh)
[[ "$_comps[millrace]" == _millrace ]] || { print -u2 'not registered'; exit 1; }
compadd() { [[ "$1" == -- ]] && shift; print -l -- "$@" }
_files() { print FILES }
words=(millrace ${quoted})
CURRENT=$#words
_millrace`;
    return shell(zsh ?? '', ['-f', '-c', script]);
  };

  test('commands, flags and names that the broker knows', async () => {
    expect(await inZsh('t')).toEqual(['topic', 'tail']);
    expect(await inZsh('topic', 'create', 'x', '--q')).toEqual(['--queues']);
    expect(await inZsh('topic', 'status', '')).toEqual(['orders', 'other']);
    expect(await inZsh('send', 'orders', '--file', '')).toEqual(['FILES']);
  });
});

test('a script is printed for those shells alone', async () => {
  for (const name of ['bash', 'zsh']) {
    const script = await bench.prints(`completion ${name}`);
    expect(script).toContain('__complete');
    if (name === 'bash') execFileSync('bash', ['-n'], { input: script });
  }
  const { exitCode, errors } = await bench.run('completion fish');
  expect(exitCode).toBe(2);
  expect(errors).toContain('"fish" is no shell that can be completed: bash or zsh');
});
