import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetadata, writeMetadata } from '../../src/store/metadata-file.ts';
import { makeHarness } from './derived-files-harness.ts';

describe('metadata file', () => {
  it('is nothing where there is none', () => {
    using harness = makeHarness();
    expect(readMetadata(harness.files, path.join(harness.root, 'topics.json'))).toBeUndefined();
  });

  it('is read as it was written, with the version before beside it', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'topics.json');
    writeMetadata(harness.files, file, '{"a":1}');
    expect(readMetadata(harness.files, file)).toBe('{"a":1}');
    expect(fs.existsSync(`${file}.bak`)).toBe(false);
    writeMetadata(harness.files, file, '{"a":2}');
    writeMetadata(harness.files, file, '{"名":3}');
    expect(readMetadata(harness.files, file)).toBe('{"名":3}');
    expect(fs.readFileSync(`${file}.bak`, 'utf8')).toBe('{"a":2}');
    expect(fs.readdirSync(harness.root).sort()).toEqual(['topics.json', 'topics.json.bak']);
  });

  it('reads what Apache wrote', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'delayOffset.json');
    fs.writeFileSync(file, '{\n\t"offsetTable":{1:12,3:4\n\t}\n}');
    expect(readMetadata(harness.files, file)).toContain('{1:12,3:4');
  });

  it('falls back to the version before where the file is missing, empty, or cut anywhere', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'topics.json');
    const text = '{"topicConfigTable":{"t":{"perm":6}}}';
    writeMetadata(harness.files, file, '{"old":1}');
    writeMetadata(harness.files, file, text);
    for (let bytes = 0; bytes < text.length; bytes++) {
      fs.writeFileSync(file, text.slice(0, bytes));
      expect(readMetadata(harness.files, file)).toBe('{"old":1}');
    }
    fs.rmSync(file);
    expect(readMetadata(harness.files, file)).toBe('{"old":1}');
    fs.writeFileSync(`${file}.bak`, '\0\0\0');
    expect(readMetadata(harness.files, file)).toBeUndefined();
  });

  it('never replaces a good version before by a damaged one', () => {
    using harness = makeHarness();
    const file = path.join(harness.root, 'topics.json');
    writeMetadata(harness.files, file, '{"a":1}');
    writeMetadata(harness.files, file, '{"a":2}');
    fs.writeFileSync(file, '{"a":');
    writeMetadata(harness.files, file, '{"a":3}');
    fs.writeFileSync(file, '');
    expect(readMetadata(harness.files, file)).toBe('{"a":1}');
  });
});
