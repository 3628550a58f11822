/**
 * @agent any
 *
 * A hash table from byte strings to values, so that a name is looked up where it lies in a frame or
 * a record, without making a string. Open addressing; grows at half load; entries are few and long
 * lived. Keys are compared whole, so colliding names only cost time; the seed keeps strangers from
 * choosing names that collide.
 */

interface Entry<Value> {
  readonly hash: number;
  readonly key: Uint8Array;
  readonly value: Value;
}

export class ByteTable<Value> {
  readonly #seed: number;
  #slots: (Entry<Value> | null)[] = emptySlots(64);
  #count = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  get size(): number {
    return this.#count;
  }

  /** The value whose key equals `bytes[start, end)`, or undefined. */
  get(bytes: Uint8Array, start: number, end: number): Value | undefined {
    const hash = hashBytes(this.#seed, bytes, start, end);
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let index = hash & mask; ; index = (index + 1) & mask) {
      const entry = slots[index];
      if (entry === null || entry === undefined) return undefined;
      if (entry.hash === hash && keyIs(entry.key, bytes, start, end)) return entry.value;
    }
  }

  getName(name: string): Value | undefined {
    const key = Buffer.from(name);
    return this.get(key, 0, key.length);
  }

  set(name: string, value: Value): void {
    this.delete(name);
    if ((this.#count + 1) * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    const key = Buffer.from(name);
    this.#insert({ hash: hashBytes(this.#seed, key, 0, key.length), key, value });
    this.#count++;
  }

  delete(name: string): void {
    const key = Buffer.from(name);
    if (this.get(key, 0, key.length) === undefined) return;
    const kept = this.#entries().filter((entry) => !keyIs(entry.key, key, 0, key.length));
    this.#count = kept.length;
    this.#slots = emptySlots(this.#slots.length);
    for (const entry of kept) this.#insert(entry);
  }

  values(): Value[] {
    return this.#entries().map((entry) => entry.value);
  }

  #entries(): Entry<Value>[] {
    return this.#slots.filter((entry) => entry !== null);
  }

  #rehash(slotCount: number): void {
    const entries = this.#entries();
    this.#slots = emptySlots(slotCount);
    for (const entry of entries) this.#insert(entry);
  }

  #insert(entry: Entry<Value>): void {
    const mask = this.#slots.length - 1;
    let index = entry.hash & mask;
    while (this.#slots[index] !== null) index = (index + 1) & mask;
    this.#slots[index] = entry;
  }
}

function emptySlots(slotCount: number): null[] {
  return Array.from({ length: slotCount }, () => null);
}

/** FNV-1a. */
function hashBytes(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = seed ^ 0x811c9dc5;
  for (let index = start; index < end; index++) hash = Math.imul(hash ^ bytes[index], 0x01000193);
  return hash ^ (hash >>> 15);
}

/** Whether `bytes[start, end)` are those of `key`. */
export function keyIs(key: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const length = key.length;
  if (end - start !== length) return false;
  for (let index = 0; index < length; index++) {
    if (key[index] !== bytes[start + index]) return false;
  }
  return true;
}
