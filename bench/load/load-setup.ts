/**
 * What a run asks of a server before it starts: a topic made for the run, and how far its queues go.
 */
import type { Endpoint } from './load-options.ts';

export interface BrokerTarget {
  readonly endpoint: Endpoint;
  readonly name: string;
}

export interface LoadSetup {
  readonly target: BrokerTarget;
  /**
   * The offset after the last message of each queue. Where consumers read all queues as one, there is
   * one offset.
   */
  maxOffsets(): Promise<number[]>;
  close(): void;
}
