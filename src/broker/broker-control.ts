/**
 * @agent control
 *
 * The control logic of the broker behind one door: topics, consumer and producer groups, consumer
 * offsets, queue locks, retries. Requests come in, effects go out; it does no I/O, reads no clock
 * but those given, and never waits.
 */
import type { MonotonicClock, WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import type { Answer, RemotingCommand } from '../protocol/remoting-command.ts';
import type { DataVersion, TopicConfig } from '../protocol/topic-config.ts';
import type { BrokerControlConfig } from './control-config.ts';
import type { ControlEffects } from './control-effects.ts';

export interface BrokerControlOptions {
  config: BrokerControlConfig;
  wallClock: WallClock;
  monotonicClock: MonotonicClock;
  /** Uniform in [0, 1). */
  random: () => number;
  logger: Logger;
  effects: ControlEffects;
  /** Texts of the stored files, where there are any. */
  stored: {
    topics?: string | undefined;
    subscriptionGroups?: string | undefined;
    consumerOffsets?: string | undefined;
  };
}

/** What a send says about the topic that it wants created. */
export interface SendTopicRequest {
  topic: string;
  defaultTopic: string;
  defaultTopicQueueNums: number;
  topicSysFlag?: number;
}

export class BrokerControl {
  constructor(options: BrokerControlOptions) {
    void options;
  }

  onConnectionOpened(_connection: { id: number; remoteAddress: string; localAddress: string }): void {}

  onConnectionClosed(_connectionId: number): void {}

  onRequest(_connectionId: number, _request: RemotingCommand): void {}

  ensureSendTopic(_connectionId: number, _request: SendTopicRequest): Answer | null {
    return null;
  }

  commitOffset(_group: string, _topic: string, _queueId: number, _offset: number): void {}

  ensureRetryTopic(_topic: string): boolean {
    return false;
  }

  doWork(_nowMs: number): number {
    return 0;
  }

  nextDeadlineMs(): number {
    return Infinity;
  }

  topicsForRegistration(): Iterable<TopicConfig> {
    return [];
  }

  get dataVersion(): DataVersion {
    return { counter: 0, stateVersion: 0, timestamp: 0 };
  }

  persistAll(): void {}
}
