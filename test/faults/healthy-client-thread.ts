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

/** What happens to the broker while it sends. */
export type AttackPhase = 'warm-up' | 'base' | 'attack';

export interface HealthyClientSaw {
  baseP99Ms: number;
  attackP99Ms: number;
  /** Of the attack; the memory too. */
  longestMs: number;
  memoryBytesPeak: number;
  /** An answer that was no success; empty when there was none. */
  refused: string;
}

const SEND_INTERVAL_MS = 5;

const { port, pid, user } = workerData as HealthyClientData;
const latencies: Record<AttackPhase, number[]> = { 'warm-up': [], base: [], attack: [] };
let phase = 'warm-up' as AttackPhase;
let memoryBytesPeak = 0;
let refused = '';

function p99Of(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length * 0.99)] ?? 0;
}

parentPort?.on('message', (message: AttackPhase | 'saw') => {
  if (message !== 'saw') {
    phase = message;
    return;
  }
  const { base, attack } = latencies;
  for (const times of [base, attack]) times.sort((one, other) => one - other);
  parentPort?.postMessage({
    baseP99Ms: p99Of(base),
    attackP99Ms: p99Of(attack),
    longestMs: attack.at(-1) ?? 0,
    memoryBytesPeak,
    refused,
  } satisfies HealthyClientSaw);
});

const client = await RawClient.connect(port);
for (;;) {
  if (phase === 'attack') memoryBytesPeak = Math.max(memoryBytesPeak, anonymousBytesOf(pid));
  const send = sendRequest({ topic: 'Healthy', body: 'x' });
  const beganMs = performance.now();
  const answer = await client.request(user === null ? send : signed(send, user));
  latencies[phase].push(performance.now() - beganMs);
  if (answer.code !== 0) refused = `answered ${answer.code} ${answer.remark}`;
  await pause(SEND_INTERVAL_MS);
}
