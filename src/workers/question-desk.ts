/**
 * @agent dispatcher
 *
 * Answers the requests that came to control and that only the dispatcher can answer: each question
 * goes to the part that knows.
 */
import type { DispatcherQuestion } from '../broker/control-effects.ts';
import type { DelayDelivery } from '../broker/delay-delivery.ts';
import { ResponseCode } from '../protocol/codes.ts';
import type { Answer } from '../protocol/remoting-command.ts';
import type { BrokerStatistics } from './broker-statistics.ts';
import type { DispatcherMetrics } from './dispatcher-metrics.ts';
import type { GroupQueries } from './group-queries.ts';
import type { OffsetResets } from './offset-resets.ts';
import type { QueueQueries } from './queue-queries.ts';

export interface QuestionDeskOptions {
  queries: QueueQueries;
  groups: GroupQueries;
  resets: OffsetResets;
  statistics: BrokerStatistics;
  delays: DelayDelivery;
  metrics: DispatcherMetrics;
  /** What of the store the dispatcher adds to code 28. */
  storeInfo: () => Iterable<readonly [string, string]>;
  /** Deletes what of the derived files nothing needs any more. */
  clean: () => void;
}

export class QuestionDesk {
  readonly #options: QuestionDeskOptions;

  constructor(options: QuestionDeskOptions) {
    this.#options = options;
  }

  answer(question: DispatcherQuestion): Answer {
    const { queries, groups, resets, delays, clean } = this.#options;
    switch (question.kind) {
      case 'queue-start':
        return queries.queueStart(question.topic, question.queueId);
      case 'consume-stats':
        return groups.consumeStats(question.group, question.topics);
      case 'broker-consume-stats':
        return groups.brokerConsumeStats(question.brokerAddress, question.groups);
      case 'time-span':
        return groups.timeSpan(question.queues);
      case 'reset':
        return resets.reset(question);
      case 'client-reset':
        return resets.resetByClients(question);
      case 'stats':
        return this.#stats(question.name, question.key);
      case 'runtime-info':
        return this.#runtimeInfo(question.table);
      case 'delay-offsets':
        return { code: ResponseCode.SUCCESS, body: Buffer.from(delays.json()) };
      case 'metrics':
        return this.#options.metrics.answer(question.metrics);
      case 'queue-units':
        return queries.units(question.topic, question.queueId, question, question.rest);
      default:
        clean();
        return { code: ResponseCode.SUCCESS };
    }
  }

  #stats(name: string, key: string): Answer {
    const text = this.#options.statistics.statsData(name, key);
    if (text !== null) return { code: ResponseCode.SUCCESS, body: Buffer.from(text) };
    return {
      code: ResponseCode.SYSTEM_ERROR,
      remark: `The stats <${name.slice(0, 64)}> <${key.slice(0, 512)}> not exist`,
    };
  }

  #runtimeInfo(known: readonly [string, string][]): Answer {
    const { statistics, storeInfo } = this.#options;
    const table = new Map([...known, ...statistics.runtimeInfo(), ...storeInfo()]);
    const body = JSON.stringify({ table: Object.fromEntries(table) });
    return { code: ResponseCode.SUCCESS, body: Buffer.from(body) };
  }
}
