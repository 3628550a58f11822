/**
 * Pulls of what retention has just taken: nobody loses a connection by it, and nobody skips what is still there.
 */
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/logging.ts';
import type { RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { PositionSlot } from '../../src/store/store-positions.ts';
import { seededRandom } from '../../src/testing/seeded-random.ts';
import type { AgentParts } from '../../src/workers/agent-parts.ts';
import { FaultyFiles } from '../store/faulty-files.ts';
import { heartbeatRequest, pullRequest, sendRequest } from '../workers/raw-client.ts';
import { readRecords } from '../workers/test-broker.ts';
import { InlineBroker, storeRoot } from './inline-broker.ts';
import type { InlineClient } from './inline-client.ts';

const SEGMENT_BYTES = 64 * 1024;
const START_MS = Date.UTC(2024, 0, 1);
const OFFSET_MOVED = 21;
const RETRY_IMMEDIATELY = 20;

interface Setting {
  broker: InlineBroker;
  client: InlineClient;
  /** Takes the first segment, as the flusher does on a thread of its own. */
  expire: () => void;
}

/** Twenty messages of 8 KiB, seven of which fit into a segment. */
function start(): Setting {
  const files = new FaultyFiles();
  files.nowMs = () => START_MS;
  let parts: AgentParts | null = null;
  const broker = new InlineBroker({
    files,
    wallClock: new ManualClock(START_MS),
    random: seededRandom(1),
    logger: silentLogger,
    flush: 'async',
    segmentBytes: SEGMENT_BYTES,
    isLagging: false,
    mutation: { parts: (made) => (parts = made) },
  });
  const client = broker.connect();
  for (let index = 0; index < 20; index++) {
    client.request(
      sendRequest({ topic: 'T', body: Buffer.alloc(8192, index), queueId: 0 }),
      () => {},
    );
    broker.settle();
  }
  client.request(heartbeatRequest('c', 'g', 'T'), () => {});
  broker.advance(2000);
  const expire = (): void => {
    broker.positions.publish(PositionSlot.MINIMUM, SEGMENT_BYTES);
    parts?.segments.remove(0);
    files.remove(`${storeRoot}/commitlog/00000000000000000000`);
  };
  return { broker, client, expire };
}

const field = (answer: RemotingCommand | null, name: string): number =>
  Number(answer?.extFields.get(name));

/** The answer to a pull; something happens when the reactor has it, and the dispatcher has not. */
function pull(
  { broker, client }: Setting,
  queueOffset: number,
  meanwhile: () => void = () => {},
): RemotingCommand | null {
  let answer: RemotingCommand | null = null;
  client.request(pullRequest('g', 'T', 0, queueOffset), (got) => (answer = got));
  meanwhile();
  broker.settle();
  return answer;
}

describe('a pull below a minimum that has just been raised', () => {
  test('is told where the queue begins now, also before the queue knows it', () => {
    const setting = start();
    expect(pull(setting, 2)?.code).toBe(0);
    // The request waits for the dispatcher, which follows the minimum only behind it.
    const answer = pull(setting, 2, setting.expire);
    expect(setting.client.closed).toBeNull();
    expect(answer?.code).toBe(OFFSET_MOVED);
    const begin = field(answer, 'nextBeginOffset');
    expect(begin).toBeGreaterThan(5);
    expect(field(answer, 'minOffset')).toBe(begin);
    const next = pull(setting, begin);
    expect(next?.code).toBe(0);
    const [first] = readRecords(next?.body ?? Buffer.alloc(0));
    expect(first.queueOffset).toBe(begin);
    expect(first.physicalOffset).toBe(SEGMENT_BYTES);
  });

  test('whose messages go at any moment in between is to pull again, or told where the queue begins', () => {
    const codes = new Set<number | undefined>();
    // Each look at the minimum, whoever's it is, is a moment; between the dispatcher's and the reactor's it matters.
    for (let look = 1; look <= 8; look++) {
      const setting = start();
      const { positions } = setting.broker;
      const load = positions.load.bind(positions);
      let looks = 0;
      positions.load = (slot) => {
        const value = load(slot);
        if (slot === PositionSlot.MINIMUM && ++looks === look) setting.expire();
        return value;
      };
      const answer = pull(setting, 2, () => (looks = 0));
      positions.load = load;
      expect(setting.client.closed).toBeNull();
      codes.add(answer?.code);
      if (answer?.code === RETRY_IMMEDIATELY) {
        expect(field(answer, 'nextBeginOffset')).toBe(2);
        expect(answer.body).toHaveLength(0);
      }
      if (load(PositionSlot.MINIMUM) > 0) expect(pull(setting, 2)?.code).toBe(OFFSET_MOVED);
    }
    expect(codes).toEqual(new Set([0, RETRY_IMMEDIATELY, OFFSET_MOVED]));
  });

  test('that begins where something is left gets it', () => {
    const setting = start();
    const answer = pull(setting, 12, setting.expire);
    expect(answer?.code).toBe(0);
    expect(readRecords(answer?.body ?? Buffer.alloc(0))[0].queueOffset).toBe(12);
  });
});
