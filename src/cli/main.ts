#!/usr/bin/env node
/**
 * @agent reactor
 *
 * The command.
 */
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { defaultBrokerConfig } from '../base/broker-config.ts';
import { startBrokerProcess } from './broker-process.ts';

const { values } = parseArgs({
  allowPositionals: true,
  options: {
    'store-dir': { type: 'string', default: 'store' },
    'broker-port': { type: 'string', default: '10911' },
    'name-server-port': { type: 'string', default: '9876' },
    'listen-address': { type: 'string', default: '127.0.0.1' },
    flush: { type: 'string', default: 'async' },
    threads: { type: 'string', default: 'auto' },
  },
});
const logger = pino();
const broker = await startBrokerProcess(
  {
    ...defaultBrokerConfig(),
    storeDirectory: values['store-dir'],
    brokerPort: Number(values['broker-port']),
    nameServerPort: Number(values['name-server-port']),
    listenAddress: values['listen-address'],
    flush: values.flush as 'async',
    threads: values.threads as 'auto',
  },
  logger,
);
logger.info(broker.ready, 'ready');
void broker.failed.then((error) => {
  logger.error(error, 'failed');
  process.exit(1);
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    void broker.close().then(() => {
      logger.info({}, 'stopped');
      process.exit(0);
    });
  });
}
