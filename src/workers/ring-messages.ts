/**
 * @agent any
 *
 * Every message that travels between agents: its type, who sends it to whom, and its layout. Fields
 * are in native byte order; a payload starts at a multiple of 8, so an `f64` stands at a multiple of
 * 8 and is reached through `float64[offset >> 3]`, an `i32` through `int32[offset >> 2]`.
 */
import type { SerializeType } from '../protocol/remoting-command.ts';
import { layout } from '../base/layout.ts';
import type { MetricLines } from '../base/prometheus-text.ts';
import type { DispatcherQuestion, PublishedSettings } from '../broker/control-effects.ts';
import type { DataVersion } from '../protocol/topic-config.ts';

export const MessageType = {
  /** reactor → worker, control, dispatcher; worker ⇄ control: one request frame. */
  FRAME: 1,
  /** Like FRAME; the bytes are in a slot of the sender's pool, which the receiver frees. */
  FRAME_POOLED: 2,
  /** reactor → control: a connection was accepted (JSON of ConnectionOpened). */
  CONNECTION_OPENED: 3,
  /** reactor → control: it has gone. control → worker: a parked frame was answered by control. */
  CONNECTION_CLOSED: 4,
  /** worker, control, dispatcher → writer: encoded records to append. */
  APPEND: 5,
  /** Like APPEND; the records are in a slot of the sender's pool. */
  APPEND_POOLED: 6,
  /** writer → reactor: the outcome of an append. */
  APPEND_ANSWER: 7,
  /** worker, control, dispatcher → reactor: a finished answer frame for a connection. */
  ANSWER_BYTES: 8,
  /** dispatcher → reactor: a pull's answer whose body is ranges of the log. */
  PULL_ANSWER: 9,
  /** control → reactor: close this connection after what was written. */
  CLOSE_CONNECTION: 10,
  /** control → worker, dispatcher, writer: JSON of a Snapshot. */
  SNAPSHOT: 11,
  /** dispatcher → control: `commitMessage`, a commit that came with a pull. */
  COMMIT_OFFSET: 12,
  /** control → dispatcher: JSON of an AskedQuestion. */
  QUESTION: 13,
  /** control, dispatcher → flusher: see flusherTaskPayload. */
  FLUSHER_TASK: 14,
  /** control → reactor: topics changed, tell the name servers. */
  TOPICS_CHANGED: 15,
  /** dispatcher → control: `commitMessage`, then JSON of [group, topic]: what its id stands for from now on. */
  COMMIT_NAMES: 16,
  /** dispatcher → control: JSON of a ResetAssigned: the group's offsets are these now. */
  RESET_ASSIGNED: 17,
  /** dispatcher → control: `commitMessage`, the group has taken the reset of this queue. */
  RESET_TAKEN: 18,
  /** reactor → control: JSON of names: topics that another name server has an order configuration of. */
  ORDER_TOPICS: 19,
  /** dispatcher → control: `commitMessage`; ask the producer of the half at `offset`, for the `id`th time. */
  CHECK_HALF: 20,
  /** reactor → control: JSON of a MetricsAsked; answered to METRICS_CONNECTION_ID. */
  METRICS_ASKED: 21,
  /** control → reactor: JSON of an AccessSnapshot: users and policies that hold from now on. */
  ACCESS_CHANGED: 22,
  /** dispatcher → queueWriter: units of queues, see queue-writes.ts. */
  QUEUE_WRITES: 23,
  /** worker → writer: like APPEND; the record stands in the slot that its request came in, around its body. */
  APPEND_IN_FRAME: 24,
} as const;

/** Then the frame's bytes, from the header-length word on. */
export const frameMessage = layout(
  {
    connectionId: 'i32',
    bornPort: 'i32',
    arrivalMs: 'f64',
    hostBytes: 'i32',
    listener: 'i32',
    host: 16,
  },
  40,
);
/** Follows the head of what stands in a slot of a pool: whoever is told frees it. `start` counts from the pool's beginning. */
export const pooledTail = layout({ slot: 'i32', bytes: 'i32', start: 'i32' }, 12);

