/**
 * @agent any
 *
 * Makes a BrokerConfig of flags, over the environment, over a broker.conf, over defaults. All mistakes
 * are reported at once, each with where it stands and what is allowed.
 */
import path from 'node:path';
import { type BrokerConfig, defaultBrokerConfig } from '../base/broker-config.ts';
import { BrokerError } from '../base/errors.ts';
import { accessSettingKeys } from './access-keys.ts';
import { isControlled, isLoopback } from './access-settings.ts';
import { apacheKeys, refusedApacheKeys } from './apache-keys.ts';
import { environmentName, type SettingKey, settingKeys } from './configuration-keys.ts';
import type { Credentials } from '../access/access-gate.ts';
import type { TlsConfig } from './tls-settings.ts';
import { type Property, readPropertiesFile } from '../base/properties-file.ts';

export interface ConfigurationSources {
  /** Values of flags by their long names, without dashes. */
  flags: Readonly<Record<string, unknown>>;
  environment: Readonly<Record<string, string | undefined>>;
  /** Path of a broker.conf. */
  file?: string | undefined;
}

export interface Configuration {
  config: BrokerConfig;
  /** Keys of Apache's that are accepted and do nothing here, in the order of the file. */
  ignoredKeys: string[];
}

/** MILLRACE_ variables that are no settings of a broker. */
const otherVariables: ReadonlySet<string> = new Set([
  'MILLRACE_LOG_LEVEL',
  'MILLRACE_LOG_FORMAT',
  'MILLRACE_CONFIG',
  // Of client commands.
  'MILLRACE_SERVERS',
  'MILLRACE_CREDENTIALS',
  'MILLRACE_ACCESS_KEY',
  'MILLRACE_SECRET_KEY',
  'MILLRACE_TLS',
  'MILLRACE_TLS_CA',
]);

/** @throws BrokerError CONFIG_INVALID with all problems, a line each */
export function loadConfiguration(sources: ConfigurationSources): Configuration {
  const { problems, ...configuration } = examineConfiguration(sources);
  if (problems.length > 0) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `the configuration can not be used:\n  ${problems.join('\n  ')}`,
    );
  }
  return configuration;
}

/**
 * All that can be understood, defaults for the rest, and what is wrong, a line each.
 * @throws BrokerError CONFIG_INVALID where the file can not be read
 */
export function examineConfiguration(
  sources: ConfigurationSources,
): Configuration & { problems: string[] } {
  const values = new Map<keyof BrokerConfig, unknown>();
  const problems: string[] = [];
  const take = (setting: SettingKey, text: string, where: string): void => {
    const value = setting.kind.parse(text);
    if (value === undefined) {
      const given = setting.isSecret === true ? 'what was given' : JSON.stringify(text);
      problems.push(`${where}: ${given} is not ${setting.kind.allowed}`);
    } else values.set(setting.key, value);
  };
  const properties = sources.file === undefined ? [] : readPropertiesFile(sources.file);
  const ignored = takeFile(sources.file ?? '', properties, take, problems);
  takeEnvironment(sources.environment, take, problems);
  for (const setting of settingKeys) {
    const text = setting.flag === undefined ? undefined : sources.flags[setting.flag];
    if (typeof text === 'string') take(setting, text, `--${setting.flag}`);
  }
  if (sources.flags['no-name-server'] === true) values.set('embeddedNameServer', false);
  if (sources.flags['allow-public'] === true) values.set('allowPublic', true);
  const config: BrokerConfig = { ...defaultBrokerConfig(), ...Object.fromEntries(values) };
  problems.push(...contradictions(config));
  problems.push(...storeElsewhere(sources.file ?? '', ignored, config));
  const ignoredKeys = [...new Set(ignored.map((property) => property.name))];
  return { config, ignoredKeys, problems };
}

/** What a name server alone is told by a broker.conf. */
export interface NameServerConfiguration {
  readonly credentials: Credentials | null;
  readonly tls: TlsConfig;
  readonly limits: NameServerLimits;
}

export type NameServerLimits = Pick<
  BrokerConfig,
  | 'connectionCountMax'
  | 'acceptRateMax'
  | 'waitingAnswerBytesMax'
  | 'waitingRequestBytesMax'
  | 'routeBytesMax'
  | 'idleCloseMs'
>;

/**
 * Who may change it, TLS and limits. For who may change it and TLS the environment counts, too.
 * @throws BrokerError CONFIG_INVALID
 */
export function nameServerConfiguration(
  file: string | undefined,
  variables: ConfigurationSources['environment'],
): NameServerConfiguration {
  // Variables of a broker beside are its own affair, its ports among them.
  const environment = Object.fromEntries(
    accessSettingKeys.map(environmentName).map((name) => [name, variables[name]]),
  );
  // The file is checked whole; but a name server has no users to be public by.
  const flags = { 'allow-public': true };
  const { config } = loadConfiguration({ flags, environment, file });
  return {
    credentials: config.innerClientAuthenticationCredentials,
    tls: config,
    limits: config,
  };
}

