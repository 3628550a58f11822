/**
 * @agent any
 *
 * Looks at a store from outside: who has it open, how the last broker left it, whether the files have the sizes,
 * names and order that a start accepts. Opens everything to read only; beside a running broker files come and go,
 * so that what has gone meanwhile is no finding.
 */
import fs from 'node:fs';
import path from 'node:path';
import { processText } from './doctor-processes.ts';
import { codeOf, messageOf, Report } from './doctor-report.ts';
import { Checkpoint } from '../store/checkpoint.ts';
import { segmentName } from '../store/commit-log-segments.ts';
import { isParsable } from '../store/metadata-file.ts';
import { createPlainFiles } from '../store/plain-files.ts';
import { holderOf } from '../store/pid-file.ts';
import { posix } from '../store/posix.ts';

export type StoreHolder =
  | { readonly kind: 'nobody' }
  /** `pid` null: a lock tells that it is there, not which. */
  | { readonly kind: 'millrace' | 'apache'; readonly pid: number | null };

/** Who has a store open. */
export function storeHolder(root: string): StoreHolder {
  let pid: number | undefined;
  try {
    pid = holderOf(path.join(root, 'millrace.pid'));
  } catch {
    // Not ours to read: the lock tells.
  }
  if (pid !== undefined) return { kind: 'millrace', pid };
  let descriptor: number;
  try {
    descriptor = fs.openSync(path.join(root, 'lock'), 'r');
  } catch {
    return { kind: 'nobody' };
  }
  try {
    const holder = posix().lockHolder(descriptor);
    if (holder === null) return { kind: 'nobody' };
    return holder > 0 ? { kind: 'apache', pid: holder } : { kind: 'millrace', pid: null };
  } catch {
    // Without koffi locks can not be seen.
    return { kind: 'nobody' };
  } finally {
    fs.closeSync(descriptor);
  }
}

export function checkHolder(report: Report, root: string, holder: StoreHolder): void {
  if (holder.kind === 'apache')
    report.problem(
      'store.lock',
      `Apache RocketMQ has the store ${root} open, ${processText(holder.pid)}`,
      'stop it first (mqshutdown broker), or choose another directory with --store-dir',
    );
  else if (holder.kind === 'millrace') {
    const who = holder.pid === null ? '' : `, ${processText(holder.pid)}`;
    report.ok('store.lock', `a running Millrace has the store ${root} open${who}`);
  } else if (fs.existsSync(path.join(root, 'abort')))
    report.warning(
      'store.lock',
      'the last broker did not stop in order: it was killed, or the machine lost power',
      'nothing needs to be done: the next start looks through the end of the log, and goes on. Messages that were acknowledged under flushDiskType ASYNC_FLUSH can be missing after a loss of power',
    );
  else report.ok('store.lock', 'nobody has the store open, and the last stop was clean');
}

export interface StoreLayout {
  /** Null where there is no segment. */
  readonly segmentBytes: number | null;
  /** First bytes of the segments, ascending. */
  readonly bases: readonly number[];
}

