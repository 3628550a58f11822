/**
 * `millrace doctor` on disks and stores with real faults: what it says of each, and that it changes nothing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { startMillrace } from '../interop/millrace-process.ts';
import { type Diagnosis, NO_PORTS, Surgery } from './doctor-harness.ts';

// Each finding is a process or two.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let surgery: Surgery;
beforeEach(() => {
  surgery = new Surgery();
});
afterEach(() => surgery.end());

const isRoot = process.geteuid?.() === 0;

/** Whether this machine lets us mount: containers often do not. */
function canMount(): boolean {
  try {
    const directory = fs.mkdtempSync('/tmp/millrace-mount-');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory], {
      stdio: 'ignore',
    });
    execFileSync('umount', [directory]);
    fs.rmdirSync(directory);
    return true;
  } catch {
    return false;
  }
}

/** Whether syncs of a process can be made slow: needs strace, and the right to trace. */
function canDelaySyncs(): boolean {
  return spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
}

/** Runs the rest of a command with syncs that take so much longer. */
const withSlowSyncs = (delay: string): string =>
  `exec strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:delay_exit=${delay} "$0" "$@";`;

function mountTmpfs(options: string): void {
  fs.mkdirSync(surgery.store, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', surgery.store]);
  surgery.after(() => {
    execFileSync('umount', [surgery.store]);
  });
}

describe('a store', () => {
  test('that was closed in order has no fault, and is not touched', async () => {
    await surgery.closedStore();
    const before = surgery.fingerprint();
    const found = await surgery.doctor(NO_PORTS);
    expect(found.problems).toEqual([]);
    expect(found.exitCode).toBe(0);
    expect(found.find('store.lock', 'ok').text).toContain('the last stop was clean');
    expect(found.find('store.log', 'ok').text).toMatch(/^\d+ segments of 65536 bytes/);
    expect(found.find('disk.sync', 'ok').text).toMatch(/median of \d+/);
    expect(surgery.fingerprint()).toBe(before);
  });

  test('that is not there yet is no fault, and is not made', async () => {
    const found = await surgery.doctor(NO_PORTS);
    expect(found.find('disk.directory', 'ok').text).toContain('a start makes it');
    expect(found.exitCode).toBe(0);
    expect(fs.existsSync(surgery.store)).toBe(false);
  });

  test('of a broker that was killed says so, and that nothing is to be done', async () => {
    const config = path.join(surgery.directory, 'broker.conf');
    fs.writeFileSync(config, 'mappedFileSizeCommitLog=4194304\n');
    const millrace = await startMillrace({
      storeDirectory: surgery.store,
      brokerPort: 27_130,
      nameServerPort: 27_131,
      arguments: ['--config', config],
    });
    const beside = await surgery.doctor(
      '--broker-port 27130 --name-server-port 27131 --web-port off',
    );
    expect(beside.find('store.lock', 'ok').text).toContain(`process ${millrace.pid} (`);
    expect(beside.find('ports.broker', 'ok').text).toContain('the broker of this store');
    expect(beside.find('broker.answers', 'ok').text).toContain('127.0.0.1:27130');
    await millrace.kill();
    const before = surgery.fingerprint();
    const found = await surgery.doctor(NO_PORTS);
    expect(found.find('store.lock', 'warning')).toMatchObject({
      text: expect.stringContaining('did not stop in order') as string,
      advice: expect.stringContaining('nothing needs to be done') as string,
    });
    expect(found.problems).toEqual([]);
    expect(surgery.fingerprint()).toBe(before);
  });

  test('with a segment that was cut, a gap, and a foreign file', async () => {
    await surgery.closedStore();
    const [, second = '', third = ''] = surgery.segments();
    fs.truncateSync(third, 1000);
    fs.rmSync(second);
    fs.writeFileSync(path.join(surgery.store, 'commitlog', 'notes.txt'), 'x');
    const found = await surgery.doctor(NO_PORTS);
    expect(found.exitCode).toBe(1);
    const texts = found.findings
      .filter(({ check, state }) => check === 'store.log' && state === 'problem')
      .map(({ text }) => text);
    expect(texts).toHaveLength(3);
    expect(texts[0]).toContain(`no segment ${path.basename(second)} before`);
    expect(texts[1]).toContain(`${third} has 1000 bytes`);
    expect(texts[2]).toContain('notes.txt is no segment');
  });

  test('whose newest segment was not finished is mended by the next start', async () => {
    await surgery.closedStore();
    const newest = surgery.segments().at(-1) as string;
    const next = String(Number(path.basename(newest)) + 65_536).padStart(20, '0');
    fs.writeFileSync(path.join(surgery.store, 'commitlog', next), Buffer.alloc(5000));
    const found = await surgery.doctor(NO_PORTS);
    expect(found.find('store.log', 'ok').text).toContain('the next start deletes it');
    expect(found.exitCode).toBe(0);
  });

  test('that lost its newest segments after they were on disk', async () => {
    await surgery.closedStore();
    for (const file of surgery.segments().slice(1)) fs.rmSync(file);
    const found = await surgery.doctor(NO_PORTS);
    expect(found.find('store.checkpoint', 'problem').text).toMatch(
      /the log ends at 65536, and was on disk up to \d+/,
    );
  });

  test('with metadata that can not be read, with a copy and without', async () => {
    await surgery.closedStore();
    const at = (name: string): string => path.join(surgery.store, 'config', name);
    fs.writeFileSync(at('topics.json.bak'), '{}');
    fs.writeFileSync(at('topics.json'), '{"topicConfigTable":{"a"');
    fs.writeFileSync(at('subscriptionGroup.json'), '{"x');
    fs.rmSync(at('subscriptionGroup.json.bak'), { force: true });
    fs.writeFileSync(path.join(surgery.store, 'timers', 'manifest'), '{');
    const found = await surgery.doctor(NO_PORTS);
    expect(found.find('store.metadata', 'warning').text).toContain('topics.json.bak');
    expect(found.find('store.metadata', 'problem').text).toContain('subscriptionGroup.json');
    expect(found.find('store.timers', 'warning').advice).toContain('read from the log again');
  });

  test('with consume queues of another size, and with a gap', async () => {
    await surgery.closedStore();
    const folder = path.join(surgery.store, 'consumequeue', 'Other', '0');
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, '0'.repeat(20)), '');
    fs.truncateSync(path.join(folder, '0'.repeat(20)), 7_000_000);
    fs.writeFileSync(path.join(folder, '00000000000012000000'), '');
    const found = await surgery.doctor(NO_PORTS);
    expect(found.find('store.consume-queues', 'problem').text).toContain(
      'is larger than 6000000 bytes',
    );
    expect(found.find('store.consume-queues', 'warning').text).toContain(
      '00000000000006000000 is missing',
    );
  });

  test('whose newest message is of the future', async () => {
    const clock = new ManualClock(Date.now() + 3 * 86_400_000);
    await surgery.send(await surgery.broker({}, clock));
    await surgery.closeAll();
    const found = await surgery.doctor(NO_PORTS);
    const { text, advice } = found.find('clock.store', 'problem');
    expect(text).toMatch(/3 days after now/);
    expect(advice).toContain('set the clock');
  });
});

