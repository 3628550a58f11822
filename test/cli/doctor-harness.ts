/** Runs `millrace doctor` as a process, and stores for it to look at. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type BrokerProcess } from '../../src/cli/broker-process.ts';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import type { WallClock } from '../../src/base/clock.ts';
import { RawClient, sendRequest } from '../workers/raw-client.ts';
import { startTestBroker } from '../workers/test-broker.ts';
import { CommandRun, mainFile } from './command-run.ts';

export interface Found {
  check: string;
  state: 'ok' | 'warning' | 'problem';
  text: string;
  advice: string | null;
}

export class Diagnosis {
  readonly exitCode: number | null;
  readonly findings: readonly Found[];

  constructor(exitCode: number | null, findings: readonly Found[]) {
    this.exitCode = exitCode;
    this.findings = findings;
  }

  /** What was found of one thing; fails where it was not looked at, or in another state only. */
  find(check: string, state: Found['state']): Found {
    const found = this.findings.find((one) => one.check === check && one.state === state);
    if (found === undefined)
      throw new Error(
        `no ${state} of ${check} in\n${this.findings.map((one) => JSON.stringify(one)).join('\n')}`,
      );
    return found;
  }

  get problems(): string[] {
    return this.findings.filter(({ state }) => state === 'problem').map(({ check }) => check);
  }
}

/** No port is taken from anybody. */
export const NO_PORTS = '--broker-port 0 --name-server-port 0 --web-port off';

export class Surgery {
  readonly directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-doctor-'));
  readonly store = path.join(this.directory, 'store');
  readonly #brokers: BrokerProcess[] = [];
  readonly #after: (() => void | Promise<void>)[] = [];

  /** `prefix`: what the shell does before, in the same process: `ulimit -n 300;`. */
  async doctor(
    flags: string,
    options: { prefix?: string; env?: Record<string, string> } = {},
  ): Promise<Diagnosis> {
    const command = `${options.prefix ?? ''} exec "$0" "$@"`;
    const args = ['-c', command, process.execPath, mainFile, 'doctor', '--json'];
    const words = flags.split(' ').filter((word) => word !== '');
    const where = flags.includes('--store-dir') ? [] : ['--store-dir', this.store];
    const run = new CommandRun('sh', [...args, ...where, ...words], options.env ?? {}, '');
    const { exitCode, output, errors } = await run.ended;
    if (errors !== '') throw new Error(`doctor ${flags}: ${String(exitCode)}\n${errors}`);
    const { findings } = JSON.parse(output) as { findings: Found[] };
    return new Diagnosis(exitCode, findings);
  }

  async broker(
    overrides: Partial<BrokerConfig> = {},
    wallClock?: WallClock,
  ): Promise<BrokerProcess> {
    const store = overrides.storeDirectory ?? this.store;
    const settings: Partial<BrokerConfig> = {
      threads: 'inline',
      storeKind: 'plain',
      segmentBytes: 65_536,
      // A machine that stands still for a moment is no reason to refuse.
      waitTimeMillsInSendQueue: 60_000,
      ...overrides,
    };
    const broker = await startTestBroker(store, settings, wallClock);
    this.#brokers.push(broker);
    return broker;
  }

  async send(broker: BrokerProcess, count = 1, bodyBytes = 100): Promise<void> {
    const client = await RawClient.connect(broker.ready.brokerPort);
    for (let index = 0; index < count; index++) {
      const body = Buffer.alloc(bodyBytes, index);
      const answer = await client.request(sendRequest({ topic: 'Ward', body }));
      if (answer.code !== 0) throw new Error(`${answer.code} ${answer.remark ?? ''}`);
    }
    client.close();
  }

  /** A store of several segments that was closed in order. */
  async closedStore(): Promise<void> {
    const broker = await this.broker();
    await this.send(broker, 40, 5000);
    await this.closeAll();
  }

  segments(): string[] {
    const directory = path.join(this.store, 'commitlog');
    return fs
      .readdirSync(directory)
      .sort()
      .map((name) => path.join(directory, name));
  }

  /** Names, sizes, times and contents of all files. */
  fingerprint(): string {
    const hash = createHash('sha256');
    for (const name of fs.readdirSync(this.store, { recursive: true, encoding: 'utf8' }).sort()) {
      const stat = fs.statSync(path.join(this.store, name));
      hash.update(`${name} ${stat.size} ${stat.mode} ${stat.mtimeMs}\n`);
      if (stat.isFile()) hash.update(fs.readFileSync(path.join(this.store, name)));
    }
    return hash.digest('hex');
  }

  after(act: () => void | Promise<void>): void {
    this.#after.push(act);
  }

  async closeAll(): Promise<void> {
    for (const broker of this.#brokers.splice(0)) await broker.close();
  }

  async end(): Promise<void> {
    await this.closeAll();
    for (const act of this.#after.splice(0).reverse()) await act();
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}
