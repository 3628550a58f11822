/**
 * The scenarios under `java/` once more, those that differ in what is sent, on the Java client 4.9.8.
 */
import { prepareJava49, startJava } from './apache-rocketmq.ts';
import { type ClientProgram, RUN_TIMEOUT_MS } from './client-program.ts';

export const java49Client: ClientProgram = {
  name: 'java 4.9.8',
  scenarios: [
    'sync-send',
    'async-send',
    'batch',
    'orderly',
    'lite-pull',
    'tags',
    'rebalance',
    'retry',
    'dead-letter',
    'delay',
    'broadcast',
    'query',
    'admin',
    'transaction-commit',
    'transaction-rollback',
    'transaction-check',
  ],
  run: async ({ nameServer, scenarios, directory, environment }) => {
    const client = startJava({
      main: 'millrace.Scenarios',
      arguments: [nameServer, ...scenarios],
      classPath: prepareJava49(),
      ...(environment === undefined ? {} : { environment }),
      directory,
      heapMb: 256,
      name: 'client',
    });
    const timer = setTimeout(() => client.kill(), RUN_TIMEOUT_MS);
    await client.ended;
    clearTimeout(timer);
    return client.output();
  },
};
