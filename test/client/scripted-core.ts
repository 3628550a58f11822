/**
 * A ClientCore without a network, for rules that depend on what brokers answer and when. It answers what
 * a test's script says, and does nothing else.
 */
import type {
  BrokerRequestHandler,
  ClientCore,
  CoreAnswer,
  CoreRequest,
  TopicRoute,
} from '../../src/client/client-core.ts';
import { ClientError } from '../../src/client/client-error.ts';
import type { MessageQueue } from '../../src/client/message.ts';

export interface ScriptedAnswer {
  code: number;
  fields?: Record<string, string | number>;
  body?: Uint8Array | string;
  remark?: string;
}

export type Script = (
  request: CoreRequest,
  address: string,
) => ScriptedAnswer | Promise<ScriptedAnswer>;

export const brokerAddress = '127.0.0.1:10911';

export class ScriptedCore implements ClientCore {
  readonly clientId = 'member-1';
  isClosed = false;
  readonly asked: CoreRequest[] = [];
  heartbeatCount = 0;
  script: Script;
  /** By topic; a topic that is not here has no route. */
  readonly queues = new Map<string, MessageQueue[]>();
  readonly #disconnected: ((address: string) => void)[] = [];

  constructor(script: Script) {
    this.script = script;
  }

  addTopic(topic: string, queueCount: number): MessageQueue[] {
    const queues = Array.from({ length: queueCount }, (_, queueId) => ({
      topic,
      brokerName: 'broker',
      queueId,
    }));
    this.queues.set(topic, queues);
    return queues;
  }

  route(topic: string): Promise<TopicRoute> {
    const queues = this.queues.get(topic);
    if (queues === undefined)
      return Promise.reject(new ClientError('TOPIC_NOT_FOUND', `no route of ${topic}`));
    const broker = { masterAddress: brokerAddress, addresses: [brokerAddress] };
    return Promise.resolve({
      topic,
      brokers: new Map([['broker', broker]]),
      writeQueues: queues,
      readQueues: queues,
    });
  }

  async ask(address: string, request: CoreRequest): Promise<CoreAnswer> {
    this.asked.push(request);
    const { code, fields = {}, body = '', remark = null } = await this.script(request, address);
    return {
      code,
      remark,
      fields: new Map(Object.entries(fields).map(([name, value]) => [name, String(value)])),
      body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
      version: 479,
    };
  }

  async tell(address: string, request: CoreRequest): Promise<void> {
    await this.ask(address, request);
  }

  masterAddress(): string {
    return brokerAddress;
  }

  heartbeat(): Promise<void> {
    this.heartbeatCount++;
    return Promise.resolve();
  }

  onDisconnected(listener: (address: string) => void): void {
    this.#disconnected.push(listener);
  }

  disconnect(): void {
    for (const listener of this.#disconnected) listener(brokerAddress);
  }

  onRouteChanged(): void {}
  onBrokerRequest(_code: number, _handler: BrokerRequestHandler): void {}
  setProducerGroup(): Promise<void> {
    return Promise.resolve();
  }
  setConsumer(): Promise<void> {
    return Promise.resolve();
  }
  askNameServer(request: CoreRequest): Promise<CoreAnswer> {
    return this.ask('name-server', request);
  }
  askAllNameServers(): Promise<CoreAnswer[]> {
    return Promise.resolve([]);
  }
  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
