/**
 * @agent control
 *
 * The key-value configuration of a name server: text by namespace and key, kept in kvConfig.json as
 * `{"configTable":{"<namespace>":{"<key>":"<value>"}}}`. Clients know one namespace of it,
 * ORDER_TOPIC_CONFIG: `topic → "broker-a:8;broker-b:8"`. What it holds is bounded, since anyone who
 * reaches the port may add to it.
 *
 * Source: KVConfigManager.java, KVConfigSerializeWrapper.java.
 */
import { parseFastjson } from '../protocol/fastjson.ts';

/** Sum of the lengths of all names and values; a guess far above any real use. */
const TEXT_UNITS_MAX = 16 * 1024 * 1024;

export class KvConfig {
  readonly #namespaces = new Map<string, Map<string, string>>();
  #textUnits = 0;

  /** @throws BrokerError FRAME_INVALID where the text is not JSON. */
  constructor(storedText: string | undefined) {
    if (storedText === undefined) return;
    for (const [namespace, table] of fieldsOf(
      fieldsOf(parseFastjson(storedText)).get('configTable'),
    ))
      for (const [key, value] of fieldsOf(table)) {
        if (typeof value === 'string') this.put(namespace, key, value);
      }
  }

  /** False where there is no room for it; nothing is changed then. */
  put(namespace: string, key: string, value: string): boolean {
    const table = this.#namespaces.get(namespace);
    const previous = table?.get(key);
    const added =
      previous === undefined
        ? namespace.length + key.length + value.length
        : value.length - previous.length;
    if (added > 0 && this.#textUnits + added > TEXT_UNITS_MAX) return false;
    this.#textUnits += added;
    if (table === undefined) this.#namespaces.set(namespace, new Map([[key, value]]));
    else table.set(key, value);
    return true;
  }

  get(namespace: string, key: string): string | undefined {
    return this.#namespaces.get(namespace)?.get(key);
  }

  delete(namespace: string, key: string): void {
    const table = this.#namespaces.get(namespace);
    const value = table?.get(key);
    if (table === undefined || value === undefined) return;
    this.#textUnits -= namespace.length + key.length + value.length;
    table.delete(key);
    if (table.size === 0) this.#namespaces.delete(namespace);
  }

  /** The KVTable body of a namespace, `{"table":{…}}`; null where the namespace is not known. */
  printNamespace(namespace: string): Buffer | null {
    const table = this.#namespaces.get(namespace);
    if (table === undefined) return null;
    return Buffer.from(JSON.stringify({ table: Object.fromEntries(table) }));
  }

  /** The text of kvConfig.json. */
  print(): string {
    const configTable = Object.fromEntries(
      [...this.#namespaces].map(([namespace, table]) => [namespace, Object.fromEntries(table)]),
    );
    return JSON.stringify({ configTable });
  }
}

function fieldsOf(value: unknown): Map<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? new Map(Object.entries(value))
    : new Map();
}
