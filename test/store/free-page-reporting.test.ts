/** What the memory balloon of a virtual machine says of itself, as sysfs shows it. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { reportsFreePages } from '../../src/store/free-page-reporting.ts';

let driver: string;

beforeEach(() => {
  driver = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-balloon-'));
});

afterEach(() => {
  fs.rmSync(driver, { recursive: true, force: true });
});

/** A device with these feature bits, as the kernel shows them: 64 characters, bit 0 first. */
function addDevice(name: string, bits: readonly number[]): void {
  const features = Array.from({ length: 64 }, (_, bit) => (bits.includes(bit) ? '1' : '0')).join(
    '',
  );
  fs.mkdirSync(path.join(driver, name));
  fs.writeFileSync(path.join(driver, name, 'features'), `${features}\n`);
}

test('a balloon that reports free pages is found, also behind one that does not', () => {
  fs.writeFileSync(path.join(driver, 'bind'), '');
  addDevice('virtio1', [1, 2, 32]);
  expect(reportsFreePages(driver)).toBe(false);
  addDevice('virtio4', [1, 5, 32]);
  expect(reportsFreePages(driver)).toBe(true);
});

test('a machine without such a driver, or whose device can not be read, reports none', () => {
  expect(reportsFreePages(path.join(driver, 'none'))).toBe(false);
  fs.mkdirSync(path.join(driver, 'virtio0'));
  expect(reportsFreePages(driver)).toBe(false);
});
