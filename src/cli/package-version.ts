/**
 * @agent any
 *
 * Which Millrace this is.
 */
import fs from 'node:fs';

/** Of this package, as its package.json says. */
export function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(fs.readFileSync(file, 'utf8')) as { version: string }).version;
}
