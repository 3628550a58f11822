/**
 * What clients asked of a broker and what they saw of it, in the order in which it happened: the only
 * thing that the checker reads. Times are milliseconds of the broker's calendar. A message is known by
 * its payload id, which stands at the start of its body; `digest` is of the whole body.
 */

/** What a message is to be: at once, later, or once its transaction is committed. */
export type MessageKind = 'plain' | 'timed' | 'half';

/**
 * `ok`: acknowledged. `fail`: refused before anything was stored. `info`: no answer, or one that leaves it
 * open; the message may be there or not.
 */
export type Outcome = 'ok' | 'fail' | 'info';

/** How a broker ended: in order, by kill -9, or with the power. */
export type Death = 'stop' | 'process' | 'power';

export interface DumpedMessage {
  queueOffset: number;
  physicalOffset: number;
  storeTimestampMs: number;
  id: string;
  digest: number;
}

/** All that can be read of one queue. */
export interface DumpedQueue {
  topic: string;
  queueId: number;
  /** The first offset that is kept, and the next one that is given. */
  minOffset: number;
  maxOffset: number;
  messages: readonly DumpedMessage[];
}

export type HistoryEvent =
  | {
      type: 'send';
      id: string;
      /** Sends of one client are ordered by the invocations of this log. */
      client: number;
      topic: string;
      queueId: number;
      digest: number;
      kind: MessageKind;
      /** Of a timed message: when it may be seen at the earliest. */
      dueMs?: number;
    }
  /** `queueOffset` where the answer says it: of a plain message. */
  | { type: 'sent'; id: string; outcome: Outcome; queueOffset?: number }
  | { type: 'end'; id: string; decision: 'commit' | 'rollback' }
  | { type: 'ended'; id: string; outcome: Outcome }
  | {
      type: 'delivered';
      group: string;
      topic: string;
      queueId: number;
      queueOffset: number;
      storeTimestampMs: number;
      id: string;
      digest: number;
      atMs: number;
    }
  /** The group asks that its next message be `offset`. */
  | {
      type: 'commit';
      group: string;
      topic: string;
      queueId: number;
      offset: number;
      atMs: number;
    }
  /** The broker says where the group stands. */
  | { type: 'offset'; group: string; topic: string; queueId: number; offset: number }
  /** The broker says where the queue begins. */
  | { type: 'minimum'; topic: string; queueId: number; offset: number }
  /** The group begins again from where the broker says. */
  | { type: 'rewind'; group: string; topic: string; queueId: number; offset: number }
  | { type: 'death'; death: Death; atMs: number }
  /** Everything that became due is done: what is not there now never comes. `isSettled`: also what is due. */
  | { type: 'dump'; queues: readonly DumpedQueue[]; atMs: number; isSettled: boolean };

/** Names one queue. */
export function queueKey(topic: string, queueId: number): string {
  return `${topic}/${queueId}`;
}
