/**
 * Offsets that no queue has, commits by strangers, and resets while a group is at work: pulls are corrected to
 * what the queue holds, never to its start where that is not meant, and committed offsets go back by a reset or
 * by what a client itself says alone.
 */
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { pullRequest, type RawRequest, sendRequest } from '../workers/raw-client.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { check, InlineSession } from './inline-session.ts';

const OFFSET_MOVED = 21;
const INVALID_PARAMETER = 29;
const NO_GROUP = 26;

const field = (answer: RemotingCommand, name: string): number => Number(answer.extFields.get(name));

/** A pull as clients send it, with an offset as text: numbers of JavaScript end at 2^53. */
function pullAt(queueOffset: string | number, commitOffset: string | number = -1): RawRequest {
  const request = pullRequest('g', 'T', 0, 0);
  const sysFlag = commitOffset === -1 ? 0 : 1;
  return { ...request, fields: { ...request.fields, queueOffset, sysFlag, commitOffset } };
}

function commit(offset: string | number, group = 'g', queueId: string | number = 0): RawRequest {
  return {
    code: 15,
    fields: { consumerGroup: group, topic: 'T', queueId, commitOffset: offset },
  };
}

function committed(session: InlineSession): number {
  return field(
    session.expects({ code: 14, fields: { consumerGroup: 'g', topic: 'T', queueId: 0 } }, 0),
    'offset',
  );
}

function offsets({ seed, isLong, progress }: CaseContext): string {
  // Segments of which nothing was read for a second go: the queue begins above 0.
  const retention = { fileReservedTimeMs: 1000 };
  const session = new InlineSession(seed, { retention });
  session.makeTopic('T');
  session.subscribe('g', 'T');
  for (let index = 0; index < 30; index++)
    session.expects(sendRequest({ topic: 'T', body: Buffer.alloc(8000, index) }), 0);
  session.advance(40_000);
  const bounds = session.ask(pullAt(0));
  const minimum = field(bounds, 'minOffset');
  const maximum = field(bounds, 'maxOffset');
  check(minimum > 0 && maximum === 30, `the queue is [${minimum}, ${maximum})`);
  const wrongPulls: [string | number, number][] = [
    [maximum + 1, maximum],
    [maximum + 1_000_000, maximum],
    ['9007199254740991', maximum],
    [minimum - 1, minimum],
    [0, minimum],
    [-1, minimum],
    ['-9007199254740991', minimum],
  ];
  for (const [offset, next] of wrongPulls) {
    const answer = session.expects(pullAt(offset), OFFSET_MOVED);
    const told = field(answer, 'nextBeginOffset');
    check(told === next, `a pull at ${offset} is sent to ${told}, not to ${next}`);
  }
  // Beyond what a number holds exactly: refused, or corrected, but not to a made-up place.
  for (const offset of [
    '9007199254740993',
    '9223372036854775807',
    '-9223372036854775808',
    '1e3',
    '',
  ]) {
    const answer = session.ask(pullAt(offset));
    const told = field(answer, 'nextBeginOffset');
    const isRight =
      answer.code === OFFSET_MOVED ? told >= minimum && told <= maximum : answer.code !== 0;
    check(isRight, `a pull at ${offset} is answered ${answer.code} and sent to ${told}`);
  }
  commits(session, maximum);
  session.end();
  const rounds = isLong ? 500 : 20;
  for (let round = 0; round < rounds; round++) {
    progress(`reset under load ${round} of ${rounds}`);
    try {
      resetUnderLoad(seed + round);
    } catch (error) {
      throw new Error(`reset under load, seed ${seed + round}`, { cause: error });
    }
  }
  return `${wrongPulls.length + 5} pulls of offsets that are none, commits of strangers, ${rounds} runs with resets under load`;
}

function commits(session: InlineSession, maximum: number): void {
  session.expects(commit(20), 0);
  for (const offset of [
    -1,
    '-9007199254740993',
    '9007199254740993',
    '9223372036854775808',
    'x',
    '',
  ]) {
    const { code } = session.ask(commit(offset));
    check(code !== 0, `a commit of ${JSON.stringify(offset)} is taken`);
    check(committed(session) === 20, `a commit of ${JSON.stringify(offset)} moves the group`);
  }
  session.expects(commit(5, 'nobody'), NO_GROUP);
  session.expects(commit(5, 'g', 7), INVALID_PARAMETER);
  session.expects(commit(5, 'g', -1), INVALID_PARAMETER);
  // With a pull an offset is never lowered: pulls overtake each other at a rebalance.
  session.ask(pullAt(20, 12));
  check(committed(session) === 20, 'a pull lowers a committed offset');
  session.ask(pullAt(20, '9007199254740993'));
  check(committed(session) <= maximum, 'a pull commits an offset that no queue has');
  // By itself a commit counts as said, beyond the end too, as in RocketMQ; a pull there is corrected.
  session.expects(commit(maximum + 50), 0);
  const answer = session.expects(pullAt(committed(session)), OFFSET_MOVED);
  check(field(answer, 'nextBeginOffset') === maximum, 'a group beyond the end is not corrected');
  // Whoever may reach the broker may commit for any group, where there is no access control: RocketMQ's contract.
  const stranger = session.broker.connect();
  let code = -1;
  stranger.request(commit(3), (got) => (code = got.code));
  session.broker.settle();
  check(
    code === 0 && committed(session) === 3,
    `a commit of another connection is answered ${code}`,
  );
}

/** A group reads and commits by turns, while an administrator resets it. */
function resetUnderLoad(seed: number): void {
  const random = seededRandom(seed);
  const session = new InlineSession(seed);
  session.makeTopic('T');
  session.subscribe('g', 'T');
  const admin = session.broker.connect();
  let next = 0;
  let end = 0;
  let pending: number | null = null;
  let high = 0;
  for (let step = 0; step < 60; step++) {
    const chance = random();
    if (chance < 0.35) {
      session.expects(sendRequest({ topic: 'T', body: `m${end++}` }), 0);
      session.broker.settle();
    } else if (chance < 0.6) {
      const answer = session.ask(pullAt(next, random() < 0.5 ? next : -1));
      const told = field(answer, 'nextBeginOffset');
      if (pending !== null) {
        check(
          answer.code === OFFSET_MOVED && told === pending,
          `a reset to ${pending} is told as ${answer.code}, ${told}`,
        );
        high = pending;
        pending = null;
      }
      check(told <= end, `a pull is sent to ${told} beyond the end ${end}`);
      next = told;
    } else if (chance < 0.85) {
      session.ask(commit(next));
      if (pending === null) high = next;
    } else {
      pending = Math.floor(random() * (end + 1));
      const reset = { topic: 'T', group: 'g', isForce: 'true', timestamp: -1, queueId: 0 };
      let code = -1;
      admin.request(
        { code: 222, fields: { ...reset, offset: pending } },
        (got) => (code = got.code),
      );
      session.broker.settle();
      check(code === 0, `a reset to ${pending} of ${end} is answered ${code}`);
    }
    const { code, extFields } = session.ask({
      code: 14,
      fields: { consumerGroup: 'g', topic: 'T', queueId: 0, setZeroIfNotFound: 'false' },
    });
    if (code !== 0) continue;
    const stored = Number(extFields.get('offset'));
    if (pending !== null)
      check(stored === pending, `a reset to ${pending} is lost: the group is at ${stored}`);
    else check(stored >= high, `the group goes back from ${high} to ${stored}`);
    if (pending === null) high = stored;
  }
  session.end();
}

export const offsetCases: readonly FaultCase[] = [{ name: 'offsets', covers: '29', run: offsets }];
