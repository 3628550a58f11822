/**
 * @agent any
 *
 * Reads a Java properties file, as broker.conf is one: `key=value`, `key: value` or `key value`; lines
 * that begin with # or ! say nothing; a line that ends with an odd number of backslashes goes on in the
 * next; \n, \t, \r, \f and \uXXXX are escapes, any other escaped character stands for itself.
 * The text is UTF-8, where Java reads ISO-8859-1: the same for every key and for all but a few values.
 */
import fs from 'node:fs';
import { BrokerError } from './errors.ts';

export interface Property {
  readonly name: string;
  readonly text: string;
  /** 1-based; that of its first line where it has several. */
  readonly line: number;
}

/** @throws BrokerError CONFIG_INVALID where the file can not be read */
export function readPropertiesFile(file: string): Property[] {
  let content: string;
  try {
    content = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BrokerError(
      'CONFIG_INVALID',
      `the configuration file ${file} can not be read: ${why}`,
      { cause },
    );
  }
  return parseProperties(content);
}

export function parseProperties(content: string): Property[] {
  const properties: Property[] = [];
  const lines = content.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
  for (let index = 0; index < lines.length; index++) {
    const line = index + 1;
    let logical = lines[index].trimStart();
    if (logical === '' || logical.startsWith('#') || logical.startsWith('!')) continue;
    while (endsInContinuation(logical) && index + 1 < lines.length) {
      logical = logical.slice(0, -1) + lines[++index].trimStart();
    }
    const [, name = '', text = ''] = /^((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)$/s.exec(logical) ?? [];
    properties.push({ name: unescape(name), text: unescape(text).trim(), line });
  }
  return properties;
}

function endsInContinuation(line: string): boolean {
  const backslashCount = line.length - line.replace(/\\+$/, '').length;
  return backslashCount % 2 === 1;
}

const controlEscapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', f: '\f' };

function unescape(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|.)/gs, (_all, escape: string) =>
    escape.length === 5
      ? String.fromCharCode(Number.parseInt(escape.slice(1), 16))
      : (controlEscapes[escape] ?? escape),
  );
}
