/**
 * What a real process does at the limits of its machine: no more open files, a full disk, one that turns read-only, and
 * one that hangs. Those of disks need root and mounts of their own; where there can be none they say so.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fullDisk } from '../interop/full-disk.ts';
import { type Millrace, startMillrace } from '../interop/millrace-process.ts';
import { heartbeatRequest, pullRequest, RawClient, sendRequest } from '../workers/raw-client.ts';
import { readRecords } from '../workers/test-broker.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { check } from './inline-session.ts';
import { LoopDisk } from './loop-disk.ts';

const MIB = 1024 * 1024;
const OK = 0;
const BUSY = 2;
const FLUSH_TIMEOUT = 10;
const REFUSED = 14;
const ANSWER_MS_MAX = 20_000;

async function inFolder(run: (root: string) => Promise<string>): Promise<string> {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-limits-'));
  try {
    return await run(root);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/** Runs with a disk of its own, or says why not. */
function onDisk(
  mib: number,
  run: (disk: LoopDisk, root: string) => Promise<string>,
): Promise<string> {
  const refusal = LoopDisk.refusal();
  if (refusal !== null) return Promise.resolve(`NOT RUN, this machine mounts nothing: ${refusal}`);
  return inFolder(async (root) => {
    const disk = LoopDisk.mount(root, mib);
    try {
      return await run(disk, root);
    } finally {
      disk.unmount();
    }
  });
}

function start(
  root: string,
  storeDirectory: string,
  brokerPort: number,
  options: { flush?: 'sync' | 'async'; wrapper?: string[] } = {},
): Promise<Millrace> {
  const config = path.join(root, 'broker.conf');
  // A machine that stands still for a moment is no fault of the broker.
  fs.writeFileSync(config, `mappedFileSizeCommitLog=${4 * MIB}\nwaitTimeMillsInSendQueue=2000\n`);
  return startMillrace({
    storeDirectory,
    brokerPort,
    nameServerPort: brokerPort + 1,
    // Not on the disk that fails.
    logDirectory: root,
    arguments: ['--config', config, '--flush', options.flush ?? 'async'],
    ...(options.wrapper === undefined ? {} : { wrapper: options.wrapper }),
  });
}

/** Code of the answer to a send; null where none came in time, or the connection was closed. */
function send(
  client: RawClient,
  body: string,
  topic = 'T',
  waitMs = ANSWER_MS_MAX,
): Promise<number | null> {
  const answer = client.request(sendRequest({ topic, body })).then(({ code }) => code);
  const none = client.closed.then(() => null);
  return Promise.race([answer, none, pause(waitMs, null, { ref: false })]);
}

/** Bodies of all that can be read. */
async function readAll(port: number): Promise<Set<string>> {
  const client = await RawClient.connect(port);
  await client.request(heartbeatRequest('reader', 'g', 'T'));
  const bodies = new Set<string>();
  for (let offset = 0; ;) {
    const answer = await client.request(pullRequest('g', 'T', 0, offset));
    const next = Number(answer.extFields.get('nextBeginOffset'));
    if (answer.code === 0) for (const { body } of readRecords(answer.body)) bodies.add(body);
    else if (next <= offset) break;
    offset = next;
  }
  client.close();
  return bodies;
}

const OPEN_FILES_MAX = 700;

