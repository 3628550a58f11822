/** Frames that are nearly right, over many connections, to the process of a broker and its name server. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { AttackedBroker, type AttackOptions } from './attacked-broker.ts';
import type { CaseContext, FaultCase } from './case.ts';
import type { FrameAttackData, FrameAttackSaw } from './frame-attack-thread.ts';

const MIB = 1024 * 1024;
const FRAMES_SHORT = 20_000;
const FRAMES_LONG = 10_000_000;
/** Until topics and groups are as many as may be, and buffers are made. */
const FRAMES_WARM_UP_SHORT = 20_000;
const FRAMES_WARM_UP_LONG = 400_000;
/** Between them the healthy client is left alone. */
const FRAMES_AT_ONCE = 40_000;
/** What frames create is state, which has bounds of its own. */
const settings = ['topicCountMax=300', 'subscriptionGroupCountMax=300'];

/** 1, 3, 4, 5, 12, 13: what fuzz-frames sends on one thread, with a process, its limits and its sockets. */
const fuzzedFrames = async ({ seed, isLong, progress }: CaseContext): Promise<string> => {
  const count = isLong ? FRAMES_LONG : FRAMES_SHORT;
  const warmUpCount = isLong ? FRAMES_WARM_UP_LONG : FRAMES_WARM_UP_SHORT;
  const port = 26240;
  let attacker: Worker | null = null;
  const send = async (frameCount: number): Promise<FrameAttackSaw> => {
    const workerData: FrameAttackData = { seed, ports: [port, port + 1] };
    attacker ??= new Worker(new URL('./frame-attack-thread.ts', import.meta.url), { workerData });
    const answer = once(attacker, 'message') as Promise<[FrameAttackSaw]>;
    attacker.postMessage(frameCount);
    return (await answer)[0];
  };
  const options: AttackOptions = {
    port,
    settings,
    memoryBytesMax: 64 * MIB,
    warmUp: async () => void (await send(warmUpCount)),
  };
  try {
    return await AttackedBroker.attack(options, async (broker) => {
      let saw = await send(Math.min(count, FRAMES_AT_ONCE));
      while (saw.sentCount < warmUpCount + count) {
        progress(`${saw.sentCount} of ${warmUpCount + count} frames`);
        await broker.rest();
        saw = await send(FRAMES_AT_ONCE);
      }
      // Not those that stood behind the frame for which a connection was closed.
      const received = await broker.counter('millrace_network_received_bytes_total');
      if (received < saw.sentBytes * 0.9)
        throw new Error(`${saw.sentBytes} bytes were sent, ${received} received`);
      const strangers = broker.strangers();
      if (strangers.length > 0)
        throw new Error(`files outside of the store: ${strangers.join(', ')}`);
      return `${saw.sentCount} frames, ${saw.closedCount} connections closed for theirs`;
    });
  } finally {
    await (attacker as Worker | null)?.terminate();
  }
};

export const frameAttackCases: readonly FaultCase[] = [
  { name: 'attack-frames', covers: '1 3 4 5 12 13', run: fuzzedFrames },
];
