/**
 * Transactions and delays that are asked of a broker in ways that no client should: floods of halves that nobody
 * decides, decisions twice and against each other, of others' halves and of places that hold none, levels
 * that there are not, and messages that go back again and again.
 */
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import {
  endRequest,
  physicalOffsetOf,
  type RawRequest,
  sendRequest,
} from '../workers/raw-client.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { check, InlineSession, startMs } from './inline-session.ts';

const COMMIT = 8;
const ROLLBACK = 12;

function halfRequest(body: string, group = 'producers'): RawRequest {
  return sendRequest({ topic: 'T', body, properties: { TRAN_MSG: 'true', PGROUP: group } });
}

const end = (
  half: RemotingCommand,
  decision: number,
  more?: Record<string, string | number>,
): RawRequest => endRequest(half, 'producers', decision, more);

function decisions({ seed }: CaseContext): string {
  const session = new InlineSession(seed);
  session.makeTopic('T');
  session.subscribe('g', 'T');
  const half = (body: string, group?: string): RemotingCommand => {
    const sent = session.expects(halfRequest(body, group), 0);
    session.broker.settle();
    return sent;
  };
  const plain = session.expects(sendRequest({ topic: 'T', body: 'plain' }), 0);
  const [twice, over, back, open] = ['twice', 'over', 'back', 'open'].map((body) => half(body));
  const other = half('other', 'strangers');
  for (let count = 0; count < 5; count++) session.expects(end(twice, COMMIT), 0);
  session.expects(end(over, COMMIT), 0);
  session.expects(end(over, ROLLBACK), 0);
  session.expects(end(back, ROLLBACK), 0);
  session.expects(end(back, COMMIT), 0);
  const illegal: [string, RawRequest][] = [
    ["another group's half", end(other, COMMIT)],
    ['a message that is no half', end(plain, COMMIT)],
    [
      'a place inside of a record',
      end(open, COMMIT, { commitLogOffset: physicalOffsetOf(open) + 1 }),
    ],
    ["a half with another's place in the queue", end(open, COMMIT, { tranStateTableOffset: 0 })],
    ...[-1, '9007199254740993', '9223372036854775807', 1e12].map(
      (commitLogOffset): [string, RawRequest] => [
        `the place ${commitLogOffset}`,
        end(open, COMMIT, { commitLogOffset }),
      ],
    ),
  ];
  for (const [what, request] of illegal)
    check(session.ask(request).code !== 0, `a commit of ${what} is taken`);
  session.advance(5000);
  const bodies = session.read('g', 'T').map(({ body }) => body);
  check(bodies.join() === 'plain,twice,over', `what can be read is ${bodies.join()}`);
  session.expects(end(open, COMMIT), 0);
  session.advance(1000);
  check(
    session.read('g', 'T').length === 4,
    'a half is lost after commits of it that were refused',
  );
  session.end();
  return `${illegal.length} decisions of what is not theirs refused, repeated ones change nothing`;
}

/** Halves of which nobody says how they ended: each is asked about so often, in its time, and given up. */
function checkBackFlood({ seed, isLong, progress }: CaseContext): string {
  const CHECKS = 3;
  const INTERVAL_MS = 1000;
  const count = isLong ? 20_000 : 500;
  const session = new InlineSession(seed, {
    segmentBytes: 4 * 1024 * 1024,
    mutation: {
      settings: ({ control }) =>
        Object.assign(control, {
          transactionTimeOut: INTERVAL_MS,
          transactionCheckInterval: INTERVAL_MS,
          transactionCheckMax: CHECKS,
        }),
    },
  });
  session.makeTopic('T');
  session.subscribe('g', 'T');
  const producer = {
    clientID: 'p',
    producerDataSet: [{ groupName: 'producers' }],
    consumerDataSet: [],
  };
  session.expects({ code: 34, body: Buffer.from(JSON.stringify(producer)) }, 0);
  for (let index = 0; index < count; index++) session.expects(halfRequest(`half-${index}`), 0);
  const before = session.client.bytesWritten;
  for (let second = 0; second < 4 * CHECKS + 6; second++) {
    progress(`second ${second}`);
    session.advance(INTERVAL_MS);
    // Others are served meanwhile.
    session.expects(sendRequest({ topic: 'T', body: `plain-${second}` }), 0);
  }
  const asked = session.client.requestCounts.get(39) ?? 0;
  check(asked === CHECKS * count, `${asked} questions about ${count} halves, not ${CHECKS} each`);
  const writtenBytes = session.client.bytesWritten - before;
  session.advance(60_000);
  check(
    session.client.requestCounts.get(39) === asked,
    'halves that were given up are asked about',
  );
  const seen = session.read('g', 'T').filter(({ body }) => body.startsWith('half'));
  check(seen.length === 0, `${seen.length} halves that nobody committed can be read`);
  session.end();
  return `${count} halves, ${asked} questions, ${Math.round(writtenBytes / 1024)} KiB`;
}

