/**
 * The wall clock of a running broker jumps, by an hour and by a year, forward and back, and comes back later,
 * or runs too fast or too slow: nothing is delivered earlier than by what it is wrong, nothing is lost, store
 * timestamps never go back, and retention does not take messages for old that are not.
 */
import { sendRequest } from '../workers/raw-client.ts';
import type { CaseContext, FaultCase } from './case.ts';
import { check, InlineSession } from './inline-session.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const STEP_MS = 50;
/** Agents look at due messages each turn; a step, and what the turns of one take. */
const SLACK_MS = 2 * STEP_MS;

interface Timed {
  body: string;
  sentMs: number;
  /** By the wall clock; null for a delay level. */
  dueWallMs: number | null;
  delayMs: number;
  /** The clock jumped while it waited. */
  hasSeenJump: boolean;
  cameMs: number | null;
}

class Jump {
  readonly session: InlineSession;
  readonly timed: Timed[] = [];
  #count = 0;
  #read = 0;
  lastStoreMs = 0;
  /** What the wall clock gains in a second, in seconds. */
  readonly #drift: number;

  constructor(seed: number, drift = 0) {
    this.#drift = drift;
    this.session = new InlineSession(seed);
    this.session.makeTopic('T');
    this.session.makeTopic('Plain');
    this.session.subscribe('g', 'T');
    this.session.subscribe('p', 'Plain');
  }

  /** Delay levels of one to three seconds, and times as far off. */
  sendTimed(): void {
    const { session } = this;
    for (const seconds of [1, 2, 3]) {
      const dueWallMs = session.wallClock.nowMs() + seconds * 1000;
      this.#send(seconds * 1000, null, { DELAY: String(seconds) });
      this.#send(seconds * 1000, dueWallMs, { TIMER_DELIVER_MS: String(dueWallMs) });
    }
  }