describe('a disk', () => {
  test('where a file stands, or nothing may be written', async () => {
    fs.writeFileSync(surgery.store, '');
    const file = await surgery.doctor(NO_PORTS);
    expect(file.find('disk.directory', 'problem').text).toContain('is no directory');
    const inside = await surgery.doctor(`--store-dir ${surgery.store}/store ${NO_PORTS}`);
    expect(inside.find('disk.directory', 'problem').text).toContain('is no directory');
  });

  test.skipIf(!isRoot)('that belongs to another user', async () => {
    await surgery.closedStore();
    fs.chmodSync(surgery.directory, 0o755);
    // As a user who may read and not write.
    const asNobody = `exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" "$@";`;
    const found = await surgery.doctor(NO_PORTS, { prefix: asNobody });
    expect(found.find('disk.directory', 'problem').text).toMatch(
      /can not be written by this user \(user nobody\)/,
    );
    fs.chownSync(surgery.store, 65_534, 65_534);
    const asRoot = await surgery.doctor(NO_PORTS);
    expect(asRoot.find('disk.owner', 'warning').text).toContain('belongs to user nobody');
  });

  test.skipIf(!canMount())('in memory, small, then full, then read-only', async () => {
    mountTmpfs('size=2m');
    const small = await surgery.doctor(NO_PORTS);
    expect(small.find('disk.file-system', 'warning').text).toContain('tmpfs');
    expect(small.find('disk.segment-size', 'warning').text).toContain('little space');
    expect(small.exitCode).toBe(0);
    fs.writeFileSync(path.join(surgery.store, 'ballast'), Buffer.alloc(1.85 * 1024 * 1024));
    const crowded = await surgery.doctor(NO_PORTS);
    expect(crowded.find('disk.space', 'problem').text).toContain('sends are refused with 14');
    // Until nothing more goes in.
    const descriptor = fs.openSync(path.join(surgery.store, 'ballast'), 'a');
    try {
      for (;;) fs.writeSync(descriptor, Buffer.alloc(4096));
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    }
    fs.closeSync(descriptor);
    const full = await surgery.doctor(NO_PORTS);
    expect(full.find('disk.write', 'problem').text).toContain('the disk is full');
    execFileSync('mount', ['-o', 'remount,ro', surgery.store]);
    const readOnly = await surgery.doctor(NO_PORTS);
    expect(readOnly.find('disk.directory', 'problem').text).toContain('mounted to read only');
  });

  test.skipIf(!canMount())('without inodes', async () => {
    mountTmpfs('size=64m,nr_inodes=200');
    const found = await surgery.doctor(NO_PORTS);
    expect(found.find('disk.inodes', 'problem').text).toMatch(/^\d+ of 200 inodes are free/);
  });

  test.skipIf(!canDelaySyncs())('that is slow to sync: whose sends wait for it', async () => {
    const slow = { prefix: withSlowSyncs('30ms') };
    const waited = await surgery.doctor(`${NO_PORTS} --flush sync`, slow);
    const { text, advice } = waited.find('disk.sync', 'warning');
    expect(text).toMatch(/takes \d{2,}\.\d+ ms \(median of 16; .* which is slow$/);
    expect(advice).toContain('each send waits for one');
    expect(waited.exitCode).toBe(0);
    const background = await surgery.doctor(`${NO_PORTS} --flush async`, slow);
    expect(background.find('disk.sync', 'warning').advice).toContain('sends do not wait for it');
  });

  test.skipIf(!canDelaySyncs())('that does not answer at all', async () => {
    const found = await surgery.doctor(NO_PORTS, { prefix: withSlowSyncs('20s') });
    expect(found.find('disk.sync', 'problem').text).toContain('has not come back within 15 s');
    expect(found.exitCode).toBe(1);
    // What it has written to find out does not stay.
    expect(fs.readdirSync(surgery.directory)).toEqual([]);
  });

  test('with few open files allowed', async () => {
    const few = await surgery.doctor(NO_PORTS, { prefix: 'ulimit -n 300;' });
    expect(few.find('machine.open-files', 'problem').text).toContain('300');
    const some = await surgery.doctor(NO_PORTS, { prefix: 'ulimit -n 2000;' });
    expect(some.find('machine.open-files', 'warning').text).toContain('about 1488 clients');
  });
});

describe('memory', () => {
  /**
   * To push a broker into swap would take swap from a machine on which others work, and many have none. So what
   * Linux tells of a running broker is replaced for the doctor alone, in a mount namespace of its own.
   */
  test.skipIf(!canMount())('of a running broker that is in swap', async () => {
    const broker = await startMillrace({
      storeDirectory: surgery.store,
      brokerPort: 27_140,
      nameServerPort: 27_141,
    });
    surgery.after(() => broker.kill());
    const ports = '--broker-port 27140 --name-server-port 27141 --web-port off';
    const status = path.join(surgery.directory, 'status');
    const real = fs.readFileSync(`/proc/${broker.pid}/status`, 'utf8');
    const asked = (swapKib: number): Promise<Diagnosis> => {
      fs.writeFileSync(status, real.replace(/^VmSwap:.*$/m, `VmSwap:\t${swapKib} kB`));
      const mount = `mount --bind ${status} /proc/${broker.pid}/status && exec "$0" "$@"`;
      const prefix = `exec unshare --mount sh -c '${mount}' "$0" "$@";`;
      return surgery.doctor(ports, { prefix });
    };
    expect((await surgery.doctor(ports)).find('memory.broker', 'ok').text).toContain('takes');
    // Pages that were never used again are no reason to worry.
    (await asked(1024)).find('memory.broker', 'ok');
    const { text, advice } = (await asked(65_536)).find('memory.swap', 'warning');
    expect(text).toContain('64 MiB of it are in swap');
    expect(advice).toContain('vm.swappiness');
  });
});
