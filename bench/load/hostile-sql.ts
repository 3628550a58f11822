/**
 * Question: what do clients that only send wait, while a stranger sends expressions that are made to
 * cost time? Paced sends, each pair of runs with and without the stranger, in alternating order.
 * README.md beside this file says how to read it.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { RequestCode } from '../../src/protocol/codes.ts';
import {
  decodeFrame,
  encodeRequest,
  FLAG_RESPONSE,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';
import { commandContender, MILLRACE_COMMAND } from './contenders.ts';
import { defaultOptions, type LoadOptions } from './load-options.ts';
import type { LoadResult } from './load-result.ts';
import { runLoad } from './load-run.ts';

const TOPIC = 'HostileSql';
const GROUP = 'hostile-sql';
/** PullSysFlag.java: the pull brings its expression. */
const FLAG_SUBSCRIPTION = 4;
/** What other clients may wait longer, and what a refusal may take. */
const RATIO_MAX = 2;
const REFUSAL_MS_MAX = 50;

interface Flags {
  millrace: string;
  pairs: string;
  seconds: string;
  rate: string;
  hostileRate: string;
}

/**
 * Stands in each expression, and for the version of its subscription. A number of as many digits is
 * written over it each time, so that no request is the same as one before.
 */
const SALT = '7777777';
const SALT_MIN = 1_000_000;

/** Below the limit of Millrace, beyond it, and so long that the reading of the frame counts. */
const LENGTHS = [16_000, 64_000, 1_100_000];

/** Expressions that cost a parser time, of about so many characters. */
const shapes: readonly ((length: number) => string)[] = [
  (length) => `a = ${SALT}${' OR a = 1'.repeat(length / 9)}`,
  (length) => `${'('.repeat(length / 2)}a = ${SALT}${')'.repeat(length / 2)}`,
  (length) => `${'NOT '.repeat(length / 4)}a = ${SALT}`,
  (length) => `a = ${'-'.repeat(length)}${SALT}`,
  (length) => `a IN ('${SALT}'${",'1'".repeat(length / 4)})`,
  (length) => `a IN ('${SALT}'${listOf(length)}`,
  (length) => `a = ${SALT} /*${'*'.repeat(length)}`,
  (length) => `a = '${SALT}${"''".repeat(length / 2)}`,
  (length) => `a = ${'9'.repeat(length)}${SALT}`,
  // Of characters that JSON writes as six.
  (length) => `a = '${SALT}${'\u0001'.repeat(length / 6)}`,
];
const expressions = shapes.flatMap((shape) => LENGTHS.map(shape));

/** Distinct values. */
function listOf(length: number): string {
  return Array.from({ length: length / 7 }, (_, at) => `,'${at}'`).join('');
}

/** A request that was encoded once: encoding would take the CPU that the broker needs. */
class HostileFrame {
  readonly code: number;
  readonly bytes: Buffer;
  readonly #saltsAt: number[] = [];

  constructor(request: { code: number; extFields?: [string, string][]; body?: Buffer }) {
    this.code = request.code;
    this.bytes = encodeRequest({ ...request, opaque: 1 });
    for (let at = this.bytes.indexOf(SALT); at >= 0; at = this.bytes.indexOf(SALT, at + 1))
      this.#saltsAt.push(at);
  }

  salt(salt: number): void {
    for (const at of this.#saltsAt) this.bytes.write(String(SALT_MIN + salt), at, 'latin1');
  }
}

function heartbeatOf(subscription: object): HostileFrame {
  return new HostileFrame({
    code: RequestCode.HEART_BEAT,
    body: json({
      clientID: 'hostile',
      consumerDataSet: [{ groupName: GROUP, subscriptionDataSet: [subscription] }],
    }),
  });
}

/** The same expression in each request that brings one. */
function framesOf(subString: string): HostileFrame[] {
  const subscription = {
    topic: TOPIC,
    subString,
    expressionType: 'SQL92',
    subVersion: Number(SALT),
  };
  const pull = (fields: [string, string][]): HostileFrame =>
    new HostileFrame({
      code: RequestCode.PULL_MESSAGE,
      extFields: [
        ['consumerGroup', GROUP],
        ['topic', TOPIC],
        ['queueId', '0'],
        ['queueOffset', '0'],
        ['maxMsgNums', '32'],
        ...fields,
      ],
    });
  return [
    new HostileFrame({
      code: RequestCode.CHECK_CLIENT_CONFIG,
      body: json({ clientId: 'hostile', group: GROUP, subscriptionData: subscription }),
    }),
    heartbeatOf(subscription),
    // By what the heartbeat has registered.
    pull([['sysFlag', '0']]),
    pull([
      ['sysFlag', String(FLAG_SUBSCRIPTION)],
      ['expressionType', 'SQL92'],
      ['subscription', subString],
    ]),
  ];
}

const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));

interface Stranger {
  readonly timesMs: number[];
  readonly bytes: number;
  /** Answer codes, each with how often it came. */
  readonly codes: Map<string, number>;
}

