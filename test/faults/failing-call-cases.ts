/**
 * One call of the file layer fails, the N-th, for every N: what waits then is not acknowledged, the broker
 * goes on or ends, and whatever is left starts again with everything that was acknowledged.
 */
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { type Fault, FaultyFiles, needsSpace } from '../store/faulty-files.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { checkHistory } from './checker.ts';
import { InlineBroker, type InlineBrokerOptions } from './inline-broker.ts';
import { dueMsMax, Workload, workloadQueueCount } from './workload.ts';

const START_MS = Date.UTC(2024, 0, 1);
const STEPS = 14;
const CALLS_SHORT = 200;
/** Longer than a send waits for the disk (syncFlushTimeout, 5 s). */
const STALL_MS = 7000;
const faults: readonly Fault[] = ['EIO', 'ENOSPC', 'SHORT', 'DELAY'];

interface Run {
  files: FaultyFiles;
  wallClock: ManualClock;
  workload: Workload;
  /** Why the broker ended by itself; null where it did not. */
  death: unknown;
  broker: InlineBroker | null;
}

type Flush = InlineBrokerOptions['flush'];

function start(
  files: FaultyFiles,
  wallClock: ManualClock,
  seed: number,
  flush: Flush = 'sync',
): InlineBroker {
  files.nowMs = () => wallClock.nowMs();
  return new InlineBroker({
    files,
    wallClock,
    random: seededRandom(seed),
    logger: silentLogger,
    flush,
    segmentBytes: 64 * 1024,
  });
}

/** What a file system refuses that is read-only. */
const WRITES = /^(create|allocate|append|write|sync|rename|remove|truncate)/;

/** The same work in each run, until the broker ends. */
function work(files: FaultyFiles, seed: number, flush?: Flush): Run {
  const wallClock = new ManualClock(START_MS);
  const workload = new Workload(seededRandom(seed), 'a');
  const run: Run = { files, wallClock, workload, death: null, broker: null };
  files.onDelay = () => run.broker?.stall(STALL_MS);
  try {
    run.broker = start(files, wallClock, seed, flush);
    workload.attach(run.broker);
    for (let step = 0; step < STEPS; step++) {
      for (let act = 0; act < 4; act++) workload.act();
      run.broker.advance(step % 4 === 3 ? 1100 : 40);
    }
  } catch (error) {
    run.death = error;
  }
  return run;
}

/** Starts again on what is left, reads all, and checks. Nothing was stored any more since `atMs`. */
function checkRest(
  run: Run,
  files: FaultyFiles,
  death: 'process' | 'power',
  seed: number,
  atMs = run.wallClock.nowMs(),
): void {
  const workload = new Workload(seededRandom(seed + 1), 'b', run.workload);
  const wallClock = new ManualClock(run.wallClock.nowMs());
  workload.events.push({ type: 'death', death, atMs });
  const broker = start(files, wallClock, seed);
  workload.attach(broker);
  readAndCheck(broker, workload);
  broker.kill();
}

function readAndCheck(broker: InlineBroker, workload: Workload): void {
  const before = workload.events.length;
  workload.decideAll();
  for (let queueId = 0; queueId < workloadQueueCount; queueId++) workload.sendPlain(queueId);
  broker.advance(dueMsMax + 2000);
  const answers = workload.events.slice(before).filter(({ type }) => type === 'sent');
  if (!answers.every((event) => event.type === 'sent' && event.outcome === 'ok'))
    throw new Error('a send is not accepted once the disk is well again');
  workload.dump(true);
  const [violation] = checkHistory(workload.events, { flush: 'sync' });
  if (violation !== undefined) throw new Error(`${violation.rule}: ${violation.what}`);
}

function failOnce(call: number, fault: Fault, seed: number): 'went on' | 'ended' {
  const files = new FaultyFiles();
  files.forgetsFailedSyncs = true;
  files.failure = { call, fault };
  const run = work(files, seed);
  const { failed } = files;
  files.failure = null;
  // The pages may be gone: whoever goes on after that would acknowledge what is not there.
  if (/^sync \/.*commitlog\/\d/.test(failed) && fault !== 'DELAY' && run.death === null)
    throw new Error(`the broker goes on after ${fault} of "${failed}"`);
  const isFull = fault === 'ENOSPC' || fault === 'SHORT';
  if (run.death !== null && isFull && needsSpace.test(failed) && run.broker !== null)
    throw new Error(`the broker ends when the disk is full at "${failed}"`, { cause: run.death });
  const random = seededRandom(seed + call);
  checkRest(run, files.killProcess(), 'process', seed);
  const isKept = (): boolean => random() < 0.5;
  checkRest(run, files.losePower({ unitBytes: 512, isKept }), 'power', seed);
  run.broker?.kill();
  return run.death === null ? 'went on' : 'ended';
}

