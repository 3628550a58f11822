/**
 * Torn writes at every byte: the last record of the log, of five kinds, and the files that are replaced as a
 * whole. And single flipped bits of a record in the middle, which must cost no other record.
 */
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import { sendRequest } from '../workers/raw-client.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { checkHistory } from './checker.ts';
import { InlineBroker } from './inline-broker.ts';
import { Workload, workloadTopic } from './workload.ts';

const START_MS = Date.UTC(2024, 0, 1);
const LOG_FILE = '/store/commitlog/00000000000000000000';
/** All of it is in one. */
const SEGMENT_BYTES = 512 * 1024;
const STEP_SHORT = 7;

interface Store {
  files: FaultyFiles;
  workload: Workload;
  nowMs: number;
  /** End of the log. */
  end: number;
}

function start(files: FaultyFiles, nowMs: number): InlineBroker {
  files.nowMs = () => nowMs;
  return new InlineBroker({
    files,
    wallClock: new ManualClock(nowMs),
    random: seededRandom(1),
    logger: silentLogger,
    flush: 'sync',
    segmentBytes: SEGMENT_BYTES,
  });
}

/** A store with a bit of everything; the last record is one of `properties`, sent to `topic`. */
function makeStore(seed: number, last: Record<string, string> | null, topic: string): Store {
  const files = new FaultyFiles();
  const broker = start(files, START_MS);
  const workload = new Workload(seededRandom(seed), 'a');
  workload.attach(broker);
  for (let step = 0; step < 16; step++) {
    workload.act();
    workload.act();
    workload.sendPlain(step % 3);
    broker.advance(500);
    if (step % 5 === 0) workload.readAndCommit();
    // So that each of the files is there.
    if (step % 8 === 0) workload.sendTimed(step === 8);
  }
  // All but the last is in the derived files, and in the checkpoint.
  workload.decideAll();
  broker.advance(8000);
  if (last !== null) {
    const client = broker.connect();
    const fields = { code: 17, fields: { topic, readQueueNums: 1, writeQueueNums: 1, perm: 6 } };
    client.request(fields, () => {});
    broker.settle();
    client.request(sendRequest({ topic, body: 'the last of all', properties: last }), () => {});
    broker.settle();
  }
  const end = broker.positions.load(0);
  broker.kill();
  return { files, workload, nowMs: broker.wallClock.nowMs(), end };
}

/** Starts on the files and reads all. `mayBeOld`: a file may be the version before. */
function check(store: Store, files: FaultyFiles, what: string, mayBeOld = false): void {
  const workload = new Workload(seededRandom(2), 'b', store.workload);
  workload.events.push({ type: 'death', death: 'power', atMs: store.nowMs });
  try {
    const broker = start(files, store.nowMs);
    workload.attach(broker);
    for (let queueId = 0; queueId < 3; queueId++) workload.sendPlain(queueId);
    broker.advance(500);
    workload.dump(true);
    broker.kill();
  } catch (error) {
    throw new Error(`${what}: the broker does not start or serve`, { cause: error });
  }
  const violation = checkHistory(workload.events, { flush: 'sync' }).find(
    ({ rule }) => !mayBeOld || rule !== 'metadata',
  );
  if (violation !== undefined) throw new Error(`${what}: ${violation.rule}: ${violation.what}`);
}

/** Where the last record of the log starts. */
function lastRecord(log: Buffer, end: number): number {
  const view = new RecordView();
  let at = 0;
  for (;;) {
    const kind = view.read(log, at, log.length, true);
    if (kind !== RecordKind.MESSAGE) throw new Error(`no record at ${at}`);
    if (at + view.totalBytes >= end) return at;
    at += view.totalBytes;
  }
}

const kinds: readonly [string, Record<string, string>, string][] = [
  ['plain', { KEYS: 'k' }, 'Torn'],
  ['timed', { TIMER_DELIVER_MS: String(START_MS + 3_600_000) }, 'Torn'],
  ['delayed', { DELAY: '3' }, 'Torn'],
  ['half', { TRAN_MSG: 'true', PGROUP: 'producers' }, 'Torn'],
  ['of a long topic', { KEYS: 'k' }, `Torn${'g'.repeat(100)}`],
];

