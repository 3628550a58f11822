/**
 * @agent dispatcher
 *
 * How far consumer groups are in their queues, for control, which knows their offsets: progress of one
 * group (208) and of all (317), time spans (303).
 *
 * Source: AdminBrokerProcessor.java, ConsumeStats.java, OffsetWrapper.java, QueueTimeSpan.java.
 */
import type { TopicOffsets } from '../broker/control-effects.ts';
import { ResponseCode } from '../protocol/codes.ts';
import { printDouble, printFastjsonTable } from '../protocol/fastjson.ts';
import type { Answer } from '../protocol/remoting-command.ts';
import type { ConsumeQueue } from '../store/consume-queue.ts';
import type { BrokerStatistics } from './broker-statistics.ts';
import type { TopicStates } from './topic-state.ts';

export interface GroupQueriesOptions {
  topics: TopicStates;
  statistics: BrokerStatistics;
  brokerName: string;
  wallNowMs: () => number;
  /** Store time of the message at a queue offset; -1 where there is none. */
  storeTimestampIn: (queue: ConsumeQueue | undefined, offset: number) => number;
}

interface Progress {
  brokerOffset: number;
  consumerOffset: number;
  lastTimestamp: number;
  pullOffset: number;
}

export class GroupQueries {
  readonly #options: GroupQueriesOptions;

  constructor(options: GroupQueriesOptions) {
    this.#options = options;
  }

  /** ConsumeStats.java: the end of each queue, how far the group is, and how fast it consumes. */
  consumeStats(group: string, topics: readonly TopicOffsets[]): Answer {
    return jsonAnswer(this.#statsOf(group, topics).text);
  }

  /** ConsumeStatsList.java: the same of every group, each topic for itself, and what is behind in all. */
  brokerConsumeStats(
    brokerAddress: string,
    groups: readonly { group: string; topics: TopicOffsets[] }[],
  ): Answer {
    let totalDiff = 0;
    const list = groups.map(({ group, topics }) => {
      const stats = topics.map((topic) => this.#statsOf(group, [topic]));
      for (const { behind } of stats) totalDiff += behind;
      return `{${JSON.stringify(group)}:[${stats.map(({ text }) => text).join(',')}]}`;
    });
    // Nothing is counted apart that was pulled and not yet committed.
    const totalInflightDiff = 0;
    return jsonAnswer(
      `{"brokerAddr":${JSON.stringify(brokerAddress)},"consumeStatsList":[${list.join(',')}],` +
        `"totalDiff":${totalDiff},"totalInflightDiff":${totalInflightDiff}}`,
    );
  }

  /** QueryConsumeTimeSpanBody.java: times of the oldest, the newest and the last consumed message of each queue. */
  timeSpan({ topic, offsets }: TopicOffsets): Answer {
    const { brokerName, storeTimestampIn, wallNowMs } = this.#options;
    const spans = offsets.map((offset, queueId) => {
      const queue = this.#queue(topic, queueId);
      const minOffset = queue?.minOffset ?? 0;
      const maxOffset = queue?.maxOffset ?? 0;
      const minTimeStamp = storeTimestampIn(queue, minOffset);
      const nextTimestamp = storeTimestampIn(queue, offset);
      return {
        consumeTimeStamp: offset > 0 ? storeTimestampIn(queue, offset - 1) : minTimeStamp,
        delayTime: offset < maxOffset ? wallNowMs() - nextTimestamp : 0,
        maxTimeStamp: storeTimestampIn(queue, maxOffset - 1),
        messageQueue: { brokerName, queueId, topic },
        minTimeStamp,
      };
    });
    return jsonAnswer(JSON.stringify({ consumeTimeSpanSet: spans }));
  }

  #statsOf(group: string, topics: readonly TopicOffsets[]): { text: string; behind: number } {
    const { brokerName, statistics } = this.#options;
    const entries: [object, string][] = [];
    let consumeTps = 0;
    let behind = 0;
    for (const { topic, offsets } of topics) {
      consumeTps += statistics.groupGetTps(group, topic);
      for (const [queueId, offset] of offsets.entries()) {
        const progress = this.#progress(topic, queueId, offset);
        behind += progress.brokerOffset - progress.consumerOffset;
        entries.push([{ brokerName, queueId, topic }, JSON.stringify(progress)]);
      }
    }
    const text = `{"consumeTps":${printDouble(consumeTps)},"offsetTable":${printFastjsonTable(entries)}}`;
    return { text, behind };
  }

  #progress(topic: string, queueId: number, offset: number): Progress {
    const queue = this.#queue(topic, queueId);
    return {
      brokerOffset: queue?.maxOffset ?? 0,
      consumerOffset: offset,
      lastTimestamp: Math.max(0, this.#options.storeTimestampIn(queue, offset - 1)),
      pullOffset: offset,
    };
  }

  #queue(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#options.topics.topicNamed(topic)?.queues[queueId];
  }
}

function jsonAnswer(text: string): Answer {
  return { code: ResponseCode.SUCCESS, body: Buffer.from(text) };
}
