/**
 * A BrokerControl on manual clocks whose effects are lists, and the few requests that most tests
 * begin with. Answers are decoded again from their frames, so that encoding is tested along.
 */
import type { AccessSnapshot } from '../../src/access/access-gate.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { Refusals } from '../../src/base/refusals.ts';
import { BrokerControl, type BrokerControlOptions } from '../../src/broker/broker-control.ts';
import { type BrokerControlConfig, defaultControlConfig } from '../../src/broker/control-config.ts';
import type {
  DispatcherQuestion,
  AppendAnswer,
  ControlEffects,
  GroupSnapshot,
  PublishedSettings,
  TopicEntry,
} from '../../src/broker/control-effects.ts';
import { RequestCode, Version } from '../../src/protocol/codes.ts';
import { encodeHost, type RecordDraft } from '../../src/protocol/record-encoder.ts';
import {
  decodeFrame,
  FLAG_ONEWAY,
  type RemotingCommand,
} from '../../src/protocol/remoting-command.ts';

export const storeHost = encodeHost('10.0.0.9', 10911);

export class RecordedEffects implements ControlEffects {
  /** Every effect's name, in order. */
  readonly order: string[] = [];
  readonly answers: { connectionId: number; answer: RemotingCommand }[] = [];
  readonly clientRequests: { connectionId: number; request: RemotingCommand }[] = [];
  readonly closed: number[] = [];
  readonly settings: PublishedSettings = {};
  readonly topics = new Map<string, TopicEntry>();
  readonly deletedTopicIds: number[] = [];
  readonly groups = new Map<string, GroupSnapshot>();
  readonly files = new Map<string, string>();
  readonly access: AccessSnapshot[] = [];
  persistCount = 0;
  readonly changedTopics: string[] = [];
  readonly questions: {
    connectionId: number;
    request: RemotingCommand;
    question: DispatcherQuestion;
  }[] = [];
  readonly records = new Map<number, Buffer>();
  readonly appends: { draft: RecordDraft; answerTo: AppendAnswer | null }[] = [];
  hasRoom = true;

  answer(connectionId: number, frame: Buffer): void {
    this.order.push('answer');
    this.answers.push({ connectionId, answer: decodeFrame(frame.subarray(4)) });
  }

  requestClient(connectionId: number, frame: Buffer): void {
    this.order.push('requestClient');
    this.clientRequests.push({ connectionId, request: decodeFrame(frame.subarray(4)) });
  }

  closeConnection(connectionId: number): void {
    this.closed.push(connectionId);
  }

  publishTopic(entry: TopicEntry): void {
    this.order.push(`topic ${entry.config.topicName}`);
    this.topics.set(entry.config.topicName, entry);
  }

  publishTopicDeleted(topicId: number, topic: string): void {
    this.deletedTopicIds.push(topicId);
    this.topics.delete(topic);
  }

  publishGroup(snapshot: GroupSnapshot): void {
    this.order.push(`group ${snapshot.group}`);
    this.groups.set(snapshot.group, snapshot);
  }

  publishSettings(settings: PublishedSettings): void {
    this.order.push('settings');
    Object.assign(this.settings, settings);
  }

  publishAccess(snapshot: AccessSnapshot): void {
    this.order.push('access');
    this.access.push(snapshot);
  }

  persist(file: string, text: string): void {
    this.persistCount++;
    this.files.set(file, text);
  }

  topicChanged(topic: string): void {
    this.changedTopics.push(topic);
  }

  askDispatcher(
    connectionId: number,
    request: RemotingCommand,
    question: DispatcherQuestion,
  ): void {
    this.questions.push({ connectionId, request, question });
  }

  readRecord(physicalOffset: number): Buffer | null {
    return this.records.get(physicalOffset) ?? null;
  }

  append(draft: RecordDraft, answerTo: AppendAnswer | null): boolean {
    if (this.hasRoom) this.appends.push({ draft, answerTo });
    return this.hasRoom;
  }
}

export class ControlHarness {
  readonly effects = new RecordedEffects();
  /** Serves as both clocks. */
  readonly clock = new ManualClock(1_700_000_000_000);
  readonly refusals = new Refusals(silentLogger, () => 0);
  readonly control: BrokerControl;
  #opaque = 100;