/** Then `recordCount` whole records, or `pooledTail`; then `extraBytes` of an `AnswerExtra`. */
export const appendMessage = layout(
  {
    connectionId: 'i32',
    opaque: 'i32',
    serializeType: 'i32',
    answerKind: 'i32',
    topicId: 'i32',
    queueId: 'i32',
    arrivalMs: 'f64',
    recordCount: 'i32',
    /** 1: answer only when the records are on disk, where the broker flushes synchronously. */
    waitsForDisk: 'i32',
    /** The queue that the sender named: a delayed message is stored in another. */
    answerQueueId: 'i32',
    extraBytes: 'i32',
  },
  48,
);

/** How the outcome of an append is answered. */
export const AnswerKind = {
  /** Nobody waits: oneway, or the broker's own redelivery. */
  NONE: 0,
  /** With a SendMessageResponseHeader. */
  SEND: 1,
  /** Code and remark only (CONSUMER_SEND_MSG_BACK). */
  PLAIN: 2,
} as const;

/** Then `offsetCount` float64 physical offsets, one for each record; then `extraBytes` of an `AnswerExtra`. */
export const appendAnswerMessage = layout(
  {
    connectionId: 'i32',
    opaque: 'i32',
    serializeType: 'i32',
    answerKind: 'i32',
    code: 'i32',
    queueId: 'i32',
    queueOffset: 'f64',
    offsetCount: 'i32',
    extraBytes: 'i32',
  },
  40,
);

/** Then the frame, length word included. */
export const answerBytesMessage = layout({ connectionId: 'i32', frameBytes: 'i32' }, 8);

/** Then `rangeCount` times `logRange`. */
export const pullAnswerMessage = layout(
  {
    connectionId: 'i32',
    opaque: 'i32',
    serializeType: 'i32',
    code: 'i32',
    nextBeginOffset: 'f64',
    minOffset: 'f64',
    maxOffset: 'f64',
    /** Where the read began: what is pulled again where the log has lost its beginning meanwhile. */
    beginOffset: 'f64',
    rangeCount: 'i32',
    bodyBytes: 'i32',
  },
  56,
);
/** A stretch of whole records within one segment. */
export const logRange = layout({ physicalOffset: 'f64', bytes: 'f64' }, 16);

/** CLOSE_CONNECTION and CONNECTION_CLOSED. */
export const connectionMessage = layout({ connectionId: 'i32', reserved: 'i32' }, 8);

/** Which port a connection came in by. */
export const Listener = {
  BROKER: 0,
  /** brokerPort − 2: everything but pulls, for clients that keep sends apart. */
  VIP: 1,
  NAME_SERVER: 2,
  /** The port for browsers: broker and name server on one connection. */
  WEB: 3,
} as const;

/** Stands for the reactor itself, which asks for metrics; no connection has this id. */
export const METRICS_CONNECTION_ID = -1;

/** One page of a scrape; the first one begins it anew. */
export interface MetricsAsked {
  page: number;
}

/** What of a scrape is rendered where the page is put together; page 0 brings it. */
export interface MetricDistributions {
  /** Copies of LatencyHistogram. */
  readonly sendMs: readonly number[];
  readonly pullMs: readonly number[];
  /** Messages by size class (messageSizeBounds), and their bytes. */
  readonly sizes: readonly number[];
  readonly sizeSum: number;
}

/** Body of the answer to METRICS_ASKED. */
export interface MetricsPage {
  readonly lines: MetricLines;
  readonly hasMore: boolean;
  readonly distributions: MetricDistributions | null;
}

export interface ConnectionOpened {
  id: number;
  listener: number;
  /** `ip:port` of the peer. */
  remoteAddress: string;
  /** IP of our end. */
  localAddress: string;
}

/** What request workers, the dispatcher and the writer know of a topic. */
export interface TopicSnapshot {
  kind: 'topic';
  topicId: number;
  topic: string;
  perm: number;
  readQueueNums: number;
  writeQueueNums: number;
  /** A system topic that clients may not send to (protocol: NO_PERMISSION). */
  sendForbidden: boolean;
}

export interface TopicDeletedSnapshot {
  kind: 'topicDeleted';
  topicId: number;
  topic: string;
}

