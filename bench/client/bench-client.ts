/**
 * What a client has to do to take part: send one message at a time, and consume a backlog. Each adapter
 * uses the client as its own documentation shows, with that client's defaults.
 */
export interface BenchProducer {
  /** Done when the broker has acknowledged it. */
  send(body: Buffer): Promise<unknown>;
  close(): Promise<void>;
}

export interface BenchConsumer {
  close(): Promise<void>;
}

export interface BenchEnds {
  /** Name server, or the proxy of clients that speak gRPC. */
  readonly address: string;
  readonly topic: string;
  readonly group: string;
}

export interface BenchClient {
  startProducer(ends: BenchEnds): Promise<BenchProducer>;
  /** Begins at the first message; `onMessage` is the whole listener. */
  startConsumer(ends: BenchEnds, onMessage: () => void): Promise<BenchConsumer>;
}
