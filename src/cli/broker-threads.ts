/**
 * @agent reactor
 *
 * The threads beside the main one. They load what they run while the main thread still loads and opens
 * the store, and make their agents once they are told with what.
 */
import { Worker } from 'node:worker_threads';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import type { Placement } from '../workers/broker-memory.ts';
import type { ThreadMessage, ThreadPlan, ThreadStart } from '../workers/thread-main.ts';

/** Time for a thread to make its agents: it takes 0.1 s, and some seconds where many others want the cores. */
const THREAD_START_MS_MAX = 30_000;

export interface ThreadEvents {
  logger: Logger;
  onWake: () => void;
  onDeath: (thread: string, error: unknown) => void;
}

export class BrokerThreads {
  readonly #threads: readonly BrokerThread[];

  private constructor(threads: readonly BrokerThread[]) {
    this.#threads = threads;
  }

  /** Starts every thread of a placement but the main one. */
  static boot(placement: Placement): BrokerThreads {
    const beside = [...placement].filter(([name]) => name !== 'main');
    return new BrokerThreads(beside.map(([name, agents]) => new BrokerThread(name, { agents })));
  }

  /**
   * Resolves once each has made its agents.
   * @throws BrokerError AGENT_DIED where one ends or hangs before that
   */
  async start(startOf: (thread: string) => ThreadStart, events: ThreadEvents): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.start(startOf(thread.name), events)));
  }

  /** Tells one after the other to stop, and waits for its end. */
  async stop(tell: (thread: string) => void): Promise<void> {
    for (const thread of this.#threads) {
      tell(thread.name);
      await thread.ended;
    }
  }

  async terminate(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }
}

class BrokerThread {
  readonly name: string;
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  /** What its death is told to; until it is started, a death is kept. */
  #onDeath: (error: unknown) => void;
  #death: { error: unknown } | null = null;

  constructor(name: string, plan: ThreadPlan) {
    this.name = name;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const entry = new URL(`../workers/thread-main.${extension}`, import.meta.url);
    this.#worker = new Worker(entry, { name, workerData: plan });
    this.#onDeath = (error) => (this.#death ??= { error });
    this.#worker.on('error', (error) => this.#onDeath(error));
    this.ended = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        resolve();
        this.#onDeath(new Error(`exit with code ${code}`));
      });
    });
  }

  start(start: ThreadStart, events: ThreadEvents): Promise<void> {
    const { name } = this;
    return new Promise<void>((resolve, reject) => {
      const fail = (what: string, cause?: unknown): void =>
        reject(new BrokerError('AGENT_DIED', `thread ${name} ${what}`, { cause }));
      const timer = setTimeout(
        () => fail(`did not start within ${THREAD_START_MS_MAX} ms; start again`),
        THREAD_START_MS_MAX,
      );
      // Before it has started nobody waits for a death but this.
      this.#onDeath = (error) => {
        clearTimeout(timer);
        fail(`ended before it had started: ${String(error)}`, error);
        events.onDeath(name, error);
      };
      if (this.#death !== null) {
        this.#onDeath(this.#death.error);
        return;
      }
      this.#worker.on('message', (message: ThreadMessage) => {
        if (message.kind === 'wake') events.onWake();
        else if (message.kind === 'log')
          events.logger[message.level](message.fields, message.message);
        else {
          clearTimeout(timer);
          resolve();
        }
      });
      this.#worker.postMessage(start);
    });
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}
