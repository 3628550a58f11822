import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type HeldPull, HeldPullTable } from '../../src/broker/held-pull-table.ts';

test('expired pulls come out by deadline, finished ones not at all', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 1000 }), fc.boolean())), (entries) => {
      const table = new HeldPullTable<HeldPull>();
      const pulls = entries.map(([deadlineMs]) => ({ deadlineMs, heldIndex: -1 }));
      for (const pull of pulls) table.add(pull);
      for (const [index, [, isFinished]] of entries.entries()) {
        if (isFinished) table.finish(pulls[index]);
      }
      const expected = entries
        .filter(([, isFinished]) => !isFinished)
        .map(([deadlineMs]) => deadlineMs);
      expect(table.count).toBe(expected.length);
      const taken: number[] = [];
      for (let nowMs = 0; nowMs <= 1000; nowMs += 50) {
        for (let pull = table.takeExpired(nowMs); pull !== null; pull = table.takeExpired(nowMs)) {
          expect(pull.deadlineMs).toBeLessThanOrEqual(nowMs);
          taken.push(pull.deadlineMs);
          expect(pull.heldIndex).toBe(-1);
        }
      }
      expect(taken).toEqual(expected.toSorted((left, right) => left - right));
      expect(table.count).toBe(0);
    }),
  );
});
