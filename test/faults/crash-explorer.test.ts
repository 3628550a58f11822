/** The explorer in small; `npm run test:faults` is the rest. */
import { describe, expect, test } from 'vitest';
import { lifeSeedOf, liveOnce } from './crash-explorer.ts';
import { plantedBugs } from './planted-bugs.ts';

const SEED = 1;

describe('crash states of a whole broker', () => {
  test('lose nothing, and show nothing that was not sent', () => {
    let stateCount = 0;
    for (let life = 0; life < 2; life++) {
      const result = liveOnce({ seed: lifeSeedOf(SEED, life) });
      stateCount += result.stateCount;
      expect(result.found).toEqual([]);
    }
    expect(stateCount).toBeGreaterThan(50);
  });

  test('are the same for the same seed', () => {
    const seed = lifeSeedOf(SEED, 7);
    expect(liveOnce({ seed })).toEqual(liveOnce({ seed }));
  });

  // The first of them; the runner wants all.
  test.each(plantedBugs.slice(0, 4))('find it when $name', ({ plant }) => {
    const options = { mutation: plant(), stopsEarly: true };
    expect(liveOnce({ seed: lifeSeedOf(SEED, 0), ...options }).found).not.toEqual([]);
  });
});
