/**
 * @agent any
 *
 * Looks at what a broker stands on: Node, native code, processors, memory, open files.
 */
import fs from 'node:fs';
import os from 'node:os';
import process from 'node:process';
import type { BrokerConfig } from '../base/broker-config.ts';
import { loadUws } from '../reactor/uws-listener.ts';
import { posix } from '../store/posix.ts';
import { processLimits, readText } from './doctor-processes.ts';
import { FILES_OF_STORE } from './open-files.ts';
import { bytesText, messageOf, type Report } from './doctor-report.ts';

const TESTED_NODE_MAJOR = 24;

export function checkMachine(report: Report, config: BrokerConfig): void {
  const version = process.versions.node;
  if (Number(version.split('.')[0]) < TESTED_NODE_MAJOR)
    report.warning(
      'machine.node',
      `Node ${version} runs Millrace, and is not what it is tested on`,
      `install Node ${TESTED_NODE_MAJOR}: it is faster, and what the tests run on`,
    );
  else report.ok('machine.node', `Node ${version}, ${process.platform} ${process.arch}`);
  checkKoffi(report, config);
  checkWebLibrary(report, config);
  checkProcessors(report);
}

function checkKoffi(report: Report, config: BrokerConfig): void {
  if (config.storeKind === 'plain') {
    report.ok('machine.koffi', 'storeKind is plain: no native code is needed for the store');
    return;
  }
  try {
    posix();
    report.ok('machine.koffi', 'koffi loads: segments are mapped memory');
  } catch (error) {
    report.problem(
      'machine.koffi',
      `koffi does not load, and a mapped store needs it: ${messageOf(error).split('\n')[0]}`,
      'run npm ci again on this machine (its install script fetches nothing, but must be allowed), or set storeKind=plain and --threads inline',
    );
  }
}

function checkWebLibrary(report: Report, config: BrokerConfig): void {
  const { webPort, webLibrary } = config;
  if (webPort < 0) {
    report.ok('machine.web-library', 'the web port is off: no library is needed for it');
    return;
  }
  const hasTls = config.tlsServerCertPath !== null && config.tlsServerMode !== 'disabled';
  const uws = webLibrary === 'ws' || hasTls ? null : loadUws();
  if (uws === null)
    report.ok(
      'machine.web-library',
      hasTls
        ? 'ws carries the web port, since there is TLS'
        : 'ws carries the web port, as webLibrary says',
    );
  else if (typeof uws !== 'string')
    report.ok('machine.web-library', 'uWebSockets.js carries the web port');
  else if (webLibrary === 'uws')
    report.problem(
      'machine.web-library',
      `webLibrary is uws, and uWebSockets.js does not load: ${uws}`,
      'set webLibrary=auto, or use a system with glibc 2.38 or newer',
    );
  else
    report.ok(
      'machine.web-library',
      `ws carries the web port: uWebSockets.js does not load here (${uws})`,
    );
}

/** Below, the broker and what makes its files ready wait for each other. */
const PROCESSORS_MIN = 2;

function checkProcessors(report: Report): void {
  const count = os.availableParallelism();
  const quota = processorQuota();
  const text = `${count} ${count === 1 ? 'processor' : 'processors'}${quota === null ? '' : `, of which a limit of this group of processes leaves ${quota.toFixed(1)}`}`;
  if (Math.min(count, quota ?? count) < PROCESSORS_MIN)
    report.warning(
      'machine.processors',
      text,
      'give it 2: flushing and new segments wait for the same processor as answers otherwise',
    );
  else report.ok('machine.processors', text);
}

/** Processors that a control group leaves; null where there is no limit. */
function processorQuota(): number | null {
  const [quota, period] = (readText('/sys/fs/cgroup/cpu.max') ?? '').trim().split(' ');
  const quotaUs = Number(quota);
  const periodUs = Number(period);
  if (quotaUs > 0 && periodUs > 0) return quotaUs / periodUs;
  const oldQuotaUs = Number(readText('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') ?? -1);
  const oldPeriodUs = Number(readText('/sys/fs/cgroup/cpu/cpu.cfs_period_us') ?? 0);
  return oldQuotaUs > 0 && oldPeriodUs > 0 ? oldQuotaUs / oldPeriodUs : null;
}