type Take = (setting: SettingKey, text: string, where: string) => void;

/** Returns what the file says that means nothing here. */
function takeFile(
  file: string,
  properties: readonly Property[],
  take: Take,
  problems: string[],
): Property[] {
  const ignored: Property[] = [];
  for (const property of properties) {
    const { name, text, line } = property;
    const where = `${file}:${line}: ${name}`;
    const setting = settingKeys.find((candidate) => candidate.names.includes(name));
    const refusal = refusedApacheKeys.find((refused) => refused.name === name);
    if (setting !== undefined) take(setting, text, where);
    else if (refusal?.isRefused(text) === true) problems.push(`${where}=${text}: ${refusal.why}`);
    else if (apacheKeys.has(name)) ignored.push(property);
    else problems.push(`${where} is no key of broker.conf; ${nearest(name, knownFileKeys())}`);
  }
  return ignored;
}

function takeEnvironment(
  environment: ConfigurationSources['environment'],
  take: Take,
  problems: string[],
): void {
  const variables = new Map(settingKeys.map((setting) => [environmentName(setting), setting]));
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith('MILLRACE_') || otherVariables.has(name)) continue;
    // Compose files and the like set what they have no value for to nothing.
    if (text === undefined || text === '') continue;
    const setting = variables.get(name);
    if (setting !== undefined) take(setting, text, `environment variable ${name}`);
    else {
      const suggestion = nearest(name, [...variables.keys(), ...otherVariables]);
      problems.push(`environment variable ${name} is no setting; ${suggestion}`);
    }
  }
}

/** What each value alone can not show. */
function contradictions(config: BrokerConfig): string[] {
  const problems: string[] = [];
  if (config.storeKind === 'plain' && config.threads !== 'inline') {
    problems.push('storeKind plain works only with threads inline');
  }
  if (config.embeddedNameServer && config.nameServerPort > 0) {
    for (const [port, what] of [
      [config.brokerPort, 'the port of the broker'],
      [config.brokerPort - 2, 'the VIP port of the broker, two below its port'],
    ] as const) {
      if (port === config.nameServerPort)
        problems.push(`port ${port} can not be that of the name server: it is ${what}`);
    }
  }
  if (config.webPort > 0) {
    for (const [port, what] of [
      [config.brokerPort, 'the port of the broker'],
      [config.brokerPort - 2, 'the VIP port of the broker, two below its port'],
      [config.embeddedNameServer ? config.nameServerPort : -1, 'the port of the name server'],
    ] as const) {
      if (port === config.webPort)
        problems.push(`port ${port} can not be the web port: it is ${what}`);
    }
  }
  problems.push(...accessContradictions(config));
  if (config.diskSpaceCleanForciblyRatio > config.diskSpaceWarningLevelRatio) {
    problems.push(
      `diskSpaceCleanForciblyRatio ${config.diskSpaceCleanForciblyRatio} is above diskSpaceWarningLevelRatio ${config.diskSpaceWarningLevelRatio}: messages would be refused before old ones are deleted`,
    );
  }
  return problems;
}

/** What would let in more, or fewer, than somebody meant. */
function accessContradictions(config: BrokerConfig): string[] {
  const problems: string[] = [];
  if (config.authorizationEnabled && !config.authenticationEnabled)
    problems.push('authorizationEnabled needs authenticationEnabled: who asks must be known first');
  if (config.aclEnable && config.plainAclFile === null)
    problems.push('aclEnable needs plainAclFile, the plain_acl.yml with the accounts');
  if (!isControlled(config) && !config.allowPublic && !isLoopback(config.listenAddress)) {
    problems.push(
      `listenAddress ${config.listenAddress} can be reached from other machines, and there is no access control: ` +
        'make a configuration with users by "millrace init --secure", or say --allow-public',
    );
  }
  const { tlsServerCertPath: certificate, tlsServerKeyPath: key } = config;
  if ((certificate === null) !== (key === null))
    problems.push('tls.server.certPath and tls.server.keyPath are needed together');
  if (config.tlsServerMode === 'enforcing' && certificate === null)
    problems.push('tls.server.mode=enforcing needs tls.server.certPath and tls.server.keyPath');
  if (config.tlsServerAuthClient && config.tlsServerTrustCertPath === null)
    problems.push('tls.server.authClient needs tls.server.trustCertPath');
  if (certificate !== null && config.webPort >= 0 && config.webLibrary === 'uws')
    problems.push('webLibrary uws can not take new certificates while it runs: use ws or auto');
  return problems;
}

/** A log that RocketMQ keeps outside of the store directory would silently begin anew inside of it. */
function storeElsewhere(
  file: string,
  ignored: readonly Property[],
  config: BrokerConfig,
): string[] {
  const inside = path.resolve(config.storeDirectory, 'commitlog');
  return ignored
    .filter(({ name, text }) => name === 'storePathCommitLog' && path.resolve(text) !== inside)
    .map(
      ({ name, text, line }) =>
        `${file}:${line}: ${name}=${text}: the log is always in ${inside}; set storePathRootDir, or remove this line`,
    );
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
