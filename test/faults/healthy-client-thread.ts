/**
 * A client that sends one message after the other on a thread of its own: what keeps the attacker's
 * thread busy does not count as waiting for the broker.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { signed, type TestCredentials } from '../access/signed-raw.ts';
import { RawClient, sendRequest } from '../workers/raw-client.ts';
import { anonymousBytesOf } from './process-memory.ts';

export interface HealthyClientData {
  port: number;
  /** Of the broker, whose memory is looked at with every message. */
  pid: number;
  user: TestCredentials | null;
}

/** Since the last time it was asked. */
export interface HealthyClientSaw {
  p99Ms: number;
  memoryBytesPeak: number;
  /** An answer that was no success; empty when there was none. */
  refused: string;
}

const SEND_INTERVAL_MS = 5;

const { port, pid, user } = workerData as HealthyClientData;
let latencies: number[] = [];
let memoryBytesPeak = 0;
let refused = '';

function p99(): number {
  latencies.sort((one, other) => one - other);
  return latencies[Math.floor(latencies.length * 0.99)] ?? 0;
}

parentPort?.on('message', () => {
  parentPort?.postMessage({ p99Ms: p99(), memoryBytesPeak, refused } satisfies HealthyClientSaw);
  latencies = [];
  memoryBytesPeak = 0;
});

const client = await RawClient.connect(port);
for (;;) {
  memoryBytesPeak = Math.max(memoryBytesPeak, anonymousBytesOf(pid));
  const send = sendRequest({ topic: 'Healthy', body: 'x' });
  const beganMs = performance.now();
  const answer = await client.request(user === null ? send : signed(send, user));
  latencies.push(performance.now() - beganMs);
  if (answer.code !== 0) refused = `answered ${answer.code} ${answer.remark}`;
  await pause(SEND_INTERVAL_MS);
}
