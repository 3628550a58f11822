/**
 * @agent any
 *
 * Which processes listen and with what limits, as Linux tells it under /proc. Elsewhere nothing is known, which is
 * an answer too: null.
 */
import fs from 'node:fs';
import path from 'node:path';

export interface ListeningPort {
  readonly address: string;
  readonly port: number;
  /** Null where it belongs to another user's process, which only root may see. */
  readonly pid: number | null;
}

const LISTEN = '0A';

/** Sockets that listen in this network namespace; null where nobody tells. */
export function listeningPorts(): ListeningPort[] | null {
  const sockets: { address: string; port: number; inode: string }[] = [];
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    let text: string;
    try {
      text = fs.readFileSync(file, 'utf8');
    } catch {
      // Without IPv6 there is no such file.
      if (file === '/proc/net/tcp') return null;
      continue;
    }
    for (const line of text.split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [, local = '', , state] = fields;
      const [address, port] = local.split(':');
      if (state !== LISTEN || port === undefined) continue;
      sockets.push({
        address: addressOf(address),
        port: Number.parseInt(port, 16),
        inode: fields[9],
      });
    }
  }
  const owners = socketOwners();
  return sockets.map(({ address, port, inode }) => ({
    address,
    port,
    pid: owners.get(inode) ?? null,
  }));
}

/** Words of 32 bits in the machine's byte order: little-endian on all that we run on. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.every((byte) => byte === 0)) return '::';
  const isMapped =
    bytes.subarray(0, 10).every((byte) => byte === 0) && bytes.readUInt16BE(10) === 0xffff;
  if (isMapped) return bytes.subarray(12).join('.');
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

function socketOwners(): Map<string, number> {
  const owners = new Map<string, number>();
  for (const name of listOf('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    for (const descriptor of listOf(`/proc/${name}/fd`)) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${name}/fd/${descriptor}`)) ?? [];
      if (inode !== undefined) owners.set(inode, Number(name));
    }
  }
  return owners;
}

/** `process 4711 (java)`; null is one of another user, or of another container. */
export function processText(pid: number | null): string {
  if (pid === null) return 'a process that can not be seen from here';
  // Node names its threads; the file that runs says more.
  const program = path.basename(linkOf(`/proc/${pid}/exe`));
  return `process ${pid} (${program === '' ? (readText(`/proc/${pid}/comm`)?.trim() ?? 'ended') : program})`;
}

export interface ProcessLimits {
  /** Open files that it may have; Infinity where there is no limit. */
  readonly openFilesMax: number;
  /** Null where only its user may count them. */
  readonly openFiles: number | null;
  /** Bytes of memory, and of it in swap. */
  readonly residentBytes: number;
  readonly swappedBytes: number;
}

/** Null where nobody tells. */
export function processLimits(pid: number): ProcessLimits | null {
  const limits = readText(`/proc/${pid}/limits`);
  const status = readText(`/proc/${pid}/status`) ?? '';
  const [, soft] = /^Max open files\s+(\S+)/m.exec(limits ?? '') ?? [];
  if (soft === undefined) return null;
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  const descriptors = listOf(`/proc/${pid}/fd`);
  return {
    openFilesMax: soft === 'unlimited' ? Infinity : Number(soft),
    openFiles: descriptors.length === 0 ? null : descriptors.length,
    residentBytes: kib('VmRSS'),
    swappedBytes: kib('VmSwap'),
  };
}

/** First port that everybody may open. */
export function unprivilegedPortStart(): number {
  return Number(readText('/proc/sys/net/ipv4/ip_unprivileged_port_start') ?? 1024);
}

export function readText(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function listOf(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}

function linkOf(file: string): string {
  try {
    return fs.readlinkSync(file);
  } catch {
    return '';
  }
}
