/**
 * @agent any
 *
 * Makes a BrokerConfig of flags, over the environment, over a broker.conf, over defaults. All mistakes
 * are reported at once, each with where it stands and what is allowed.
 */
import fs from 'node:fs';
import { Check } from 'typebox/value';
import { type BrokerConfig, defaultBrokerConfig } from '../base/broker-config.ts';
import { BrokerError } from '../base/errors.ts';
import { apacheKeys } from './apache-keys.ts';
import { environmentName, type SettingKey, settingKeys } from './configuration-keys.ts';

export interface ConfigurationSources {
  /** Values of flags by their long names, without dashes. */
  flags: Readonly<Record<string, unknown>>;
  environment: Readonly<Record<string, string | undefined>>;
  /** Path of a broker.conf. */
  file?: string | undefined;
}

export interface Configuration {
  config: BrokerConfig;
  /** Keys of Apache's that are accepted and do nothing here. */
  ignoredKeys: string[];
}

/** MILLRACE_ variables that are no settings. */
const otherVariables: ReadonlySet<string> = new Set([
  'MILLRACE_LOG_LEVEL',
  'MILLRACE_LOG_FORMAT',
  'MILLRACE_CONFIG',
]);

/** @throws BrokerError CONFIG_INVALID with all problems, a line each */
export function loadConfiguration(sources: ConfigurationSources): Configuration {
  const values: Record<string, unknown> = { ...defaultBrokerConfig() };
  const problems: string[] = [];
  const ignoredKeys: string[] = [];
  const take = (setting: SettingKey, text: string, where: string): void => {
    const value = setting.parse(text);
    if (
      Check(setting.schema, value) &&
      (setting.key !== 'segmentBytes' || Number(value) % 4096 === 0)
    ) {
      values[setting.key] = value;
    } else problems.push(`${where}: ${JSON.stringify(text)} is not ${setting.allowed}`);
  };
  if (sources.file !== undefined) {
    for (const { name, text, line } of readProperties(sources.file)) {
      const where = `${sources.file}:${line}: ${name}`;
      const setting = settingKeys.find((candidate) => candidate.names.includes(name));
      if (setting !== undefined) take(setting, text, where);
      else if (apacheKeys.has(name)) ignoredKeys.push(name);
      else problems.push(`${where} is no key of broker.conf; ${nearest(name, knownFileKeys())}`);
    }
  }
  const variables = new Map(settingKeys.map((setting) => [environmentName(setting), setting]));
  for (const [name, text] of Object.entries(sources.environment)) {
    if (!name.startsWith('MILLRACE_') || text === undefined || otherVariables.has(name)) continue;
    const setting = variables.get(name);
    if (setting !== undefined) take(setting, text, `environment variable ${name}`);
    else
      problems.push(
        `environment variable ${name} is no setting; ${nearest(name, [...variables.keys()])}`,
      );
  }
  for (const setting of settingKeys) {
    const text = setting.flag === undefined ? undefined : sources.flags[setting.flag];
    if (typeof text === 'string') take(setting, text, `--${setting.flag}`);
  }
  if (sources.flags['no-name-server'] === true) values['embeddedNameServer'] = false;
  const config = values as unknown as BrokerConfig;
  if (config.storeKind === 'plain' && config.threads !== 'inline') {
    problems.push('storeKind plain works only with threads inline');
  }
  if (problems.length > 0) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `the configuration can not be used:\n  ${problems.join('\n  ')}`,
    );
  }
  return { config, ignoredKeys };
}

interface Property {
  name: string;
  text: string;
  line: number;
}

/** A Java properties file: `key=value`, # and ! comments, continued lines, escapes. */
function readProperties(file: string): Property[] {
  let content: string;
  try {
    content = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `the configuration file ${file} can not be read: ${String(cause)}`,
      { cause },
    );
  }
  const properties: Property[] = [];
  const lines = content.split(/\r\n|\r|\n/);
  for (let index = 0; index < lines.length; index++) {
    const line = index + 1;
    let logical = lines[index].trimStart();
    if (logical === '' || logical.startsWith('#') || logical.startsWith('!')) continue;
    while (/(?:^|[^\\])(?:\\\\)*\\$/.test(logical) && index + 1 < lines.length) {
      logical = logical.slice(0, -1) + lines[++index].trimStart();
    }
    const [, name = '', text = ''] = /^((?:\\.|[^\\=:\s])*)\s*[=:\s]?\s*(.*)$/.exec(logical) ?? [];
    properties.push({ name: unescape(name), text: unescape(text).trim(), line });
  }
  return properties;
}

function unescape(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_all, escape: string) => {
    if (escape.startsWith('u') && escape.length === 5)
      return String.fromCharCode(parseInt(escape.slice(1), 16));
    return { n: '\n', t: '\t', r: '\r', f: '\f' }[escape] ?? escape;
  });
}

function knownFileKeys(): string[] {
  return [...new Set([...settingKeys.flatMap((setting) => setting.names), ...apacheKeys])];
}

/** "did you mean …" for a name that is not known. */
export function nearest(name: string, candidates: readonly string[]): string {
  let best = '';
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return bestDistance <= Math.max(3, name.length / 3)
    ? `did you mean ${best}?`
    : 'see millrace start --help';
}

/** Insertions, deletions and substitutions between two texts (Levenshtein). */
function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const substitution = previous[column - 1] + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(previous[column] + 1, current[column - 1] + 1, substitution));
    }
    previous = current;
  }
  return previous[right.length];
}
