/**
 * `millrace doctor` beside Apache RocketMQ: names who holds ports and store, and reads its routes.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { startApacheBroker, startApacheNameServer } from './apache-rocketmq.ts';

const main = path.join(import.meta.dirname, '../../src/cli/main.ts');

interface Found {
  check: string;
  state: string;
  text: string;
}

/** Says what it found. @throws Error where a finding is missing */
export async function doctorBesideApache(options: {
  directory: string;
  brokerPort: number;
  nameServerPort: number;
}): Promise<string> {
  const { directory, brokerPort, nameServerPort } = options;
  const storeDirectory = path.join(directory, 'store');
  const names = await startApacheNameServer({ port: nameServerPort, directory });
  const nameServerAddress = `127.0.0.1:${nameServerPort}`;
  const broker = await startApacheBroker({
    brokerPort,
    nameServerAddress,
    storeDirectory,
    directory,
    brokerName: 'broker-a',
    properties: { mappedFileSizeCommitLog: 64 * 1024 * 1024 },
  });
  const wanted: [string, string, RegExp][] = [
    [
      'ports.broker',
      'problem',
      /Apache RocketMQ, broker broker-a with the store .*process \d+ \(java\)/,
    ],
    ['ports.name-server', 'problem', /a name server of Apache RocketMQ/],
    [
      'store.lock',
      'problem',
      new RegExp(`Apache RocketMQ has the store .* open, process ${broker.pid} \\(java\\)`),
    ],
    ['name-server.registration', 'ok', /knows a broker-a at/],
  ];
  try {
    const found = examine([
      '--store-dir',
      storeDirectory,
      '--broker-port',
      String(brokerPort),
      '--name-server-port',
      String(nameServerPort),
      '--name-servers',
      nameServerAddress,
      '--web-port',
      'off',
    ]);
    for (const [check, state, text] of wanted)
      if (!found.some((one) => one.check === check && one.state === state && text.test(one.text)))
        throw new Error(
          `no ${state} of ${check} like ${String(text)} in\n${JSON.stringify(found, null, 1)}`,
        );
  } finally {
    await broker.stop();
    await names.stop();
  }
  return `${wanted.length} findings beside Apache`;
}

function examine(flags: readonly string[]): Found[] {
  const { stdout, stderr } = spawnSync(process.execPath, [main, 'doctor', '--json', ...flags], {
    env: { PATH: process.env['PATH'], MILLRACE_BROKER_NAME: 'broker-a' },
    encoding: 'utf8',
  });
  if (stderr !== '') throw new Error(stderr);
  return (JSON.parse(stdout) as { findings: Found[] }).findings;
}