/** Levels and times that there are not. */
function levels({ seed }: CaseContext): string {
  const session = new InlineSession(seed);
  session.makeTopic('T');
  session.subscribe('g', 'T');
  const send = (body: string, properties: Record<string, string>): number =>
    session.ask(sendRequest({ topic: 'T', body, properties })).code;
  const atOnce = ['-1', '0', '-2147483648', '1000000000000', '9007199254740993', 'x', ''];
  for (const level of atOnce)
    check(send(`at once ${level}`, { DELAY: level }) === 0, `level ${level} is refused`);
  // The highest there is, three seconds.
  for (const level of ['4', '1000000000', '2147483647'])
    check(send(`capped ${level}`, { DELAY: level }) === 0, `level ${level} is refused`);
  const refused: Record<string, string>[] = [
    { TIMER_DELAY_SEC: '1000000000' },
    { TIMER_DELIVER_MS: String(startMs + 10 ** 12) },
    { TIMER_DELAY_MS: '9007199254740993' },
  ];
  for (const properties of refused)
    check(send('never', properties) !== 0, `${JSON.stringify(properties)} is taken`);
  session.advance(2500);
  const soon = session.read('g', 'T').map(({ body }) => body);
  check(soon.length === atOnce.length, `before the highest level is due there are ${soon.join()}`);
  session.advance(2000);
  const all = session.read('g', 'T').map(({ body }) => body);
  check(all.length === atOnce.length + 3, `in the end there are ${all.join()}`);
  check(!all.includes('never'), 'a message that was refused came');
  session.end();
  return `${atOnce.length + 3} levels that there are not, ${refused.length} times too far off`;
}

/** A message that its group sends back each time ends among the dead letters, and comes from there no more. */
function sendBackLoop({ seed }: CaseContext): string {
  const MAX_RECONSUME = 3;
  const session = new InlineSession(seed);
  session.makeTopic('T');
  session.subscribe('g', 'T');
  session.expects(sendRequest({ topic: 'T', body: 'poison' }), 0);
  session.broker.settle();
  let [{ physicalOffset }] = session.read('g', 'T');
  let read = 0;
  const back = (offset: number): RemotingCommand =>
    session.ask({
      code: 36,
      fields: {
        offset,
        group: 'g',
        delayLevel: 1,
        originMsgId: 'x',
        originTopic: 'T',
        maxReconsumeTimes: MAX_RECONSUME,
      },
    });
  session.expects({ ...back0('g'), fields: { ...back0('g').fields, offset: -1 } }, 1);
  let rounds = 0;
  for (; rounds < 10; rounds++) {
    const answer = back(physicalOffset);
    check(answer.code === 0, `a send back is answered ${answer.code} ${answer.remark ?? ''}`);
    session.advance(5000);
    session.subscribe('g', '%RETRY%g');
    const again = session.read('g', '%RETRY%g', read);
    if (again.length === 0) break;
    check(again.length === 1, `${again.length} messages come of one that was sent back`);
    read++;
    ({ physicalOffset } = again[0]);
  }
  check(rounds === MAX_RECONSUME, `it came ${rounds} times, not ${MAX_RECONSUME}`);
  session.end();
  return `a message came ${rounds} times, and then lies among the dead letters`;
}

const back0 = (group: string): RawRequest => ({
  code: 36,
  fields: { offset: 0, group, delayLevel: 1, originMsgId: 'x', originTopic: 'T' },
});

function all(context: CaseContext): string {
  return [decisions, checkBackFlood, levels, sendBackLoop].map((part) => part(context)).join('; ');
}

export const transactionCases: readonly FaultCase[] = [
  { name: 'transactions', covers: '30', run: all },
];