/** All of the layout; looks twice where a broker works on the files meanwhile. */
export async function checkLayout(
  report: Report,
  root: string,
  isRunning: boolean,
): Promise<StoreLayout> {
  const LOOK_AGAIN_MS = 500;
  let layout: StoreLayout = { segmentBytes: null, bases: [] };
  let own = new Report();
  for (let looks = 0; looks < (isRunning ? 3 : 1); looks++) {
    if (looks > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    own = new Report();
    layout = checkSegments(own, path.join(root, 'commitlog'), isRunning);
    checkConsumeQueues(own, path.join(root, 'consumequeue'));
    checkIndex(own, path.join(root, 'index'));
    checkMetadata(own, path.join(root, 'config'));
    checkTimers(own, path.join(root, 'timers'));
    if (!isRunning) checkCheckpoint(own, root, layout);
    if (!own.hasProblems) break;
  }
  report.findings.push(...own.findings);
  return layout;
}

interface NamedSize {
  readonly name: string;
  readonly bytes: number;
}

/** Files of a directory with their sizes, by name; what goes meanwhile is left out. @throws what readdir throws */
function sizesIn(directory: string): NamedSize[] {
  let names: string[];
  try {
    names = fs.readdirSync(directory).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
  const sizes: NamedSize[] = [];
  for (const name of names) {
    const stat = fs.statSync(path.join(directory, name), { throwIfNoEntry: false });
    if (stat !== undefined) sizes.push({ name, bytes: stat.isDirectory() ? -1 : stat.size });
  }
  return sizes;
}

/** What can not be listed is a finding of its own. */
function listed(report: Report, check: string, directory: string): NamedSize[] | null {
  try {
    return sizesIn(directory);
  } catch (error) {
    report.problem(
      check,
      `${directory} can not be listed: ${messageOf(error)}`,
      'give its owner, who must be the user of the broker, the rights to read and write (chown -R, chmod -R u+rwX)',
    );
    return null;
  }
}

const isSegmentName = (name: string): boolean => /^\d{20}$/.test(name);

function checkSegments(report: Report, directory: string, isRunning: boolean): StoreLayout {
  const check = 'store.log';
  const none: StoreLayout = { segmentBytes: null, bases: [] };
  const files = listed(report, check, directory);
  if (files === null) return none;
  const segmentBytes = commonSize(files.filter(({ name }) => isSegmentName(name)));
  const bases: number[] = [];
  const complaints = report.findings.length;
  for (const [index, { name, bytes }] of files.entries()) {
    const file = path.join(directory, name);
    const base = Number(name);
    if (!isSegmentName(name) || base % (segmentBytes ?? 1) !== 0) {
      report.problem(
        check,
        `${file} is no segment of this log, and a start refuses it`,
        'move it elsewhere; the log itself is whole without it',
      );
      continue;
    }
    const previous = bases.at(-1);
    const expected = previous === undefined ? base : previous + (segmentBytes ?? 0);
    if (base !== expected)
      report.problem(
        check,
        `the log has no segment ${segmentName(expected)} before ${name}: its messages are missing, and a start refuses the gap`,
        `restore it from a copy; without one, move all segments before ${name} elsewhere, which gives up their messages`,
      );
    bases.push(base);
    if (bytes === segmentBytes) continue;
    const isUnfinished =
      index === files.length - 1 && bytes < (segmentBytes ?? 0) && isZero(file, bytes);
    if (isUnfinished && isRunning) continue;
    if (isUnfinished)
      report.ok(
        check,
        `${file} was not finished before the broker ended: the next start deletes it`,
      );
    else
      report.problem(
        check,
        `${file} has ${bytes} bytes, the other segments have ${segmentBytes ?? 0}: a start refuses it`,
        bytes < (segmentBytes ?? 0)
          ? `it was cut: restore it from a copy; without one, after a copy of what is left, "truncate -s ${segmentBytes ?? 0} ${file}" lets the broker skip what is missing`
          : 'something else wrote to it: restore it from a copy',
      );
  }
  if (report.findings.length === complaints)
    report.ok(
      check,
      bases.length === 0
        ? 'the log is empty'
        : `${bases.length} ${bases.length === 1 ? 'segment' : 'segments'} of ${segmentBytes ?? 0} bytes, without a gap`,
    );
  return { segmentBytes, bases };
}

/** The size that most have; that of the older one where it is a tie. 0 is a file that was not allocated yet. */
function commonSize(files: readonly NamedSize[]): number | null {
  const counts = new Map<number, number>();
  for (const { bytes } of files) if (bytes > 0) counts.set(bytes, (counts.get(bytes) ?? 0) + 1);
  let best: number | null = null;
  for (const [bytes, count] of counts)
    if (best === null || count > (counts.get(best) ?? 0)) best = bytes;
  return best;
}

function isZero(file: string, bytes: number): boolean {
  const PIECE_BYTES = 1024 * 1024;
  const piece = Buffer.alloc(PIECE_BYTES);
  const zeroes = Buffer.alloc(PIECE_BYTES);
  const descriptor = fs.openSync(file, 'r');
  try {
    for (let at = 0; at < bytes;) {
      const count = fs.readSync(descriptor, piece, 0, PIECE_BYTES, at);
      if (count === 0) break;
      if (piece.compare(zeroes, 0, count, 0, count) !== 0) return false;
      at += count;
    }
    return true;
  } finally {
    fs.closeSync(descriptor);
  }
}

const QUEUE_FILE_BYTES = 6_000_000;
/** Lines about single files; after a few everybody knows. */
const TOLD_COUNT_MAX = 5;

function checkConsumeQueues(report: Report, directory: string): void {
  const check = 'store.consume-queues';
  const topics = listed(report, check, directory);
  if (topics === null) return;
  let queueCount = 0;
  const wrong: string[] = [];
  const gaps: string[] = [];
  for (const { name: topic } of topics.filter(({ bytes }) => bytes < 0)) {
    for (const { name: queue } of listed(report, check, path.join(directory, topic)) ?? []) {
      queueCount++;
      const folder = path.join(directory, topic, queue);
      let expected = -1;
      for (const { name, bytes } of listed(report, check, folder) ?? []) {
        const start = Number(name);
        // What is no part of a queue is left alone by a start.
        if (!isSegmentName(name) || start % QUEUE_FILE_BYTES !== 0) continue;
        if (bytes > QUEUE_FILE_BYTES) wrong.push(path.join(folder, name));
        if (expected >= 0 && start !== expected)
          gaps.push(path.join(folder, segmentName(expected)));
        expected = start + QUEUE_FILE_BYTES;
      }
    }
  }
  for (const file of wrong.slice(0, TOLD_COUNT_MAX))
    report.problem(
      check,
      `${file} is larger than ${QUEUE_FILE_BYTES} bytes, and a start refuses it (${wrong.length} such files)`,
      'a broker with another mappedFileSizeConsumeQueue wrote it: move the folder consumequeue elsewhere, and the next start builds it again from the log',
    );
  for (const file of gaps.slice(0, TOLD_COUNT_MAX))
    report.warning(
      check,
      `${file} is missing: consumers do not find its messages (${gaps.length} such files)`,
      'restore it from a copy, or move the folder consumequeue elsewhere while no broker runs: the next start builds it again from the log',
    );
  if (wrong.length === 0 && gaps.length === 0)
    report.ok(check, `${queueCount} queues in ${topics.length} topics, without a gap`);
}

const INDEX_FILE_BYTES = 420_000_040;

function checkIndex(report: Report, directory: string): void {
  const check = 'store.index';
  const files = listed(report, check, directory);
  if (files === null) return;
  const strange = files.filter(
    ({ name, bytes }) => !/^\d{17}$/.test(name) || (bytes !== INDEX_FILE_BYTES && bytes !== 0),
  );
  for (const { name, bytes } of strange.slice(0, TOLD_COUNT_MAX))
    report.warning(
      check,
      `${path.join(directory, name)} (${bytes} bytes) is no index file of ${INDEX_FILE_BYTES} bytes: it is not searched`,
      'move it elsewhere; keys of messages that only it knows are not found by query key',
    );
  if (strange.length === 0) report.ok(check, `${files.length} index files`);
}

/** Of what is lost with each, where both it and its copy are. */
const metadata: Readonly<Record<string, string>> = {
  'topics.json': 'settings of topics (topics themselves come back from the log)',
  'subscriptionGroup.json': 'settings of consumer groups',
  'consumerOffset.json': 'how far groups are: they begin anew where their clients say',
  'delayOffset.json': 'how far delayed messages are delivered: some come twice',
  'users.json': 'users: nobody but those of the configuration is let in',
  'acls.json': 'policies',
};

function checkMetadata(report: Report, directory: string): void {
  const check = 'store.metadata';
  let isWhole = true;
  for (const [name, what] of Object.entries(metadata)) {
    const file = path.join(directory, name);
    const own = parsable(file);
    const copy = parsable(`${file}.bak`);
    if (own === true || (own === null && copy === null)) continue;
    isWhole = false;
    if (copy === true)
      report.warning(
        check,
        `${file} ${own === null ? 'is missing' : 'can not be read as JSON'}: a start takes the version before, ${name}.bak`,
        'nothing needs to be done; what was changed last may have to be changed again',
      );
    else
      report.problem(
        check,
        `${file} and its copy can not be read as JSON: lost is ${what}`,
        'restore one of them, or mend it by hand; a start goes on without it',
      );
  }
  if (isWhole) report.ok(check, 'topics, groups and offsets can be read');
}

/** Null where there is no such file. */
function parsable(file: string): boolean | null {
  try {
    return isParsable(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? null : false;
  }
}

function checkTimers(report: Report, directory: string): void {
  const check = 'store.timers';
  let text: string;
  try {
    text = fs.readFileSync(path.join(directory, 'manifest'), 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT')
      report.problem(check, `${directory} can not be read: ${messageOf(error)}`, 'mend its rights');
    return;
  }
  try {
    const { buckets } = JSON.parse(text) as { buckets?: unknown };
    if (!Array.isArray(buckets)) throw new Error('it names no buckets');
    report.ok(check, `timed messages wait in ${buckets.length} files`);
  } catch (error) {
    report.warning(
      check,
      `the manifest of timed messages is damaged: ${messageOf(error)}`,
      'nothing needs to be done: they are read from the log again, which makes the next start longer',
    );
  }
}

function checkCheckpoint(report: Report, root: string, { segmentBytes, bases }: StoreLayout): void {
  const check = 'store.checkpoint';
  const checkpoint = Checkpoint.read(createPlainFiles(), path.join(root, 'checkpoint'));
  const end = bases.length === 0 ? 0 : (bases.at(-1) as number) + (segmentBytes ?? 0);
  const { flushedPosition } = checkpoint;
  if (flushedPosition === 0) {
    if (bases.length === 0) report.ok(check, 'there is no checkpoint, as in a new store');
    else
      report.warning(
        check,
        'the checkpoint does not say how far the log is on disk: it is missing or damaged, or Apache RocketMQ had the store',
        'nothing needs to be done: the next start looks through the log from an earlier place on, which takes longer',
      );
  } else if (flushedPosition > end)
    report.problem(
      check,
      `the log ends at ${end}, and was on disk up to ${flushedPosition} once: its last segments are missing`,
      'restore them from a copy; a start goes on without, and their messages are lost',
    );
  else
    report.ok(
      check,
      `the log was on disk up to ${flushedPosition} when the checkpoint was written`,
    );
}
