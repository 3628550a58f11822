/**
 * A producer is killed with a transaction undecided; another member of its group, in another process,
 * is asked in its place.
 */
import path from 'node:path';
import { type JavaProcess, startJava } from './apache-rocketmq.ts';

const TOPIC = 'TransactionHeir';
const GROUP = 'transactions_heir';
const TIMEOUT_MS = 100_000;

export async function transactionHeir(options: {
  directory: string;
  nameServer: string;
}): Promise<void> {
  const start = (name: string): JavaProcess =>
    startJava({
      main: 'millrace.Scenarios',
      arguments: [options.nameServer, `transaction-${name}:${TOPIC}:${GROUP}`],
      directory: path.join(options.directory, name),
      heapMb: 128,
      name,
    });
  const heir = start('heir');
  const processes = [heir];
  try {
    await printed(heir, 'INFO transaction-heir: waiting');
    const killed = start('hang');
    processes.push(killed);
    await printed(killed, 'INFO transaction-hang: half of');
    killed.kill();
    await killed.ended;
    await printed(heir, 'PASS transaction-heir');
  } finally {
    for (const process of processes) process.kill();
  }
}

/** Waits for a line; throws where the process ends without it, or says what failed. */
async function printed(process: JavaProcess, line: string): Promise<void> {
  const deadline = Date.now() + TIMEOUT_MS;
  let hasEnded = false;
  void process.ended.then(() => (hasEnded = true));
  for (;;) {
    const isLast = hasEnded || Date.now() > deadline;
    const output = process.output();
    if (output.includes(line)) return;
    if (isLast) throw new Error(/^FAIL .*/m.exec(output)?.[0] ?? output.slice(-1000));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
