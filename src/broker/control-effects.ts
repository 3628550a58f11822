/**
 * @agent control
 *
 * What the control logic asks of the world around it, and the pieces of state that it publishes.
 * The agent that wraps `BrokerControl` implements `ControlEffects`; tests implement it with lists.
 * Effects take place in the order asked, and none of them calls back into the control logic.
 */
import type { AccessSnapshot } from '../access/access-gate.ts';
import type { ControlMetrics } from './metrics-pages.ts';
import type { AnswerExtra } from '../protocol/answer-extra.ts';
import type { RecordDraft } from '../protocol/record-encoder.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';
import type { TopicConfig } from '../protocol/topic-config.ts';

/** A topic with what the broker knows of it in this run. */
export interface TopicEntry {
  /** Dense from 0; never reused in a run, not even for a topic of the same name. */
  readonly topicId: number;
  readonly config: TopicConfig;
  /** A system topic that clients may not send to. */
  readonly sendForbidden: boolean;
}

/** What a member of a consumer group subscribes to (SubscriptionData.java). */
export interface Subscription {
  readonly topic: string;
  /** `TAG` or `SQL92`. */
  readonly expressionType: string;
  readonly subString: string;
  /** Milliseconds since the epoch at the client when it subscribed; a newer one replaces an older. */
  readonly subVersion: number;
  /** Empty where all tags match. */
  readonly tagsSet: readonly string[];
}

/** What pulls of a group are checked against. */
export interface GroupSnapshot {
  readonly group: string;
  /** False when the group's configuration has gone. */
  readonly exists: boolean;
  readonly consumeEnable: boolean;
  /** By topic; null where no member is alive. */
  readonly subscriptions: ReadonlyMap<string, Subscription> | null;
}

/** What of a request its answer needs. */
export type AnsweredRequest = Pick<RemotingCommand, 'code' | 'opaque' | 'serializeType'>;

/** Who waits for the outcome of an append. */
export interface AppendAnswer {
  readonly connectionId: number;
  /** CONSUMER_SEND_MSG_BACK is answered with a code alone, a send with its header. */
  readonly request: AnsweredRequest;
  /** A field of the answer besides, of less than 1 KiB. */
  readonly extra?: AnswerExtra;
}

export type PersistedFile =
  | 'topics.json'
  | 'consumerOffset.json'
  | 'subscriptionGroup.json'
  | 'kvConfig.json'
  | 'liveSettings.json'
  | 'users.json'
  | 'acls.json';

/** Settings of other agents that changed; what is absent stays as it is. */
export interface PublishedSettings {
  enablePropertyFilter?: boolean;
  longPollingEnable?: boolean;
  fileReservedTimeMs?: number;
  /** Hours of the day at which expired files are deleted. */
  deleteHours?: number[];
}

/** What the dispatcher is asked for an answer to a request that came to control. */
export type DispatcherQuestion =
  /**
   * Code 14 found nothing stored. The answer is 0 where the queue's minimum offset is 0, and
   * QUERY_NOT_FOUND where its beginning has expired.
   */
  | { kind: 'queue-start'; topic: string; queueId: number }
  /** Code 208: how far a group is in these topics. */
  | { kind: 'consume-stats'; group: string; topics: TopicOffsets[] }
  /** Code 317: the same of all groups. */
  | {
      kind: 'broker-consume-stats';
      brokerAddress: string;
      groups: { group: string; topics: TopicOffsets[] }[];
    }
  /** Code 303: between which times a group is. */
  | { kind: 'time-span'; queues: TopicOffsets }
  | ResetQuestion
  | ClientResetQuestion
  /** Code 315, of what the dispatcher counts. */
  | { kind: 'stats'; name: string; key: string }
  /** Code 28: what control knows, to be completed. */
  | { kind: 'runtime-info'; table: [string, string][] }
  /** Code 45. */
  | { kind: 'delay-offsets' }
  /** Code 321: units of a queue; the rest of the answer is control's. */
  | {
      kind: 'queue-units';
      topic: string;
      queueId: number;
      index: number;
      count: number;
      rest: Record<string, unknown>;
    }
  /** A page of a scrape. */
  | { kind: 'metrics'; metrics: ControlMetrics }
  /** Codes 306 and 316: what nothing points to any more goes. */
  | { kind: 'clean' };

/** How far a group is in a topic: the next offset of each queue from 0 on. */
export interface TopicOffsets {
  topic: string;
  offsets: number[];
}

/** Code 222, in the broker. */
export interface ResetQuestion {
  kind: 'reset';
  group: string;
  topic: string;
  queueIds: number[];
  /** Negative: the end. */
  timestampMs: number;
  /** Null: where the time leads. */
  offset: number | null;
}

/** Code 222, by the clients. */
export interface ClientResetQuestion {
  kind: 'client-reset';
  group: string;
  topic: string;
  /** By queue. */
  consumerOffsets: number[];
  timestampMs: number;
  /** Also forward. */
  isForced: boolean;
  /** The asker is a C++ client, and so are those that are told. */
  isCpp: boolean;
  connectionIds: number[];
}

export interface ControlEffects {
  /** Sends a finished answer frame. */
  answer(connectionId: number, frame: Buffer): void;
  /** Sends a finished oneway request to a client. */
  requestClient(connectionId: number, frame: Buffer): void;
  closeConnection(connectionId: number): void;
  /** Makes a new or changed topic known to workers, dispatcher and writer, before any later answer. */
  publishTopic(entry: TopicEntry): void;
  /** The topic has gone, and its queues with it. */
  publishTopicDeleted(topicId: number, topic: string): void;
  /** Makes a group's state known to the dispatcher, before any later answer. */
  publishGroup(snapshot: GroupSnapshot): void;
  /** Makes changed settings known to the agents that read them, before any later answer. */
  publishSettings(settings: PublishedSettings): void;
  /** Makes changed users and policies known to the gate, before any later answer. */
  publishAccess(snapshot: AccessSnapshot): void;
  /** Replaces a file of `config/`. */
  persist(file: PersistedFile, text: string): void;
  /** A topic is new, changed or gone: name servers must hear of it at once. */
  topicChanged(topic: string): void;
  /** Has the dispatcher answer a request, of which it must know what only control does. */
  askDispatcher(
    connectionId: number,
    request: Pick<RemotingCommand, 'opaque' | 'serializeType'>,
    question: DispatcherQuestion,
  ): void;
  /** The whole record at this place of the log; null where there is none (any more). */
  readRecord(physicalOffset: number): Buffer | null;
  /**
   * Stores a record. With `answerTo` the writer answers that request with the outcome. False when
   * the way to the writer is full: nothing happened, and the caller tries again later.
   */
  append(draft: RecordDraft, answerTo: AppendAnswer | null): boolean;
}
