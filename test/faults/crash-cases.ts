/** Crash states of one run after the other, and the bugs that they have to find. */
import type { CaseContext, FaultCase } from './case.ts';
import { type Found, lifeSeedOf, liveOnce } from './crash-explorer.ts';
import { plantedBugs } from './planted-bugs.ts';

const STATES_SHORT = 2000;
const STATES_LONG = 200_000;
/** Most bugs are found in the first life. */
const LIVES_MAX = 30;
/** Histories with something wrong that are told of in full. */
const TOLD_COUNT = 3;

function textOf(found: Found): string {
  const [first] = found.what.split('\n    at Life');
  return `${found.rule}: ${first} (life ${found.lifeSeed}, state ${found.state})`;
}

async function crashStates({ seed, isLong, progress }: CaseContext): Promise<string> {
  const wanted = isLong ? STATES_LONG : STATES_SHORT;
  const startedMs = performance.now();
  const found: Found[] = [];
  let states = 0;
  let acknowledged = 0;
  let lives = 0;
  for (; states < wanted && found.length === 0; lives++) {
    const result = liveOnce({ seed: lifeSeedOf(seed, lives) });
    states += result.stateCount;
    acknowledged += result.acknowledgedCount;
    found.push(...result.found);
    const perSecond = Math.round((states * 1000) / (performance.now() - startedMs));
    progress(`${states} of ${wanted} crash states, ${perSecond}/s`);
    // Others of this process get a turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (found.length > 0) throw new Error(found.slice(0, TOLD_COUNT).map(textOf).join('\n'));
  return `${states} crash states of ${lives} runs: 0 of ${acknowledged} acknowledged messages lost, 0 phantoms`;
}

function planted({ seed, progress }: CaseContext): string {
  const missed: string[] = [];
  let lifeCount = 0;
  for (const [index, bug] of plantedBugs.entries()) {
    progress(`${index} of ${plantedBugs.length} planted bugs`);
    let isCaught = false;
    for (let life = 0; life < LIVES_MAX && !isCaught; life++, lifeCount++) {
      const options = { mutation: bug.plant(), stopsEarly: true };
      isCaught = liveOnce({ seed: lifeSeedOf(seed, life), ...options }).found.length > 0;
    }
    if (!isCaught) missed.push(bug.name);
  }
  if (missed.length > 0) throw new Error(`not caught: ${missed.join('; ')}`);
  return `${plantedBugs.length} planted bugs caught, in ${lifeCount} runs`;
}

export const crashCases: readonly FaultCase[] = [
  { name: 'planted-bugs', covers: 'checker rules', run: planted },
  { name: 'crash-states', covers: '18 19 20 26 30', run: crashStates },
];
