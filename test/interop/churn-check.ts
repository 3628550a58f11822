/**
 * What a run of consumers that come and go must have been like, from what they wrote down themselves
 * and from what the witness saw the broker grant. Throws what was not so.
 */
import fs from 'node:fs';
import type { Holding, LockWitness, OffsetAnswer } from './lock-witness.ts';

export type Group = 'orderly' | 'concurrent';

/** What was sent: by queue, the number in the message at each offset; -1 where no send was answered so. */
export type Acknowledged = readonly number[][];

interface Batch {
  readonly instance: string;
  readonly group: Group;
  readonly queueId: number;
  readonly beginNs: number;
  /** Infinity where its process was killed in between. */
  endNs: number;
  readonly offsets: number[];
}

export interface ChurnReport {
  deliveredCount: number;
  duplicateCount: Record<Group, number>;
  stintCount: number;
  instanceCount: number;
}

/** Reads the logs of all processes; a last line without an end was cut by a kill. */
export function readBatches(logFiles: readonly string[], acknowledged: Acknowledged): Batch[] {
  const batches: Batch[] = [];
  for (const file of logFiles) {
    const open = new Map<string, Batch>();
    const lines = fs.readFileSync(file, 'utf8').split('\n');
    lines.pop();
    for (const line of lines) {
      const words = line.split(' ');
      if (words[0] === 'E') {
        const batch = open.get(words[1]);
        if (batch !== undefined) batch.endNs = Number(words[2]);
      } else if (words[0] === 'B') {
        const [, id, instance, group, queue, nanoseconds, ...messages] = words;
        const queueId = Number(queue);
        const offsets: number[] = [];
        for (const message of messages) {
          const [offset, number] = message.split(':').map(Number);
          if (acknowledged[queueId][offset] !== number) {
            throw new Error(
              `queue ${queueId} gave number ${number} at offset ${offset}, where ${acknowledged[queueId][offset]} was acknowledged`,
            );
          }
          offsets.push(offset);
        }
        const beginNs = Number(nanoseconds);
        const batch = {
          instance,
          group: group as Group,
          queueId,
          beginNs,
          endNs: Infinity,
          offsets,
        };
        open.set(id, batch);
        batches.push(batch);
      }
    }
  }
  return batches.sort((left, right) => left.beginNs - right.beginNs);
}

export function checkChurn(
  batches: readonly Batch[],
  acknowledged: Acknowledged,
  witness: LockWitness,
): ChurnReport {
  if (witness.doubleGrants.length > 0) {
    throw new Error(
      `${witness.doubleGrants.length} locks were given to a second client: ${witness.doubleGrants[0]}`,
    );
  }
  checkAnswers(witness);
  const duplicateCount = { orderly: 0, concurrent: 0 };
  for (const group of ['orderly', 'concurrent'] as const)
    duplicateCount[group] = checkAllProcessed(group, batches, acknowledged);
  checkAlone(batches);
  const stintCount = checkOrder(batches, witness);
  checkConcurrent(batches, witness);
  return {
    deliveredCount: batches.reduce((sum, batch) => sum + batch.offsets.length, 0),
    duplicateCount,
    stintCount,
    instanceCount: new Set(batches.map((batch) => batch.instance)).size,
  };
}

/** Nothing is lost: of each group somebody has finished every message. Returns what was delivered again. */
function checkAllProcessed(
  group: Group,
  batches: readonly Batch[],
  acknowledged: Acknowledged,
): number {
  const finished = acknowledged.map((queue) => new Uint8Array(queue.length));
  const begun = acknowledged.map((queue) => new Uint8Array(queue.length));
  let duplicateCount = 0;
  for (const batch of batches) {
    if (batch.group !== group) continue;
    for (const offset of batch.offsets) {
      if (begun[batch.queueId][offset] === 1) duplicateCount++;
      begun[batch.queueId][offset] = 1;
      if (batch.endNs !== Infinity) finished[batch.queueId][offset] = 1;
    }
  }
  const lost: string[] = [];
  finished.forEach((queue, queueId) =>
    queue.forEach((isFinished, offset) => {
      if (isFinished === 0) lost.push(`${queueId}/${offset}`);
    }),
  );
  if (lost.length > 0)
    throw new Error(`${lost.length} messages are lost to group ${group}, the first ${lost[0]}`);
  return duplicateCount;
}

