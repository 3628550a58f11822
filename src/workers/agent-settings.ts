/**
 * @agent any
 *
 * Everything that agents must know, as plain data that crosses threads.
 */
import type { AccessSettings } from '../access/access-tables.ts';
import type { BrokerControlConfig } from '../broker/control-config.ts';
import type { RetentionPolicy } from '../store/retention.ts';
import type { RecoveredQueue } from './ring-messages.ts';

export interface AgentSettings {
  storeRoot: string;
  storeKind: 'mapped' | 'plain';
  segmentBytes: number;
  flushesSynchronously: boolean;
  flushIntervalMs: number;
  syncFlushTimeoutMs: number;
  /** The page cache forgets what a fast stream has left behind. */
  dropsBehind: boolean;
  appendsPropertyCrc: boolean;
  messageIndexEnable: boolean;
  longPollingEnable: boolean;
  bodyBytesMax: number;
  queueWaitMsMax: number;
  /** Pulls that wait at once. */
  heldPullCountMax: number;
  /** Address and port that go into records and ids: 8 or 20 bytes. */
  storeHost: Uint8Array;
  retention: RetentionPolicy;
  regionId: string;
  traceOn: boolean;
  /** Settings of the control logic; functions are added where it runs. */
  control: Omit<BrokerControlConfig, 'visibleConfig' | 'storeHost'>;
  visibleConfig: [string, string][];
  /** Null where access control is off. */
  access: AccessSettings | null;
  brokerId: number;
  brokerPort: number;
  /** There is a name server in this process, with a port of its own or not. */
  answersRoutes: boolean;
  orderMessageEnable: boolean;
  routeBytesMax: number;
  /** Address that clients are given; null: the one by which they reached the name server. */
  advertisedAddress: string | null;
  registersOutside: boolean;
  /** Found at start, for control and writer. */
  recoveredQueues: RecoveredQueue[];
  workerCount: number;
}