  constructor(
    options: {
      config?: Partial<BrokerControlConfig>;
      stored?: BrokerControlOptions['stored'];
    } = {},
  ) {
    this.control = new BrokerControl({
      config: { ...defaultControlConfig, storeHost, ...options.config },
      wallClock: this.clock,
      monotonicClock: this.clock,
      random: () => 0.5,
      logger: silentLogger,
      refusals: this.refusals,
      effects: this.effects,
      stored: options.stored ?? {},
    });
    for (const id of [1, 2, 3]) this.connect(id);
  }

  connect(id: number): void {
    const remoteAddress = `192.168.1.${id}:5000${id}`;
    this.control.onConnectionOpened({ id, remoteAddress, localAddress: '10.0.0.9' });
  }

  request(parts: {
    code: number;
    fields?: Record<string, string>;
    body?: unknown;
    flag?: number;
    version?: number;
  }): RemotingCommand {
    const isText = typeof parts.body === 'string';
    return {
      code: parts.code,
      language: 'JAVA',
      version: parts.version ?? Version.V5_3_3,
      opaque: this.#opaque++,
      flag: parts.flag ?? 0,
      remark: null,
      extFields: new Map(Object.entries(parts.fields ?? {})),
      body: Buffer.from(
        isText
          ? (parts.body as string)
          : parts.body === undefined
            ? ''
            : JSON.stringify(parts.body),
      ),
      serializeType: 0,
    };
  }

  /** Sends a request and returns its answer; fails where there is none. */
  ask(connectionId: number, parts: Parameters<ControlHarness['request']>[0]): RemotingCommand {
    const request = this.request(parts);
    this.control.onRequest(connectionId, request);
    const last = this.effects.answers.at(-1);
    if (last?.connectionId !== connectionId || last.answer.opaque !== request.opaque) {
      throw new Error(`no answer to ${parts.code}`);
    }
    return last.answer;
  }

  /** Sends a request that gets no answer from control at once. */
  tell(connectionId: number, parts: Parameters<ControlHarness['request']>[0]): RemotingCommand {
    const before = this.effects.answers.length;
    const request = this.request(parts);
    this.control.onRequest(connectionId, request);
    const answer = this.effects.answers[before];
    if (answer !== undefined)
      throw new Error(`answered: ${answer.answer.code} ${answer.answer.remark ?? ''}`);
    return request;
  }

  tellOneway(connectionId: number, parts: Parameters<ControlHarness['request']>[0]): void {
    this.tell(connectionId, { ...parts, flag: FLAG_ONEWAY });
  }

  heartbeat(
    connectionId: number,
    beat: {
      clientId?: string;
      group?: string;
      topics?: Record<string, string>;
      subVersion?: number;
      messageModel?: string;
      producerGroups?: string[];
      fingerprint?: number;
      withoutSub?: boolean;
    },
  ): RemotingCommand {
    const subscriptions = Object.entries(beat.topics ?? {}).map(([topic, subString]) => ({
      classFilterMode: false,
      codeSet: [],
      expressionType: 'TAG',
      subString,
      subVersion: beat.subVersion ?? 1,
      tagsSet: [],
      topic,
    }));
    const consumer = {
      consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
      consumeType: 'CONSUME_PASSIVELY',
      groupName: beat.group,
      messageModel: beat.messageModel ?? 'CLUSTERING',
      subscriptionDataSet: subscriptions,
      unitMode: false,
    };
    return this.ask(connectionId, {
      code: RequestCode.HEART_BEAT,
      body: {
        clientID: beat.clientId ?? `client-${connectionId}`,
        consumerDataSet: beat.group === undefined ? [] : [consumer],
        heartbeatFingerprint: beat.fingerprint ?? 0,
        producerDataSet: (beat.producerGroups ?? []).map((groupName) => ({ groupName })),
        withoutSub: beat.withoutSub ?? false,
      },
    });
  }

  work(): number {
    return this.control.doWork(this.clock.nowMs());
  }
}

/** The body of an answer as JSON. */
export function bodyOf(answer: RemotingCommand): Record<string, unknown> {
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
}
