/**
 * A shop of two services on the Java client, each of them and the broker killed in between; see
 * `OrderSystem.java`. In the end what they wrote down must be so as if nobody had ever been killed.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type JavaProcess, startJava } from './apache-rocketmq.ts';

export interface OrderSystemOptions {
  readonly directory: string;
  readonly nameServer: string;
  readonly startBroker: () => Promise<void>;
  /** kill -9 */
  readonly killBroker: () => Promise<void>;
  /** Milliseconds that a timed message may come early. */
  readonly earlyMs: number;
  readonly isApache: boolean;
  /** After it a half that nobody decided has been asked for once more. */
  readonly askedAgainMs: number;
}

type Service = 'orders' | 'stock';

/** As `OrderSystem.java` has them. */
const STOCK = 1_000_000;
const PAY_MS = 3000;
const BETWEEN_KILLS_MS = 2500;
const START_TIMEOUT_MS = 60_000;
const SETTLE_TIMEOUT_MS = 60_000;

const KILLS: readonly { victims: readonly Service[]; isBrokerKilled: boolean }[] = [
  { victims: ['orders'], isBrokerKilled: false },
  { victims: ['stock'], isBrokerKilled: false },
  { victims: [], isBrokerKilled: true },
  { victims: ['orders'], isBrokerKilled: true },
  { victims: ['stock', 'orders'], isBrokerKilled: true },
];

export async function orderSystem(options: OrderSystemOptions): Promise<string> {
  const shop = path.join(options.directory, 'shop');
  fs.mkdirSync(shop);
  const services = new Services(options, shop);
  try {
    await options.startBroker();
    await services.start('stock', 'orders');
    for (const { victims, isBrokerKilled } of KILLS) {
      await pause(BETWEEN_KILLS_MS);
      for (const victim of victims) await services.kill(victim);
      if (isBrokerKilled) {
        await options.killBroker();
        await options.startBroker();
      }
      await services.start(...victims);
    }
    await pause(BETWEEN_KILLS_MS);
    fs.writeFileSync(path.join(shop, 'over'), '');
    const settleMs = await settled(shop);
    // Whatever would be asked for, delivered or cancelled once more.
    await pause(options.askedAgainMs + PAY_MS);
    fs.writeFileSync(path.join(shop, 'finish'), '');
    await services.ended();
    return `${judge(shop, options.earlyMs)}, settled ${(settleMs / 1000).toFixed(1)} s after the last order`;
  } finally {
    services.killAll();
  }
}

class Services {
  readonly #options: OrderSystemOptions;
  readonly #shop: string;
  readonly #running = new Map<Service, JavaProcess>();
  #count = 0;

  constructor(options: OrderSystemOptions, shop: string) {
    this.#options = options;
    this.#shop = shop;
  }

