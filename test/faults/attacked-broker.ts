/**
 * A broker process that is attacked while a healthy client goes on: what the client waits for its answers,
 * and what memory the process takes, before and during.
 */
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Millrace, startMillrace } from '../interop/millrace-process.ts';
import type { TestCredentials } from '../access/signed-raw.ts';
import type { AttackPhase, HealthyClientData, HealthyClientSaw } from './healthy-client-thread.ts';
import { anonymousBytesOf } from './process-memory.ts';

/** Of /proc, a second: the same on every Linux of today. */
const CLOCK_TICKS = 100;
const BASE_MS = 2000;
/** Below, twice of nothing is still nothing that anybody would notice. */
const P99_FLOOR_MS = 50;

export interface AttackOptions {
  /** The name server is one above, the port for browsers two; below those that outgoing connections get. */
  port: number;
  memoryBytesMax: number;
  /** Lines of its configuration. */
  settings?: string[];
  /** As whom the healthy client signs. */
  healthyUser?: TestCredentials;
  /** What runs the process, of the directory of the test. */
  wrapper?: (directory: string) => string[];
  /** What it has done before is not counted: its compilers are warm, its buffers made. */
  warmUp?: (broker: AttackedBroker) => Promise<void>;
  /** Something slows the process down: how long the healthy client waits says nothing. */
  isTraced?: boolean;
}

export class AttackedBroker {
  readonly port: number;
  readonly process: Millrace;
  readonly directory: string;
  readonly #sockets: net.Socket[] = [];
  readonly #healthy: HealthyClient;

  private constructor(port: number, process: Millrace, directory: string, healthy: HealthyClient) {
    this.port = port;
    this.process = process;
    this.directory = directory;
    this.#healthy = healthy;
  }

  /** Runs an attack on a new broker; says what the healthy client and the memory saw. */
  static async attack(
    options: AttackOptions,
    run: (broker: AttackedBroker) => Promise<string>,
  ): Promise<string> {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-attack-'));
    const millrace = await startBroker(options, directory);
    const healthy = new HealthyClient({
      port: options.port,
      pid: millrace.pid,
      user: options.healthyUser ?? null,
    });
    const broker = new AttackedBroker(options.port, millrace, directory, healthy);
    try {
      await options.warmUp?.(broker);
      await broker.rest();
      const baseBytes = broker.anonymousBytes();
      const beganMs = performance.now();
      const said = await run(broker);
      // As long as what it is compared with, at least.
      await pause(Math.max(0, BASE_MS - (performance.now() - beganMs)));
      const { baseP99Ms, attackP99Ms, longestMs, memoryBytesPeak, refused } = await healthy.saw();
      const growth = memoryBytesPeak - baseBytes;
      await healthy.end();
      if (refused !== '') throw new Error(`a healthy send was ${refused}`);
      const saw = `${said}; healthy p99 ${attackP99Ms.toFixed(1)} ms (${baseP99Ms.toFixed(1)} without, longest ${longestMs.toFixed(0)}), memory + ${Math.round(growth / 1048576)} MiB`;
      if (options.isTraced !== true && attackP99Ms > Math.max(P99_FLOOR_MS, 2 * baseP99Ms))
        throw new Error(`a healthy client waited too long: ${saw}`);
      if (growth > options.memoryBytesMax) throw new Error(`too much memory: ${saw}`);
      return saw;
    } finally {
      await healthy.end();
      for (const socket of broker.#sockets) socket.destroy();
      await millrace.stop().catch((error: unknown) => {
        throw new Error('the broker did not stop in order', { cause: error });
      });
      fs.rmSync(directory, { recursive: true, force: true });
    }
  }

  /** Time without attack: what the healthy client waits now is what it is held to. */
  async rest(): Promise<void> {
    this.#healthy.enter('base');
    await pause(BASE_MS);
    this.#healthy.enter('attack');
  }

  /** A socket that the attack uses, and the end of it. */
  async connect(
    localAddress = '127.0.0.1',
  ): Promise<{ socket: net.Socket; closed: Promise<void> }> {
    const socket = net.connect({ port: this.port, host: '127.0.0.1', localAddress });
    socket.on('error', () => {});
    this.#sockets.push(socket);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    return { socket, closed };
  }

  /** A counter of /metrics, all its lines that have these labels summed up. */
  async counter(name: string, labels = ''): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.port + 2}/metrics`);
    const lines = (await response.text()).split('\n');
    return lines
      .filter((line) => line.startsWith(`${name}{`) && line.includes(labels))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  /** CPU time that the process has taken, in seconds. */
  cpuSeconds(): number {
    const stat = fs.readFileSync(`/proc/${this.process.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS;
  }

  /** Memory of the process that no file stands behind, in bytes. */
  anonymousBytes(): number {
    return anonymousBytesOf(this.process.pid);
  }

  /** Files that lie under the directory of the test, but not in the store. */
  strangers(): string[] {
    return fs
      .readdirSync(this.directory, { recursive: true, encoding: 'utf8' })
      .filter((file) => !file.startsWith('store') && !/\.(log|conf)$/.test(file));
  }
}

/** Sends on a thread of its own, so that the attack's work is not taken for the broker's. */
class HealthyClient {
  readonly #thread: Worker;
  #failure: Error | null = null;

  constructor(workerData: HealthyClientData) {
    this.#thread = new Worker(new URL('./healthy-client-thread.ts', import.meta.url), {
      workerData,
    });
    this.#thread.on('error', (error: Error) => (this.#failure = error));
  }

  enter(phase: AttackPhase): void {
    this.#thread.postMessage(phase);
  }

  async saw(): Promise<HealthyClientSaw> {
    if (this.#failure !== null) throw this.#failure;
    const answer = once(this.#thread, 'message') as Promise<[HealthyClientSaw]>;
    this.#thread.postMessage('saw');
    return (await answer)[0];
  }

  async end(): Promise<void> {
    await this.#thread.terminate();
  }
}

async function startBroker(
  { port, settings = [], wrapper = () => [] }: AttackOptions,
  directory: string,
): Promise<Millrace> {
  const config = path.join(directory, 'broker.conf');
  const lines = [
    'mappedFileSizeCommitLog=67108864',
    'enablePropertyFilter=true',
    'waitTimeMillsInSendQueue=5000',
    ...settings,
  ];
  fs.writeFileSync(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  return startMillrace({
    storeDirectory: path.join(directory, 'store'),
    brokerPort: port,
    nameServerPort: port + 1,
    wrapper: wrapper(directory),
    arguments: ['--config', config, '--web-port', String(port + 2)],
  });
}
