/**
 * A disk whose syncs take one second, ten, or a minute each: senders are told so (2 busy, 10 flush timeout) instead of
 * waiting for ever, nobody is told that his message is on disk when it is not, and all goes on once the disk
 * is well. All on one thread, which waits for the disk too: whoever waits then is answered when it has come back.
 * `hanging-disk` is the same on threads of a real process.
 */
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { sendRequest } from '../workers/raw-client.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { checkHistory } from './checker.ts';
import { check, InlineSession } from './inline-session.ts';
import { dueMsMax, Workload } from './workload.ts';
import { InlineBroker } from './inline-broker.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { ManualClock } from '../../src/base/clock.ts';

const OK = 0;
const BUSY = 2;
const FLUSH_TIMEOUT = 10;

/** Answers of sends by their code. */
type Codes = Map<number, number>;

function slowDisk(syncMs: number, seed: number): Codes {
  const session = new InlineSession(seed, { flush: 'sync', isLagging: false });
  const { broker, files, client } = session;
  const workload = new Workload(seededRandom(seed), 'a');
  workload.attach(broker);
  session.makeTopic('T');
  session.advance(1000);
  const codes: Codes = new Map();
  const send = (): void =>
    client.request(sendRequest({ topic: 'T', body: 'x' }), ({ code }) =>
      codes.set(code, (codes.get(code) ?? 0) + 1),
    );
  let isInside = false;
  files.onDelay = () => {
    if (isInside) return;
    isInside = true;
    // What comes while the disk hangs waits for the thread, or, on a thread of its own, in the ring.
    broker.stall(syncMs / 2);
    send();
    broker.stall(syncMs / 2);
    isInside = false;
  };
  files.failure = { call: 1, fault: 'DELAY', isLasting: true, only: /^sync .*commitlog/ };
  for (let round = 0; round < 10; round++) {
    for (let act = 0; act < 4; act++) workload.act();
    send();
    for (let turns = 0; turns < 20; turns++) broker.turn();
  }
  files.failure = null;
  session.advance(6000);
  const later: Codes = new Map();
  for (let index = 0; index < 10; index++)
    client.request(sendRequest({ topic: 'T', body: 'y' }), ({ code }) =>
      later.set(code, (later.get(code) ?? 0) + 1),
    );
  session.advance(1000);
  check(later.get(OK) === 10, `once the disk is well sends are answered ${textOf(later)}`);
  checkLossOfPower(session, workload, seed);
  session.end();
  return codes;
}

/** What was acknowledged is there after a loss of power. */
function checkLossOfPower(session: InlineSession, before: Workload, seed: number): void {
  const random = seededRandom(seed);
  const files = session.files.losePower({ unitBytes: 512, isKept: () => random() < 0.5 });
  const wallClock = new ManualClock(session.wallClock.nowMs());
  const workload = new Workload(seededRandom(seed + 1), 'b', before);
  workload.events.push({ type: 'death', death: 'power', atMs: wallClock.nowMs() });
  const broker = new InlineBroker({
    files,
    wallClock,
    random,
    logger: silentLogger,
    flush: 'sync',
    segmentBytes: 64 * 1024,
  });
  workload.attach(broker);
  workload.decideAll();
  broker.advance(dueMsMax + 2000);
  workload.dump(true);
  const [violation] = checkHistory(workload.events, { flush: 'sync' });
  if (violation !== undefined) throw new Error(`${violation.rule}: ${violation.what}`);
  broker.kill();
}

const textOf = (codes: Codes): string =>
  [...codes].map(([code, count]) => `${count} x ${code}`).join(', ');

function slowDisks({ seed, isLong, progress }: CaseContext): string {
  const said: string[] = [];
  for (const syncMs of [1000, 10_000, 60_000]) {
    const codes: Codes = new Map();
    for (let round = 0; round < (isLong ? 100 : 4); round++) {
      progress(`syncs of ${syncMs} ms, round ${round}`);
      try {
        for (const [code, count] of slowDisk(syncMs, seed + round))
          codes.set(code, (codes.get(code) ?? 0) + count);
      } catch (error) {
        throw new Error(`syncs of ${syncMs} ms, seed ${seed + round}`, { cause: error });
      }
    }
    const others = [...codes.keys()].filter((code) => ![OK, BUSY, FLUSH_TIMEOUT].includes(code));
    check(others.length === 0, `syncs of ${syncMs} ms: sends are answered ${textOf(codes)}`);
    check(
      (codes.get(BUSY) ?? 0) > 0,
      `syncs of ${syncMs} ms: nobody is told to wait (2): ${textOf(codes)}`,
    );
    said.push(`${syncMs / 1000} s: ${textOf(codes)}`);
  }
  return `answers with syncs of ${said.join('; ')}; 0 acknowledged messages lost`;
}

export const slowDiskCases: readonly FaultCase[] = [
  { name: 'slow-disk', covers: '24', run: slowDisks },
];
