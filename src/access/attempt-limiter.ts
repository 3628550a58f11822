/**
 * @agent reactor
 *
 * Slows down who guesses: an address that has failed a few times gets a few tries a second, whatever it
 * knows, and all such addresses together get as many as a small part of the thread's time is enough for.
 * Bounded: where more addresses fail than are kept, the oldest are forgotten.
 */

const FREE_FAILURE_COUNT = 5;
const TRIES_PER_SECOND = 10;
/** Of all addresses that have failed: a try takes some 40 us, from its frame to its answer. */
const ALL_TRIES_PER_SECOND = 1000;
/** Tries of all that have not been used add up to this: connections that wait are looked at ten times a second. */
const ALL_TRIES_MAX = 100;
/** Silence after which an address is as good as new. */
const FORGET_MS = 60_000;
const ADDRESS_COUNT_MAX = 20_000;

interface Record {
  failures: number;
  lastFailureMs: number;
  /** Tries that are left now. */
  tries: number;
  refilledMs: number;
}

export class AttemptLimiter {
  /** In the order of their last failure. */
  readonly #byAddress = new Map<string, Record>();
  #allTries = ALL_TRIES_MAX;
  #allRefilledMs = 0;

  get addressCount(): number {
    return this.#byAddress.size;
  }

  /** True where this address may try now; a try of one that is limited is counted. */
  mayTry(address: string, nowMs: number): boolean {
    const record = this.#byAddress.get(addressKey(address));
    if (record === undefined || record.failures < FREE_FAILURE_COUNT) return true;
    if (nowMs - record.lastFailureMs > FORGET_MS) {
      this.#byAddress.delete(addressKey(address));
      return true;
    }
    const refill = ((nowMs - record.refilledMs) / 1000) * TRIES_PER_SECOND;
    // No more than one at once: ten in a burst would be twenty in a second.
    record.tries = Math.min(1, record.tries + refill);
    record.refilledMs = nowMs;
    if (record.tries < 1 || !this.#takeOfAll(nowMs)) return false;
    record.tries -= 1;
    return true;
  }

  #takeOfAll(nowMs: number): boolean {
    const refill = ((nowMs - this.#allRefilledMs) / 1000) * ALL_TRIES_PER_SECOND;
    this.#allTries = Math.min(ALL_TRIES_MAX, this.#allTries + refill);
    this.#allRefilledMs = nowMs;
    if (this.#allTries < 1) return false;
    this.#allTries -= 1;
    return true;
  }

  /** Returns how many failures there are now. */
  failed(address: string, nowMs: number): number {
    const key = addressKey(address);
    const known = this.#byAddress.get(key);
    const isOld = known !== undefined && nowMs - known.lastFailureMs > FORGET_MS;
    const record =
      known === undefined || isOld
        ? { failures: 0, lastFailureMs: nowMs, tries: 0, refilledMs: nowMs }
        : known;
    record.failures++;
    record.lastFailureMs = nowMs;
    this.#byAddress.delete(key);
    this.#byAddress.set(key, record);
    if (this.#byAddress.size > ADDRESS_COUNT_MAX) {
      const [oldest] = this.#byAddress.keys();
      if (oldest !== undefined) this.#byAddress.delete(oldest);
    }
    return record.failures;
  }
}

/** Of IPv6 the network: whoever has one address there has 2^64. */
function addressKey(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) while (groups.length < 4) groups.push('0');
  return groups.slice(0, 4).join(':');
}
