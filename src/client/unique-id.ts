/**
 * @agent any
 *
 * Message ids (UNIQ_KEY) in the form of Java's clients, 32 hexadecimal digits:
 * `address(8) processId(4) random(8) time(8) counter(4)`. All but the counter are the same for the ids
 * of one millisecond, so an id is kept as that text and a number until somebody wants to see it.
 *
 * Source: MessageClientIDSetter.java.
 */
import { currentPlatform } from './platform.ts';

/** Two digits of each byte. */
export const hexOfByte: readonly string[] = Array.from({ length: 256 }, (_, byte) => hex(byte, 2));
/** Character codes of `0` to `F`. */
const digitOf = Uint8Array.from('0123456789ABCDEF', (digit) => digit.charCodeAt(0));

export const UNIQUE_ID_DIGITS = 32;

export class UniqueIdSource {
  readonly #fixed: string;
  #time = 0;
  #prefix = '';
  #counter = Math.floor(Math.random() * 0x10000);

  constructor() {
    const { hostAddress, processId } = currentPlatform();
    const address = hostAddress.split('.').map((part) => hexOfByte[Number(part) & 0xff]);
    const random = hex(Math.floor(Math.random() * 0x1_0000_0000), 8);
    this.#fixed = address.join('') + hex(processId & 0xffff, 4) + random;
  }

  /** The digits before the counter, of an id made at this time. */
  prefixAt(nowMs: number): string {
    // Time may go back; the counter goes on.
    if (nowMs !== this.#time) {
      this.#time = nowMs;
      this.#prefix = this.#fixed + hex(nowMs % 0x1_0000_0000, 8);
    }
    return this.#prefix;
  }

  nextCounter(): number {
    this.#counter = (this.#counter + 1) & 0xffff;
    return this.#counter;
  }
}

export function uniqueIdText(prefix: string, counter: number): string {
  return prefix + hexOfByte[counter >> 8] + hexOfByte[counter & 0xff];
}

/** Writes the id at a place; returns where it ends. */
export function writeUniqueId(
  target: Uint8Array,
  at: number,
  prefix: string,
  counter: number,
): number {
  let end = at;
  for (let index = 0; index < prefix.length; index++) target[end++] = prefix.charCodeAt(index);
  target[end++] = digitOf[counter >> 12];
  target[end++] = digitOf[(counter >> 8) & 0xf];
  target[end++] = digitOf[(counter >> 4) & 0xf];
  target[end++] = digitOf[counter & 0xf];
  return end;
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}
