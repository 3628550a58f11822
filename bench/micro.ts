/**
 * The command `npm run bench:micro -- [PART…]`: what single parts cost by themselves. Each file says its
 * question; each runs in a process of its own, so that none warms up or spoils the code of another.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const files = [
  'protocol/header-codecs.bench.ts',
  'protocol/checksum.bench.ts',
  'client/message-pack.bench.ts',
  'ring/spsc-ring.bench.ts',
  'ring/copy.bench.ts',
  'workers/request-worker.bench.ts',
  'broker/filter.bench.ts',
  'store/consume-queue.bench.ts',
  'store/index-store.bench.ts',
];
const parts = process.argv.slice(2);
const chosen = files.filter(
  (file) => parts.length === 0 || parts.some((part) => file.includes(part)),
);
if (chosen.length === 0)
  console.error(`nothing is called ${parts.join(' ')}; there are:\n${files.join('\n')}`);
let failedCount = chosen.length === 0 ? 1 : 0;
for (const file of chosen) {
  console.log(`\n${file}`);
  const { status } = spawnSync(process.execPath, [path.join(import.meta.dirname, file)], {
    stdio: 'inherit',
  });
  if (status !== 0) failedCount++;
}
process.exitCode = failedCount === 0 ? 0 : 1;
