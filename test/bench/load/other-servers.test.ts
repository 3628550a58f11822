/**
 * Goal: what the generator does with NATS and Redis is what it does with a broker: every message is sent,
 * stored and read, and counted once. Method: short runs against real servers, where they are installed.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Contender, RunningBroker } from '../../../bench/load/contender-process.ts';
import { defaultOptions, type LoadOptions } from '../../../bench/load/load-options.ts';
import { runLoad } from '../../../bench/load/load-run.ts';
import { dropTopic } from '../../../bench/load/wires.ts';
import { nats, natsProgram } from '../../../bench/matrix/nats-server.ts';
import { redis } from '../../../bench/matrix/redis-server.ts';

function runs(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const servers: [string, Contender, boolean, number][] = [
  ['NATS', nats, runs(natsProgram), 25_611],
  ['Redis', redis, runs('redis-server'), 25_621],
];

describe.each(servers)('%s', (_name, contender, isInstalled, brokerPort) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-servers-'));
  let server: RunningBroker | null = null;
  let base: LoadOptions;

  beforeAll(async () => {
    if (!isInstalled) return;
    const nameServerPort = brokerPort + 1;
    server = await contender.start({ directory, brokerPort, nameServerPort, flush: 'async' });
    base = {
      ...defaultOptions,
      protocol: contender.protocol,
      address: `127.0.0.1:${brokerPort}`,
      brokerPid: server.pid,
      connectionCount: 3,
      outstandingCount: 4,
      queueCount: 5,
      warmupSeconds: 0,
      seconds: 1,
    };
  });

  afterAll(async () => {
    await server?.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const faults = (marks: readonly string[]): string[] =>
    marks.filter((mark) => ['errors', 'unanswered', 'lost'].includes(mark));

  it.skipIf(!isInstalled)('acknowledges what is sent in a closed loop', async () => {
    const result = await runLoad({ ...base, topic: 'Send', bodyBytes: 1000 });
    expect(faults(result.marks)).toEqual([]);
    expect(result.messageCount).toBeGreaterThan(0);
    expect(result.sendLatency?.count).toBe(result.messageCount);
  });

  it.skipIf(!isInstalled)('hands over every message end to end', async () => {
    const result = await runLoad({
      ...base,
      mode: 'end-to-end',
      topic: 'End-to-end',
      ratePerSecond: 1500,
    });
    expect(faults(result.marks)).toEqual([]);
    expect(result.messageCount).toBe(1500);
    expect(result.endToEndLatency?.count).toBe(1500);
  });

  it.skipIf(!isInstalled)('reads a backlog whole, for each of several consumers', async () => {
    const topic = 'Backlog.of-three';
    const fill = await runLoad({
      ...base,
      mode: 'fill',
      topic,
      messageCount: 5000,
      queueOrder: 'by-queue',
    });
    expect(fill.messageCount).toBe(5000);
    const read = await runLoad({ ...base, mode: 'read', topic, consumerCount: 3 });
    expect(faults(read.marks)).toEqual([]);
    expect(read.messageCount).toBe(15_000);
    await dropTopic({ ...base, topic });
    const rest = await runLoad({ ...base, mode: 'fill', topic, messageCount: 10 });
    expect(rest.messageCount).toBe(10);
  });

  it.skipIf(!isInstalled)('is sent to by connections in turn, beside silent ones', async () => {
    const result = await runLoad({
      ...base,
      topic: 'Turns',
      connectionCount: 20,
      inFlightCount: 10,
      idleConnectionCount: 30,
    });
    expect(faults(result.marks)).toEqual([]);
    expect(result.messageCount).toBeGreaterThan(0);
  });
});