/** More connections than the process may have files: others are served on, and the store gets its files. */
const openFiles = ({ isLong, progress }: CaseContext): Promise<string> =>
  inFolder(async (root) => {
    const port = 27_310;
    const wrapper = ['prlimit', `--nofile=${OPEN_FILES_MAX}:${OPEN_FILES_MAX}`];
    const millrace = await start(root, path.join(root, 'store'), port, { wrapper });
    const sockets: net.Socket[] = [];
    try {
      const client = await RawClient.connect(port);
      check((await send(client, 'before')) === OK, 'a send before is refused');
      const rounds = isLong ? 20 : 2;
      let files = 0;
      for (let round = 0; round < rounds; round++) {
        progress(`round ${round} of ${rounds}`);
        for (let count = 0; count < 2 * OPEN_FILES_MAX; count++)
          sockets.push(net.connect(port, '127.0.0.1').on('error', () => {}));
        await pause(1000);
        // New topics have new files, and so have new segments.
        for (let topic = 0; topic < 100; topic++, files++) {
          const code = await send(client, 'x'.repeat(100_000), `T${round}-${topic}`);
          check(
            code === OK,
            `a send while there are too many connections is answered ${String(code)}`,
          );
        }
        await pause(2000);
        for (const socket of sockets.splice(0)) socket.destroy();
        await pause(500);
        const late = await RawClient.connect(port);
        check((await send(late, 'after')) === OK, 'a new client is not served once there is room');
        late.close();
      }
      client.close();
      return `${rounds} x ${2 * OPEN_FILES_MAX} connections with ${OPEN_FILES_MAX} open files allowed, ${files} topics made meanwhile`;
    } finally {
      for (const socket of sockets) socket.destroy();
      await millrace.stop();
    }
  });

/** Messages fill a disk of their own, and then others do. */
const realFullDisk = async ({ isLong }: CaseContext): Promise<string> => {
  const refusal = LoopDisk.refusal();
  if (refusal !== null) return `NOT RUN, this machine mounts nothing: ${refusal}`;
  const said: string[] = [];
  for (const by of isLong ? (['messages', 'others'] as const) : (['others'] as const))
    said.push(await inFolder((directory) => fullDisk({ directory, port: 27_330, by })));
  return said.join('; ');
};

interface ReadOnlyTry {
  readonly flush: 'sync' | 'async';
  /** Messages before the fault. */
  readonly before: number;
  /** Messages after it. */
  readonly after: number;
}

async function sendUntilReadOnly(
  disk: LoopDisk,
  port: number,
  { before, after }: ReadOnlyTry,
  acknowledged: string[],
): Promise<(number | null)[]> {
  const client = await RawClient.connect(port);
  const sendNext = async (): Promise<number | null> => {
    const body = `m${acknowledged.length}`;
    // One that was on its way gets no answer: nobody knows what became of it.
    const code = await send(client, body, 'T', 8000);
    if (code === OK) acknowledged.push(body);
    return code;
  };
  for (let count = 0; count < before; count++)
    check((await sendNext()) === OK, 'a send is refused before there is a fault');
  disk.failReadOnly();
  const codes: (number | null)[] = [];
  for (let count = 0; count < after; count++) codes.push(await sendNext());
  client.close();
  return codes;
}

/** An error of the device makes the file system read-only: sends are refused, and what there is can be read. */
const readOnly = async (): Promise<string> => {
  const said = [
    await readOnlyWith({ flush: 'sync', before: 200, after: 20 }),
    await readOnlyWith({ flush: 'async', before: 200, after: 20 }),
    // Nobody finds out before the stop.
    await readOnlyWith({ flush: 'sync', before: 20, after: 0 }),
    // Before the flusher has opened the log.
    await readOnlyWith({ flush: 'async', before: 1, after: 3 }),
  ];
  return said.join('; ');
};

