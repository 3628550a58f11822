/**
 * Scenarios of our own Node client, under `millrace-client/`. Like every client they run against the
 * broker under test; once more against the stock broker and name server, since it must work there too.
 */
import path from 'node:path';
import { type ClientProgram, runProgram } from './client-program.ts';

const main = path.join(import.meta.dirname, 'millrace-client', 'main.ts');

export const millraceClient: ClientProgram = {
  name: 'millrace/client',
  scenarios: [
    'send',
    'batch',
    'oneway',
    'order-key',
    'compressed, Chinese',
    'timed',
    'recall',
    'transaction',
    'errors',
    'tags',
    'sql-filter',
    'ordered',
    'retry',
    'dead-letter',
    'broadcast',
    'pull',
    'resume',
    'seek',
    'rebalance',
    'Java reads ours',
    'we read what Java sent',
    'a group of Java and Node',
  ],
  run: (options) => runProgram([process.execPath, main], options),
};
