import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Checkpoint } from '../../src/store/checkpoint.ts';
import { makeHarness } from './derived-files-harness.ts';

function sample(): Checkpoint {
  const checkpoint = new Checkpoint();
  checkpoint.physicTimestampMs = 1_700_000_010_000;
  checkpoint.logicsTimestampMs = 1_700_000_008_000;
  checkpoint.indexTimestampMs = 1_700_000_007_000;
  checkpoint.confirmPosition = 4;
  checkpoint.flushedPosition = 2 ** 40 + 5;
  checkpoint.dispatchedPosition = 2 ** 40 + 3;
  return checkpoint;
}

describe('checkpoint', () => {
  it('is zeroes where there is none', () => {
    using harness = makeHarness();
    expect(Checkpoint.read(harness.files, path.join(harness.root, 'checkpoint'))).toEqual(
      new Checkpoint(),
    );
  });

  it('is read as it was written', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'checkpoint');
    sample().write(harness.files, file);
    expect(Checkpoint.read(harness.files, file)).toEqual(sample());
  });

  it("has RocketMQ's size and fields", () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'checkpoint');
    sample().write(harness.files, file);
    const bytes = fs.readFileSync(file);
    expect(bytes.length).toBe(4096);
    const longs = [0, 8, 16, 24, 32].map((at) => Number(bytes.readBigInt64BE(at)));
    expect(longs).toEqual([
      1_700_000_010_000,
      1_700_000_008_000,
      1_700_000_007_000,
      2 ** 40 + 5,
      4,
    ]);
  });

  it("leaves RocketMQ's three seconds of margin, and never goes below zero", () => {
    expect(sample().recoverTimestampMs).toBe(1_700_000_005_000);
    expect(new Checkpoint().recoverTimestampMs).toBe(0);
  });

  it('reads the file of another broker, which says nothing of positions', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'checkpoint');
    const bytes = Buffer.alloc(4096);
    bytes.writeBigInt64BE(1_700_000_010_000n, 0);
    bytes.writeBigInt64BE(1_700_000_008_000n, 8);
    bytes.writeBigInt64BE(99n, 24);
    fs.writeFileSync(file, bytes);
    const checkpoint = Checkpoint.read(harness.files, file);
    expect(checkpoint.recoverTimestampMs).toBe(1_700_000_005_000);
    expect([checkpoint.flushedPosition, checkpoint.dispatchedPosition]).toEqual([0, 0]);
  });

  it('forgets its positions once another broker has moved the store on', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'checkpoint');
    sample().write(harness.files, file);
    const bytes = fs.readFileSync(file);
    bytes.writeBigInt64BE(1_700_000_099_000n, 0);
    fs.writeFileSync(file, bytes);
    const checkpoint = Checkpoint.read(harness.files, file);
    expect(checkpoint.physicTimestampMs).toBe(1_700_000_099_000);
    expect([checkpoint.flushedPosition, checkpoint.dispatchedPosition]).toEqual([0, 0]);
  });

  it('believes no position of a file with a flipped bit among them, or one cut anywhere', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'checkpoint');
    sample().write(harness.files, file);
    const whole = fs.readFileSync(file);
    for (let at = 2048; at < 2048 + 32; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = bytes[at] ^ 1;
      fs.writeFileSync(file, bytes);
      const { flushedPosition, dispatchedPosition } = Checkpoint.read(harness.files, file);
      expect([at, flushedPosition, dispatchedPosition]).toEqual([at, 0, 0]);
    }
    for (let bytes = 0; bytes < 2048 + 32; bytes++) {
      fs.writeFileSync(file, whole.subarray(0, bytes));
      const { flushedPosition, dispatchedPosition } = Checkpoint.read(harness.files, file);
      expect([bytes, flushedPosition, dispatchedPosition]).toEqual([bytes, 0, 0]);
    }
  });

  it('is the old one or the new one while it is replaced', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'checkpoint');
    sample().write(harness.files, file);
    const newer = sample();
    newer.flushedPosition++;
    fs.mkdirSync(`${file}.tmp`);
    expect(() => newer.write(harness.files, file)).toThrow();
    expect(Checkpoint.read(harness.files, file)).toEqual(sample());
  });
});
