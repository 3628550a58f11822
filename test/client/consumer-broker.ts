/**
 * A broker, raw sends to it, and consumers of it, for the tests of consumers. Sends go through a client
 * without opinions, so that what is tested is the consumer alone.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { BrokerConfig } from '../../src/base/broker-config.ts';
import type { BrokerProcess } from '../../src/cli/broker-process.ts';
import { clientActivity } from '../../src/client/client-activity.ts';
import { type ClientError, Consumer } from '../../src/client/index.ts';
import { MemoryOffsetStorage } from '../../src/client/offset-store.ts';
import type { ConsumerOptions } from '../../src/client/consumer-options.ts';
import { RawClient, sendRequest, type SendOptions } from '../workers/raw-client.ts';
import { startTestBroker } from '../workers/test-broker.ts';

export class ConsumerBroker {
  broker: BrokerProcess;
  raw: RawClient;
  /** What consumers made here have told of background trouble. */
  readonly errors: ClientError[] = [];
  readonly #consumers: Consumer[] = [];
  readonly #root: string;
  readonly #overrides: Partial<BrokerConfig>;

  private constructor(
    root: string,
    overrides: Partial<BrokerConfig>,
    broker: BrokerProcess,
    raw: RawClient,
  ) {
    this.#root = root;
    this.#overrides = overrides;
    this.broker = broker;
    this.raw = raw;
  }

  /** `transport` is what consumers reach it by. */
  static async start(
    overrides: Partial<BrokerConfig> = {},
    transport: 'TCP' | 'WebSocket' = 'TCP',
  ): Promise<ConsumerBroker> {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-'));
    // A machine that is busy with other things is no reason to refuse a send.
    const config: Partial<BrokerConfig> = {
      threads: 'inline',
      waitTimeMillsInSendQueue: 20_000,
      ...(transport === 'WebSocket' ? { webPort: 0 } : {}),
      ...overrides,
    };
    const broker = await startTestBroker(root, config);
    const { brokerPort, nameServerPort, webPort } = broker.ready;
    const raw = await RawClient.connect(brokerPort);
    // The same ports after a restart: clients know no others.
    const fixed = {
      ...config,
      brokerPort,
      nameServerPort: nameServerPort ?? 0,
      webPort: webPort ?? -1,
    };
    return new ConsumerBroker(root, fixed, broker, raw);
  }

  get servers(): string {
    const { nameServerPort, webPort } = this.broker.ready;
    return webPort === null ? `127.0.0.1:${nameServerPort}` : `ws://127.0.0.1:${webPort}`;
  }

  /** A consumer that is closed with the broker. */
  consumer(options: Partial<ConsumerOptions> & { group: string }): Consumer {
    const consumer = new Consumer({
      servers: this.servers,
      from: 'first',
      onError: (error) => this.errors.push(error),
      // Not the home of whoever runs the tests.
      offsetStorage: new MemoryOffsetStorage(),
      ...options,
    });
    this.#consumers.push(consumer);
    return consumer;
  }

  async createTopic(topic: string, queueCount = 4): Promise<void> {
    const answer = await this.raw.request({
      code: 17,
      fields: {
        topic,
        defaultTopic: 'TBW102',
        readQueueNums: queueCount,
        writeQueueNums: queueCount,
        perm: 6,
        topicFilterType: 'SINGLE_TAG',
        topicSysFlag: 0,
        order: 'false',
      },
    });
    if (answer.code !== 0) throw new Error(`no topic: ${answer.code} ${answer.remark}`);
  }

  async send(options: SendOptions): Promise<number> {
    const answer = await this.raw.request(sendRequest(options));
    if (answer.code !== 0) throw new Error(`not sent: ${answer.code} ${answer.remark}`);
    return Number(answer.extFields.get('queueOffset'));
  }

  /** Bodies `name-0` and on, spread over the queues. */
  async sendMany(topic: string, name: string, count: number, queueCount = 4): Promise<string[]> {
    const bodies = Array.from({ length: count }, (_, index) => `${name}-${index}`);
    await Promise.all(
      bodies.map((body, index) => this.send({ topic, body, queueId: index % queueCount })),
    );
    return bodies;
  }

  /** Where the group is at the broker, by queue. */
  async offsets(group: string, topic: string, queueCount: number): Promise<number[]> {
    const offsets: number[] = [];
    for (let queueId = 0; queueId < queueCount; queueId++) {
      const answer = await this.raw.request({
        code: 14,
        fields: { consumerGroup: group, topic, queueId, setZeroIfNotFound: 'false' },
      });
      offsets.push(answer.code === 0 ? Number(answer.extFields.get('offset')) : -1);
    }
    return offsets;
  }

  /** Stops the broker; `restart` brings it back with its store and its ports. */
  async stop(): Promise<void> {
    this.raw.close();
    await this.broker.close();
  }

  /** What a kill can do to a broker: offsets that it has not written yet are gone. Of one that is stopped. */
  forgetOffsets(): void {
    fs.rmSync(path.join(this.#root, 'config', 'consumerOffset.json'));
    fs.rmSync(path.join(this.#root, 'config', 'consumerOffset.json.bak'), { force: true });
  }

  async restart(): Promise<void> {
    this.broker = await startTestBroker(this.#root, this.#overrides);
    this.raw = await RawClient.connect(this.broker.ready.brokerPort);
  }

  /** Fails where a consumer that is closed has left work counted. */
  async close(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.close()));
    await this.stop();
    fs.rmSync(this.#root, { recursive: true, force: true });
    const { pendingCount } = clientActivity;
    clientActivity.pendingCount = 0;
    if (pendingCount !== 0) throw new Error(`${pendingCount} pieces of work are counted for ever`);
  }
}

/** Waits until something holds; fails with what it then was. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`in ${timeoutMs} ms not: ${what}`);
    await delay(5);
  }
}

export async function delay(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
