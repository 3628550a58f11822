/**
 * The code blocks of README.md, as written: every js and ts block becomes a file in an empty folder whose
 * node_modules has this package, and is run. The broker is the one that the README starts, with its
 * default ports, so nothing in a block is replaced.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = path.join(import.meta.dirname, '../..');
const RUN_TIMEOUT_MS = 20_000;
const TEST_TIMEOUT_MS = 90_000;

interface Block {
  /** The heading above it, and its number below that. */
  readonly title: string;
  readonly code: string;
}

function blocksOf(readme: string): Block[] {
  let heading = '';
  let number = 0;
  return [...readme.matchAll(/^#+ ([^\n]+)$|^```([a-z]*)\n(.*?)^```$/gms)].flatMap(
    ([, newHeading, language = '', code = '']) => {
      if (newHeading !== undefined) {
        heading = newHeading;
        number = 0;
        return [];
      }
      return ['ts', 'js'].includes(language) ? [{ title: `${heading} ${++number}`, code }] : [];
    },
  );
}

const blocks = blocksOf(fs.readFileSync(path.join(root, 'README.md'), 'utf8'));

/** What each must print. A block without a line here fails, and a line without a block. */
const printed: Readonly<Record<string, RegExp>> = {
  'Node 1': /^created order 7$/m,
  'A page 1': /^order 7$/m,
  'A test 1': /^acknowledged: [0-9A-F]{32}$/m,
  'Tests with Millrace 1': /^cancel order-1$/m,
};
const QUICK_START_LINES_MAX = 6;

let directory: string;
const children: ChildProcess[] = [];

function run(words: readonly string[]): { output: () => string; child: ChildProcess } {
  const child = spawn(process.execPath, words, {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { output: () => output, child };
}

/** Waits for output; what has ended without it fails. */
async function printing({ output, child }: ReturnType<typeof run>, wanted: RegExp): Promise<void> {
  const deadline = Date.now() + RUN_TIMEOUT_MS;
  while (!wanted.test(output())) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`${wanted.source} was not printed, but: ${output()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function prints(words: readonly string[], wanted: RegExp): Promise<void> {
  const running = run(words);
  await printing(running, wanted);
  running.child.kill('SIGKILL');
}

beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-readme-'));
  fs.mkdirSync(path.join(directory, 'node_modules'));
  fs.symlinkSync(root, path.join(directory, 'node_modules/millrace'));
  fs.writeFileSync(path.join(directory, 'package.json'), '{ "type": "module" }\n');
  // As `npm start` does.
  const words = ['--max-semi-space-size=2', path.join(root, 'src/cli/main.ts'), 'start'];
  await printing(run(words), /"ready"/);
});

afterAll(async () => {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }),
  );
  fs.rmSync(directory, { recursive: true, force: true });
});

test('every block is one that is run here', () => {
  expect(blocks.map(({ title }) => title).sort()).toEqual(Object.keys(printed).sort());
});

test('a quick start has six lines', () => {
  const quickStarts = blocks.filter(({ title }) => /^(Node|A test|A page) /.test(title));
  for (const { code } of quickStarts)
    expect(code.trim().split('\n').filter(Boolean).length).toBeLessThanOrEqual(
      QUICK_START_LINES_MAX,
    );
});

describe('as written', () => {
  test.each(blocks)(
    '$title',
    async ({ title, code }) => {
      const file = path.join(directory, `${title.replaceAll(/\W/g, '-')}.ts`);
      fs.writeFileSync(file, code);
      if (!code.includes('millrace/browser')) {
        await prints(['--conditions=millrace-source', file], printed[title]);
        return;
      }
      // As a page gets it. The bundle has nothing of Node in it, and Node has the WebSocket of a browser.
      const outfile = `${file}.mjs`;
      await build({
        entryPoints: [file],
        outfile,
        bundle: true,
        format: 'esm',
        platform: 'browser',
        conditions: ['millrace-source'],
        logLevel: 'silent',
      });
      const { output } = run([outfile]);
      // A page shows what is sent while it is open: the first quick start again, until it has.
      const sender = path.join(directory, 'Node-1.ts');
      await expect
        .poll(
          async () => {
            await prints(['--conditions=millrace-source', sender], printed['Node 1']);
            return output();
          },
          { timeout: RUN_TIMEOUT_MS },
        )
        .toMatch(printed[title]);
    },
    TEST_TIMEOUT_MS,
  );
});
