import { describe, expect, it } from 'vitest';
import { allocateRing, SpscRingConsumer, SpscRingProducer } from '../../src/ring/spsc-ring.ts';
import { PullCommitReader, PullCommits } from '../../src/workers/pull-commits.ts';

function makeEnds(): { commits: PullCommits; drain: () => string[] } {
  const memory = allocateRing(1024);
  const reader = new PullCommitReader(new SpscRingConsumer(memory));
  const drain = (): string[] => {
    const got: string[] = [];
    reader.drain({
      commitOffset: (group, topic, queueId, offset) =>
        got.push(`${group} ${topic} ${queueId} ${offset}`),
      assignReset: ({ group, topic, targets }) =>
        got.push(`reset ${group} ${topic} ${targets.join(' ')}`),
      takeReset: (group, topic, queueId) => got.push(`taken ${group} ${topic} ${queueId}`),
      checkHalf: (physicalOffset, checkTimes) => got.push(`check ${physicalOffset} ${checkTimes}`),
    });
    return got;
  };
  return { commits: new PullCommits(new SpscRingProducer(memory, null)), drain };
}

/** Everything that arrives while both sides go on. */
function drainAll({ commits, drain }: ReturnType<typeof makeEnds>): string[] {
  const got: string[] = [];
  for (let turn = 0; turn < 50; turn++) {
    commits.flush();
    got.push(...drain());
  }
  return got;
}

describe('commits and resets on a ring that is full', () => {
  it('loses no commit where resets wait beside them', () => {
    const ends = makeEnds();
    for (let queueId = 0; queueId < 60; queueId++) ends.commits.commit('g', 'T', queueId, 5);
    ends.commits.assignReset('other', 'T', [[0, 1]]);
    ends.commits.takeReset('other', 'T', 0);
    const got = drainAll(ends);
    for (let queueId = 0; queueId < 60; queueId++) expect(got).toContain(`g T ${queueId} 5`);
    expect(got.indexOf('reset other T 0,1')).toBeLessThan(got.indexOf('taken other T 0'));
  });

  it('drops a waiting commit that a reset has made old, and takes the same offset later', () => {
    const ends = makeEnds();
    for (let queueId = 0; queueId < 60; queueId++) ends.commits.commit('g', 'T', queueId, 9);
    ends.commits.assignReset('g', 'T', [[59, 2]]);
    ends.commits.takeReset('g', 'T', 59);
    expect(drainAll(ends)).not.toContain('g T 59 9');
    ends.commits.commit('g', 'T', 59, 9);
    expect(drainAll(ends)).toEqual(['g T 59 9']);
  });
});
