/**
 * @agent any
 *
 * Serves the page on this machine. The page is bundled once, at the start; what it speaks with the
 * broker does not pass here.
 *
 *   node serve.ts [--port 3001] [--condition NAME]
 */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '3001' },
    // How packages are resolved, beside the usual: `millrace-source` in a checkout of Millrace.
    condition: { type: 'string', multiple: true, default: [] },
  },
});

const folder = import.meta.dirname;
const bundle = await build({
  entryPoints: [path.join(folder, 'page.ts')],
  bundle: true,
  format: 'esm',
  minify: true,
  write: false,
  target: 'es2022',
  conditions: ['browser', ...values.condition],
});

const page = (name: string): Buffer => fs.readFileSync(path.join(folder, name));
const files: Readonly<Record<string, [type: string, content: Uint8Array]>> = {
  '/': ['text/html', page('index.html')],
  '/page.css': ['text/css', page('page.css')],
  '/page.js': ['text/javascript', bundle.outputFiles[0].contents],
};

const server = http.createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  const file = files[pathname];
  if (file === undefined) {
    response.writeHead(404).end();
    return;
  }
  const [type, content] = file;
  response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(content);
});
server.listen(Number(values.port), '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : values.port;
  console.log(`http://127.0.0.1:${port}/`);
});
