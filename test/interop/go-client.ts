/**
 * Scenarios of the Go client 2.1.2, a program under `go/`.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { type ClientProgram, runProgram } from './client-program.ts';

const project = path.join(import.meta.dirname, 'go');
const program = path.join(project, 'target', 'scenarios');

export const goClient: ClientProgram = {
  name: 'go',
  scenarios: [
    'sync-send',
    'async-send',
    'oneway',
    'batch',
    'large-body',
    'compressed-body',
    'chinese',
    'orderly',
    'tags',
    'sql-filter',
    'rebalance',
    'resume',
    'from-last',
    'retry',
    'dead-letter',
    'delay',
    'timed',
    'transaction',
    'broadcast',
    'pull',
    'poll',
    'admin',
  ],
  run: (options) => {
    prepareGo();
    return runProgram([program], options);
  },
};

/** Compiles the program; quick when nothing changed, and without the network once its modules are there. */
function prepareGo(): void {
  execFileSync('go', ['build', '-buildvcs=false', '-o', program, '.'], {
    cwd: project,
    stdio: ['ignore', 'inherit', 'inherit'],
    // Nothing in it is C, so no C compiler is asked for.
    env: { ...process.env, CGO_ENABLED: '0' },
  });
}
