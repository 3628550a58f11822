/**
 * @agent reactor
 *
 * What a reactor is made of: its ways to other agents, and its limits.
 */
import type { AccessGate } from '../access/access-gate.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import type { AnswerKernel } from '../kernel/answer-kernel.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import type { StorePositions } from '../store/store-positions.ts';
import type { FrameProxy } from '../workers/frame-proxy.ts';
import type { TopicsChanged } from '../workers/ring-messages.ts';
import type { AnswerEncoder } from './answer-encoder.ts';

export interface ReactorOptions {
  /** From every agent that answers. */
  inbound: readonly SpscRingConsumer[];
  toWorkers: readonly FrameProxy[];
  toControl: FrameProxy;
  /** Absent in a process that is only a name server. */
  toDispatcher: FrameProxy | null;
  segments: CommitLogSegments | null;
  positions: StorePositions | null;
  encoder: AnswerEncoder;
  /** Null where there is none. */
  answerKernel: AnswerKernel | null;
  /** What sockets are read to: one for all, since what a connection keeps is copied before the next read. */
  readBuffer: Buffer;
  logger: Logger;
  refusals: Refusals;
  /** Wakes the agents of this thread after an event. */
  schedule: () => void;
  nowMs: () => number;
  connectionCountMax: number;
  /** Bytes of answers that all peers together may leave untaken. */
  waitingAnswerBytesMax: number;
  /** Bytes of frames of which all peers together have sent a part. */
  waitingRequestBytesMax: number;
  idleCloseMs: number;
  onTopicsChanged: (message: TopicsChanged) => void;
  /** Whom requests must come from; null where access control is off. */
  gate: AccessGate | null;
  /** The answer to METRICS_ASKED; it may not be kept. */
  onMetrics?: (frame: Buffer) => void;
}
