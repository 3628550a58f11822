/**
 * Goal: the generator understands what a Redis server sends, however it is cut into chunks. Method: replies
 * of the forms that redis-server 7.0.15 gave, cut at every place. `other-servers.test.ts` asks real ones.
 */
import { describe, expect, it } from 'vitest';
import { AddFrames, command, keyOf } from '../../../bench/load/redis/redis-frames.ts';
import { RedisReader } from '../../../bench/load/redis/redis-reader.ts';

const xadd = '$15\r\n1795851000000-0\r\n';
const xrange = `*2\r\n*2\r\n${xadd}*2\r\n$1\r\nb\r\n$5\r\nh\r\nlo\r\n*2\r\n$15\r\n1795851000000-1\r\n*2\r\n$1\r\nb\r\n$0\r\n\r\n`;
const xread = `*1\r\n*2\r\n$8\r\nt:000003\r\n*1\r\n*2\r\n${xadd}*2\r\n$1\r\nb\r\n$2\r\nhi\r\n`;

function reading(): { reader: RedisReader; seen: string[] } {
  const seen: string[] = [];
  const reader = new RedisReader({
    onArray: (depth, count) => seen.push(`${depth}*${count}`),
    onValue: (depth, bytes, start, end) =>
      seen.push(`${depth}:${bytes.toString('latin1', start, end)}`),
    onError: (text) => seen.push(`!${text}`),
    onReplyEnd: () => seen.push('end'),
  });
  return { reader, seen };
}

function read(...parts: readonly Buffer[]): string[] {
  const { reader, seen } = reading();
  for (const part of parts) reader.feed(part, part.length);
  return seen;
}

describe('Redis reader', () => {
  it.each([
    ['XADD', xadd, ['0:1795851000000-0', 'end']],
    ['XLEN', ':12\r\n', ['0:12', 'end']],
    ['PING', '+PONG\r\n', ['0:PONG', 'end']],
    ['an empty XRANGE', '*0\r\n', ['0*0', 'end']],
    ['XREAD whose time is over', '*-1\r\n', ['0*-1', 'end']],
    ['no value', '$-1\r\n', ['0:', 'end']],
    ['an error', '-ERR unknown command\r\n', ['!ERR unknown command']],
    [
      'XRANGE',
      xrange,
      `0*2 1*2 2:1795851000000-0 2*2 3:b 3:h\r\nlo 1*2 2:1795851000000-1 2*2 3:b 3: end`.split(' '),
    ],
    ['XREAD', xread, '0*1 1*2 2:t:000003 2*1 3*2 4:1795851000000-0 4*2 5:b 5:hi end'.split(' ')],
  ])('reads the reply to %s', (_name, text, expected) => {
    expect(read(Buffer.from(text))).toEqual(expected);
  });

  it('reads replies one after another, wherever they are cut', () => {
    const bytes = Buffer.from(`${xadd}-ERR no\r\n${xrange}*-1\r\n${xread}`);
    const expected = read(bytes);
    expect(expected.filter((seen) => seen === 'end')).toHaveLength(4);
    for (let cut = 0; cut <= bytes.length; cut++)
      expect(read(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(expected);
    expect(read(...[...bytes].map((byte) => Buffer.of(byte)))).toEqual(expected);
  });

  it('looks at no byte behind the length of a chunk', () => {
    const { reader, seen } = reading();
    reader.feed(Buffer.from(xadd + xadd), xadd.length);
    expect(seen).toHaveLength(2);
  });

  it.each(['?\r\n', '$x\r\n', '*1\r\n-ERR inside\r\n'])('ends at %j', (text) => {
    expect(() => read(Buffer.from(text))).toThrow();
  });
});

describe('Redis frames', () => {
  it('add an entry to the stream of a queue', () => {
    const frames = new AddFrames({ topic: 'Load-x', bodyBytes: 3 });
    const target = Buffer.alloc(1 + frames.frameBytes);
    frames.writeInto(target, 1, 42);
    expect(target.toString('latin1', 1)).toBe(
      command('XADD', keyOf('Load-x', 42), '*', 'b', 'mmm'),
    );
    expect(target.toString('latin1', 1 + frames.bodyStart, 4 + frames.bodyStart)).toBe('mmm');
  });
});
