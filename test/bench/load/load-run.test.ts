/**
 * Goal: every mode of the load generator counts what a broker really did. Method: short runs against a
 * broker process on a store of its own; figures of speed are not looked at.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultOptions, type LoadOptions } from '../../../bench/load/load-options.ts';
import { runLoad } from '../../../bench/load/load-run.ts';
import { defaultBrokerConfig } from '../../../src/base/broker-config.ts';
import { silentLogger } from '../../../src/base/logging.ts';
import { type BrokerProcess, startBrokerProcess } from '../../../src/cli/broker-process.ts';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-load-'));
let broker: BrokerProcess;
let base: LoadOptions;

beforeAll(async () => {
  broker = await startBrokerProcess(
    {
      ...defaultBrokerConfig(),
      storeDirectory: path.join(directory, 'store'),
      segmentBytes: 64 * 1024 * 1024,
      brokerPort: 0,
      nameServerPort: 0,
      webPort: -1,
    },
    silentLogger,
  );
  base = {
    ...defaultOptions,
    address: `127.0.0.1:${broker.ready.brokerPort}`,
    nameServer: `127.0.0.1:${broker.ready.nameServerPort}`,
    brokerPid: process.pid,
    connectionCount: 3,
    outstandingCount: 4,
    queueCount: 5,
    warmupSeconds: 0,
    seconds: 1,
  };
});

afterAll(async () => {
  await broker.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Marks that say something about the broker's answers, not about the machine. */
function faults(marks: readonly string[]): string[] {
  return marks.filter((mark) => ['errors', 'unanswered', 'lost'].includes(mark));
}

describe('load run', () => {
  it.each(['json', 'rocketmq'] as const)(
    'sends in a closed loop with %s headers',
    async (codec) => {
      const result = await runLoad({ ...base, mode: 'send', codec, topic: `Send-${codec}` });
      expect(faults(result.marks)).toEqual([]);
      expect(result.messageCount).toBeGreaterThan(0);
      expect(result.sendLatency?.count).toBe(result.messageCount);
    },
  );

  it('sends all that the schedule says, on several threads', async () => {
    const result = await runLoad({ ...base, mode: 'paced', ratePerSecond: 1500, threadCount: 2 });
    expect(faults(result.marks)).toEqual([]);
    expect(result.messageCount).toBe(1500);
    expect(result.sendLatency?.count).toBe(1500);
  });

  it.each(['json', 'rocketmq'] as const)(
    'receives every message end to end with %s headers',
    async (codec) => {
      const result = await runLoad({
        ...base,
        mode: 'end-to-end',
        codec,
        topic: `EndToEnd-${codec}`,
        ratePerSecond: 1000,
        consumerCount: 2,
        threadCount: 2,
      });
      expect(faults(result.marks)).toEqual([]);
      expect(result.messageCount).toBe(1000);
      expect(result.endToEndLatency?.count).toBe(1000);
    },
  );

  it('reads a backlog whole, for each of several consumers', async () => {
    const options: LoadOptions = {
      ...base,
      mode: 'backlog',
      topic: 'Backlog',
      messageCount: 3001,
      consumerCount: 3,
      threadCount: 2,
    };
    // Twice: the second backlog starts behind the first.
    for (let round = 0; round < 2; round++) {
      const result = await runLoad(options);
      expect(faults(result.marks)).toEqual([]);
      expect(result.messageCount).toBe(3 * 3001);
    }
  });

  it('counts answers that are errors, with their remark', async () => {
    const result = await runLoad({
      ...base,
      mode: 'send',
      topic: 'TooLong',
      bodyBytes: defaultBrokerConfig().maxMessageBytes + 1,
      connectionCount: 1,
      outstandingCount: 1,
    });
    expect(result.messageCount).toBe(0);
    expect(result.marks).toContain('errors');
    expect(result.errors).toEqual([
      { code: 13, count: expect.any(Number) as number, remark: expect.stringMatching(/\w/) },
    ]);
  });

  it('ends with the reason where the broker closes its connections', async () => {
    const server = net.createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as net.AddressInfo;
    const run = runLoad({ ...base, address: `127.0.0.1:${port}`, nameServer: null });
    await expect(run).rejects.toThrow(/closed the connection/);
    server.close();
  });
});
