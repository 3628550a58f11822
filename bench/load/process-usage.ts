/**
 * CPU and memory of a process, and CPU of the whole machine, from /proc. Never throws for a process
 * that has gone: its usage is null, and the row says nothing about it.
 */
import fs from 'node:fs';

/** Unit of the times in /proc/<pid>/stat: USER_HZ is 100 on every Linux that Node runs on. */
const TICK_US = 10_000;

export interface ProcessUsage {
  /** User and system time of all threads, ended ones included. */
  readonly cpuUs: number;
  /** Anonymous memory: what the process itself needs, mapped files left aside. */
  readonly rssAnonBytes: number;
  /** All that is in memory for it, pages of mapped files too. */
  readonly rssBytes: number;
}

export function readProcessUsage(pid: number): ProcessUsage | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in brackets, and may itself hold spaces and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // Fields 14 and 15 of proc(5), utime and stime; `fields` starts with field 3.
    const cpuUs = (Number(fields[11]) + Number(fields[12])) * TICK_US;
    const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
    const bytesOf = (name: string): number =>
      1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
    return { cpuUs, rssAnonBytes: bytesOf('RssAnon'), rssBytes: bytesOf('VmRSS') };
  } catch {
    return null;
  }
}

/** CPU that all processes of the machine have used, the kernel's own work included. */
export function readMachineCpuUs(): number {
  const line = fs.readFileSync('/proc/stat', 'utf8').split('\n', 1)[0];
  // user nice system idle iowait irq softirq steal: all but the two that mean idle, and steal.
  const [user, nice, system, , , irq, softIrq] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softIrq) * TICK_US;
}

/** Time that this machine's cores wanted to run and the hypervisor gave to others; 0 where there is none. */
export function readStolenUs(): number {
  const line = fs.readFileSync('/proc/stat', 'utf8').split('\n', 1)[0];
  return Number(line.split(/\s+/)[8] ?? 0) * TICK_US;
}