  /** Starts them at once, and waits until they are at work. */
  async start(...names: Service[]): Promise<void> {
    for (const name of names) {
      const process = startJava({
        main: 'millrace.OrderSystem',
        arguments: [this.#options.nameServer, name, this.#shop],
        directory: this.#options.directory,
        heapMb: 128,
        jvmArguments: ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
        // The stock broker refuses the pulls of a new group until a lost heartbeat is repeated.
        properties: this.#options.isApache ? { 'millrace.heartbeatMs': '1000' } : {},
        name: `${name}-${++this.#count}`,
      });
      this.#running.set(name, process);
    }
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (const name of names) {
      while (!this.#of(name).output().includes(`INFO ${name}: started`)) {
        if (Date.now() > deadline)
          throw new Error(
            `the service of ${name} does not start: ${this.#of(name).output().slice(-1000)}`,
          );
        await pause(50);
      }
    }
  }

  async kill(name: Service): Promise<void> {
    this.#of(name).kill();
    await this.#of(name).ended;
  }

  async ended(): Promise<void> {
    for (const [name, process] of this.#running) {
      const code = await process.ended;
      if (code !== 0)
        throw new Error(
          `the service of ${name} ended with ${code}: ${process.output().slice(-1000)}`,
        );
    }
  }

  killAll(): void {
    for (const process of this.#running.values()) process.kill();
  }

  #of(name: Service): JavaProcess {
    const process = this.#running.get(name);
    if (process === undefined) throw new Error(`${name} was never started`);
    return process;
  }
}

function ledgerLines(shop: string, name: Service): string[] {
  const file = path.join(shop, name);
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}

/** What a service wrote down: by word, the number of each order with what stands behind it, once a line. */
function readLedger(shop: string, name: Service): (word: string) => Map<number, string[]> {
  const lines = ledgerLines(shop, name);
  return (word) => {
    const found = new Map<number, string[]>();
    for (const line of lines) {
      const [first, order, more = ''] = line.split(' ');
      if (first !== word) continue;
      const entries = found.get(Number(order)) ?? [];
      entries.push(more);
      found.set(Number(order), entries);
    }
    return found;
  };
}

/** Waits until everything that is to come has come; milliseconds. */
async function settled(shop: string): Promise<number> {
  const startMs = performance.now();
  for (;;) {
    const orders = readLedger(shop, 'orders');
    const stock = readLedger(shop, 'stock');
    const created = orders('created');
    const deducted = stock('deducted');
    const cancelled = orders('cancelled');
    const returned = stock('returned');
    const missing = [...created].filter(
      ([order, [pay]]) =>
        !deducted.has(order) ||
        (pay === 'unpaid' && !(cancelled.has(order) && returned.has(order))),
    );
    const undecided = [...orders('begun').keys()].filter(
      (order) => !created.has(order) && !orders('refused').has(order),
    );
    const tookMs = performance.now() - startMs;
    if (missing.length + undecided.length === 0) return tookMs;
    if (tookMs > SETTLE_TIMEOUT_MS) {
      const [[order, state] = [0, '']] = missing;
      throw new Error(
        `after ${SETTLE_TIMEOUT_MS} ms ${missing.length} of ${created.size} orders are not done with, the first ${order} (${String(state)}); ${undecided.length} are neither created nor refused, the first ${undecided[0] ?? 'none'}`,
      );
    }
    await pause(200);
  }
}

/** Throws what is not as it must be. */
function judge(shop: string, earlyMs: number): string {
  const orders = readLedger(shop, 'orders');
  const stock = readLedger(shop, 'stock');
  const created = orders('created');
  const refused = orders('refused');
  const timed = orders('timed');
  const cancelled = orders('cancelled');
  const deducted = stock('deducted');
  const returned = stock('returned');
  const complaints: string[] = [];
  const complain = (order: number, what: string): unknown =>
    complaints.push(`order ${order} ${what}`);
  for (const [what, entries] of Object.entries({
    created,
    refused,
    cancelled,
    deducted,
    returned,
  }))
    for (const [order, lines] of entries)
      if (lines.length > 1) complain(order, `was ${what} ${lines.length} times`);
  for (const order of deducted.keys())
    if (!created.has(order))
      complain(order, `was deducted and ${refused.has(order) ? 'refused' : 'never created'}`);
  for (const order of created.keys())
    if (refused.has(order)) complain(order, 'was created and refused');
  for (const [order, [pay]] of created) {
    const isUnpaid = pay === 'unpaid';
    if (!deducted.has(order)) complain(order, 'was not deducted');
    if (cancelled.has(order) !== isUnpaid) complain(order, `is ${pay}, which is not what happened`);
    if (returned.has(order) !== isUnpaid) complain(order, `is ${pay}, and so is not its stock`);
  }
  for (const [order, [at]] of cancelled) {
    const waitedMs = Number(at) - Number(timed.get(order)?.[0]);
    if (!(waitedMs >= PAY_MS - earlyMs)) complain(order, `was cancelled after ${waitedMs} ms`);
  }
  let left = STOCK;
  for (const line of ledgerLines(shop, 'stock')) {
    const [word, order, said] = line.split(' ');
    if (word === 'again') continue;
    left += word === 'deducted' ? -1 : 1;
    if (Number(said) !== left) complain(Number(order), `leaves ${said} where ${left} are left`);
  }
  const askedCount = [...orders('asked').values()].flat().length;
  if (created.size < 100 || refused.size < 10 || cancelled.size < 50 || askedCount < 10)
    complain(0, `proves nothing: ${created.size} created, ${askedCount} asked for`);
  if (complaints.length > 0) throw new Error(`${complaints.length}: ${complaints[0]}`);
  const againCount = [...stock('again').values()].flat().length;
  return `${created.size} orders, ${refused.size} refused, ${cancelled.size} cancelled; ${askedCount} times asked, ${againCount} messages came again`;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
