/**
 * Sends frames that are nearly right over many connections, on a thread of its own with low priority: an
 * attacker has a machine of his own, and does not take the healthy client's cores.
 */
import net from 'node:net';
import os from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FuzzInput } from './fuzz-input.ts';

export interface FrameAttackData {
  seed: number;
  /** The ports of broker and name server. */
  ports: readonly [number, number];
}

/** After the frames that were asked for; sums of all. */
export interface FrameAttackSaw {
  sentCount: number;
  sentBytes: number;
  /** Connections that the other side ended. */
  closedCount: number;
}

/** A third of a core of the broker: each second frame costs its connection, and the next comes by a new one. */
const FRAMES_PER_SECOND = 2000;
const TURN_MS = 2;
const CONNECTIONS = 128;
/** One connection in so many is to the name server. */
const NAME_SERVER_SHARE = 8;
/** A frame that seems to be long takes all that come after it for its own: then a new connection is needed. */
const FRAMES_PER_CONNECTION = 24;
/** Ports of one address would be used up by connections that have just ended. */
const LOCAL_ADDRESSES = 200;
const LOW_PRIORITY = 10;

const { seed, ports } = workerData as FrameAttackData;
const input = new FuzzInput(seededRandom(seed));
const sockets: (net.Socket | null)[] = Array.from({ length: CONNECTIONS }, () => null);
const frameCounts = new Uint32Array(CONNECTIONS);
const saw: FrameAttackSaw = { sentCount: 0, sentBytes: 0, closedCount: 0 };
let openedCount = 0;
let turn = 0;

/** Sends up to `count` frames, at most one over each connection that is open. */
function send(count: number): void {
  for (let tried = 0; tried < Math.min(count, CONNECTIONS); tried++) {
    const index = turn++ % CONNECTIONS;
    const socket = sockets[index];
    if (socket === null || socket.connecting) continue;
    const frame = input.frame();
    socket.write(frame);
    saw.sentCount++;
    saw.sentBytes += frame.length;
    if (++frameCounts[index] < FRAMES_PER_CONNECTION) continue;
    open(index);
    // Answers that are on their way may come.
    socket.end();
  }
}

function open(index: number): void {
  const localAddress = `127.0.1.${1 + (openedCount++ % LOCAL_ADDRESSES)}`;
  const port = ports[index % NAME_SERVER_SHARE === 0 ? 1 : 0];
  const socket = net.connect({ port, host: '127.0.0.1', localAddress });
  socket.resume();
  socket.on('error', (error: NodeJS.ErrnoException) => {
    // Nobody listens any more. Other errors are what this is about.
    if (error.syscall === 'connect') throw error;
  });
  sockets[index] = socket;
  frameCounts[index] = 0;
  socket.once('close', () => {
    if (sockets[index] !== socket) return;
    saw.closedCount++;
    open(index);
  });
}

/** Of this thread. */
os.setPriority(LOW_PRIORITY);

parentPort?.on('message', (count: number) => void sendAll(count));

async function sendAll(count: number): Promise<void> {
  const startCount = saw.sentCount;
  const beganMs = performance.now();
  for (let index = 0; index < CONNECTIONS; index++) open(index);
  while (saw.sentCount < startCount + count) {
    await pause(TURN_MS);
    const due = Math.round(((performance.now() - beganMs) / 1000) * FRAMES_PER_SECOND);
    send(Math.min(count, due) - (saw.sentCount - startCount));
  }
  for (const [index, socket] of sockets.entries()) {
    sockets[index] = null;
    socket?.destroy();
  }
  parentPort?.postMessage(saw);
}
