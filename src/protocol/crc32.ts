/**
 * @agent any
 *
 * CRC-32 (IEEE), whose sign bit RocketMQ clears everywhere. Short bytes go to zlib; long ones, where native code
 * is welcome, to a library that multiplies without carries where the processor can: a third of zlib's time from
 * 4 KiB on, but a dearer call. It is loaded with the first of them. Where there is no build of it for the
 * platform zlib has them all.
 */
import { createRequire } from 'node:module';
import { crc32 as zlibCrc32 } from 'node:zlib';

type Crc32 = (bytes: Uint8Array) => number;

/** From here on the dearer call is made up for. */
export const LONG_BYTES_MIN = 1024;

let isNativeWelcome = false;
let longCrc32: Crc32 | null = null;

/** Lets this thread load native code for long bytes. */
export function welcomeNativeCrc32(): void {
  isNativeWelcome = true;
}

function loadLongCrc32(): Crc32 {
  try {
    // A require keeps the load lazy and synchronous.
    const { crc32 } = createRequire(import.meta.url)(
      '@node-rs/crc32',
    ) as typeof import('@node-rs/crc32');
    return crc32;
  } catch {
    return zlibCrc32;
  }
}

/** CRC-32 with the sign bit cleared, as RocketMQ stores it everywhere (UtilAll.crc32). */
export function crc32Masked(bytes: Uint8Array): number {
  const isLong = bytes.length >= LONG_BYTES_MIN && isNativeWelcome;
  const sum = isLong ? (longCrc32 ??= loadLongCrc32())(bytes) : zlibCrc32(bytes);
  return sum & 0x7fffffff;
}
