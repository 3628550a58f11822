import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Logger } from '../../src/base/logging.ts';
import { silentLogger } from '../../src/base/logging.ts';
import { refusalCauses, Refusals } from '../../src/base/refusals.ts';

const root = path.join(import.meta.dirname, '../..');

describe('what is refused', () => {
  it('is logged once for each cause and second, with how many lines were left out', () => {
    const lines: { level: string; fields: object; message: string }[] = [];
    const at =
      (level: string) =>
      (fields: object, message: string): void => {
        lines.push({ level, fields, message });
      };
    const logger: Logger = { ...silentLogger, info: at('info'), warn: at('warn') };
    let nowMs = 0;
    const refusals = new Refusals(logger, () => nowMs);
    for (let count = 0; count < 10; count++) {
      refusals.add('topic-limit', { topic: `t${count}` });
      refusals.add('send-illegal');
    }
    nowMs = 1000;
    refusals.add('topic-limit', { topic: 'later' });
    expect(lines.map(({ level, fields }) => [level, fields])).toEqual([
      ['warn', { cause: 'topic-limit', topic: 't0' }],
      ['info', { cause: 'send-illegal' }],
      ['warn', { cause: 'topic-limit', topic: 'later', notLogged: 9 }],
    ]);
    const counts = new Map(refusals.counts());
    expect([counts.get('topic-limit'), counts.get('send-illegal')]).toEqual([11, 10]);
  });

  it('is counted together by agents of all threads', () => {
    const first = new Refusals(silentLogger, () => 0);
    const second = new Refusals(silentLogger, () => 0, first.memory);
    first.addSend(14);
    second.addSend(14);
    second.addSend(1);
    second.addPull(26);
    second.addPull(29);
    const counted = [...first.counts()].filter(([, count]) => count > 0);
    expect(Object.fromEntries(counted)).toEqual({
      'send-disk-full': 2,
      'send-invalid': 1,
      'pull-no-group': 1,
      'pull-invalid': 1,
    });
  });

  it('has no cause that nothing counts, and none that the documents leave out', () => {
    const source = fs
      .readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => fs.readFileSync(path.join(root, 'src', file), 'utf8'))
      .join('\n');
    const page = fs.readFileSync(path.join(root, 'docs/limits.md'), 'utf8');
    for (const cause of Object.keys(refusalCauses)) {
      // Twice of a cause that needs quotes: in the table, and where it is counted.
      const uses = source.split(`'${cause}'`).length - 1;
      const inTable = /^[a-z]+$/.test(cause) ? 0 : 1;
      expect([cause, uses > inTable]).toEqual([cause, true]);
      expect([cause, page.includes(`\`${cause}\``)]).toEqual([cause, true]);
    }
  });
});