const readOnlyWith = (one: ReadOnlyTry): Promise<string> =>
  onDisk(96, async (disk, root) => {
    const port = 27_350;
    const store = disk.directory;
    const { flush } = one;
    const acknowledged: string[] = [];
    let codes: (number | null)[] = [];
    const first = await start(root, store, port, { flush });
    try {
      codes = await sendUntilReadOnly(disk, port, one, acknowledged);
      check(
        codes.slice(2).every((code) => code === REFUSED),
        `sends are answered ${codes.join(', ')} on a disk that is read-only`,
      );
      const found = await readAll(port);
      const missing = acknowledged.filter((body) => !found.has(body));
      check(missing.length === 0, `${missing.length} messages can not be read meanwhile`);
    } finally {
      // In order, although nothing can be stored any more.
      await first.stop();
    }
    const log = fs.readFileSync(first.logFile, 'utf8');
    check(
      /"level":50.*read-only.*EROFS/.test(log),
      'the log does not say that the disk can not be written',
    );
    disk.repair();
    const second = await start(root, store, port, { flush });
    try {
      const found = await readAll(port);
      const lost = acknowledged.filter((body) => !found.has(body));
      // What was not flushed is gone with the device.
      check(
        flush === 'async' || lost.length === 0,
        `${lost.length} of ${acknowledged.length} acknowledged messages are lost`,
      );
    } finally {
      await second.stop();
    }
    const answers = [...new Set(codes)].map(String).join(', ') || 'nothing, for none was sent';
    return `${flush}: ${acknowledged.length} acknowledged, all read on the read-only disk; sends were answered ${answers} (null: not)`;
  });

/** Nothing gets to the disk for a while. Writes to memory go on, as long as nobody has to wait for the disk below. */
const hanging = ({ isLong, progress }: CaseContext): Promise<string> =>
  onDisk(256, async (below, root) => {
    const disk = LoopDisk.mount(below.directory, 96);
    const port = 27_370;
    const said: string[] = [];
    const running: Millrace[] = [];
    try {
      const store = disk.directory;
      const millrace = await start(root, store, port, { flush: 'sync' });
      running.push(millrace);
      const client = await RawClient.connect(port);
      const acknowledged: string[] = [];
      let count = 0;
      const sendNext = async (codes: Map<number | null, number>): Promise<void> => {
        const body = `m${count++}`;
        const code = await send(client, body);
        if (code === OK) acknowledged.push(body);
        codes.set(code, (codes.get(code) ?? 0) + 1);
      };
      for (const seconds of isLong ? [1, 10, 30, 1, 10] : [1, 8]) {
        progress(`${seconds} s`);
        await sendNext(new Map());
        const codes = new Map<number | null, number>();
        const sending: Promise<void>[] = [];
        const endMs = performance.now() + seconds * 1000;
        below.freeze();
        try {
          while (performance.now() < endMs) {
            sending.push(sendNext(codes));
            await pause(50);
          }
        } finally {
          // Else nobody could unmount it any more.
          below.thaw();
        }
        await Promise.all(sending);
        const known: ReadonlySet<number | null> = new Set([OK, BUSY, FLUSH_TIMEOUT]);
        const text = [...codes].map(([code, many]) => `${many} x ${String(code)}`).join(', ');
        check(
          [...codes.keys()].every((code) => known.has(code)),
          `sends are answered ${text}`,
        );
        const after = new Map<number | null, number>();
        for (let tries = 0; tries < 20 && (after.get(OK) ?? 0) < 5; tries++) await sendNext(after);
        check((after.get(OK) ?? 0) === 5, 'no sends are taken once the disk is there again');
        said.push(`${seconds} s: ${text}`);
      }
      client.close();
      await millrace.kill();
      const second = await start(root, store, port, { flush: 'sync' });
      running.push(second);
      const found = await readAll(port);
      await second.stop();
      const lost = acknowledged.filter((body) => !found.has(body));
      check(
        lost.length === 0,
        `${lost.length} of ${acknowledged.length} acknowledged messages are lost`,
      );
      said.push(`${acknowledged.length} acknowledged, 0 lost`);
    } finally {
      for (const one of running) await one.kill();
      disk.unmount();
    }
    return `answers while the disk hangs for ${said.join('; ')}`;
  });

export const limitCases: readonly FaultCase[] = [
  { name: 'open-files', covers: '22', run: openFiles },
  { name: 'real-full-disk', covers: '22', run: realFullDisk },
  { name: 'read-only-disk', covers: '22', run: readOnly },
  { name: 'hanging-disk', covers: '24', run: hanging },
];
