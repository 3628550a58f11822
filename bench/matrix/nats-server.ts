/**
 * NATS JetStream with its store in files: built by Go from the module proxy into a folder of the bench,
 * once. Settings are the server's own, but for `sync_interval: always` where a flush is asked for.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type Contender, processContender } from '../load/contender-process.ts';
import { createStream, NatsRequestClient } from '../load/nats/nats-setup.ts';

const NATS_VERSION = '2.15.2';
const PACKAGE = `github.com/nats-io/nats-server/v2@v${NATS_VERSION}`;
const cache = path.join(import.meta.dirname, '.cache');
export const natsProgram = path.join(cache, 'nats-server');
/** A build from nothing took 60 s on 2 cores. */
const BUILD_TIMEOUT_MS = 600_000;
const START_TOPIC = 'StartTopic';

/** Builds the server where that has not been done. @throws Error without Go, or without the module */
export function prepareNats(log: (line: string) => void): void {
  if (isBuilt()) return;
  log(`building nats-server ${NATS_VERSION}`);
  fs.mkdirSync(cache, { recursive: true });
  execFileSync('go', ['install', PACKAGE], {
    env: { ...process.env, GOBIN: cache, GOFLAGS: '' },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: BUILD_TIMEOUT_MS,
  });
}

function isBuilt(): boolean {
  try {
    return execFileSync(natsProgram, ['--version'], { encoding: 'utf8' }).includes(NATS_VERSION);
  } catch {
    return false;
  }
}

export const nats: Contender = processContender({
  name: `NATS JetStream ${NATS_VERSION}`,
  protocol: 'nats',
  command: ({ directory, brokerPort, flush }) => {
    const file = path.join(directory, 'nats.conf');
    const sync = flush === 'sync' ? '\n  sync_interval: always' : '';
    fs.writeFileSync(
      file,
      `listen: "127.0.0.1:${brokerPort}"\njetstream {\n  store_dir: "${path.join(directory, 'store')}"${sync}\n}\n`,
    );
    return [natsProgram, '-c', file];
  },
  sendFirst: async (port) => {
    const client = await NatsRequestClient.connect({ host: '127.0.0.1', port, isWeb: false });
    try {
      await createStream(client, START_TOPIC);
      const answer = await client.request(`${START_TOPIC}.0`, 'first');
      return answer['stream'] === START_TOPIC;
    } finally {
      client.close();
    }
  },
});
