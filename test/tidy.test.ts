/**
 * Rules of the tree that no compiler holds: who may import whom, where clocks may be read, what a
 * file's header says. Each rule is a function from text to complaints, shown to complain first.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.join(import.meta.dirname, '..');

/** What each folder of src/ may import besides itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  ring: ['base'],
  kernel: ['base'],
  protocol: ['base'],
  store: ['base', 'protocol'],
  // Who may do what: users, policies, signatures. Pure, but for the signatures themselves.
  access: ['base', 'protocol'],
  broker: ['base', 'protocol', 'access'],
  nameserver: ['base', 'protocol'],
  workers: ['base', 'kernel', 'ring', 'protocol', 'access', 'store', 'broker', 'nameserver'],
  // Of workers only the doors of agents and the messages that go through them; of the store only views.
  reactor: ['base', 'kernel', 'ring', 'protocol', 'access', 'workers', 'store'],
  client: ['base', 'protocol'],
  cli: [
    'base',
    'ring',
    'protocol',
    'access',
    'store',
    'broker',
    'nameserver',
    'workers',
    'reactor',
    'client',
  ],
  // A broker in a test is put together as the command line does it.
  testing: ['base', 'protocol', 'cli', 'client'],
};
const doors = ['workers/frame-proxy.ts', 'workers/reactor-proxy.ts', 'workers/ring-messages.ts'];
const views = ['store/commit-log-segments.ts', 'store/store-positions.ts'];

type Rule = (file: string, text: string) => string[];

const importsKeepTheirColumn: Rule = (file, text) => {
  const folder = file.split('/')[0] ?? '';
  const complaints: string[] = [];
  for (const [, specifier = ''] of text.matchAll(/from '(\.[^']+)'/g)) {
    const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier));
    const targetFolder = target.split('/')[0] ?? '';
    const isAllowed = targetFolder === folder || (mayImport[folder] ?? []).includes(targetFolder);
    const isDoor =
      folder !== 'reactor' ||
      !['workers', 'store'].includes(targetFolder) ||
      [...doors, ...views].includes(target);
    if (!isAllowed || !isDoor) complaints.push(`${file} may not import ${target}`);
  }
  return complaints;
};

const headerNamesItsAgent: Rule = (file, text) =>
  /^(#!.*\n)?\/\*\*\n \* @agent (any|reactor|worker|control|writer|flusher|preparer|queueWriter|dispatcher)\b/.test(
    text,
  )
    ? []
    : [`${file} does not begin with an @agent header`];

/** A reference counts as well as a call; what a comment says does not. */
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*.*?\*\/|(?<=^|\s)\/\/[^\n]*/gs, '');

const timeComesIn: Rule = (file, text) =>
  /^(access|store|broker|nameserver)\//.test(file) &&
  /new Date\(\)|\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|performance\.now|hrtime)\b/.test(
    withoutComments(text),
  )
    ? [`${file} takes time or chance from the machine`]
    : [];

const foldersAreRoles: Rule = (file) =>
  /(^|\/)(utils?|helpers?|common|types?|misc)(\/|\.ts$)/.test(file)
    ? [`${file} is named after a kind`]
    : [];

const namesNoPlace: Rule = (file, text) =>
  /https?:\/\/[a-z0-9.]*(registry|repo1|repo\.maven)|\/work\/|\/root\//.test(text)
    ? [`${file} names a registry or a machine`]
    : [];

const fitsInTheHead: Rule = (file, text) =>
  text.split('\n').length > 600 ? [`${file} is longer than 600 lines`] : [];

