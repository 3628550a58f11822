/**
 * What the scenarios use of ali-ons, which has no types of its own.
 */
declare module 'ali-ons' {
  export interface ClientOptions {
    nameSrv: string;
    httpclient: object;
    clientIP: string;
    instanceName: string;
    pollNameServerInteval?: number;
    rebalanceInterval?: number;
    accessKey?: string;
    secretKey?: string;
  }

  export class Message {
    constructor(topic: string, tags: string, body: string);
    topic: string;
    tags: string | undefined;
    body: Buffer;
    keys: unknown;
    shardingKey: string;
    delayTimeLevel: number;
    readonly queueId: number;
    readonly queueOffset: number;
    readonly reconsumeTimes: number;
    readonly storeSize: number;
    readonly properties: Record<string, string | undefined>;
  }

  export interface SendResult {
    sendStatus: string;
    msgId: string;
    queueOffset: number;
    messageQueue: { brokerName: string; queueId: number };
  }

  export class Producer {
    constructor(options: ClientOptions & { producerGroup: string });
    on(event: 'error', listener: (error: Error) => void): void;
    ready(): Promise<void>;
    send(message: Message): Promise<SendResult>;
    close(): Promise<void>;
  }

  export class Consumer {
    static readonly ACTION_RETRY: unique symbol;
    constructor(
      options: ClientOptions & {
        consumerGroup: string;
        consumeFromWhere?: string;
        isBroadcast?: boolean;
        maxReconsumeTimes?: number;
      },
    );
    on(event: 'error', listener: (error: Error) => void): void;
    ready(): Promise<void>;
    subscribe(
      topic: string,
      expression: string | { expressionType: 'SQL92'; subString: string },
      listener: (message: Message) => Promise<unknown>,
    ): void;
    close(): Promise<void>;
  }
}
