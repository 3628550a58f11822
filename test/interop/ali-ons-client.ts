/**
 * Scenarios of ali-ons 3.12.0, a RocketMQ client for Node.js, under `ali-ons/`. It has a package of its
 * own there, so that the broker's stays free of what it depends on.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type ClientProgram, runProgram } from './client-program.ts';

const project = path.join(import.meta.dirname, 'ali-ons');
const wanted = path.join(project, 'package-lock.json');
/** npm writes it when an installation is complete. */
const installed = path.join(project, 'node_modules', '.package-lock.json');

export const aliOnsClient: ClientProgram = {
  name: 'ali-ons',
  scenarios: [
    'send',
    'compressed-body',
    'chinese',
    'tags',
    'sql-filter',
    'sharding-key',
    'rebalance',
    'resume',
    'from-last',
    'retry',
    'dead-letter',
    'delay',
    'timed',
    'broadcast',
  ],
  run: (options) => {
    prepareAliOns();
    return runProgram([process.execPath, path.join(project, 'main.ts')], options);
  },
};

function prepareAliOns(): void {
  const isCurrent =
    fs.existsSync(installed) && fs.statSync(installed).mtimeMs >= fs.statSync(wanted).mtimeMs;
  if (isCurrent) return;
  execFileSync('npm', ['ci', '--ignore-scripts'], {
    cwd: project,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}
