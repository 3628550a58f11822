/**
 * @agent control
 *
 * Settings that may be changed while the broker runs, by UPDATE_BROKER_CONFIG (25). Only these, each
 * with its kind of value: a broker that took any key over the network, paths and commands among
 * them, was broken into (CVE-2023-33246, CVE-2023-37582). Changes are kept in
 * `config/liveSettings.json` and win over the configuration at the next start.
 */
import { integer, type SettingValue, textThat, yesOrNo } from '../base/setting-value.ts';
import type { BrokerControlConfig } from './control-config.ts';
import type { PublishedSettings } from './control-effects.ts';

interface LiveSetting {
  readonly kind: SettingValue;
  /** Where control itself reads it. */
  readonly ofControl?: keyof BrokerControlConfig;
  /** Where other agents do. */
  readonly ofOthers?: (value: never) => PublishedSettings;
}

const HOUR_MS = 3_600_000;

const booleans = [
  'autoCreateTopicEnable',
  'autoCreateSubscriptionGroup',
  'notifyConsumerIdsChangedEnable',
  'useServerSideResetOffset',
  'storeReplyMessageEnable',
] as const;

const hoursOfDay = (text: string): number[] => text.split(';').map(Number);

/** By RocketMQ's names. */
export const liveSettings: ReadonlyMap<string, LiveSetting> = new Map<string, LiveSetting>([
  ...booleans.map((name): [string, LiveSetting] => [name, { kind: yesOrNo, ofControl: name }]),
  [
    'enablePropertyFilter',
    {
      kind: yesOrNo,
      ofControl: 'enablePropertyFilter',
      ofOthers: (value: boolean) => ({ enablePropertyFilter: value }),
    },
  ],
  [
    'longPollingEnable',
    { kind: yesOrNo, ofOthers: (value: boolean) => ({ longPollingEnable: value }) },
  ],
  [
    'fileReservedTime',
    {
      kind: integer('hours, 1 to 87600', { minimum: 1, maximum: 87_600 }),
      ofOthers: (hours: number) => ({ fileReservedTimeMs: hours * HOUR_MS }),
    },
  ],
  [
    'deleteWhen',
    {
      kind: textThat('hours of the day, 00 to 23, with ";" between them', (text) =>
        /^([01]?\d|2[0-3])(;([01]?\d|2[0-3]))*$/.test(text),
      ),
      ofOthers: (text: string) => ({ deleteHours: hoursOfDay(text) }),
    },
  ],
]);

/** A change that is allowed, not yet made. */
export interface SettingChange {
  readonly name: string;
  readonly text: string;
  readonly value: unknown;
}

/** Reads one change; a text says why it is not allowed, and with what else. */
export function readChange(name: string, text: string): SettingChange | string {
  const setting = liveSettings.get(name);
  if (setting === undefined) {
    return `${name.slice(0, 128)} can't be changed while the broker runs: change its configuration and restart. These can: ${[...liveSettings.keys()].join(', ')}`;
  }
  const value = setting.kind.parse(text);
  if (value === undefined) return `${name}=${text.slice(0, 64)} is not ${setting.kind.allowed}`;
  return { name, text: text.trim(), value };
}

/** Makes a change where control reads it; returns what other agents must be told. */
export function applyChange(config: BrokerControlConfig, change: SettingChange): PublishedSettings {
  const setting = liveSettings.get(change.name);
  if (setting?.ofControl !== undefined)
    Object.assign(config, { [setting.ofControl]: change.value });
  return setting?.ofOthers?.(change.value as never) ?? {};
}
