import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LogOutput } from '../../src/cli/log-output.ts';

let directory: string;
let file: string;
let descriptor: number;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-log-'));
  file = path.join(directory, 'log');
  descriptor = fs.openSync(file, 'w');
});

afterEach(() => {
  fs.closeSync(descriptor);
  fs.rmSync(directory, { recursive: true, force: true });
});

const lost = (count: number): string => `${count} lost\n`;
const written = (): string => fs.readFileSync(file, 'utf8');
const refuse = (code: string): never => {
  throw Object.assign(new Error(code), { code });
};

test('writes lines as they come, also where the system takes them in pieces', () => {
  const output = new LogOutput(descriptor, lost, (to, bytes, offset) =>
    fs.writeSync(to, bytes, offset, Math.min(3, bytes.length - offset)),
  );
  output.write('the first line\n');
  output.write('ein zweites, länger\n');
  expect(written()).toBe('the first line\nein zweites, länger\n');
});

test('a full disk loses lines, never throws, and says afterwards how many', () => {
  let isFull = false;
  const output = new LogOutput(descriptor, lost, (to, bytes, offset) =>
    isFull ? refuse('ENOSPC') : fs.writeSync(to, bytes, offset),
  );
  output.write('before\n');
  isFull = true;
  for (let line = 0; line < 3; line++) output.write('never seen\n');
  isFull = false;
  output.write('after\n');
  output.write('later\n');
  expect(written()).toBe('before\n3 lost\nafter\nlater\n');
});

test('after a line that was cut short the next one begins on a line of its own', () => {
  let roomBytes = 4;
  const output = new LogOutput(descriptor, lost, (to, bytes, offset) => {
    if (roomBytes === 0) refuse('ENOSPC');
    const count = fs.writeSync(to, bytes, offset, Math.min(roomBytes, bytes.length - offset));
    roomBytes -= count;
    return count;
  });
  output.write('cut short\n');
  roomBytes = 100;
  output.write('whole\n');
  expect(written()).toBe('cut \n1 lost\nwhole\n');
});

test('writes nothing more once its reader has gone', () => {
  let calls = 0;
  const output = new LogOutput(descriptor, lost, () => {
    calls++;
    return refuse('EPIPE');
  });
  output.write('a\n');
  output.write('b\n');
  expect(calls).toBe(1);
});