const MIB = 1024 * 1024;
/** RssAnon after a start is 104 MiB (README); the rest is connections and answers under way. */
const BASE_BYTES = 192 * MIB;
/** 99 MiB more with 80,000 queues (README). */
const QUEUE_BYTES = 1300;

export function checkMemory(
  report: Report,
  store: { readonly queueCount: number },
  brokerPid: number | null,
): void {
  const neededBytes = BASE_BYTES + store.queueCount * QUEUE_BYTES;
  const needed = `${bytesText(neededBytes)} for ${store.queueCount} queues`;
  const limits = brokerPid === null ? null : processLimits(brokerPid);
  if (limits !== null) {
    const text = `the broker takes ${bytesText(limits.residentBytes)}, mapped segments included`;
    if (limits.swappedBytes > MIB)
      report.warning(
        'memory.swap',
        `${text}; ${bytesText(limits.swappedBytes)} of it are in swap`,
        'what is in swap answers late: give the machine more memory, or other programs less (vm.swappiness, MemorySwapMax=0)',
      );
    else report.ok('memory.broker', text);
  }
  // A limit of the control group counts, what others use of the machine too.
  const availableBytes = process.availableMemory();
  const available = `${bytesText(availableBytes)} of memory can be had`;
  const limitBytes = process.constrainedMemory();
  const isLimited = limitBytes > 0 && limitBytes < os.totalmem();
  const limit = isLimited ? ` (limit of this group of processes: ${bytesText(limitBytes)})` : '';
  const ownBytes = brokerPid === null ? neededBytes : 0;
  if (isLimited && limitBytes < neededBytes)
    report.problem(
      'memory.limit',
      `the memory limit of ${bytesText(limitBytes)} is below what a broker needs: about ${needed}`,
      `raise it to at least ${bytesText(neededBytes * 2)}: the page cache of the log counts as well`,
    );
  else if (availableBytes < ownBytes * 2)
    report.warning(
      'memory.available',
      `${available}${limit}; a broker needs about ${needed}`,
      'leave as much again for the page cache: what is not in it is read from the disk',
    );
  else report.ok('memory.available', `${available}${limit}; a broker needs about ${needed}`);
}

/** Nobody who has set nothing wants a warning for the rest of connectionCountMax. A guess. */
const USUAL_CONNECTIONS = 4096;

export function checkOpenFiles(
  report: Report,
  config: BrokerConfig,
  brokerPid: number | null,
): void {
  const limits = processLimits(brokerPid ?? process.pid);
  if (limits === null) {
    report.ok('machine.open-files', 'the limit of open files is not told on this system');
    return;
  }
  const { openFilesMax, openFiles } = limits;
  const whose = brokerPid === null ? '' : ' of the running broker';
  const used = brokerPid === null || openFiles === null ? '' : `, ${openFiles} are open`;
  const text = `limit of open files${whose}: ${openFilesMax}${used}`;
  const clients = Math.max(0, openFilesMax - FILES_OF_STORE);
  const wanted = FILES_OF_STORE + Math.min(config.connectionCountMax, USUAL_CONNECTIONS);
  const advice = `raise it (ulimit -n ${wanted}, LimitNOFILE=${wanted} in a systemd unit, --ulimit nofile=${wanted} of docker)`;
  if (brokerPid !== null && openFiles !== null && openFiles > openFilesMax * 0.9)
    report.problem('machine.open-files', `${text}: soon nothing more can be opened`, advice);
  else if (openFilesMax < FILES_OF_STORE)
    report.problem('machine.open-files', `${text}, and a store may need ${FILES_OF_STORE}`, advice);
  else if (openFilesMax < wanted)
    report.warning('machine.open-files', `${text}: enough for about ${clients} clients`, advice);
  else {
    const most = Math.min(clients, config.connectionCountMax);
    report.ok('machine.open-files', `${text}: enough for ${most} clients`);
  }
}

/** Queues that a store has, by its folders. */
export function countQueues(consumeQueue: string): number {
  let count = 0;
  try {
    for (const topic of fs.readdirSync(consumeQueue))
      count += fs.readdirSync(`${consumeQueue}/${topic}`).length;
  } catch {
    // What can not be listed is told by the look at the store.
  }
  return count;
}
