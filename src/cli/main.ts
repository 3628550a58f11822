#!/usr/bin/env -S node --max-semi-space-size=2
/**
 * @agent reactor
 *
 * The executable `millrace`. Imports nothing before it knows that this Node can load the rest: an old
 * one must say so in a sentence instead of failing somewhere inside of a dependency.
 */
import module from 'node:module';
import { fileURLToPath } from 'node:url';

/** Oldest Node that has all that is used here; 24 is what Millrace is tested on. */
const OLDEST_NODE = [20, 15] as const;
const TESTED_NODE_MAJOR = 24;

const version = process.versions.node;
const [major = 0, minor = 0] = version.split('.').map(Number);

if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  console.error(`millrace needs Node ${OLDEST_NODE.join('.')} or newer; this is ${version}`);
  process.exitCode = 1;
} else {
  if (major < TESTED_NODE_MAJOR) {
    console.error(
      `millrace is tested on Node ${TESTED_NODE_MAJOR}; this is ${version}, which may be slower`,
    );
  }
  // What the compiler made is kept beside the package, where it may write there. From sources each thread
  // would strip types, which takes longer than all else at a start, and 30 MB.
  const directory = fileURLToPath(new URL('../../node_modules/.cache/millrace', import.meta.url));
  module.enableCompileCache?.(directory);
  // For the threads.
  process.env.NODE_COMPILE_CACHE ??= directory;
  try {
    const { runCommand } = await import('./commands.ts');
    await runCommand();
  } catch (error) {
    const { BrokerError } = await import('../base/errors.ts');
    // A person can act on an operating error; only a mistake of the program needs its stack.
    console.error(BrokerError.is(error) ? `millrace: ${error.message}` : error);
    process.exit(1);
  }
}