  #send(delayMs: number, dueWallMs: number | null, properties: Record<string, string>): void {
    const body = `timed-${this.#count++}`;
    const { session } = this;
    session.expects(sendRequest({ topic: 'T', body, properties }), 0);
    this.timed.push({
      body,
      sentMs: session.elapsedMs,
      dueWallMs,
      delayMs,
      hasSeenJump: false,
      cameMs: null,
    });
  }

  sendPlain(count: number): void {
    for (let index = 0; index < count; index++)
      this.session.expects(sendRequest({ topic: 'Plain', body: Buffer.alloc(8000, index) }), 0);
  }

  jump(ms: number): void {
    this.session.wallClock.advance(ms);
    for (const one of this.timed) if (one.cameMs === null) one.hasSeenJump = true;
  }

  /** Time goes by, and what comes is looked at as it comes. */
  pass(ms: number): void {
    const { session } = this;
    for (let at = 0; at < ms; at += STEP_MS) {
      session.advance(STEP_MS);
      if (this.#drift !== 0) session.wallClock.advance(STEP_MS * this.#drift);
      for (const { body, storeTimestampMs } of session.read('g', 'T', this.#read)) {
        this.#read++;
        check(
          storeTimestampMs >= this.lastStoreMs,
          `store timestamps go back by ${this.lastStoreMs - storeTimestampMs} ms`,
        );
        this.lastStoreMs = storeTimestampMs;
        const one = this.timed.find((waiting) => waiting.body === body);
        check(one !== undefined, `${body} came and was never sent`);
        check(one.cameMs === null, `${body} came twice`);
        one.cameMs = session.elapsedMs;
        const isEarly =
          one.dueWallMs !== null && session.wallClock.nowMs() < one.dueWallMs && !one.hasSeenJump;
        check(!isEarly, `${body} came before its time`);
      }
    }
  }
}

/** How long a message waited against what it asked for. */
function checkWaits(jump: Jump, jumpMs: number): void {
  for (const { body, sentMs, cameMs, delayMs, hasSeenJump, dueWallMs } of jump.timed) {
    check(cameMs !== null, `${body} never came`);
    const waitedMs = cameMs - sentMs;
    const earlyMs = delayMs - waitedMs - SLACK_MS;
    const allowedMs = hasSeenJump && jumpMs > 0 ? jumpMs : 0;
    check(earlyMs <= allowedMs, `${body} came ${earlyMs} ms early, the clock jumped by ${jumpMs}`);
    // A delay is time that passes: a clock that is set back costs one more delay at most.
    if (dueWallMs === null)
      check(
        waitedMs <= 2 * delayMs + 1000,
        `${body} waited ${waitedMs} ms for a delay of ${delayMs}, the clock jumped by ${jumpMs}`,
      );
  }
}

function jumpOnce(jumpMs: number, comesBack: boolean, seed: number): number {
  const jump = new Jump(seed);
  const { session } = jump;
  jump.sendPlain(40);
  jump.sendTimed();
  jump.pass(500);
  jump.jump(jumpMs);
  jump.sendTimed();
  jump.sendPlain(10);
  jump.pass(8000);
  // Times of the calendar wait for it, as with RocketMQ, until the clock is right again.
  if (comesBack || jumpMs < 0) jump.jump(-jumpMs);
  jump.sendTimed();
  jump.pass(15_000);
  jump.sendPlain(10);
  checkWaits(jump, Math.abs(jumpMs));
  const kept = session.read('p', 'Plain');
  check(
    kept.length === 60,
    `${60 - kept.length} of 60 messages were deleted by a jump of ${jumpMs} ms`,
  );
  for (const [index, { storeTimestampMs }] of kept.entries())
    check(
      index === 0 || storeTimestampMs >= kept[index - 1].storeTimestampMs,
      'store timestamps go back',
    );
  session.end();
  return jump.timed.length + kept.length;
}

/** Timed messages again and again for a minute, while the clock gains or loses a tenth. */
function drift(rate: number, seed: number): number {
  const jump = new Jump(seed, rate);
  const { session } = jump;
  jump.sendPlain(40);
  for (let round = 0; round < 25; round++) {
    jump.sendTimed();
    jump.pass(2000);
  }
  jump.pass(15_000);
  for (const { body, sentMs, cameMs, delayMs } of jump.timed) {
    check(cameMs !== null, `${body} never came`);
    const waitedMs = cameMs - sentMs;
    const [fastest, slowest] = [delayMs / (1 + 0.1), delayMs / (1 - 0.1)];
    check(
      waitedMs >= fastest - SLACK_MS && waitedMs <= slowest + 1000 + SLACK_MS,
      `${body} waited ${waitedMs} ms for ${delayMs}, with a clock that gains ${rate} s in a second`,
    );
  }
  const kept = session.read('p', 'Plain');
  check(kept.length === 40, `${40 - kept.length} of 40 messages were deleted`);
  session.end();
  return jump.timed.length;
}

function clockDrift({ seed, isLong, progress }: CaseContext): string {
  const rounds = isLong ? 20 : 1;
  let messages = 0;
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    for (const rate of [0.1, -0.1]) messages += drift(rate, seed + round);
  }
  return `${2 * rounds} clocks that gain or lose a tenth, ${messages} timed messages: none early or lost`;
}

function clockJumps({ seed, isLong, progress }: CaseContext): string {
  const rounds = isLong ? 20 : 1;
  let runs = 0;
  let messages = 0;
  for (let round = 0; round < rounds; round++) {
    for (const jumpMs of [HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS]) {
      for (const comesBack of [false, true]) {
        progress(`jump of ${jumpMs / HOUR_MS} h`);
        try {
          messages += jumpOnce(jumpMs, comesBack, seed + round);
        } catch (error) {
          const and = comesBack ? ' and back' : '';
          throw new Error(`a jump of ${jumpMs / HOUR_MS} h${and}`, { cause: error });
        }
        runs++;
      }
    }
  }
  return `${runs} jumps by an hour and a year, ${messages} messages: none early by more, none lost`;
}

export const clockCases: readonly FaultCase[] = [
  { name: 'clock-jumps', covers: '26', run: clockJumps },
  { name: 'clock-drift', covers: '26', run: clockDrift },
];
