/**
 * What a connection that sends needs of a protocol: how a request looks, and which slot an answer is for.
 * The loop around it is the same for all (`send-connection.ts`).
 */
import type { AnswerReader } from './answer-reader.ts';
import type { BlockPool, ConnectionOwner, LoadConnection } from './load-connection.ts';
import type { Endpoint } from './load-options.ts';

export interface SendOwner extends ConnectionOwner {
  onAcknowledged(slot: number): void;
  /** @param why the answer, or its text */
  onRefused(slot: number, code: number, why: AnswerReader | string): void;
}

export interface SendWire {
  /** Room for one request. */
  readonly frameBytesMax: number;
  /** Where in the target the body of the request last written begins. */
  readonly bodyStart: number;
  connect(endpoint: Endpoint, pool: BlockPool, owner: SendOwner): Promise<LoadConnection>;
  /**
   * Writes a request at `at`; returns its bytes. Requests are written in the order in which they go.
   * `bornMs` and `dueMs` are of the wall clock; `dueMs` is 0 for a message that is not for a time.
   */
  writeInto(
    target: Buffer,
    at: number,
    message: { slot: number; queueId: number; bornMs: number; dueMs: number },
  ): number;
}
