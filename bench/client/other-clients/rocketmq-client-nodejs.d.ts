/**
 * What the benchmark uses of rocketmq-client-nodejs, which is installed only when it is measured.
 */
declare module 'rocketmq-client-nodejs' {
  export interface Logger {
    info(...words: unknown[]): void;
    warn(...words: unknown[]): void;
    error(...words: unknown[]): void;
    debug(...words: unknown[]): void;
  }

  export interface ClientOptions {
    endpoints: string;
    namespace: string;
    logger?: Logger;
  }

  export class Producer {
    constructor(options: ClientOptions & { topic?: string });
    startup(): Promise<void>;
    shutdown(): Promise<void>;
    send(message: { topic: string; body: Buffer }): Promise<unknown>;
  }

  export class PushConsumer {
    constructor(
      options: ClientOptions & {
        consumerGroup: string;
        subscriptions: Map<string, string>;
        messageListener: { consume(message: unknown): Promise<ConsumeResult> };
      },
    );
    startup(): Promise<void>;
    shutdown(): Promise<void>;
  }

  export class ConsumeResult {
    static readonly SUCCESS: ConsumeResult;
    toString(): string;
  }
}
