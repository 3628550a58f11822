/**
 * @agent any
 *
 * Entry of a worker thread: loads what agents need, and once the main thread says which are placed here,
 * makes them and runs them until told to stop. An exception ends the thread, and the main thread ends the
 * broker with it.
 */
import module from 'node:module';
import { parentPort, type MessagePort } from 'node:worker_threads';
import { systemMonotonicClock, systemWallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import { ThreadRunner } from '../ring/agent-runner.ts';
import { Doorbell } from '../ring/doorbell.ts';
import type { DamagedRange } from '../store/commit-log-recovery.ts';
import { AgentFactory, type AgentSettings, storeFilesOf } from './agent-factory.ts';
import type { AgentName, BrokerMemory } from './broker-memory.ts';
import { openDerivedFiles } from './store-recovery.ts';

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
  const agentNames = placement.get(start.thread) ?? [];
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
    wakeMain: () => post(wakeMessage),
  };
  const factory = new AgentFactory(context, files);
  if (agentNames.includes('dispatcher')) {
    const { messageIndexEnable } = start.settings;
    const options = {
      files,
      directory: factory.directory,
      messageIndexEnable,
      wallClock: systemWallClock,
      logger,
    };
    factory.derived = openDerivedFiles(options, start.derivedPosition, start.damage, start.queues);
    factory.derived.commits = start.commits;
  }
  const agents = agentNames.map((name) => factory.make(name));
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