function tornTail({ seed, isLong, progress }: CaseContext): string {
  let count = 0;
  for (const [kind, properties, topic] of kinds) {
    const store = makeStore(seed, properties, topic);
    const log = store.files.readFile(LOG_FILE) ?? Buffer.alloc(0);
    const from = lastRecord(log, store.end);
    for (let at = from; at < store.end; at += isLong ? 1 : STEP_SHORT) {
      progress(`${kind} record, byte ${at - from} of ${store.end - from}`);
      for (const fill of [0, 0xff]) {
        const files = store.files.killProcess();
        files.damage(LOG_FILE, (content) => content.fill(fill, at, store.end));
        check(store, files, `a ${kind} record, torn at byte ${at - from} into ${fill}`);
        count++;
      }
    }
  }
  return `${count} torn tails of ${kinds.length} kinds of records: cut to the last whole one`;
}

const replacedFiles = [
  '/store/config/topics.json',
  '/store/config/subscriptionGroup.json',
  '/store/config/consumerOffset.json',
  '/store/config/delayOffset.json',
  '/store/checkpoint',
  '/store/timers/manifest',
];

function tornFiles({ seed, isLong, progress }: CaseContext): string {
  const store = makeStore(seed, null, workloadTopic);
  let count = 0;
  for (const file of replacedFiles) {
    const bytes = store.files.readFile(file)?.length ?? 0;
    if (bytes === 0) throw new Error(`there is no ${file}`);
    const step = isLong ? 1 : Math.ceil(bytes / 40);
    for (let at = 0; at < bytes; at += step) {
      progress(`${file}, byte ${at} of ${bytes}`);
      // The new version beside it is cut; the old one is in its place.
      const beside = store.files.killProcess();
      beside.replaceFile(`${file}.tmp`, beside.readFile(file)?.subarray(0, at) ?? Buffer.alloc(0));
      check(store, beside, `${file}.tmp of ${at} bytes`);
      // Worse than a rename allows: the file itself is cut.
      const cut = store.files.killProcess();
      cut.damage(file, (content) => content.subarray(0, at));
      check(store, cut, `${file} cut to ${at} bytes`, true);
      count += 2;
    }
  }
  return `${count} cuts of ${replacedFiles.length} files: old or new, never empty`;
}

/** A record in the middle with one bit flipped: it alone may be missing or wrong. */
function flippedBits({ seed, isLong, progress }: CaseContext): string {
  const store = makeStore(seed, null, workloadTopic);
  const log = store.files.readFile(LOG_FILE) ?? Buffer.alloc(0);
  const view = new RecordView();
  const records: { at: number; bytes: number }[] = [];
  for (let at = 0; at < store.end; at += view.totalBytes) {
    if (view.read(log, at, log.length, true) !== RecordKind.MESSAGE) break;
    records.push({ at, bytes: view.totalBytes });
  }
  const { at: from, bytes } = records[records.length >> 1];
  const random = seededRandom(seed);
  let count = 0;
  for (let at = from; at < from + bytes; at += isLong ? 1 : STEP_SHORT, count++) {
    progress(`byte ${at - from} of ${bytes}`);
    const files = store.files.killProcess();
    files.damage(LOG_FILE, (content) => {
      content[at] ^= 1 << Math.floor(random() * 8);
      return content;
    });
    const broker = start(files, store.nowMs);
    if (broker.positions.load(0) < store.end)
      throw new Error(`a bit flipped at byte ${at - from} of a record cut the log`);
    const after = files.readFile(LOG_FILE) ?? Buffer.alloc(0);
    for (const record of records) {
      const [start_, end] = [record.at, record.at + record.bytes];
      if (record.at !== from && !after.subarray(start_, end).equals(log.subarray(start_, end)))
        throw new Error(`a bit flipped at byte ${at - from} changed the record at ${record.at}`);
    }
    const workload = new Workload(seededRandom(2), 'b', store.workload);
    workload.attach(broker);
    for (let queueId = 0; queueId < 3; queueId++) workload.sendPlain(queueId);
    broker.settle();
    const answers = workload.events.slice(-3);
    if (!answers.every((event) => event.type === 'sent' && event.outcome === 'ok'))
      throw new Error(`with a bit flipped at byte ${at - from} no sends are taken`);
    broker.kill();
  }
  return `${count} bits flipped in a record of the middle: nothing cut, every other record as it was`;
}

export const tornCases: readonly FaultCase[] = [
  { name: 'torn-tail', covers: '20', run: tornTail },
  { name: 'torn-files', covers: '20', run: tornFiles },
  { name: 'flipped-bits', covers: '21', run: flippedBits },
];
