/**
 * Redis Streams, from the system's package: everything in memory, and in a file of commands that is
 * written to the disk each second, or before each answer. Snapshots are off, since that file is on.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { type Contender, processContender } from '../load/contender-process.ts';
import { command, keyOf } from '../load/redis/redis-frames.ts';
import { RedisRequestClient } from '../load/redis/redis-setup.ts';

/** Above the most that a workload opens. */
const CLIENT_COUNT_MAX = 12_000;

/** Installs the package where there is none. @throws Error where that can not be done */
export function prepareRedis(log: (line: string) => void): void {
  if (redisVersion() !== null) return;
  log('installing redis-server by apt-get');
  const options = { stdio: 'ignore', timeout: 300_000 } as const;
  execFileSync('apt-get', ['update'], options);
  execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'], options);
}

/** Null where it is not installed. */
function redisVersion(): string | null {
  try {
    const text = execFileSync('redis-server', ['--version'], { encoding: 'utf8' });
    return /v=(\S+)/.exec(text)?.[1] ?? null;
  } catch {
    return null;
  }
}

export const redis: Contender = processContender({
  name: `Redis Streams ${redisVersion() ?? ''}`.trim(),
  protocol: 'redis',
  command: ({ directory, brokerPort, flush }) => {
    const store = path.join(directory, 'store');
    fs.mkdirSync(store, { recursive: true });
    const settings: Record<string, string> = {
      port: String(brokerPort),
      bind: '127.0.0.1',
      dir: store,
      appendonly: 'yes',
      appendfsync: flush === 'sync' ? 'always' : 'everysec',
      save: '',
      maxclients: String(CLIENT_COUNT_MAX),
    };
    const words = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    return ['redis-server', ...words];
  },
  sendFirst: async (port) => {
    const client = await RedisRequestClient.connect({ host: '127.0.0.1', port, isWeb: false });
    try {
      const [id = ''] = await client.request([
        command('XADD', keyOf('start', 0), '*', 'b', 'first'),
      ]);
      return id.includes('-');
    } finally {
      client.close();
    }
  },
});
