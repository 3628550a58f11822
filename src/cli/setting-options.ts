/**
 * @agent any
 *
 * The settings of a broker as flags of a command, for those that run one and those that look whether one could.
 */
import type { Command } from 'commander';
import { defaultBrokerConfig } from '../base/broker-config.ts';
import type { ConfigurationSources } from './configuration.ts';
import { environmentName, settingKeys } from './configuration-keys.ts';

export function withSettings(command: Command): Command {
  command
    .option('--config <FILE>', 'read settings from a broker.conf')
    .option('--no-name-server', 'run no name server in this process')
    .option('--allow-public', 'let other machines reach a broker without access control');
  for (const setting of settingKeys) {
    if (setting.flag !== undefined)
      command.option(
        `--${setting.flag} <${setting.value ?? 'VALUE'}>`,
        `${setting.help} [${environmentName(setting)}]`,
      );
  }
  return command;
}

/** Where the settings of a command with such flags come from. */
export function sourcesOf(options: Readonly<Record<string, unknown>>): ConfigurationSources {
  const flags: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    flags[name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)] = value;
  }
  if (options['nameServer'] === false) flags['no-name-server'] = true;
  const file = (options['config'] as string | undefined) ?? process.env['MILLRACE_CONFIG'];
  return { flags, environment: process.env, file };
}

/** Every setting with its variable, its key in a broker.conf, and what it is where nothing is said. */
export function settingsHelp(): string {
  const defaults = defaultBrokerConfig();
  const lines = settingKeys.map((setting) => {
    const [fileKey] = setting.names;
    const names = `  ${environmentName(setting).padEnd(41)} ${fileKey.padEnd(32)}`;
    const value = defaults[setting.key];
    const isSaid = value !== null && !(Array.isArray(value) && value.length === 0);
    const unit = setting.key === 'idleCloseMs' ? Number(value) / 1000 : (value as string | number);
    return `${names} ${setting.help}${isSaid ? ` (${String(unit)})` : ''}`;
  });
  return [
    'Settings, by environment variable and key of a broker.conf (default):',
    ...lines,
    '  MILLRACE_CONFIG                           the file of --config',
  ].join('\n');
}
