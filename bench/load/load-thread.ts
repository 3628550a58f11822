/**
 * Entry of a generator thread: connects, says `ready`, runs from `begin` to `finish`, and reports. All
 * its connections live on its own event loop.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { recordMs } from './latency.ts';
import { IdleConnection } from './idle-connection.ts';
import type { MainMessage, ThreadMessage, ThreadPlan, Window } from './load-options.ts';
import { runInRealTime } from './real-time.ts';
import { SendConnection } from './send-connection.ts';
import { SendSchedule } from './send-schedule.ts';
import { steadyNowMs } from './steady-clock.ts';
import { ThreadState } from './thread-state.ts';
import { TransactionConnection } from './transaction-connection.ts';
import { TurnRelay } from './turn-relay.ts';
import { consumerFor, sendWireFor } from './wires.ts';

/** Headers of sends stay far below this: topic, group and names are at most 255 bytes each. */
const HEADER_BYTES_MAX = 4096;

/** Connections that are being made at a time; half of the smallest usual backlog of a listener. */
const CONNECTING_COUNT_MAX = 64;

const { plan, tickPort } = workerData as { plan: ThreadPlan; tickPort: MessagePort | null };
const port = parentPort as MessagePort;
const post = (message: ThreadMessage): void => port.postMessage(message);

const requestBytesMax = plan.batchCount * (plan.bodyBytes + HEADER_BYTES_MAX);
const state = new ThreadState(plan, requestBytesMax, (reason) => post({ kind: 'failed', reason }));
/** With holes where another thread has the connection; empty where they send transactions. */
const senderByIndex: (SendConnection | undefined)[] = [];
const senders = plan.senders.map(({ connectionIndex }) => {
  if (plan.work === 'transactions') return new TransactionConnection(state, connectionIndex);
  const sender = new SendConnection(state, sendWireFor(state, connectionIndex), connectionIndex);
  senderByIndex[connectionIndex] = sender;
  return sender;
});
const consumers = plan.consumers.map((consumer) => consumerFor(state, consumer));
const idle = Array.from({ length: plan.idleConnectionCount }, () => new IdleConnection(state));

state.isRealTime = plan.loop === 'paced' && runInRealTime();
try {
  const connections = [...senders, ...consumers, ...idle];
  // In parts: a server's queue of connections to accept is short.
  for (let from = 0; from < connections.length; from += CONNECTING_COUNT_MAX)
    await Promise.all(
      connections
        .slice(from, from + CONNECTING_COUNT_MAX)
        .map((connection) => connection.connect()),
    );
  port.on('message', (message: MainMessage) => {
    if (message.kind === 'begin') begin(message.window);
    else finish();
  });
  post({ kind: 'ready' });
} catch (error) {
  post({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
}

/** All of `relay` is in flight from here on. */
function beginRelay(count: number, connections: readonly SendConnection[]): void {
  const relay = new TurnRelay(connections);
  state.relay = relay;
  const nowMs = steadyNowMs();
  for (let index = 0; index < count; index++) relay.send(nowMs);
  relay.flush();
  state.publish(nowMs);
}

let schedule: SendSchedule | null = null;

function begin(window: Window): void {
  state.window = window;
  const untilMs = (ms: number): number => Math.max(0, ms - steadyNowMs());
  setTimeout(() => state.startCpu(), untilMs(window.measureFromMs));
  if (window.measureToMs !== Infinity)
    setTimeout(() => state.stopCpu(), untilMs(window.measureToMs));
  for (const consumer of consumers) consumer.begin();
  if (senders.length === 0) {
    state.isSendingDone = true;
    state.publish(steadyNowMs());
  } else if (plan.loop === 'closed' && plan.inFlightCount !== null)
    beginRelay(plan.inFlightCount, Object.values(senderByIndex) as SendConnection[]);
  else if (plan.loop === 'closed') for (const sender of senders) sender.begin();
  else startSchedule(window);
}

function startSchedule(window: Window): void {
  schedule = new SendSchedule({
    ratePerSecond: plan.ratePerSecond,
    startMs: window.startMs,
    endMs: window.measureToMs,
  });
  const flags = new Int32Array(plan.tickFlags);
  tickPort?.on('message', () => {
    Atomics.store(flags, plan.threadIndex, 0);
    sendDue();
  });
}

/** The connection of a message of the schedule, where it is one of this thread's. */
function senderOf(messageIndex: number): SendConnection | undefined {
  return senderByIndex[messageIndex % plan.connectionCount];
}

/** Sends all that the schedule says by now, as far as connections have room. */
function sendDue(): void {
  if (schedule === null) return;
  const nowMs = steadyNowMs();
  for (;;) {
    const intendedMs = schedule.nextMs;
    if (intendedMs > nowMs) break;
    const sender = senderOf(schedule.nextIndex);
    if (sender !== undefined) {
      if (!sender.send(intendedMs, nowMs)) break;
      if (state.isInWindow(intendedMs)) {
        state.intendedInWindow++;
        recordMs(state.lateness, nowMs - intendedMs);
      }
    }
    schedule.advance();
  }
  for (const sender of senders) sender.flush();
  state.isSendingDone = schedule.nextMs === Infinity;
  state.publish(nowMs);
}

function finish(): void {
  let unansweredCount = senders.reduce((sum, sender) => sum + sender.inFlightCount, 0);
  unansweredCount += schedule === null ? 0 : countUnsent(schedule);
  for (const connection of [...senders, ...consumers, ...idle]) connection.close();
  tickPort?.close();
  post({ kind: 'done', result: state.result(unansweredCount) });
  port.close();
}

/** What the schedule meant to send and could not; counts as unanswered too. */
function countUnsent(rest: SendSchedule): number {
  let unsentCount = 0;
  for (; rest.nextMs !== Infinity; rest.advance()) {
    if (senderOf(rest.nextIndex) === undefined) continue;
    unsentCount++;
    if (state.isInWindow(rest.nextMs)) state.intendedInWindow++;
  }
  return unsentCount;
}
