/**
 * The web port on uWebSockets.js. Its binary needs glibc 2.38: on an older system this file tests what a
 * broker does there, and `.ci/glibc-13` runs it again with the libraries of Debian 13
 * (MILLRACE_TEST_UWS=required makes it fail where the binary does not load even then).
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/base/logging.ts';
import { defaultBrokerConfig } from '../../src/base/broker-config.ts';
import { startBrokerProcess } from '../../src/cli/broker-process.ts';
import { loadUws } from '../../src/reactor/uws-listener.ts';
import { webListenerContract } from './web-listener.contract.ts';

const loaded = loadUws();
const why = typeof loaded === 'string' ? loaded : '';

const runsContract = why === '' || process.env['MILLRACE_TEST_UWS'] === 'required';

describe.runIf(runsContract)('the web port on uWebSockets.js', () => {
  webListenerContract('uws');
});

describe.skipIf(runsContract)('where uWebSockets.js does not load', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-no-uws-'));
  const config = {
    ...defaultBrokerConfig(),
    storeDirectory: root,
    brokerPort: 0,
    nameServerPort: 0,
    webPort: 0,
    segmentBytes: 65_536,
    storeKind: 'plain',
    threads: 'inline',
  } as const;

  test('a broker that must have it does not start, and says why', async () => {
    await expect(
      startBrokerProcess({ ...config, webLibrary: 'uws' }, silentLogger),
    ).rejects.toMatchObject({
      code: 'WEB_LIBRARY_MISSING',
      message: expect.stringContaining(why) as string,
    });
  });

  test('one that may choose takes ws, and its log says why', async () => {
    const lines: [object, string][] = [];
    const logger = {
      ...silentLogger,
      info: (fields: object, message: string) => void lines.push([fields, message]),
    };
    const broker = await startBrokerProcess({ ...config, webLibrary: 'auto' }, logger);
    await broker.close();
    fs.rmSync(root, { recursive: true, force: true });
    expect(lines).toContainEqual([
      expect.objectContaining({
        library: 'ws',
        why: `uWebSockets.js does not load: ${why}`,
      }),
      'web listener uses ws',
    ]);
  });
});
