/**
 * Goal: whatever comes, whenever, and whenever the process dies or the power goes, each entry is handed
 * out, none before its time, in order, and none twice without a crash.
 * Method: random entries and a clock that the test moves, beside a list of what was added; crashes go
 * back to what a manifest holds, and what came behind its position is added again, as a broker does.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import type { TimerEntry } from '../../src/store/timer-heap.ts';
import { TimerWheel } from '../../src/store/timer-wheel.ts';
import { FaultyFiles } from './faulty-files.ts';

const START_MS = Date.UTC(2026, 0, 31, 23, 58, 50, 123);
const DIRECTORY = '/store/timers';
const SECOND_MS = 1000;
const DAY_MS = 86_400_000;

class Harness {
  files = new FaultyFiles();
  nowMs = START_MS;
  /** What was added, as the log holds it: by place, 100 bytes each. */
  readonly log: TimerEntry[] = [];
  readonly near = new Set<number>();
  /** How often each was handed out. */
  readonly fired: number[] = [];
  hasCrashed = false;
  isBlocked = false;
  wheel: TimerWheel;
  #lastFireMs = 0;
  readonly #heapCountMax: number;

  constructor(heapCountMax = 1000) {
    this.#heapCountMax = heapCountMax;
    this.wheel = this.#open();
  }

  #open(): TimerWheel {
    const wheel = new TimerWheel({
      files: this.files,
      directory: DIRECTORY,
      logger: silentLogger,
      heapCountMax: this.#heapCountMax,
      onNear: (entry) => this.near.add(entry.physicalOffset),
    });
    wheel.load();
    return wheel;
  }

  add(delayMs: number): void {
    const physicalOffset = this.log.length * 100;
    const entry = {
      fireMs: this.nowMs + delayMs,
      physicalOffset,
      bytes: 100 + this.log.length,
      kind: this.log.length % 3,
      tag: 7 - this.log.length,
    };
    this.log.push(entry);
    this.fired.push(0);
    this.wheel.add(entry);
  }

  /** Lets the wheel work until it has nothing left to do at this time. */
  run(): void {
    for (let turn = 0; ; turn++) {
      if (turn > 100_000) throw new Error('the wheel does not come to rest');
      if (this.wheel.doWork(this.nowMs, 50, (entry) => this.#onFire(entry)) === 0) return;
      if (this.isBlocked) return;
    }
  }

  #onFire(entry: Readonly<TimerEntry>): boolean {
    if (this.isBlocked) return false;
    const index = entry.physicalOffset / 100;
    const added = this.log[index];
    assert.deepEqual({ ...entry, fireMs: added.fireMs }, added);
    assert.ok(this.nowMs >= added.fireMs, 'early');
    assert.ok(this.near.has(entry.physicalOffset), 'not announced');
    assert.ok(this.#heapCountMax < 1000 || entry.fireMs >= this.#lastFireMs, 'out of order');
    this.#lastFireMs = entry.fireMs;
    this.fired[index]++;
    return true;
  }

  /** Moves the clock from due time to due time. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      this.run();
      const nextMs = this.wheel.nextDueMs();
      if (nextMs > endMs) break;
      this.nowMs = Math.max(nextMs, this.nowMs + 1);
    }
    this.nowMs = endMs;
    this.run();
  }

  setClockBack(ms: number): void {
    this.nowMs -= ms;
    this.#lastFireMs = 0;
    this.wheel.followClock(this.nowMs);
  }

  startRound(): void {
    this.wheel.startRound(this.log.length * 100);
  }

  finishRound(): void {
    while (!this.wheel.continueRound());
    const { path, text, paths, removed } = this.wheel.takeRound();
    for (const file of paths) {
      if (file.endsWith('/')) this.files.syncDirectory(file.slice(0, -1));
      else if (this.files.exists(file)) {
        const descriptor = this.files.open(file, false);
        this.files.syncDescriptor(descriptor);
        this.files.closeDescriptor(descriptor);
      }
    }
    this.files.replaceFile(path, Buffer.from(text));
    for (const file of removed) this.files.remove(file);
  }

  crash(random: (() => boolean) | null): void {
    this.files =
      random === null
        ? this.files.killProcess()
        : this.files.losePower({ unitBytes: 512, isKept: random });
    this.hasCrashed = true;
    this.near.clear();
    this.#lastFireMs = 0;
    this.wheel = this.#open();
    for (const entry of this.log)
      if (entry.physicalOffset >= this.wheel.position) this.wheel.add(entry);
  }

  /** Entries that are due and were not handed out. */
  missing(): TimerEntry[] {
    return this.log.filter((entry, index) => entry.fireMs <= this.nowMs && this.fired[index] === 0);
  }
}

describe('TimerWheel', () => {
  test('opens after a kill at any call of a round, and the loss of power at any call of that start', () => {
    const harness = new Harness();
    for (const delayMs of [1000, 90_000, 5_000_000]) harness.add(delayMs);
    harness.startRound();
    harness.finishRound();
    harness.pass(3000);
    harness.add(2000);
    harness.startRound();
    const killed: FaultyFiles[] = [];
    harness.files.onCall = () => killed.push(harness.files.killProcess());
    harness.finishRound();
    expect(killed.length).toBeGreaterThan(5);
    const open = (files: FaultyFiles): void => {
      const options = { files, directory: DIRECTORY, logger: silentLogger, onNear: () => {} };
      new TimerWheel(options).load();
    };
    for (const files of killed) {
      const states: FaultyFiles[] = [];
      // Each name by itself: with 16 masks all of the few that differ are kept and left out.
      const take = (): void => {
        for (let mask = 0; mask < 16; mask++) {
          let asked = 0;
          const isKept = (): boolean => (mask & (1 << (asked++ % 4))) !== 0;
          states.push(files.losePower({ unitBytes: 4096, isKept }));
        }
      };
      files.onCall = take;
      open(files);
      files.onCall = null;
      take();
      for (const state of states) expect(() => open(state)).not.toThrow();
    }
  });

  test('keeps what it could not open while the disk was full', () => {
    const harness = new Harness();
    for (let count = 0; count < 20; count++) harness.add(3000 + count * 400);
    let fullCount = 0;
    const { files } = harness;
    files.failure = { call: 1, fault: 'ENOSPC', isLasting: true, only: /^(open|write) / };
    for (let step = 0; step < 30; step++) {
      harness.nowMs += 200;
      try {
        harness.run();
      } catch {
        fullCount++;
      }
    }
    expect(fullCount).toBeGreaterThan(5);
    files.failure = null;
    harness.pass(20_000);
    expect(harness.fired).toEqual(harness.fired.map(() => 1));
  });

  test('hands entries out to the millisecond, in order of time and then of place', () => {
    const harness = new Harness();
    for (const delayMs of [5000, 10, 10, 1, 0, -500, 999, 1000, 61_000, 3_700_000, 3 * DAY_MS])
      harness.add(delayMs);
    harness.run();
    expect(harness.fired.slice(4, 6)).toEqual([1, 1]);
    harness.pass(9);
    expect(harness.fired.slice(1, 4)).toEqual([0, 0, 1]);
    harness.pass(1);
    expect(harness.fired.slice(1, 3)).toEqual([1, 1]);
    harness.pass(3 * DAY_MS - 11);
    expect(harness.fired).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    harness.pass(1);
    expect(harness.fired.at(-1)).toBe(1);
    expect(harness.wheel.nextDueMs()).toBe(Infinity);
  });

  test('leaves no file behind what was handed out', () => {
    const harness = new Harness();
    for (let day = 0; day < 20; day++) harness.add(day * 0.7 * DAY_MS);
    for (let round = 0; round < 30; round++) {
      harness.startRound();
      harness.finishRound();
      harness.pass(DAY_MS);
    }
    harness.startRound();
    harness.finishRound();
    expect(harness.fired.every((count) => count === 1)).toBe(true);
    expect(harness.files.list(DIRECTORY)).toEqual(['manifest']);
  });

  test('reads all from the log again where a bit of the manifest is flipped, or a file is shorter than it says', () => {
    const harness = new Harness();
    for (let day = 0; day < 20; day++) harness.add(day * 0.7 * DAY_MS);
    harness.startRound();
    harness.finishRound();
    const openedAfter = (damage: (files: FaultyFiles) => void): number => {
      const files = harness.files.killProcess();
      damage(files);
      const options = { directory: DIRECTORY, logger: silentLogger, onNear: () => {} };
      const wheel = new TimerWheel({ files, ...options });
      wheel.load();
      return wheel.position;
    };
    const whole = openedAfter(() => {});
    expect(whole).toBeGreaterThan(0);
    const manifest = `${DIRECTORY}/manifest`;
    const bits = (harness.files.readFile(manifest)?.length ?? 0) * 8;
    expect(bits).toBeGreaterThan(1000);
    for (let bit = 0; bit < bits; bit++) {
      const position = openedAfter((files) =>
        files.damage(manifest, (content) => {
          content[bit >> 3] ^= 1 << (bit & 7);
          return content;
        }),
      );
      expect(position).toBe(0);
    }
    const buckets = harness.files.list(DIRECTORY).filter((name) => name !== 'manifest');
    expect(buckets.length).toBeGreaterThan(3);
    for (const bucket of buckets) {
      const file = `${DIRECTORY}/${bucket}`;
      const cut = (content: Buffer): Buffer => content.subarray(0, -1);
      expect(openedAfter((files) => files.damage(file, cut))).toBe(0);
      expect(openedAfter((files) => files.remove(file))).toBe(0);
    }
  });

  test('hands out seconds with more entries than the heap takes in the order of their file', () => {
    const harness = new Harness(100);
    for (let index = 0; index < 5000; index++) harness.add(30_000);
    for (let index = 0; index < 50; index++) harness.add(32_500 + index);
    harness.pass(29_999);
    expect(harness.fired.some((count) => count > 0)).toBe(false);
    expect(harness.near.size).toBe(5000);
    // What comes for that second now goes behind.
    harness.add(2);
    harness.pass(1001);
    expect(harness.missing()).toEqual([]);
    harness.pass(2000);
    expect(harness.fired.every((count) => count === 1)).toBe(true);
  });

  test('goes on in the middle of such a second after a crash', () => {
    const harness = new Harness(100);
    for (let index = 0; index < 5000; index++) harness.add(30_000);
    harness.startRound();
    harness.finishRound();
    harness.pass(29_999);
    harness.nowMs += 1000;
    let count = 0;
    const take = (entry: Readonly<TimerEntry>): boolean => {
      if (count === 2500) return false;
      harness.fired[entry.physicalOffset / 100]++;
      count++;
      return true;
    };
    for (let turn = 0; turn < 100; turn++) harness.wheel.doWork(harness.nowMs, 50, take);
    expect(count).toBe(2500);
    harness.startRound();
    harness.finishRound();
    harness.crash(null);
    harness.pass(1000);
    expect(harness.fired.every((fired) => fired === 1)).toBe(true);
  });

  test('waits by the new time where the clock was set back', () => {
    const harness = new Harness();
    harness.add(500);
    harness.add(1500);
    harness.add(10_000);
    harness.pass(1000);
    harness.startRound();
    harness.setClockBack(3_600_000);
    harness.finishRound();
    harness.add(700);
    harness.run();
    harness.pass(699);
    expect(harness.fired).toEqual([1, 0, 0, 0]);
    harness.pass(1);
    expect(harness.fired).toEqual([1, 0, 0, 1]);
    harness.startRound();
    harness.finishRound();
    harness.pass(3_600_000 + 9000);
    expect(harness.fired).toEqual([1, 1, 1, 1]);
  });

  test('keeps entries where the disk is full, and stores them when it is not', () => {
    const harness = new Harness();
    for (let index = 0; index < 10; index++) harness.add(DAY_MS * index);
    harness.startRound();
    harness.files.failure = { call: harness.files.callCount + 1, fault: 'ENOSPC' };
    expect(() => {
      while (!harness.wheel.continueRound());
    }).toThrow();
    harness.files.failure = null;
    harness.startRound();
    harness.finishRound();
    harness.crash(null);
    harness.pass(10 * DAY_MS);
    expect(harness.fired.every((count) => count === 1)).toBe(true);
  });

  test('loses nothing, hands out nothing early and nothing twice without a crash', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('add'), ms: fc.integer({ min: -2000, max: 4000 }) }),
      fc.record({ kind: fc.constant('add'), ms: fc.integer({ min: 0, max: 5 * DAY_MS }) }),
      fc.record({ kind: fc.constant('add'), ms: fc.integer({ min: 0, max: 2 * 3_600_000 }) }),
      fc.record({ kind: fc.constant('pass'), ms: fc.integer({ min: 0, max: 3000 }) }),
      fc.record({ kind: fc.constant('pass'), ms: fc.integer({ min: 0, max: 2 * DAY_MS }) }),
      fc.record({ kind: fc.constant('jump'), ms: fc.integer({ min: 0, max: DAY_MS }) }),
      fc.record({ kind: fc.constant('back'), ms: fc.integer({ min: 0, max: 3 * SECOND_MS }) }),
      fc.record({ kind: fc.constant('startRound'), ms: fc.constant(0) }),
      fc.record({ kind: fc.constant('finishRound'), ms: fc.constant(0) }),
      fc.record({ kind: fc.constant('block'), ms: fc.constant(0) }),
      fc.record({ kind: fc.constant('kill'), ms: fc.constant(0) }),
      fc.record({ kind: fc.constant('losePower'), ms: fc.integer({ min: 1, max: 2 ** 30 }) }),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 80, size: 'max' }),
        fc.constantFrom(3, 1000),
        fc.boolean(),
        (steps, heapCountMax, mayCrash) => {
          const harness = new Harness(heapCountMax);
          let isRound = false;
          for (const { kind, ms } of steps) {
            if (kind === 'add') harness.add(ms);
            else if (kind === 'pass') harness.pass(ms);
            else if (kind === 'jump') {
              harness.nowMs += ms;
              harness.run();
            } else if (kind === 'back') harness.setClockBack(ms);
            else if (kind === 'startRound') {
              harness.startRound();
              isRound = true;
            } else if (kind === 'finishRound' && isRound) {
              harness.finishRound();
              isRound = false;
            } else if (kind === 'block') {
              harness.isBlocked = true;
              harness.run();
              harness.isBlocked = false;
            } else if (kind === 'kill' && mayCrash) {
              harness.crash(null);
              isRound = false;
            } else if (kind === 'losePower' && mayCrash) {
              let seed = ms;
              harness.crash(() => {
                seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
                return (seed >> 16) % 2 === 0;
              });
              isRound = false;
            }
          }
          harness.pass(8 * DAY_MS);
          expect(harness.missing()).toEqual([]);
          if (!harness.hasCrashed) expect(harness.fired.every((count) => count === 1)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('knows that nothing is left to hand out, also long after it opened anything', () => {
    const harness = new Harness();
    harness.run();
    harness.add(60 * DAY_MS);
    for (const stepMs of [SECOND_MS, 10 * SECOND_MS, DAY_MS, 20 * DAY_MS]) {
      harness.nowMs += stepMs;
      harness.run();
      expect(harness.wheel.cursorMs).toBe(harness.nowMs);
    }
    harness.nowMs += 60 * DAY_MS;
    harness.run();
    expect(harness.fired).toEqual([1]);
  });
});
