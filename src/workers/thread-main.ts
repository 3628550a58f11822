/**
 * @agent any
 *
 * Entry of a worker thread: loads what its agents need, and once the main thread says with what, makes them and
 * runs them until told to stop. An exception ends the thread, and the main thread ends the broker with it.
 */
import module from 'node:module';
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { systemMonotonicClock, systemWallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { ThreadRunner } from '../ring/agent-runner.ts';
import { Doorbell } from '../ring/doorbell.ts';
import type { DamagedRange } from '../store/commit-log-recovery.ts';
import { AgentParts, storeFilesOf } from './agent-parts.ts';
import type { AgentSettings } from './agent-settings.ts';
import type { AgentName, BrokerMemory } from './broker-memory.ts';
import { isDiskAgent, makeDiskAgent } from './disk-agents.ts';

/** What a thread is made with. */
export interface ThreadPlan {
  /** Those that it will run. */
  readonly agents: readonly AgentName[];
}

export interface ThreadStart {
  thread: string;
  placement: [string, AgentName[]][];
  memory: BrokerMemory;
  settings: AgentSettings;
  /** For the thread of the dispatcher. */
  derivedPosition: number;
  damage: DamagedRange[];
  commits: number[];
  /** The ConsumeQueues as recovery left them. */
  queues: Uint8Array;
}

/** From a thread to the main thread. */
export type ThreadMessage =
  | { kind: 'wake' }
  | { kind: 'started' }
  | { kind: 'log'; level: 'debug' | 'info' | 'warn' | 'error'; fields: object; message: string };

const wakeMessage: ThreadMessage = { kind: 'wake' };

const { agents: agentNames } = workerData as ThreadPlan;
// Half of the time to load is theirs.
const messageAgents = agentNames.every(isDiskAgent) ? null : await import('./message-agents.ts');

function main(port: MessagePort, start: ThreadStart): void {
  const post = (message: ThreadMessage): void => port.postMessage(message);
  const logAt =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (fields: object, message: string): void =>
      post({ kind: 'log', level, fields, message });
  const logger: Logger = {
    debug: logAt('debug'),
    info: logAt('info'),
    warn: logAt('warn'),
    error: logAt('error'),
  };
  const placement = new Map(start.placement);
  const files = storeFilesOf(start.settings.storeKind);
  const context = {
    thread: start.thread,
    placement,
    memory: start.memory,
    settings: start.settings,
    logger,
    wallClock: systemWallClock,
    random: Math.random,
    advanceClock: null,
    deferral: null,
    wakeMain: () => post(wakeMessage),
  };
  const parts = new AgentParts(context, files);
  if (agentNames.includes('dispatcher'))
    parts.derived = messageAgents?.openDerived(parts, start) ?? null;
  const makeAgent = messageAgents?.makeAgent ?? makeDiskAgent;
  const agents = agentNames.map((name) => makeAgent(parts, name));
  const doorbell = new Doorbell(start.memory.doorbells[start.thread], null);
  const lifecycle = new Int32Array(start.memory.lifecycles[start.thread]);
  post({ kind: 'started' });
  // From here on this thread's event loop does not turn.
  module.flushCompileCache?.();
  new ThreadRunner(agents, doorbell, lifecycle, systemMonotonicClock.nowMs).run();
}

const port = parentPort;
if (port === null) throw new Error('this module is the entry of a worker thread');
port.once('message', (start: ThreadStart) => main(port, start));
