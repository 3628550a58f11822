/** Which segments go, when, and when messages are refused: RocketMQ's rules, at their edges. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  parseDeleteWhen,
  planRetention,
  type RetentionPolicy,
  type RetentionState,
  segmentBytesFor,
} from '../../src/store/retention.ts';

const HOUR_MS = 3_600_000;
const MIB = 1024 * 1024;
const NOW_MS = 1000 * HOUR_MS;

const policy: RetentionPolicy = {
  fileReservedTimeMs: 72 * HOUR_MS,
  deleteHours: [4],
  diskMaxUsedSpaceRatio: 75,
  diskSpaceCleanForciblyRatio: 85,
  diskSpaceWarningLevelRatio: 90,
};

/** Segments of 100 bytes with these ages, the last one active; a disk of 1000 bytes. */
function state(
  agesHours: readonly number[],
  usedPercent: number,
  changes: Partial<RetentionState> = {},
): RetentionState {
  return {
    nowMs: NOW_MS,
    hour: 12,
    segments: agesHours.map((age, index) => ({
      base: index * 100,
      modifiedMs: NOW_MS - age * HOUR_MS,
    })),
    activeBase: (agesHours.length - 1) * 100,
    totalBytes: 1000,
    freeBytes: 1000 - usedPercent * 10,
    availableBytes: 1000 - usedPercent * 10,
    ...changes,
  };
}

describe('retention', () => {
  test('keeps expired segments until the hour has come', () => {
    expect(planRetention(state([100, 80, 1], 10), policy)).toMatchObject({
      deleteBases: [],
      rule: 'none',
      isDiskFull: false,
    });
    expect(planRetention(state([100, 80, 1], 10, { hour: 4 }), policy)).toMatchObject({
      deleteBases: [0, 100],
      rule: 'age',
    });
  });

  test('knows the age to the millisecond', () => {
    const young = state([72, 0], 10, { hour: 4, nowMs: NOW_MS - 1 });
    expect(planRetention(young, policy).deleteBases).toEqual([]);
    expect(planRetention(state([72, 0], 10, { hour: 4 }), policy).deleteBases).toEqual([0]);
  });

  test('stops at the first segment that has not expired: the log stays one piece', () => {
    const plan = planRetention(state([100, 1, 100, 1], 10, { hour: 4 }), policy);
    expect(plan.deleteBases).toEqual([0]);
  });

  test('never takes the active segment, however old, or those made ahead of it', () => {
    const all = state([100, 100, 100], 95, { hour: 4, activeBase: 100 });
    expect(planRetention(all, policy).deleteBases).toEqual([0]);
  });

  test.each([
    [75, 'none', [], false],
    [75.1, 'age, disk above diskMaxUsedSpaceRatio', [0], false],
    [85, 'age, disk above diskMaxUsedSpaceRatio', [0], false],
    [85.1, 'disk above diskSpaceCleanForciblyRatio', [0, 100], false],
    [90, 'disk above diskSpaceCleanForciblyRatio', [0, 100], false],
    [90.1, 'disk above diskSpaceCleanForciblyRatio', [0, 100], true],
  ] as const)('at %d %% of the disk the rule is: %s', (used, rule, deleteBases, isDiskFull) => {
    const plan = planRetention(state([100, 1, 1], used), policy);
    expect(plan).toMatchObject({ rule, deleteBases, isDiskFull });
    expect(plan.usedRatio).toBeCloseTo(used);
  });

  test('takes ten segments a round', () => {
    const ages = Array.from({ length: 30 }, () => 100);
    for (const used of [10, 80, 95]) {
      const plan = planRetention(state(ages, used, { hour: 4 }), policy);
      expect(plan.deleteBases).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }
  });

  test('does not count what the file system keeps for the administrator', () => {
    const space = { totalBytes: 1000, freeBytes: 900, availableBytes: 300 };
    expect(planRetention(state([1, 1], 0, space), policy).usedRatio).toBe(25);
  });

  test('a file system that tells no size is not full', () => {
    const plan = planRetention(
      state([1, 1], 0, { totalBytes: 0, freeBytes: 0, availableBytes: 0 }),
      policy,
    );
    expect(plan).toMatchObject({ usedRatio: 0, isDiskFull: false, deleteBases: [] });
  });

  test('deletes only a beginning of the log below the active segment, whatever the state', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 23 }),
        (ages, used, hour) => {
          const { deleteBases } = planRetention(state(ages, used, { hour }), policy);
          expect(deleteBases).toEqual(deleteBases.map((_base, index) => index * 100));
          expect(deleteBases.length).toBeLessThan(ages.length);
        },
      ),
    );
  });
});

describe('deleteWhen', () => {
  test.each([
    ['04', [4]],
    ['4', [4]],
    ['04;16', [4, 16]],
    [' 04 ; 23 ', [4, 23]],
    ['00', [0]],
    ['', []],
    ['24;99;04', [4]],
  ])('%j names the hours %j', (text, hours) => {
    expect(parseDeleteWhen(text)).toEqual(hours);
  });
});

describe('the size of segments', () => {
  test('is the wanted one while two of them fit into half of the free space', () => {
    expect(segmentBytesFor(1024 * MIB, 4096 * MIB)).toBe(1024 * MIB);
    expect(segmentBytesFor(1000 * MIB, 4096 * MIB)).toBe(1000 * MIB);
  });

  test('is a smaller power of two on a small disk, and never below 1 MiB', () => {
    expect(segmentBytesFor(1024 * MIB, 4096 * MIB - 1)).toBe(512 * MIB);
    expect(segmentBytesFor(1000 * MIB, 100 * MIB)).toBe(16 * MIB);
    expect(segmentBytesFor(1024 * MIB, 0)).toBe(MIB);
  });

  test('never exceeds what is wanted', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 }), fc.nat(2 ** 33), (wanted, available) => {
        const bytes = segmentBytesFor(wanted, available);
        expect(bytes).toBeLessThanOrEqual(wanted);
        expect(bytes * 4 <= available || bytes <= MIB || bytes === wanted).toBe(true);
      }),
    );
  });
});
