/** Runs the faults, attacks and checks of docs/reliability.md, which are in the files beside. */
import { parseArgs } from 'node:util';
import type { CaseContext, FaultCase } from './case.ts';
import { accessAttackCases } from './access-attack-cases.ts';
import { attackCases } from './attack-cases.ts';
import { clockCases } from './clock-cases.ts';
import { limitCases } from './limit-cases.ts';
import { offsetCases } from './offset-cases.ts';
import { slowDiskCases } from './slow-disk-cases.ts';
import { transactionCases } from './transaction-cases.ts';
import { crashCases } from './crash-cases.ts';
import { fuzzCases } from './fuzz-cases.ts';
import { failingCallCases } from './failing-call-cases.ts';
import { frameAttackCases } from './frame-attack-cases.ts';
import { limitAttackCases } from './limit-attack-cases.ts';
import { tornCases } from './torn-cases.ts';

const cases: readonly FaultCase[] = [
  ...crashCases,
  ...failingCallCases,
  ...tornCases,
  ...slowDiskCases,
  ...clockCases,
  ...offsetCases,
  ...transactionCases,
  ...fuzzCases,
  ...limitCases,
  ...attackCases,
  ...frameAttackCases,
  ...accessAttackCases,
  ...limitAttackCases,
];

const HELP = `The faults, attacks and checks of docs/reliability.md.

  npm run test:faults                                 each case in short, in minutes
  npm run test:faults -- --long                       in full, in hours
  npm run test:faults -- --only crash-states,fuzz     cases whose names begin so
  npm run test:faults -- --seed 7                     what is left to chance, again
  npm run test:faults -- --list                       names of the cases, and what they cover`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h', default: false },
    long: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
  },
});

const PROGRESS_INTERVAL_MS = 1000;
/** The same where lines are kept. */
const LINES_INTERVAL_MS = 60_000;

function progressLine(name: string): (text: string) => void {
  const isTty = process.stdout.isTTY;
  let shownMs = performance.now();
  return (text) => {
    const nowMs = performance.now();
    if (nowMs - shownMs < (isTty ? PROGRESS_INTERVAL_MS : LINES_INTERVAL_MS)) return;
    shownMs = nowMs;
    process.stdout.write(isTty ? `\r\u001b[K${name}: ${text}` : `        ${name}: ${text}\n`);
  };
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const text = error.stack ?? error.message;
  return cause === undefined ? text : `${text}\ncause: ${messageOf(cause)}`;
}

async function runCase(one: FaultCase, context: CaseContext): Promise<boolean> {
  const startedMs = performance.now();
  const isTty = process.stdout.isTTY;
  try {
    const said = await one.run({ ...context, progress: progressLine(one.name) });
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`${isTty ? '\r\u001b[K' : ''}ok      ${one.name}: ${said} (${seconds} s)`);
    return true;
  } catch (error) {
    console.log(`${isTty ? '\r\u001b[K' : ''}FAILED  ${one.name}: ${messageOf(error)}`);
    const long = context.isLong ? ' --long' : '';
    console.log(
      `        again: npm run test:faults -- --only ${one.name} --seed ${context.seed}${long}`,
    );
    return false;
  }
}

async function main(): Promise<void> {
  if (values.help) {
    console.log(HELP);
    return;
  }
  const names = values.only.split(',').filter((name) => name !== '');
  const chosen = cases.filter(
    ({ name }) => names.length === 0 || names.some((start) => name.startsWith(start)),
  );
  if (values.list) {
    for (const { name, covers } of cases) console.log(`${name}: cases ${covers}`);
    return;
  }
  const seed = Number(values.seed);
  if (!Number.isSafeInteger(seed) || chosen.length === 0)
    throw new Error('--seed takes a whole number, --only names of cases (see --list)');
  console.log(`seed ${seed}, ${values.long ? 'long' : 'short'} form, Node ${process.version}`);
  let passed = 0;
  for (const one of chosen) {
    const context = { seed, isLong: values.long, progress: () => {} };
    if (await runCase(one, context)) passed++;
  }
  const failed = chosen.length - passed;
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
