/**
 * @agent control
 *
 * The configurations of consumer groups: the content of `config/subscriptionGroup.json`. Groups of
 * the system exist from the start; others come by administration, or by their first heartbeat
 * where `autoCreateSubscriptionGroup` allows it.
 *
 * Source: SubscriptionGroupManager.java.
 */
import type { WallClock } from '../base/clock.ts';
import type { Logger } from '../base/logging.ts';
import type { Refusals } from '../base/refusals.ts';
import { ResponseCode } from '../protocol/codes.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import { type DataVersion, decodeDataVersion, nextDataVersion } from '../protocol/topic-config.ts';
import type { BrokerControlConfig } from './control-config.ts';
import { type JsonObject, objectOf } from './json-value.ts';
import { groupNameFault, predefinedGroups } from './resource-name.ts';
import {
  decodeGroupConfig,
  defaultGroupConfig,
  groupConfigJson,
  type SubscriptionGroupConfig,
} from './subscription-group-config.ts';
import type { Refusal } from './topic-table.ts';

export interface SubscriptionGroupTableOptions {
  config: BrokerControlConfig;
  wallClock: WallClock;
  logger: Logger;
  refusals: Refusals;
  /** Called with each new or changed config. */
  onChanged: (config: SubscriptionGroupConfig) => void;
}

export class SubscriptionGroupTable {
  readonly #options: SubscriptionGroupTableOptions;
  readonly #groups = new Map<string, SubscriptionGroupConfig>();
  /** Kept for RocketMQ's brokers: group → topic → bits of what is forbidden. */
  #forbiddenTable: JsonObject = {};
  #dataVersion: DataVersion = { counter: 0, stateVersion: 0, timestamp: 0 };
  #isDirty = false;

  constructor(options: SubscriptionGroupTableOptions) {
    this.#options = options;
    for (const group of predefinedGroups) this.#groups.set(group, defaultGroupConfig(group));
  }

  get isDirty(): boolean {
    return this.#isDirty;
  }

  load(text: string): void {
    const root = objectOf(parseFastjson(text));
    this.#dataVersion = decodeDataVersion(root?.['dataVersion']);
    this.#forbiddenTable = objectOf(root?.['forbiddenTable']) ?? {};
    for (const value of Object.values(objectOf(root?.['subscriptionGroupTable']) ?? {})) {
      const config = decodeGroupConfig(value);
      if (config === null || groupNameFault(config.groupName) !== null) {
        this.#options.logger.warn({ group: config?.groupName }, 'stored consumer group is ignored');
      } else this.#groups.set(config.groupName, config);
    }
  }

  store(): string {
    this.#isDirty = false;
    return this.json();
  }

  /** The file's text, which is also the body of code 201. */
  json(): string {
    // fromEntries, since `__proto__` is a valid name of a group.
    const table = Object.fromEntries(
      [...this.#groups].map(([group, config]) => [group, groupConfigJson(config)]),
    );
    return JSON.stringify({
      dataVersion: this.#dataVersion,
      forbiddenTable: this.#forbiddenTable,
      subscriptionGroupTable: table,
    });
  }

  get size(): number {
    return this.#groups.size;
  }

  groups(): Iterable<SubscriptionGroupConfig> {
    return this.#groups.values();
  }

  get(group: string): SubscriptionGroupConfig | undefined {
    return this.#groups.get(group);
  }

  /** The group's config, created on demand where that is allowed; a refusal names what forbids it. */
  find(group: string): SubscriptionGroupConfig | Refusal {
    const known = this.#groups.get(group);
    if (known !== undefined) return known;
    const missing = { code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST };
    if (!this.#options.config.autoCreateSubscriptionGroup) {
      return { ...missing, remark: `subscription group not exist, ${group.slice(0, 256)}` };
    }
    const fault = groupNameFault(group);
    if (fault !== null) return { ...missing, remark: fault };
    return this.update(defaultGroupConfig(group));
  }

  /** Creates or replaces a config; its name is valid. */
  update(config: SubscriptionGroupConfig): SubscriptionGroupConfig | Refusal {
    const { subscriptionGroupCountMax } = this.#options.config;
    if (!this.#groups.has(config.groupName) && this.#groups.size >= subscriptionGroupCountMax) {
      this.#options.refusals.add('group-limit', { group: config.groupName });
      return {
        code: ResponseCode.SYSTEM_ERROR,
        remark: `the broker has ${this.#groups.size} consumer groups, as many as subscriptionGroupCountMax allows: delete some, or raise it`,
      };
    }
    this.#groups.set(config.groupName, config);
    this.#touch();
    this.#options.onChanged(config);
    return config;
  }

  delete(group: string): SubscriptionGroupConfig | undefined {
    const config = this.#groups.get(group);
    if (config === undefined) return undefined;
    this.#groups.delete(group);
    this.#touch();
    return config;
  }

  #touch(): void {
    this.#isDirty = true;
    this.#dataVersion = nextDataVersion(this.#dataVersion, this.#options.wallClock.nowMs());
  }
}