function everyCall({ seed, isLong, progress }: CaseContext): string {
  const clean = new FaultyFiles();
  work(clean, seed).broker?.kill();
  const callCount = clean.callCount;
  const step = isLong ? 1 : Math.max(1, Math.floor(callCount / (CALLS_SHORT / faults.length)));
  let runs = 0;
  let ended = 0;
  for (const fault of faults) {
    for (let call = 1; call <= callCount; call += step, runs++) {
      progress(`${fault} at call ${call} of ${callCount}`);
      try {
        if (failOnce(call, fault, seed) === 'ended') ended++;
      } catch (error) {
        throw new Error(`${fault} at call ${call}`, { cause: error });
      }
    }
  }
  return `${runs} failed calls of ${callCount} (${faults.join(', ')}): ${ended} ended the broker, 0 acknowledged messages lost`;
}

/** From the N-th call on the disk is full, and some time later it is not. */
function fullDisk({ seed, isLong, progress }: CaseContext): string {
  const clean = new FaultyFiles();
  work(clean, seed).broker?.kill();
  const step = isLong ? 3 : Math.ceil(clean.callCount / 40);
  let runs = 0;
  // A broker that is only being made may say that it has no space.
  for (let call = 60; call < clean.callCount; call += step, runs++) {
    progress(`full from call ${call} of ${clean.callCount}`);
    const files = new FaultyFiles();
    files.failure = { call, fault: 'ENOSPC', isLasting: true, only: needsSpace };
    const run = work(files, seed);
    if (run.death !== null || run.broker === null)
      throw new Error(`the broker ends when the disk is full from call ${call} on`, {
        cause: run.death,
      });
    files.failure = null;
    run.broker.advance(3000);
    try {
      readAndCheck(run.broker, run.workload);
    } catch (error) {
      throw new Error(`full from call ${call} on`, { cause: error });
    }
    run.broker.kill();
  }
  return `${runs} times full and empty again: sends go on by themselves, 0 acknowledged messages lost`;
}

/** From the N-th call on nothing can be written any more; a new start finds the files well again. */
function readOnly({ seed, isLong, progress }: CaseContext): string {
  const clean = new FaultyFiles();
  work(clean, seed).broker?.kill();
  const step = isLong ? 1 : Math.ceil(clean.callCount / 60);
  let runs = 0;
  for (let call = 1; call < clean.callCount; call += step) {
    progress(`read-only from call ${call} of ${clean.callCount}`);
    const files = new FaultyFiles();
    files.forgetsFailedSyncs = true;
    files.failure = { call, fault: 'EROFS', isLasting: true, only: WRITES };
    let sinceMs = START_MS;
    files.onCall = (count) => {
      if (count === call) sinceMs = files.nowMs();
    };
    const flush = runs % 2 === 0 ? 'sync' : 'async';
    const run = work(files, seed, flush);
    // It ends while it starts, and says so.
    if (run.broker === null) continue;
    runs++;
    try {
      if (run.death !== null) throw new Error('the broker ended', { cause: run.death });
      checkReadOnly(run);
      const random = seededRandom(seed + call);
      const isKept = (): boolean => random() < 0.5;
      files.failure = null;
      checkRest(run, files.killProcess(), 'process', seed, sinceMs);
      if (flush === 'sync')
        checkRest(run, files.losePower({ unitBytes: 512, isKept }), 'power', seed, sinceMs);
    } catch (error) {
      throw new Error(`read-only from call ${call} on`, { cause: error });
    }
    run.broker.kill();
  }
  return `${runs} times read-only: sends refused, what was there can be read, 0 acknowledged messages lost`;
}

/** Sends are refused, and all that was acknowledged is there to be read. */
function checkReadOnly({ broker, workload }: Run): void {
  if (broker === null) throw new Error('there is no broker');
  broker.advance(dueMsMax + 2000);
  const before = workload.events.length;
  for (let queueId = 0; queueId < workloadQueueCount; queueId++) workload.sendPlain(queueId);
  broker.advance(2000);
  const answers = workload.events.slice(before).filter(({ type }) => type === 'sent');
  const refused = answers.filter((event) => event.type === 'sent' && event.outcome === 'fail');
  if (refused.length !== workloadQueueCount)
    throw new Error(`${refused.length} of ${workloadQueueCount} sends are refused`);
  workload.dump(false);
}

export const failingCallCases: readonly FaultCase[] = [
  { name: 'failing-calls', covers: '22 23 24', run: everyCall },
  { name: 'full-disk', covers: '22', run: fullDisk },
  { name: 'read-only-calls', covers: '22', run: readOnly },
];
