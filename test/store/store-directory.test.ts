/**
 * One process at a time has a store open, and no death leaves it locked. The other processes here are
 * real ones, which this test starts and kills.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMappedFiles } from '../../src/store/mapped-files.ts';
import { createPlainFiles } from '../../src/store/plain-files.ts';
import { StoreDirectory } from '../../src/store/store-directory.ts';

const source = (name: string): string =>
  new URL(`../../src/store/${name}.ts`, import.meta.url).href;

/** Takes the store, or says why not, and stays. */
const script = (kind: string, root: string): string => `
  const { createMappedFiles } = await import(${JSON.stringify(source('mapped-files'))});
  const { createPlainFiles } = await import(${JSON.stringify(source('plain-files'))});
  const { StoreDirectory } = await import(${JSON.stringify(source('store-directory'))});
  const files = ${JSON.stringify(kind)} === 'mapped' ? createMappedFiles() : createPlainFiles();
  let outcome = 'acquired';
  try {
    new StoreDirectory(files, ${JSON.stringify(root)}).acquire();
  } catch (error) {
    outcome = error.code;
  }
`;

describe.each([
  ['mapped', createMappedFiles],
  ['plain', createPlainFiles],
] as const)('a store directory of %s files', (kind, createFiles) => {
  let root: string;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-directory-'));
  });

  afterEach(async () => {
    for (const child of children.splice(0)) await kill(child);
    fs.rmSync(root, { recursive: true, force: true });
  });

  const kill = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };

  const startProcess = async (): Promise<{ child: ChildProcess; outcome: string }> => {
    const code = `${script(kind, root)} console.log(outcome); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    return { child, outcome: line.toString().trim() };
  };

  test('makes its parts; the lock says what an Apache broker writes', () => {
    const directory = new StoreDirectory(createFiles(), root);
    directory.acquire();
    for (const name of ['commitlog', 'consumequeue', 'index', 'config']) {
      expect(fs.statSync(path.join(root, name)).isDirectory()).toBe(true);
    }
    expect(fs.readFileSync(path.join(root, 'lock'), 'utf8')).toBe('lock');
    directory.release();
  });

  test('a second broker in this process is refused until the first lets go', () => {
    const first = new StoreDirectory(createFiles(), root);
    const second = new StoreDirectory(createFiles(), `${root}/config/..`);
    first.acquire();
    expect(() => second.acquire()).toThrow(
      expect.objectContaining({
        code: 'STORE_LOCKED',
        message: expect.stringContaining(root) as string,
      }),
    );
    // Letting go of what it never had changes nothing.
    second.release();
    expect(() => second.acquire()).toThrow(expect.objectContaining({ code: 'STORE_LOCKED' }));
    first.release();
    second.acquire();
    second.release();
  });

  test('a broker on another thread is refused', async () => {
    const first = new StoreDirectory(createFiles(), root);
    first.acquire();
    const code = `import { parentPort } from 'node:worker_threads';
      ${script(kind, root)} parentPort.postMessage(outcome);`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const [outcome] = (await once(worker, 'message')) as [string];
    await worker.terminate();
    expect(outcome).toBe('STORE_LOCKED');
    first.release();
  });

  test('a broker in another process is refused while the first lives, and let in after kill -9', async () => {
    const { child, outcome } = await startProcess();
    expect(outcome).toBe('acquired');
    const directory = new StoreDirectory(createFiles(), root);
    expect(() => directory.acquire()).toThrow(expect.objectContaining({ code: 'STORE_LOCKED' }));
    expect((await startProcess()).outcome).toBe('STORE_LOCKED');
    await kill(child);
    directory.acquire();
    expect((await startProcess()).outcome).toBe('STORE_LOCKED');
    directory.release();
    expect((await startProcess()).outcome).toBe('acquired');
  });

  test('a process number that is used again is not its former owner', () => {
    for (const stale of [
      `${process.pid} another-boot 1`,
      '1 another-boot 1',
      '999999999 x 1',
      '',
    ]) {
      fs.writeFileSync(path.join(root, 'millrace.pid'), stale);
      const directory = new StoreDirectory(createFiles(), root);
      directory.acquire();
      directory.release();
    }
    expect(fs.readdirSync(root).filter((name) => name.startsWith('millrace.pid'))).toEqual([]);
  });

  test('tells a clean end from another one', () => {
    const directory = new StoreDirectory(createFiles(), root);
    directory.acquire();
    expect(directory.wasAbnormal).toBe(false);
    directory.markRunning();
    expect(directory.wasAbnormal).toBe(true);
    expect(fs.existsSync(path.join(root, 'abort'))).toBe(true);
    directory.markClean();
    expect(directory.wasAbnormal).toBe(false);
    directory.release();
  });
});

test('a broker on mapped files also names itself to those that load no native code', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-directory-'));
  try {
    const mapped = new StoreDirectory(createMappedFiles(), root);
    mapped.acquire();
    const [pid] = fs.readFileSync(path.join(root, 'millrace.pid'), 'utf8').split(' ');
    expect(Number(pid)).toBe(process.pid);
    mapped.release();
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
});
