/**
 * The comparison that the interop suite makes of Apache and Millrace: that it sees what differs, over real
 * sockets through the recording proxy, and that each known difference is written down.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeFrame, encodeAnswer, encodeRequest } from '../../src/protocol/remoting-command.ts';
import { RawClient } from '../workers/raw-client.ts';
import { complaintsAbout, Conversation, type Difference, differences } from './conversation.ts';
import { knownDifferences } from './known-differences.ts';
import { type Exchange, startRecordingProxy } from './recording-proxy.ts';

interface Said {
  code?: number;
  answerCode?: number;
  fields?: Record<string, string>;
  body?: string;
  flag?: number;
}

function exchange(said: Said): Exchange {
  const sent = encodeRequest({ code: said.code ?? 105, opaque: 1, flag: said.flag ?? 0 });
  const request = decodeFrame(sent.subarray(4));
  const answered = encodeAnswer(request, {
    code: said.answerCode ?? 0,
    extFields: Object.entries(said.fields ?? {}),
    body: Buffer.from(said.body ?? ''),
  });
  const headerOf = (frame: Buffer): Buffer => frame.subarray(8, 8 + frame.readUIntBE(5, 3));
  return {
    asked: 'name server',
    request: { ...request, header: headerOf(sent) },
    answer:
      said.flag === 2 ? null : { ...decodeFrame(answered.subarray(4)), header: headerOf(answered) },
  };
}

function conversation(...said: Said[]): Conversation {
  const whole = new Conversation();
  for (const one of said) whole.add(exchange(one));
  return whole;
}

const told = (found: readonly Difference[]): string[] =>
  found.map(({ only, subject, fact }) => `${only}: ${subject} | ${fact}`);

describe('two conversations', () => {
  test('are the same whatever the values, the counts and the names in tables are', () => {
    const route = (name: string, port: number): string =>
      `{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:${port}"},"brokerName":"${name}"}]}`;
    const one = conversation({ fields: { offset: '5' }, body: route('a', 1) });
    const other = conversation(
      { fields: { offset: '70' }, body: route('b', 2) },
      { fields: { offset: '0' }, body: route('c', 3).replace('"0"', '"17"') },
    );
    expect(told(differences(one, other))).toEqual([]);
  });

  test.each<[string, Said[], Said[], string[]]>([
    ['a request', [{}, { code: 106 }], [{}], ['Apache: name server 106 | asked']],
    [
      'an answer code',
      [{ answerCode: 17, fields: { x: '1' } }],
      [{ fields: { y: '1' } }],
      ['Apache: name server 105 | answer 17', 'Millrace: name server 105 | answer 0'],
    ],
    [
      'a field',
      [{ fields: { x: '1' } }],
      [{ fields: { y: '1' } }],
      [
        'Apache: name server 105 | answer 0: field x',
        'Millrace: name server 105 | answer 0: field y',
      ],
    ],
    [
      'a field that is not always there',
      [{ fields: { x: '1' } }, { fields: { x: '1' } }],
      [{ fields: { x: '1' } }, {}],
      [
        'Millrace: name server 105 | answer 0: field x (not always)',
        'Millrace: name server 105 | answer 0: field x is a number (not always)',
      ],
    ],
    [
      'the kind of a value',
      [{ fields: { x: '1' } }],
      [{ fields: { x: '-1' } }],
      [
        'Apache: name server 105 | answer 0: field x is a number',
        'Millrace: name server 105 | answer 0: field x is a negative number',
      ],
    ],
    [
      'a key of a body',
      [{ body: '{"a":[{"b":1}]}' }],
      [{ body: '{"a":[{"c":1}]}' }],
      [
        'Apache: name server 105 | answer 0: body .a[].b: number',
        'Millrace: name server 105 | answer 0: body .a[].c: number',
      ],
    ],
    [
      'the writing of a key',
      [{ body: '{"brokerAddrs":{0:"x"}}' }],
      [{ body: '{"brokerAddrs":{"0":"x"}}' }],
      [
        'Apache: name server 105 | answer 0: body of JSON with keys as fastjson writes them',
        'Millrace: name server 105 | answer 0: body of JSON',
      ],
    ],
    [
      'a request without an answer',
      [{ flag: 2 }, {}],
      [{}],
      ['Apache: name server 105 | oneway', 'Apache: frames of a client | flag 2'],
    ],
  ])('differ by %s', (_what, theirs, ours, expected) => {
    const found = told(differences(conversation(...theirs), conversation(...ours)));
    expect(found.toSorted()).toEqual(expected.toSorted());
  });
});

describe('known differences', () => {
  const found: Difference[] = [
    { subject: 'broker 11', fact: 'answer 25', only: 'Apache' },
    { subject: 'broker 11', fact: 'answer 24', only: 'Millrace' },
  ];

  test('are complained about when they are not known, of the other side, or not met', () => {
    expect(complaintsAbout(found, [])).toHaveLength(2);
    const known = { reason: 'r', apache: [['broker 11', 'answer 25']] } as const;
    expect(complaintsAbout(found, [known])).toEqual(['of Millrace only: broker 11 | answer 24']);
    expect(complaintsAbout([], [known])).toEqual([
      'no longer of Apache only: broker 11 | answer 25 (r)',
    ]);
    expect(complaintsAbout(found, [{ reason: 'r', millrace: known.apache }])).toHaveLength(3);
    const sometimes = { reason: 'r', sometimes: [['broker 11', 'answer 2[45]']] } as const;
    expect(complaintsAbout(found, [sometimes])).toEqual([]);
    expect(complaintsAbout([], [sometimes])).toEqual([]);
  });

  test('stand in docs/compatibility.md, each with its reason', () => {
    const file = path.join(import.meta.dirname, '../../docs/compatibility.md');
    const text = fs.readFileSync(file, 'utf8').replaceAll(/\s+/g, ' ');
    const missing = knownDifferences.filter(({ reason }) => !text.includes(reason));
    expect(missing.map(({ reason }) => reason)).toEqual([]);
  });
});

describe('the recording proxy', () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  test('passes bytes on unchanged and pairs answers of both directions', async () => {
    const received: Buffer[] = [];
    const server = net.createServer((socket) => {
      socket.on('data', (chunk: Buffer) => {
        received.push(chunk);
        if (Buffer.concat(received).length < whole.length) return;
        // A request of its own with the same opaque, then the answers in the other order, torn anywhere.
        const asked = [2, 1].map((opaque) =>
          encodeAnswer({ opaque, serializeType: 0 }, { code: opaque, body: Buffer.alloc(50_000) }),
        );
        const frames = Buffer.concat([encodeRequest({ code: 40, opaque: 1, flag: 2 }), ...asked]);
        for (let at = 0; at < frames.length; at += 1777)
          socket.write(frames.subarray(at, at + 1777));
      });
    });
    ends.push(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const { port } = server.address() as net.AddressInfo;
    const exchanges: Exchange[] = [];
    const proxy = await startRecordingProxy({
      host: '127.0.0.2',
      serverHost: '127.0.0.1',
      port,
      server: 'broker',
      onExchange: (one) => exchanges.push(one),
    });
    ends.push(() => proxy.stop());
    const client = await RawClient.connect(port, '127.0.0.2');
    ends.push(() => client.close());
    const requests = [
      client.encode({ code: 11, fields: { topic: 'T' } }, 1),
      client.encode({ code: 12, serializeType: 1, body: Buffer.alloc(100_000, 1) }, 2),
      client.encode({ code: 15, flag: 2 }, 3),
    ];
    const whole = Buffer.concat(requests);
    const answers = Promise.all([client.answerTo(1), client.answerTo(2)]);
    for (let at = 0; at < whole.length; at += 1000)
      client.socket.write(whole.subarray(at, at + 1000));
    expect((await answers).map(({ code, body }) => [code, body.length])).toEqual([
      [1, 50_000],
      [2, 50_000],
    ]);
    expect(Buffer.concat(received).equals(whole)).toBe(true);
    expect(exchanges.map((one) => [one.asked, one.request.code, one.answer?.code])).toEqual([
      ['broker', 15, undefined],
      ['client', 40, undefined],
      ['broker', 12, 2],
      ['broker', 11, 1],
    ]);
    expect(client.requests.map(({ code }) => code)).toEqual([40]);
  });
});
