/** An inline broker with one client, asked one request after the other. */
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import { heartbeatRequest, pullRequest, type RawRequest } from '../workers/raw-client.ts';
import { type ReadMessage, readRecords } from '../workers/test-broker.ts';
import { InlineBroker, type InlineBrokerOptions } from './inline-broker.ts';
import type { InlineClient } from './inline-client.ts';

export const startMs = Date.UTC(2024, 0, 1, 12);

export class InlineSession {
  readonly files = new FaultyFiles();
  readonly wallClock = new ManualClock(startMs);
  readonly broker: InlineBroker;
  readonly client: InlineClient;
  /** Since the start, by the clock that does not jump. */
  elapsedMs = 0;

  constructor(seed: number, options: Partial<InlineBrokerOptions> = {}) {
    this.files.nowMs = () => this.wallClock.nowMs();
    this.broker = new InlineBroker({
      files: this.files,
      wallClock: this.wallClock,
      random: seededRandom(seed),
      logger: silentLogger,
      flush: 'async',
      segmentBytes: 64 * 1024,
      ...options,
    });
    this.client = this.broker.connect();
  }

  /** @throws Error where there is no answer */
  ask(request: RawRequest): RemotingCommand {
    const answers: RemotingCommand[] = [];
    this.client.request(request, (answer) => answers.push(answer));
    this.broker.settle();
    const [answer] = answers;
    if (answer === undefined)
      throw new Error(
        `code ${request.code} was not answered; the connection: ${String(this.client.closed)}`,
      );
    return answer;
  }

  /** @throws Error where the answer is another */
  expects(request: RawRequest, code: number): RemotingCommand {
    const answer = this.ask(request);
    if (answer.code !== code)
      throw new Error(
        `code ${request.code} was answered ${answer.code} ${answer.remark ?? ''}, not ${code}`,
      );
    return answer;
  }

  makeTopic(topic: string, queueCount = 1): void {
    const queues = { readQueueNums: queueCount, writeQueueNums: queueCount };
    this.expects(
      { code: 17, fields: { topic, ...queues, perm: 6, topicFilterType: 'SINGLE_TAG' } },
      0,
    );
  }

  subscribe(group: string, topic: string): void {
    this.expects(heartbeatRequest(`client-${group}`, group, topic), 0);
  }

  /** All that a subscribed group can read of a queue, from an offset on. */
  read(group: string, topic: string, from = 0): ReadMessage[] {
    const messages: ReadMessage[] = [];
    for (let offset = from; ;) {
      const answer = this.ask(pullRequest(group, topic, 0, offset));
      const next = Number(answer.extFields.get('nextBeginOffset'));
      if (answer.code === 0) messages.push(...readRecords(answer.body));
      else if (next <= offset) return messages;
      offset = next;
    }
  }

  advance(ms: number): void {
    this.broker.advance(ms);
    this.elapsedMs += ms;
  }

  end(): void {
    this.broker.kill();
  }
}

export function check(isRight: boolean, what: string): asserts isRight {
  if (!isRight) throw new Error(what);
}
