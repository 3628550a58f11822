/**
 * @agent reactor
 *
 * What the web port answers over HTTP. No path leads to a file.
 *
 * | path | answer |
 * |---|---|
 * | `/` | what this is |
 * | `/healthz` | 200 while the process serves |
 * | `/readyz` | 200 when messages are taken, else 503 and why |
 * | `/metrics` | Prometheus text |
 */
import type { WebReply, WebRequest } from './web-listener.ts';

export interface WebPagesOptions {
  /** Null: ready. Otherwise why not. */
  readonly unreadyReason: () => string | null;
  readonly metrics: { answer(reply: WebReply): Promise<void> };
  /** What this is, and who may connect here. */
  readonly greeting: string;
}

export function answerWebRequest(
  request: WebRequest,
  reply: WebReply,
  options: WebPagesOptions,
): void {
  const { method, path } = request;
  if (!isPath(path))
    answerText(reply, 404, 'there is no such page; see /healthz, /readyz, /metrics');
  else if (method !== 'GET' && (method !== 'HEAD' || path === '/metrics'))
    answerText(reply, 405, 'only GET is served, and HEAD of short pages', { allow: 'GET, HEAD' });
  else if (path === '/metrics') void options.metrics.answer(reply);
  else if (path === '/readyz') {
    const why = options.unreadyReason();
    answerText(reply, why === null ? 200 : 503, why ?? 'ready');
  } else if (path === '/healthz') answerText(reply, 200, 'serving');
  else answerText(reply, 200, options.greeting);
}

type Path = '/' | '/healthz' | '/readyz' | '/metrics';

function isPath(path: string): path is Path {
  return path === '/' || path === '/healthz' || path === '/readyz' || path === '/metrics';
}

function answerText(
  reply: WebReply,
  status: number,
  line: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = `${line}\n`;
  reply.begin(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  });
  reply.end(text);
}
