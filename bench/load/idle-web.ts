/**
 * Question: what do 10,000 idle WebSocket connections, as browsers keep them, cost, and do sends feel them?
 * Machine: 2 cores, Linux (reads /proc). The broker runs already, with --web-port.
 * Command: node bench/load/idle-web.ts --address 127.0.0.1:10911 --web-port 8088 --pid <broker's process>
 *
 * Runs paced sends by TCP, opens the connections, each of which says one heartbeat and then one each 30 s,
 * and runs the same sends again. The limit of open files must allow it (ulimit -n).
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { encodeRequest } from '../../src/protocol/remoting-command.ts';
import { parseAddress } from './broker-setup.ts';
import { HEAD_BYTES_MAX, upgradeRequest, WebReader, writeHead } from './web-framing.ts';

const HEARTBEAT = 34;
const HEARTBEAT_INTERVAL_MS = 30_000;
const OPENING_AT_ONCE = 100;

const program = new Command('idle-web')
  .requiredOption('--address <HOST:PORT>', 'the broker')
  .requiredOption('--web-port <N>', 'its port for browsers', Number)
  .requiredOption('--pid <PID>', 'its process', Number)
  .option('--connections <N>', 'idle connections', Number, 10_000)
  .option('--rate <N>', 'paced sends a second', Number, 5000)
  .option('--seconds <N>', 'length of a run of sends', Number, 10)
  .option('--pairs <N>', 'runs with and without', Number, 3)
  .parse();
const options = program.opts<{
  address: string;
  webPort: number;
  pid: number;
  connections: number;
  rate: number;
  seconds: number;
  pairs: number;
}>();
const web = { host: parseAddress(options.address).host, port: options.webPort, isWeb: true };

function anonymousMib(): number {
  const status = fs.readFileSync(`/proc/${options.pid}/status`, 'utf8');
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

async function sendP99(): Promise<number> {
  const flags = {
    address: options.address,
    rate: options.rate,
    seconds: options.seconds,
    warmup: 2,
  };
  const asked = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const main = new URL('main.ts', import.meta.url).pathname;
  const stdout = await new Promise<string>((resolve) => {
    // Exit code 1 says that the run has marks, which are printed.
    execFile(process.execPath, [main, 'paced', '--json', ...asked], (_error, text) =>
      resolve(text),
    );
  });
  const result = JSON.parse(stdout) as { sendLatency: { p99Ms: number }; marks: string[] };
  if (result.marks.length > 0) console.log(`  marks of the run: ${result.marks.join(', ')}`);
  return result.sendLatency.p99Ms;
}

function heartbeatMessage(index: number): Buffer {
  const frame = encodeRequest({
    code: HEARTBEAT,
    opaque: 1,
    flag: 0,
    extFields: [],
    body: Buffer.from(
      JSON.stringify({
        clientID: `browser-${index}`,
        consumerDataSet: [],
        producerDataSet: [{ groupName: 'idle-browsers' }],
      }),
    ),
    serializeType: 0,
  });
  const block = Buffer.concat([Buffer.alloc(HEAD_BYTES_MAX), frame]);
  return block.subarray(writeHead(block, frame.length));
}

let openCount = 0;
let lostCount = 0;

function open(index: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(web.port, web.host);
    let isAnswered = false;
    const reader = new WebReader(
      () => socket.write(heartbeatMessage(index)),
      () => {
        if (isAnswered) return;
        isAnswered = true;
        openCount++;
        resolve(socket);
      },
    );
    socket.on('data', (chunk) => reader.feed(chunk));
    socket.once('connect', () => socket.write(upgradeRequest(web)));
    socket.on('error', reject);
    socket.on('close', () => (lostCount += 1));
  });
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];

const alone: number[] = [];
const beside: number[] = [];
const growths: number[] = [];
for (let pair = 0; pair < options.pairs; pair++) {
  alone.push(await sendP99());
  await sleep(2000);
  const beforeMib = anonymousMib();
  const sockets: net.Socket[] = [];
  openCount = 0;
  lostCount = 0;
  while (sockets.length < options.connections) {
    const count = Math.min(OPENING_AT_ONCE, options.connections - sockets.length);
    const more = Array.from({ length: count }, (_, index) => open(sockets.length + index));
    sockets.push(...(await Promise.all(more)));
  }
  const beats = setInterval(() => {
    for (const [index, socket] of sockets.entries()) {
      const afterMs = (index / sockets.length) * HEARTBEAT_INTERVAL_MS;
      setTimeout(() => socket.write(heartbeatMessage(index)), afterMs);
    }
  }, HEARTBEAT_INTERVAL_MS);
  await sleep(10_000);
  growths.push(anonymousMib() - beforeMib);
  beside.push(await sendP99());
  clearInterval(beats);
  console.log(
    `pair ${pair + 1}: ${openCount} connections, ${lostCount} lost, +${growths.at(-1)?.toFixed(0)} MiB anonymous, ` +
      `p99 of ${options.rate} sends/s ${alone.at(-1)?.toFixed(2)} ms alone, ${beside.at(-1)?.toFixed(2)} ms beside them`,
  );
  for (const socket of sockets) socket.destroy();
  await sleep(2000);
}
console.log(
  `median: +${median(growths).toFixed(0)} MiB, p99 ${median(alone).toFixed(2)} ms alone, ` +
    `${median(beside).toFixed(2)} ms beside: ${(median(beside) / median(alone)).toFixed(2)} x`,
);
process.exit(0);