export interface SubscriptionSnapshot {
  topic: string;
  expressionType: string;
  subString: string;
  subVersion: number;
}

/** What the dispatcher knows of a consumer group. */
export interface GroupSnapshot {
  kind: 'group';
  group: string;
  /** False where the group does not exist (any more). */
  exists: boolean;
  consumeEnable: boolean;
  /** Null where no member is alive. */
  subscriptions: SubscriptionSnapshot[] | null;
}

/** What the writer must know of queues before the first append; nobody else hears of it. */
export interface QueueOffsetsSnapshot {
  kind: 'queueOffsets';
  /** For each queue three numbers: topic id, queue id, next queue offset. */
  nextOffsets: number[];
}

/** Settings of the dispatcher that changed. */
export interface SettingsSnapshot extends PublishedSettings {
  kind: 'settings';
}

export type Snapshot =
  | SettingsSnapshot
  | TopicSnapshot
  | TopicDeletedSnapshot
  | GroupSnapshot
  | QueueOffsetsSnapshot;

/** A queue as recovery found it. */
export interface RecoveredQueue {
  topic: string;
  queueId: number;
  minOffset: number;
  maxOffset: number;
}

/** Body of TOPICS_CHANGED. */
export interface TopicsChanged {
  dataVersion: DataVersion;
  /** New or changed, in their JSON form. */
  topics: unknown[];
  deleted: string[];
}

/** `id` stands for a group and a topic. */
export const commitMessage = layout({ id: 'i32', queueId: 'i32', offset: 'f64' }, 16);

/** Offsets that an administrator has set, by queue. */
export interface ResetAssigned {
  group: string;
  topic: string;
  targets: readonly (readonly [queueId: number, offset: number])[];
}

/** A request that the dispatcher answers for control. */
export interface AskedQuestion {
  connectionId: number;
  opaque: number;
  serializeType: SerializeType;
  question: DispatcherQuestion;
}

/** Slow file work that its owner must not wait for. */
export type FlusherTask =
  | {
      kind: 'replace';
      path: string;
      text: string;
      /** Only its owner may read the file. */
      isPrivate?: boolean;
      /** Not before the log is on disk up to here. */
      afterFlushed?: number;
    }
  /** See queue-snapshot.ts; comes behind the syncs of what it says. */
  | {
      kind: 'queues';
      path: string;
      bytes: Uint8Array;
      /** Not before the log is on disk up to here. */
      afterFlushed: number;
    }
  /** How long files are kept; what is absent stays as it is. */
  | { kind: 'retention'; fileReservedTimeMs?: number; deleteHours?: number[] }
  | {
      kind: 'sync';
      /** Files and directories to fsync. */
      paths: string[];
      /** After that the derived files hold every record below. */
      dispatchedPosition: number;
      logicsTimestampMs: number;
      indexTimestampMs: number;
    }
  | {
      kind: 'timers';
      /** Files and directories to fsync, before `path` is replaced, before `removed` are deleted. */
      paths: string[];
      path: string;
      text: string;
      removed: string[];
      /** Not before the log is on disk up to here. */
      afterFlushed: number;
    };

/** A task as one line of JSON, and behind it the content of a file as it is: megabytes are not quoted again. */
export function flusherTaskPayload(task: FlusherTask): Buffer {
  if (task.kind === 'queues') {
    const { bytes, ...head } = task;
    return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), bytes]);
  }
  if (task.kind !== 'replace' && task.kind !== 'timers')
    return Buffer.from(`${JSON.stringify(task)}\n`);
  const { text, ...head } = task;
  return Buffer.from(`${JSON.stringify(head)}\n${text}`);
}

export function readFlusherTask(payload: Buffer): FlusherTask {
  const headBytes = payload.indexOf(10);
  const task = JSON.parse(payload.toString('utf8', 0, headBytes)) as FlusherTask;
  if (task.kind === 'replace' || task.kind === 'timers')
    task.text = payload.toString('utf8', headBytes + 1);
  else if (task.kind === 'queues') task.bytes = payload.subarray(headBytes + 1);
  return task;
}