/** A group goes on only at what a member has committed, or at the beginning. */
function checkAnswers(witness: LockWitness): void {
  for (const { group, queueId, offset } of witness.offsetAnswers) {
    if (offset === null || offset === 0) continue;
    if (!witness.wasCommitted(group, queueId, offset))
      throw new Error(
        `group ${group} was sent to offset ${offset} of queue ${queueId}, which nobody committed`,
      );
  }
}

/** No two consumers of the orderly group are at work on one queue at once. */
function checkAlone(batches: readonly Batch[]): void {
  const last = new Map<number, Batch>();
  for (const batch of batches) {
    if (batch.group !== 'orderly') continue;
    const before = last.get(batch.queueId);
    // Of one that was killed it is not known when it ended, only that it began before.
    if (before !== undefined && before.endNs !== Infinity && batch.beginNs < before.endNs) {
      throw new Error(
        `queue ${batch.queueId}: ${batch.instance} began ${Math.round((before.endNs - batch.beginNs) / 1e3)} us before ${before.instance} ended`,
      );
    }
    last.set(batch.queueId, batch);
  }
}

/**
 * Every orderly batch falls into the time of a lock, and within one such time the queue goes on offset by
 * offset from what the broker answered when the holder asked for it. Returns how many such times were used.
 */
function checkOrder(batches: readonly Batch[], witness: LockWitness): number {
  const holdings = byQueue(witness.holdings, 'orderly');
  const answers = byQueue(witness.offsetAnswers, 'orderly');
  const next = new Map<Holding, number>();
  for (const batch of batches) {
    if (batch.group !== 'orderly') continue;
    const isOf = (one: { clientId: string }): boolean =>
      one.clientId.endsWith(`@${batch.instance}`);
    const holding = holdings
      .get(batch.queueId)
      ?.findLast((one) => isOf(one) && one.fromNs <= batch.beginNs);
    const where = `queue ${batch.queueId}, ${batch.instance}, offset ${batch.offsets[0]}`;
    if (holding === undefined || holding.toNs < batch.beginNs)
      throw new Error(`${where}: processed without the lock`);
    let expected = next.get(holding);
    if (expected === undefined) {
      const answer = answers
        .get(batch.queueId)
        ?.findLast((one) => isOf(one) && one.atNs <= batch.beginNs);
      // Not stored yet: the group begins with the first message.
      expected = answer?.offset ?? 0;
    }
    for (const offset of batch.offsets) {
      if (offset !== expected)
        throw new Error(`${where}: ${offset} came where ${expected} was next`);
      expected++;
    }
    next.set(holding, expected);
  }
  return next.size;
}

/** One that asks once where its group stands in a queue gets no message of it twice. */
function checkConcurrent(batches: readonly Batch[], witness: LockWitness): void {
  const asked = new Map<string, OffsetAnswer[]>();
  for (const answer of witness.offsetAnswers) {
    const key = `${answer.group} ${answer.queueId} ${answer.clientId.split('@')[1]}`;
    asked.set(key, [...(asked.get(key) ?? []), answer]);
  }
  const delivered = new Map<string, Map<number, number>>();
  for (const batch of batches) {
    if (batch.group !== 'concurrent') continue;
    const key = `${batch.group} ${batch.queueId} ${batch.instance}`;
    const answers = asked.get(key) ?? [];
    const lowest = Math.min(...answers.map(({ offset }) => offset ?? 0));
    let counts = delivered.get(key);
    if (counts === undefined) delivered.set(key, (counts = new Map()));
    for (const offset of batch.offsets) {
      const count = (counts.get(offset) ?? 0) + 1;
      counts.set(offset, count);
      if (count > answers.length || offset < lowest)
        throw new Error(
          `queue ${batch.queueId}: ${batch.instance} got offset ${offset} ${count} times, having asked ${answers.length} times and been sent to ${lowest} or later`,
        );
    }
  }
}

function byQueue<One extends { group: string; queueId: number }>(
  all: readonly One[],
  group: Group,
): Map<number, One[]> {
  const result = new Map<number, One[]>();
  for (const one of all) {
    if (one.group !== group) continue;
    const queue = result.get(one.queueId);
    if (queue === undefined) result.set(one.queueId, [one]);
    else queue.push(one);
  }
  return result;
}
