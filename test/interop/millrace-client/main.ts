/**
 * What our own Node client does on the broker under test, Millrace or stock Apache RocketMQ. Arguments:
 * name server address, then names of scenarios. Prints "PASS name" or "FAIL name: why" for each, and
 * exits with the number of failures. A scenario that hangs fails, and the next one begins.
 */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import * as consuming from './consume-scenarios.ts';
import * as javaBeside from './java-scenarios.ts';
import * as sending from './send-scenarios.ts';

const LIMIT_MS = 120_000;

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  send: sending.send,
  batch: sending.batch,
  oneway: sending.oneway,
  'order-key': sending.orderKey,
  'compressed, Chinese': sending.compressedAndChinese,
  timed: sending.timed,
  recall: sending.recall,
  transaction: sending.transaction,
  errors: sending.errors,
  tags: consuming.tags,
  'sql-filter': consuming.sqlFilter,
  ordered: consuming.ordered,
  retry: consuming.retry,
  'dead-letter': consuming.deadLetter,
  broadcast: consuming.broadcast,
  pull: consuming.pull,
  resume: consuming.resume,
  seek: consuming.seek,
  rebalance: consuming.rebalance,
  'Java reads ours': javaBeside.javaReads,
  'we read what Java sent': javaBeside.javaWrites,
  'a group of Java and Node': javaBeside.mixedGroup,
};

async function limit(): Promise<never> {
  // Not a reason to stay, nor a failure of its own once the scenario has ended.
  await setTimeout(LIMIT_MS, undefined, { ref: false });
  assert.fail(`not finished after ${LIMIT_MS} ms`);
}

// What nobody handled is a failure of the client, whatever the scenarios say.
let unhandled = 0;
process.on('unhandledRejection', (error) => {
  unhandled++;
  console.log(`FAIL unhandled: ${String(error)}`);
});

let failures = 0;
for (const name of process.argv.slice(3)) {
  const started = Date.now();
  try {
    const scenario = scenarios[name];
    assert(scenario !== undefined, 'no such scenario');
    await Promise.race([scenario(), limit()]);
    assert.equal(unhandled, 0, 'rejections that nobody handled');
    console.log(`PASS ${name} ${Date.now() - started} ms`);
  } catch (error) {
    failures++;
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    console.log(`FAIL ${name}: ${message.replaceAll(/\s+/g, ' ')}\n${stack}`);
  }
}
process.exit(failures);
