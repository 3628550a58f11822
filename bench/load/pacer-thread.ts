/**
 * Entry of the thread that wakes the generator's threads at each tick of the schedule. Timers of an
 * event loop are up to two milliseconds late; a timed `Atomics.wait` is late by tens of microseconds
 * and uses no CPU between ticks.
 */
import { type MessagePort, workerData } from 'node:worker_threads';
import { runInRealTime } from './real-time.ts';
import { TICK_MS } from './send-schedule.ts';
import { steadyNowMs } from './steady-clock.ts';

const { stop, tickFlags, tickPorts, startMs } = workerData as {
  /** Becomes 1, with a notification, when the run is over. */
  stop: SharedArrayBuffer;
  tickFlags: SharedArrayBuffer;
  tickPorts: MessagePort[];
  startMs: number;
};
const stopFlag = new Int32Array(stop);
const flags = new Int32Array(tickFlags);

runInRealTime();
for (let nextMs = startMs; Atomics.load(stopFlag, 0) === 0;) {
  const waitMs = nextMs - steadyNowMs();
  if (waitMs > 0 && Atomics.wait(stopFlag, 0, 0, waitMs) !== 'timed-out') break;
  for (let index = 0; index < tickPorts.length; index++) {
    // A thread that has not handled the last tick yet will find this one's messages due as well.
    if (Atomics.exchange(flags, index, 1) === 0) tickPorts[index].postMessage(0);
  }
  nextMs = Math.max(nextMs + TICK_MS, Math.floor(steadyNowMs() - startMs) + startMs);
}
for (const port of tickPorts) port.close();
