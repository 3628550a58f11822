/**
 * Goal: both readers of frames understand what stock clients and servers really send. Method: every
 * captured frame (test/fixtures/frames) through the general codec and the scanner, which must agree.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { RecordKind, RecordView } from '../../src/protocol/message-record.ts';
import { decodeFrame, type RemotingCommand } from '../../src/protocol/remoting-command.ts';
import { peekRequestCode, RequestScanner } from '../../src/protocol/request-scanner.ts';

const folder = path.join(import.meta.dirname, '..', 'fixtures', 'frames');
const names = fs
  .readdirSync(folder)
  .filter((name) => name.endsWith('.bin'))
  .map((name) => name.slice(0, -'.bin'.length));

function frameBytes(name: string): Buffer {
  const bytes = fs.readFileSync(path.join(folder, `${name}.bin`));
  expect(bytes.readInt32BE(0)).toBe(bytes.length - 4);
  return bytes.subarray(4);
}

function decoded(name: string): RemotingCommand {
  return decodeFrame(frameBytes(name));
}

function scannedFields(scanner: RequestScanner): Map<string, string | null> {
  const fields = new Map<string, string | null>();
  for (let field = 0; field < scanner.fieldCount; field++) {
    const fieldName = scanner.bytes.toString(
      'utf8',
      scanner.nameStart[field],
      scanner.nameEnd[field],
    );
    fields.set(fieldName, scanner.text(field));
  }
  return fields;
}

describe('captured frames', () => {
  it('are all listed in the README, and nothing else is', () => {
    const readme = fs.readFileSync(path.join(folder, 'README.md'), 'utf8');
    const listed = [...readme.matchAll(/^\| ((?:json|rocketmq)-[\w-]+) \|/gm)].map(
      ([, row]) => row,
    );
    expect(listed.sort()).toEqual([...names].sort());
  });

  it.each(names)('%s is a Java frame of the code it is named for', (name) => {
    const frame = decoded(name);
    const isAnswer = name.includes('-answer');
    expect({ language: frame.language, version: frame.version }).toEqual({
      language: 'JAVA',
      version: 479,
    });
    expect(frame.flag & 1).toBe(isAnswer ? 1 : 0);
    if (!isAnswer) expect(frame.code).toBe(Number(name.split('-')[1]));
    expect(frame.serializeType).toBe(name.startsWith('json-') ? 0 : 1);
  });

  it.each(names.filter((name) => !name.includes('-answer')))(
    '%s reads the same through the scanner and the general codec',
    (name) => {
      const frame = decoded(name);
      const scanner = new RequestScanner();
      const bytes = frameBytes(name);
      expect(peekRequestCode(bytes, 0, bytes.length, scanner)).toBe(frame.code);
      expect(scanner.scan(bytes, 0, bytes.length)).toBe(true);
      expect([scanner.code, scanner.opaque, scanner.flag, scanner.version]).toEqual([
        frame.code,
        frame.opaque,
        frame.flag,
        frame.version,
      ]);
      expect(scannedFields(scanner)).toEqual(frame.extFields);
      expect(bytes.subarray(scanner.bodyStart, scanner.bodyEnd)).toEqual(frame.body);
    },
  );

  it('say the same in both serializations', () => {
    const pairs = names
      .filter((name) => name.startsWith('rocketmq-'))
      .map((name) => [name, name.replace('rocketmq-', 'json-')] as const);
    expect(pairs.length).toBeGreaterThan(0);
    for (const [binary, json] of pairs) {
      // ReqT is absent from headers that encode themselves; the rest differs in values of the moment.
      const namesOf = (name: string): string[] =>
        [...decoded(name).extFields.keys()].filter((field) => field !== 'ReqT').sort();
      expect([binary, ...namesOf(binary)]).toEqual([binary, ...namesOf(json)]);
    }
  });

  it('hold stored records whose checksums are right', () => {
    const body = decoded('json-11-pull-answer-found').body;
    const view = new RecordView();
    const queueOffsets: number[] = [];
    for (let at = 0; at < body.length; at += view.totalBytes) {
      expect(view.read(body, at, body.length, true)).toBe(RecordKind.MESSAGE);
      expect(body.toString('utf8', view.topicStart, view.topicStart + view.topicBytes)).toBe(
        'FrameTopic',
      );
      expect(view.bodyBytes).toBe(128);
      queueOffsets.push(view.queueOffset);
    }
    expect(queueOffsets).toEqual([0, 1]);
  });

  it('keep the control bytes of properties through JSON escapes', () => {
    const properties = decoded('json-310-send-no-tag').extFields.get('i')?.split('\x02') ?? [];
    expect(properties.map((property) => property.split('\x01'))).toEqual([
      ['UNIQ_KEY', expect.stringMatching(/^[0-9A-F]{32}$/)],
      ['WAIT', 'true'],
      [''],
    ]);
  });
});
