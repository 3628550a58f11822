/**
 * @agent reactor
 *
 * Which pages may open a WebSocket. A browser lets any page connect anywhere and only says which page
 * it is, so the broker has to look: without this every site that a developer visits could read the
 * broker on the developer's own machine.
 *
 * | `Origin` | may connect |
 * |---|---|
 * | none | yes: not a browser |
 * | listed, or `*` is listed | yes |
 * | of this machine (localhost, 127.…, [::1]) | yes |
 * | the host and port that were asked for | yes, where that host is an IP address, localhost or advertised |
 * | anything else, `null` too | no |
 *
 * A name that is not known here does not count as the same origin: a page can have its own name point
 * to 127.0.0.1 (DNS rebinding).
 */
import net from 'node:net';

export interface OriginRules {
  /** webAllowedOrigins: `scheme://host[:port]`, `null` or `*`. */
  readonly allowed: readonly string[];
  /** Names of this broker besides its addresses: what `advertise` says. */
  readonly names: readonly string[];
}

/** Null: it may connect. Otherwise why not, in a sentence. */
export function originRefusal(
  origin: string | undefined,
  host: string | undefined,
  rules: OriginRules,
): string | null {
  if (origin === undefined || origin === '') return null;
  const asked = origin.toLowerCase();
  for (const allowed of rules.allowed) {
    if (allowed === '*' || allowed.toLowerCase().replace(/\/$/, '') === asked) return null;
  }
  const match = /^https?:\/\/([^/?#@]+)$/.exec(asked);
  if (match !== null) {
    const [, authority] = match;
    const name = hostOf(authority);
    if (isLoopback(name)) return null;
    const isKnown = net.isIP(name) !== 0 || rules.names.some((own) => own.toLowerCase() === name);
    if (isKnown && authority === host?.toLowerCase()) return null;
  }
  return `pages of ${JSON.stringify(origin.slice(0, 256))} may not connect: list their origin in webAllowedOrigins (--web-allowed-origins)`;
}

/** What may stand in webAllowedOrigins. */
export function isOriginPattern(text: string): boolean {
  return text === '*' || text === 'null' || /^https?:\/\/[^/?#@\s]+\/?$/i.test(text);
}

/** `host`, `host:port`, `[v6]:port` without the port and brackets. */
function hostOf(authority: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(authority);
  return bracketed === null ? authority.replace(/:\d+$/, '') : bracketed[1];
}

function isLoopback(name: string): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1') return true;
  return net.isIPv4(name) && name.startsWith('127.');
}
