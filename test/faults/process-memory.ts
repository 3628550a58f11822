import fs from 'node:fs';

/** Memory of a process that no file stands behind, in bytes (Linux). */
export function anonymousBytesOf(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) * 1024;
}