/** Sends hostile requests, one at a time and `perSecond` at most, until `isOver`. */
async function beHostile(
  frames: readonly HostileFrame[],
  port: number,
  perSecond: number,
  isOver: () => boolean,
): Promise<Stranger> {
  const socket = net.connect(port, '127.0.0.1').setNoDelay();
  const answers = answersOf(socket);
  const timesMs: number[] = [];
  const codes = new Map<string, number>();
  let bytes = 0;
  const ask = async (frame: HostileFrame): Promise<number> => {
    socket.write(frame.bytes);
    const answer = await answers.next();
    if (answer.done === true) throw new Error('the broker has closed the connection');
    return answer.value.code;
  };
  // Makes the group, without which pulls are refused for another reason.
  await ask(heartbeatOf({ topic: TOPIC, subString: '*', subVersion: 1 }));
  let nextMs = performance.now();
  for (let count = 0; !isOver(); count++) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, nextMs - performance.now())));
    nextMs = Math.max(nextMs + 1000 / perSecond, performance.now());
    const frame = frames[count % frames.length];
    frame.salt(count);
    const startMs = performance.now();
    const code = await ask(frame);
    timesMs.push(performance.now() - startMs);
    const key = `${frame.code}→${code}`;
    codes.set(key, (codes.get(key) ?? 0) + 1);
    bytes += frame.bytes.length;
  }
  socket.destroy();
  return { timesMs, bytes, codes };
}

async function* answersOf(socket: net.Socket): AsyncGenerator<RemotingCommand, void> {
  let input = Buffer.alloc(0);
  for await (const chunk of socket) {
    input = Buffer.concat([input, chunk as Buffer]);
    while (input.length >= 4 && input.length >= 4 + input.readInt32BE(0)) {
      const end = 4 + input.readInt32BE(0);
      const frame = decodeFrame(input.subarray(4, end));
      // Members of the group are also told that there are others.
      if ((frame.flag & FLAG_RESPONSE) !== 0) yield frame;
      input = input.subarray(end);
    }
  }
}

async function main(): Promise<void> {
  const flags = new Command('hostile-sql')
    .description('Paced sends beside a stranger who sends expressions that are made to cost time.')
    .option('--millrace <COMMAND>', 'starts the broker that is measured', MILLRACE_COMMAND)
    .option('--pairs <N>', 'pairs of runs', '5')
    .option('--seconds <N>', 'of each run', '5')
    .option('--rate <N>', 'sends a second', '5000')
    .option('--hostile-rate <N>', 'hostile requests a second, at most', '45')
    .parse()
    .opts<Flags>();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'hostile-sql-'));
  process.env['MILLRACE_ENABLE_PROPERTY_FILTER'] = 'true';
  const broker = await commandContender('Millrace', flags.millrace).start({
    directory,
    brokerPort: 18_911,
    nameServerPort: 18_876,
    flush: 'async',
  });
  try {
    const load: LoadOptions = {
      ...defaultOptions,
      mode: 'paced',
      topic: TOPIC,
      address: '127.0.0.1:18911',
      ratePerSecond: Number(flags.rate),
      warmupSeconds: 1,
      seconds: Number(flags.seconds),
      brokerPid: broker.pid,
    };
    const p99 = (result: LoadResult): number => result.sendLatency?.p99Ms ?? NaN;
    const alone = async (): Promise<number> => p99(await runLoad(load));
    const frames = expressions.flatMap(framesOf);
    const strangers: Stranger[] = [];
    const beside = async (): Promise<number> => {
      let isOver = false;
      const stranger = beHostile(frames, 18_911, Number(flags.hostileRate), () => isOver);
      const result = await runLoad(load).finally(() => (isOver = true));
      strangers.push(await stranger);
      return p99(result);
    };
    await runLoad({ ...load, mode: 'send', warmupSeconds: 0 });
    await beside();
    strangers.length = 0;
    const ratios: number[] = [];
    for (let pair = 0; pair < Number(flags.pairs); pair++) {
      const isAloneFirst = pair % 2 === 0;
      const first = await (isAloneFirst ? alone() : beside());
      const second = await (isAloneFirst ? beside() : alone());
      const [aloneMs, besideMs] = isAloneFirst ? [first, second] : [second, first];
      ratios.push(besideMs / aloneMs);
      console.log(`pair ${pair + 1}: p99 ${round(aloneMs)} ms alone, ${round(besideMs)} ms beside`);
    }
    report(ratios, strangers, Number(flags.pairs) * (Number(flags.seconds) + 1));
  } finally {
    await broker.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function report(ratios: readonly number[], strangers: readonly Stranger[], seconds: number): void {
  const times = strangers.flatMap(({ timesMs }) => timesMs).sort((left, right) => left - right);
  const bytes = strangers.reduce((sum, stranger) => sum + stranger.bytes, 0);
  const codes = new Map<string, number>();
  for (const stranger of strangers)
    for (const [key, count] of stranger.codes) codes.set(key, (codes.get(key) ?? 0) + count);
  const at = (share: number): number => round(times[Math.floor((times.length - 1) * share)]);
  console.log(
    `${times.length} hostile requests, ${Math.round(times.length / seconds)}/s, ${round(bytes / seconds / 1e6)} MB/s;`,
    `answered after ${at(0.5)} ms (p50), ${at(0.99)} ms (p99), ${at(1)} ms (max), wanted: ${REFUSAL_MS_MAX} ms`,
  );
  console.log(`request→answer: ${[...codes].map(([key, count]) => `${key} ${count}x`).join(', ')}`);
  const ratio = [...ratios].sort((left, right) => left - right)[Math.floor(ratios.length / 2)];
  console.log(`p99 of sends: ${round(ratio)} x (median), wanted: ${RATIO_MAX} x`);
  if (ratio > RATIO_MAX || at(1) > REFUSAL_MS_MAX) process.exitCode = 1;
}

const round = (value: number): number => Math.round(value * 100) / 100;

await main();