const rules: Readonly<Record<string, { rule: Rule; planted: [string, string] }>> = {
  'imports keep their column': {
    rule: importsKeepTheirColumn,
    planted: ['store/x.ts', "import { y } from '../workers/y.ts';"],
  },
  'the header names its agent': {
    rule: headerNamesItsAgent,
    planted: ['store/x.ts', '/** a file */'],
  },
  'time and chance come in': {
    rule: timeComesIn,
    planted: ['broker/x.ts', '// Date.now\nconst now = Date.now;'],
  },
  'folders are roles': { rule: foldersAreRoles, planted: ['utils/x.ts', ''] },
  'no registry or machine is named': {
    rule: namesNoPlace,
    planted: ['cli/x.ts', "'https://registry.example.org/'"],
  },
  'a file fits in the head': { rule: fitsInTheHead, planted: ['cli/x.ts', '\n'.repeat(601)] },
};

function sources(): [string, string][] {
  return fs
    .readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => [
      file.split(path.sep).join('/'),
      fs.readFileSync(path.join(root, 'src', file), 'utf8'),
    ]);
}

describe.each(Object.entries(rules))('%s', (_name, { rule, planted }) => {
  test('a planted breach is found', () => {
    expect(rule(...planted)).not.toEqual([]);
  });

  test('nowhere in src', () => {
    expect(sources().flatMap(([file, text]) => rule(file, text))).toEqual([]);
  });
});

test('every source file is imported by another, or is an entry', () => {
  const files = sources();
  const entries = new Set([
    'cli/main.ts',
    'workers/thread-main.ts',
    'client/index.ts',
    'client/browser.ts',
    'client/browser-admin.ts',
    'client/browser-signing.ts',
    'testing/index.ts',
  ]);
  const imported = new Set(
    files.flatMap(([file, text]) =>
      [...text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map(([, specifier = '']) =>
        path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier)),
      ),
    ),
  );
  expect(
    files.map(([file]) => file).filter((file) => !imported.has(file) && !entries.has(file)),
  ).toEqual([]);
});

/** A relative import with the file that it names, from all forms of `import` and `export`. */
const importsOf = (file: string, text: string): string[] =>
  [...text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map(([, specifier = '']) =>
    path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier)),
  );

/** What a page would have to load, in words of Node. */
const nodeIn = (file: string, text: string): string[] =>
  [...withoutComments(text).matchAll(/'node:[\w/]+'|\b(Buffer|process|require)\b[.(]/g)].map(
    ([found]) => `${file} uses ${found}`,
  );

test('nothing that a page loads is of Node', () => {
  expect(nodeIn('x.ts', "import a from 'node:zlib';\nBuffer.from(''); process.pid;")).toHaveLength(
    3,
  );
  const files = new Map(sources());
  const reachable = new Set([
    'client/browser.ts',
    'client/browser-admin.ts',
    'client/browser-signing.ts',
  ]);
  for (const file of reachable)
    for (const imported of importsOf(file, files.get(file) ?? '')) reachable.add(imported);
  expect(reachable.size).toBeGreaterThan(5);
  expect([...reachable].flatMap((file) => nodeIn(file, files.get(file) ?? ''))).toEqual([]);
});

test('nothing in the tree names a registry or a machine', () => {
  const folders = ['bench', 'docs', 'examples', 'test', '.ci'];
  const texts = folders
    .flatMap((folder) =>
      fs
        .readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
        .map((file) => path.join(folder, file)),
    )
    .concat(fs.readdirSync(root).filter((file) => /\.(md|json|ts)$/.test(file)))
    .filter((file) => /(\.(md|ts|java|xml|json)|^\.ci\/run)$/.test(file))
    // What Maven and npm make is not part of the tree; this file names what it looks for.
    .filter((file) => !/\/(target|node_modules)\/|tidy\.test\.ts$/.test(file));
  expect(texts.length).toBeGreaterThan(50);
  expect(
    texts.flatMap((file) => namesNoPlace(file, fs.readFileSync(path.join(root, file), 'utf8'))),
  ).toEqual([]);
});

test.each([
  'package-lock.json',
  'bench/client/other-clients/package-lock.json',
  'test/interop/ali-ons/package-lock.json',
])('%s says nothing of where packages came from', (file) => {
  expect(fs.readFileSync(path.join(root, file), 'utf8')).not.toContain('"resolved"');
});
