/**
 * Goal: the generator understands what a NATS server sends, however it is cut into chunks, and a server
 * understands the generator. Method: operations of the forms that nats-server 2.15.2 sends, cut
 * at every place. `other-servers.test.ts` asks real ones.
 */
import { describe, expect, it } from 'vitest';
import {
  publish,
  PublishFrames,
  streamOf,
  subjectOf,
  subjectsOf,
  subscribe,
} from '../../../bench/load/nats/nats-frames.ts';
import { NatsReader } from '../../../bench/load/nats/nats-reader.ts';

/** INFO shortened; then what follows CONNECT, a publication, a pull of one message and its end. */
const operations = [
  'INFO {"server_id":"NA","version":"2.15.2","headers":true,"max_payload":1048576,"jetstream":true}\r\n',
  'PING\r\n',
  'PONG\r\n',
  'MSG _INBOX.load1c2.000012 1 30\r\n{"stream":"bench", "seq":1234}\r\n',
  'MSG bench.000003 1 $JS.ACK.bench.c.1.1234.1.1795851000000000000.0 5\r\nh\r\nlo\r\n',
  'HMSG _INBOX.c.m 1 81 81\r\nNATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\nNats-Pending-Bytes: 0\r\n\r\n\r\n',
].join('');

interface Seen {
  subject: string;
  reply: string;
  sid: number;
  header: string;
  payload: string;
}

function reading(): { reader: NatsReader; seen: Seen[]; signals: string[] } {
  const seen: Seen[] = [];
  const signals: string[] = [];
  const reader = new NatsReader({
    onMessage: ({ bytes, ...message }) => {
      const text = (start: number, end: number): string => bytes.toString('latin1', start, end);
      seen.push({
        subject: text(message.subjectStart, message.subjectEnd),
        reply: text(message.replyStart, message.replyEnd),
        sid: message.sid,
        header: text(message.headerStart, message.payloadStart),
        payload: text(message.payloadStart, message.payloadEnd),
      });
    },
    onPing: () => signals.push('PING'),
    onPong: () => signals.push('PONG'),
  });
  return { reader, seen, signals };
}

const expected: Seen[] = [
  {
    subject: '_INBOX.load1c2.000012',
    reply: '',
    sid: 1,
    header: '',
    payload: '{"stream":"bench", "seq":1234}',
  },
  {
    subject: 'bench.000003',
    reply: '$JS.ACK.bench.c.1.1234.1.1795851000000000000.0',
    sid: 1,
    header: '',
    payload: 'h\r\nlo',
  },
  {
    subject: '_INBOX.c.m',
    reply: '',
    sid: 1,
    header:
      'NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\nNats-Pending-Bytes: 0\r\n\r\n',
    payload: '',
  },
];

describe('NATS reader', () => {
  it('reads operations, wherever they are cut', () => {
    const bytes = Buffer.from(operations);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { reader, seen, signals } = reading();
      for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)])
        reader.feed(part, part.length);
      expect(seen).toEqual(expected);
      expect(signals).toEqual(['PING', 'PONG']);
    }
  });

  it('reads operations byte by byte', () => {
    const { reader, seen } = reading();
    for (const byte of Buffer.from(operations)) reader.feed(Buffer.of(byte), 1);
    expect(seen).toEqual(expected);
  });

  it('looks at no byte behind the length of a chunk', () => {
    const { reader, seen } = reading();
    const bytes = Buffer.from(`${operations}MSG behind 1 1\r\nx\r\n`);
    reader.feed(bytes, operations.length);
    expect(seen).toHaveLength(expected.length);
  });

  it.each(["-ERR 'Maximum Payload Violation'\r\n", 'WHAT\r\n', 'MSG a 1\r\n', 'MSG a 1 x\r\n'])(
    'ends at %j',
    (text) => {
      const { reader } = reading();
      expect(() => reader.feed(Buffer.from(text), text.length)).toThrow();
    },
  );
});

describe('NATS frames', () => {
  it('publish to the subject of a queue, and name the slot that waits', () => {
    const frames = new PublishFrames({ topic: 'Load-x', inbox: '_INBOX.c', bodyBytes: 3 });
    const target = Buffer.alloc(2 + frames.frameBytes);
    frames.writeInto(target, 2, 49_999, 12);
    expect(target.toString('latin1', 2)).toBe('PUB Load-x.049999 _INBOX.c.000012 3\r\nmmm\r\n');
    expect(target.toString('latin1', 2 + frames.bodyStart, 5 + frames.bodyStart)).toBe('mmm');
  });

  it('have names that a stream may have', () => {
    expect(streamOf('a.b c')).toBe('a-b-c');
    expect(subjectsOf('a.b')).toBe('a-b.*');
    expect(subjectOf('a.b', 7)).toBe('a-b.000007');
    expect(subscribe('x.*', 2)).toBe('SUB x.* 2\r\n');
    expect(publish('a', 'b', 'ü')).toBe('PUB a b 2\r\nü\r\n');
  });
});
