/**
 * @agent control
 *
 * Everything at a low rate: heartbeats, groups, offsets, locks, topics, and the name server. The logic
 * is in src/broker and src/nameserver; this agent brings it requests from the rings and turns its
 * effects into ring messages.
 *
 * Snapshots of topics and groups go out before the answer to the request that changed them, so that
 * a client which has its answer finds the new state everywhere.
 */
import type { AccessSnapshot } from '../access/access-gate.ts';
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import { auditRequest } from '../broker/audit-log.ts';
import type { BrokerControl } from '../broker/broker-control.ts';
import type {
  DispatcherQuestion,
  AppendAnswer,
  ControlEffects,
  GroupSnapshot,
  PersistedFile,
  PublishedSettings,
  TopicEntry,
} from '../broker/control-effects.ts';
import type { NameServer } from '../nameserver/name-server.ts';
import { RequestCode } from '../protocol/codes.ts';
import { RecordKind, RecordView } from '../protocol/message-record.ts';
import type { RecordDraft } from '../protocol/record-encoder.ts';
import {
  decodeFrame,
  encodeAnswer,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
  type RemotingCommand,
} from '../protocol/remoting-command.ts';
import { type DataVersion, type TopicChanges, topicConfigJson } from '../protocol/topic-config.ts';
import type { Agent } from '../ring/agent.ts';
import type { LargeMessagePool } from '../ring/large-message-pool.ts';
import { QueuedProducer } from '../ring/queued-producer.ts';
import type { SpscRingConsumer } from '../ring/spsc-ring.ts';
import type { CommitLogSegments } from '../store/commit-log-segments.ts';
import { PositionSlot, type StorePositions } from '../store/store-positions.ts';
import type { AppendProxy } from './append-proxy.ts';
import { FrameReader } from './frame-proxy.ts';
import type { PullCommitReader } from './pull-commits.ts';
import { answerBytesPayload, connectionPayload } from './reactor-proxy.ts';
import {
  type AskedQuestion,
  type ConnectionOpened,
  type FlusherTask,
  flusherTaskPayload,
  Listener,
  MessageType,
  METRICS_CONNECTION_ID,
  type MetricsAsked,
  type RecoveredQueue,
  type Snapshot,
  type TopicsChanged,
} from './ring-messages.ts';

export interface ControlWorkerDoor {
  /** Frames that the worker has sent here. */
  readonly from: SpscRingConsumer;
  readonly to: QueuedProducer;
}

export interface ControlOptions {
  requests: SpscRingConsumer;
  requestPool: LargeMessagePool;
  toReactor: QueuedProducer;
  /** Absent, like all that follows, in a process that is only a name server. */
  workers: readonly ControlWorkerDoor[];
  pullCommits: PullCommitReader | null;
  toDispatcher: QueuedProducer | null;
  toWriter: AppendProxy | null;
  toFlusher: QueuedProducer | null;
  segments: CommitLogSegments | null;
  positions: StorePositions | null;
  configFile: (name: string) => string;
  /** Tells the name server in this process, if there is one, of this broker and what changed of its topics. */
  registerEmbedded: (changes: TopicChanges, dataVersion: DataVersion) => void;
  /** Whether there are other name servers to be told. */
  registersOutside: boolean;
  /** Logs changes at the name server; the broker does by itself. */
  auditsNameServer?: boolean;
  refusals: Refusals;
  logger: Logger;
}

const SEND_CODES: ReadonlySet<number> = new Set([
  RequestCode.SEND_MESSAGE,
  RequestCode.SEND_MESSAGE_V2,
  RequestCode.SEND_BATCH_MESSAGE,
]);

export class Control implements Agent, ControlEffects {
  readonly name = 'control';
  readonly #options: ControlOptions;
  readonly #frame: FrameReader;
  readonly #view = new RecordView();
  readonly #connections = new Map<number, ConnectionOpened>();
  #broker: BrokerControl | null = null;
  #nameServer: NameServer | null = null;
  readonly #toWriterSnapshots: QueuedProducer | null;
  #minimum = 0;
  #hasToldRecovery = false;
  #nextTellMs = 0;
  /** Topics that are new, changed or gone, and that name servers have not heard of. */
  #changedTopics = new Set<string>();

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#toWriterSnapshots =
      options.toWriter === null ? null : new QueuedProducer(options.toWriter.ring);
    this.#frame = new FrameReader(options.requestPool);
  }

  /** Sets the logic, which needs this agent's effects to be made. */
  attach(broker: BrokerControl | null, nameServer: NameServer | null): void {
    this.#broker = broker;
    this.#nameServer = nameServer;
  }

  /**
   * Takes what recovery found: topics that only the log knows come back, the writer learns where each
   * queue goes on, and no group stands beyond the end of its queue.
   */
  recover(queues: readonly RecoveredQueue[]): void {
    const broker = this.#broker as BrokerControl;
    const byTopic = new Map<string, RecoveredQueue[]>();
    for (const queue of queues) {
      const known = byTopic.get(queue.topic);
      if (known === undefined) byTopic.set(queue.topic, [queue]);
      else known.push(queue);
    }
    const nextOffsets: number[] = [];
    for (const [topic, topicQueues] of byTopic) {
      const queueCount = Math.max(...topicQueues.map((queue) => queue.queueId)) + 1;
      const entry = broker.recoverTopic(topic, queueCount);
      if (!('topicId' in entry)) {
        this.#options.logger.error(
          { topic, remark: entry.remark },
          'a topic found in the log could not be brought back',
        );
        byTopic.delete(topic);
        continue;
      }
      for (const { queueId, maxOffset } of topicQueues)
        nextOffsets.push(entry.topicId, queueId, maxOffset);
    }
    if (nextOffsets.length > 0) {
      const snapshot: Snapshot = { kind: 'queueOffsets', nextOffsets };
      const payload = Buffer.from(JSON.stringify(snapshot));
      this.#toWriterSnapshots?.offer(MessageType.SNAPSHOT, payload);
    }
    broker.clampOffsets(
      (topic, queueId) =>
        byTopic.get(topic)?.find((queue) => queue.queueId === queueId)?.maxOffset ?? 0,
    );
  }

  doWork(nowMs: number): number {
    const { workers, pullCommits, requests } = this.#options;
    // A question about an offset comes after the commits that its sender knows of.
    const requestsEnd = requests.publishedEnd;
    let work = this.#broker === null ? 0 : (pullCommits?.drain(this.#broker) ?? 0);
    work += this.#drainRequests(requestsEnd);
    for (let index = 0; index < workers.length; index++) work += this.#drainWorker(workers[index]);
    work += (this.#broker?.doWork(nowMs) ?? 0) + (this.#nameServer?.doWork(nowMs) ?? 0);
    this.#followMinimum();
    if (this.#changedTopics.size > 0) this.#registerTopics();
    work += this.#flush();
    if (!this.#hasToldRecovery) this.#tellRecovery(nowMs);
    return work;
  }

  nextDeadlineMs(): number {
    return Math.min(
      this.#nextTellMs,
      this.#broker?.nextDeadlineMs() ?? Infinity,
      this.#nameServer?.nextDeadlineMs() ?? Infinity,
    );
  }

  prepareClose(): void {
    this.#broker?.persistAll();
    this.#nameServer?.unregisterEmbedded();
  }

  close(): void {}

  // Requests

  #drainRequests(end: number): number {
    const ring = this.#options.requests;
    let count = 0;
    while (ring.peekBefore(end)) {
      if (ring.type === MessageType.FRAME || ring.type === MessageType.FRAME_POOLED) {
        this.#frame.read(ring);
        this.#onFrame();
        this.#frame.free();
      } else if (ring.type === MessageType.CONNECTION_OPENED) {
        const payload = ring.bytes.toString(
          'utf8',
          ring.payloadOffset,
          ring.payloadOffset + ring.payloadBytes,
        );
        const opened = JSON.parse(payload) as ConnectionOpened;
        this.#connections.set(opened.id, opened);
        if (opened.listener !== Listener.NAME_SERVER) this.#broker?.onConnectionOpened(opened);
      } else if (ring.type === MessageType.ORDER_TOPICS) {
        const { payloadOffset, payloadBytes } = ring;
        const text = ring.bytes.toString('utf8', payloadOffset, payloadOffset + payloadBytes);
        for (const topic of JSON.parse(text) as string[]) this.#broker?.orderTopic(topic);
      } else if (ring.type === MessageType.CONNECTION_CLOSED)
        this.#onClosed(ring.int32[ring.payloadOffset >> 2]);
      else if (ring.type === MessageType.METRICS_ASKED) {
        const { payloadOffset, payloadBytes } = ring;
        const text = ring.bytes.toString('utf8', payloadOffset, payloadOffset + payloadBytes);
        const { page } = JSON.parse(text) as MetricsAsked;
        this.#broker?.askMetrics(METRICS_CONNECTION_ID, page, this.#nameServer);
      }
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }

  #onClosed(connectionId: number): void {
    const connection = this.#connections.get(connectionId);
    this.#connections.delete(connectionId);
    if (connection?.listener === Listener.NAME_SERVER)
      this.#nameServer?.onConnectionClosed(connectionId);
    else this.#broker?.onConnectionClosed(connectionId);
  }

  #onFrame(): void {
    const frame = this.#frame;
    const connectionId = frame.connectionId;
    const request = this.#decode();
    if (request === null) return;
    if (!this.#isForNameServer(frame.listener, request)) {
      this.#broker?.onRequest(connectionId, request);
      return;
    }
    const connection = this.#connections.get(connectionId);
    if (connection === undefined || this.#nameServer === null) return;
    const isWeb = frame.listener === Listener.WEB;
    const answer = isWeb
      ? this.#nameServer.onWebRequest(request, connection)
      : this.#nameServer.onRequest(request, connection);
    if (this.#options.auditsNameServer === true) {
      const { remoteAddress } = connection;
      auditRequest(this.#options.logger, request, remoteAddress, answer?.code ?? null);
    }
    if (answer !== null && (request.flag & FLAG_ONEWAY) === 0)
      this.answer(connectionId, encodeAnswer(request, answer));
  }

  /** The request of the frame at hand; null, and its connection is closed, where it is none. */
  #decode(): RemotingCommand | null {
    const { bytes, start, end, connectionId } = this.#frame;
    try {
      return decodeFrame(bytes.subarray(start, end));
    } catch (error) {
      if (!BrokerError.is(error)) throw error;
      this.#options.refusals.add('request-invalid', { connectionId, error: error.message });
      this.closeConnection(connectionId);
      return null;
    }
  }

  #isForNameServer(listener: number, request: RemotingCommand): boolean {
    if (listener === Listener.NAME_SERVER) return true;
    return (
      listener === Listener.WEB &&
      (request.flag & FLAG_RESPONSE) === 0 &&
      this.#nameServer?.serves(request.code) === true
    );
  }

  /** A send whose topic the worker does not know, or a client's own retry. */
  #drainWorker(door: ControlWorkerDoor): number {
    const ring = door.from;
    let count = 0;
    while (ring.peek()) {
      this.#frame.read(ring);
      this.#onSend(ring, door);
      ring.skip();
      count++;
    }
    ring.release();
    return count;
  }

  #onSend(ring: SpscRingConsumer, door: ControlWorkerDoor): void {
    const broker = this.#broker as BrokerControl;
    const frame = this.#frame;
    const connectionId = frame.connectionId;
    // The worker's scanner takes headers that it need not understand whole.
    const request = this.#decode();
    if (request === null) {
      door.to.offer(MessageType.CONNECTION_CLOSED, connectionPayload(connectionId));
      frame.free();
      return;
    }
    const isV2 = request.code !== RequestCode.SEND_MESSAGE;
    const field = (long: string, short: string): string | undefined =>
      request.extFields.get(isV2 ? short : long);
    const topic = field('topic', 'b') ?? '';
    if (topic.startsWith('%RETRY%') && SEND_CODES.has(request.code)) {
      this.#onRetrySend(broker, request);
      return;
    }
    const refusal = broker.ensureSendTopic(connectionId, {
      topic,
      defaultTopic: field('defaultTopic', 'c') ?? '',
      defaultTopicQueueNums: Number(field('defaultTopicQueueNums', 'd') ?? 4),
    });
    if (refusal === null) {
      // Back to the worker, behind the snapshot of the topic; a pooled frame keeps its slot.
      const payload = Buffer.from(
        ring.bytes.subarray(ring.payloadOffset, ring.payloadOffset + ring.payloadBytes),
      );
      door.to.offer(ring.type, payload);
      return;
    }
    if ((request.flag & FLAG_ONEWAY) === 0)
      this.answer(connectionId, encodeAnswer(request, refusal));
    door.to.offer(MessageType.CONNECTION_CLOSED, connectionPayload(connectionId));
    frame.free();
  }

  /** A connection that only ever sent messages was not announced: it is known for this request only. */
  #onRetrySend(broker: BrokerControl, request: RemotingCommand): void {
    const frame = this.#frame;
    const id = frame.connectionId;
    const isAnnounced = this.#connections.has(id);
    if (!isAnnounced) {
      const host = frame.hostSource.subarray(frame.hostStart, frame.hostStart + frame.hostBytes);
      const address =
        frame.hostBytes === 4
          ? host.join('.')
          : (host.toString('hex').match(/.{4}/g) ?? []).join(':');
      broker.onConnectionOpened({
        id,
        remoteAddress: `${address}:${frame.bornPort}`,
        localAddress: '',
      });
    }
    broker.onRequest(id, request);
    if (!isAnnounced) broker.onConnectionClosed(id);
    frame.free();
  }

  #followMinimum(): void {
    const { positions, segments } = this.#options;
    const minimum = positions?.load(PositionSlot.MINIMUM) ?? 0;
    if (minimum === this.#minimum) return;
    this.#minimum = minimum;
    segments?.forgetBelow(minimum);
  }

  #flush(): number {
    const { workers, toDispatcher, toFlusher, toReactor } = this.#options;
    let sent = 0;
    for (let index = 0; index < workers.length; index++) sent += workers[index].to.flush();
    sent += (toDispatcher?.flush() ?? 0) + (toFlusher?.flush() ?? 0);
    // Together with what was appended.
    sent += this.#toWriterSnapshots?.flush() ?? 0;
    return sent + toReactor.flush();
  }

  /** Says that what came from before this run has reached everybody, once it has. */
  #tellRecovery(nowMs: number): void {
    const { workers, toDispatcher } = this.#options;
    const isTold =
      workers.every(({ to }) => to.isDrained) &&
      toDispatcher?.isDrained !== false &&
      this.#toWriterSnapshots?.isDrained !== false;
    this.#hasToldRecovery = isTold;
    this.#nextTellMs = isTold ? Infinity : nowMs + 1;
    if (isTold) this.#options.positions?.publish(PositionSlot.RECOVERY_TOLD, 1);
  }

  // Effects of the control logic

  answer(connectionId: number, frame: Buffer): void {
    this.#options.toReactor.offer(
      MessageType.ANSWER_BYTES,
      answerBytesPayload(connectionId, frame),
    );
  }

  requestClient(connectionId: number, frame: Buffer): void {
    this.answer(connectionId, frame);
  }

  closeConnection(connectionId: number): void {
    this.#options.toReactor.offer(MessageType.CLOSE_CONNECTION, connectionPayload(connectionId));
  }

  publishTopic(entry: TopicEntry): void {
    const { config } = entry;
    this.#publish({
      kind: 'topic',
      topicId: entry.topicId,
      topic: config.topicName,
      perm: config.perm,
      readQueueNums: config.readQueueNums,
      writeQueueNums: config.writeQueueNums,
      sendForbidden: entry.sendForbidden,
    });
  }

  publishTopicDeleted(topicId: number, topic: string): void {
    this.#publish({ kind: 'topicDeleted', topicId, topic });
  }

  publishGroup(snapshot: GroupSnapshot): void {
    const { toDispatcher } = this.#options;
    const { group, exists, consumeEnable, subscriptions } = snapshot;
    const message: Snapshot = {
      kind: 'group',
      group,
      exists,
      consumeEnable,
      subscriptions: subscriptions === null ? null : [...subscriptions.values()],
    };
    toDispatcher?.offer(MessageType.SNAPSHOT, Buffer.from(JSON.stringify(message)));
  }

  publishSettings(settings: PublishedSettings): void {
    const { toDispatcher, toFlusher } = this.#options;
    const { fileReservedTimeMs, deleteHours } = settings;
    const snapshot: Snapshot = { kind: 'settings', ...settings };
    toDispatcher?.offer(MessageType.SNAPSHOT, Buffer.from(JSON.stringify(snapshot)));
    if (fileReservedTimeMs === undefined && deleteHours === undefined) return;
    const task: FlusherTask = {
      kind: 'retention',
      ...(fileReservedTimeMs === undefined ? {} : { fileReservedTimeMs }),
      ...(deleteHours === undefined ? {} : { deleteHours }),
    };
    toFlusher?.offer(MessageType.FLUSHER_TASK, flusherTaskPayload(task));
  }

  publishAccess(snapshot: AccessSnapshot): void {
    const payload = Buffer.from(JSON.stringify(snapshot));
    this.#options.toReactor.offer(MessageType.ACCESS_CHANGED, payload);
  }

  persist(file: PersistedFile, text: string): void {
    const path = this.#options.configFile(file);
    const isPrivate = file === 'users.json' || file === 'acls.json';
    const task: FlusherTask = { kind: 'replace', path, text, ...(isPrivate ? { isPrivate } : {}) };
    this.#options.toFlusher?.offer(MessageType.FLUSHER_TASK, flusherTaskPayload(task));
  }

  topicChanged(topic: string): void {
    this.#changedTopics.add(topic);
  }

  /** A topic was made for a question that is being answered now: the name server must know it at once. */
  registerNow(): boolean {
    this.#registerTopics();
    return true;
  }

  /** Tells name servers what changed, once a turn, before the answers of that turn. */
  #registerTopics(): void {
    const broker = this.#broker;
    if (broker === null) return;
    const changes: TopicChanges = { topics: [], deleted: [] };
    for (const topic of this.#changedTopics) {
      const config = broker.topicConfig(topic);
      if (config === undefined) changes.deleted.push(topic);
      else changes.topics.push(config);
    }
    this.#changedTopics = new Set();
    this.#options.registerEmbedded(changes, broker.dataVersion);
    if (!this.#options.registersOutside) return;
    const message: TopicsChanged = {
      dataVersion: broker.dataVersion,
      topics: changes.topics.map(topicConfigJson),
      deleted: changes.deleted,
    };
    this.#options.toReactor.offer(MessageType.TOPICS_CHANGED, Buffer.from(JSON.stringify(message)));
  }

  askDispatcher(
    connectionId: number,
    request: Pick<RemotingCommand, 'opaque' | 'serializeType'>,
    question: DispatcherQuestion,
  ): void {
    const { opaque, serializeType } = request;
    const asked: AskedQuestion = { connectionId, opaque, serializeType, question };
    const payload = Buffer.from(JSON.stringify(asked));
    this.#options.toDispatcher?.offer(MessageType.QUESTION, payload);
  }

  readRecord(physicalOffset: number): Buffer | null {
    const { segments, positions } = this.#options;
    if (segments === null || positions === null) return null;
    const end = positions.load(PositionSlot.DISPATCHED);
    if (!(physicalOffset >= positions.load(PositionSlot.MINIMUM) && physicalOffset < end))
      return null;
    const segment = segments.segmentAt(physicalOffset);
    if (segment === null) return null;
    const base = physicalOffset - (physicalOffset % segments.segmentBytes);
    const view = this.#view;
    const kind = view.read(
      segment.bytes,
      physicalOffset - base,
      Math.min(segments.segmentBytes, end - base),
      true,
    );
    if (kind !== RecordKind.MESSAGE || view.physicalOffset !== physicalOffset) return null;
    return Buffer.from(segment.bytes.subarray(view.start, view.start + view.totalBytes));
  }

  append(draft: RecordDraft, answerTo: AppendAnswer | null): boolean {
    // A record comes after what the writer has to know of its queue.
    if ((this.#toWriterSnapshots?.waitingCount ?? 0) > 0) return false;
    return this.#options.toWriter?.append(draft, answerTo) ?? false;
  }

  #publish(snapshot: Snapshot): void {
    const { workers, toDispatcher } = this.#options;
    const payload = Buffer.from(JSON.stringify(snapshot));
    if (snapshot.kind !== 'topic') this.#toWriterSnapshots?.offer(MessageType.SNAPSHOT, payload);
    for (const worker of workers) worker.to.offer(MessageType.SNAPSHOT, payload);
    toDispatcher?.offer(MessageType.SNAPSHOT, payload);
  }
}
