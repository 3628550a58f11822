/**
 * @agent any
 *
 * Looks at the disk of a store: whether it can be written, how full it is against the limits at which sends are
 * refused, what kind of file system it is, and how long a sync takes. Measured with a file of its own beside the
 * store's, which is removed again.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { BrokerConfig } from '../base/broker-config.ts';
import { fileCalls } from '../store/file-calls.ts';
import { posix } from '../store/posix.ts';
import { segmentBytesFor } from '../store/retention.ts';
import { usedShare } from '../store/segment.ts';
import { bytesText, codeOf, messageOf, type Report } from './doctor-report.ts';
import type { StoreLayout } from './doctor-store.ts';

export interface DiskPlace {
  readonly root: string;
  /** The store, or the folder in which a start would make it. */
  readonly directory: string;
  readonly exists: boolean;
}

/** Null where there is a file, or nothing that could hold a store; which is told. */
export function checkPlace(report: Report, config: BrokerConfig): DiskPlace | null {
  const check = 'disk.directory';
  const root = path.resolve(config.storeDirectory);
  let directory = root;
  let stat = statOf(directory);
  while (stat === undefined && directory !== path.dirname(directory)) {
    directory = path.dirname(directory);
    stat = statOf(directory);
  }
  if (stat?.isDirectory() !== true) {
    report.problem(
      check,
      `${directory} is no directory that can be entered`,
      'choose another with --store-dir, or move the file away',
    );
    return null;
  }
  const exists = directory === root;
  try {
    fs.accessSync(directory, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    const isReadOnly = codeOf(error) === 'EROFS';
    report.problem(
      check,
      isReadOnly
        ? `${directory} is on a file system that is mounted to read only`
        : `${directory} can not be written by this user (${userText(process.geteuid?.())}); it belongs to ${userText(stat.uid)}, mode ${modeText(stat.mode)}`,
      isReadOnly
        ? 'find out why (dmesg: a disk with errors is remounted so), then mount -o remount,rw'
        : `run the broker as ${userText(stat.uid)}, or chown -R the store to the user of the broker`,
    );
    return null;
  }
  if (exists) checkOwners(report, root, stat.uid);
  else report.ok(check, `there is no store at ${root} yet: a start makes it`);
  return { root, directory, exists };
}

function statOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file, { throwIfNoEntry: false });
  } catch {
    // In a folder that can not be entered.
    return undefined;
  }
}

function userText(uid: number | undefined): string {
  if (uid === undefined) return 'an unknown user';
  const passwd = fs.existsSync('/etc/passwd') ? fs.readFileSync('/etc/passwd', 'utf8') : '';
  const name = passwd
    .split('\n')
    .find((line) => line.split(':')[2] === String(uid))
    ?.split(':')[0];
  return name === undefined ? `user ${uid}` : `user ${name}`;
}

const modeText = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0');

/** Files that a start opens before anything else. */
function checkOwners(report: Report, root: string, owner: number): void {
  const check = 'disk.owner';
  const files = ['.', 'lock', 'checkpoint', 'commitlog', 'consumequeue', 'index', 'config']
    .map((name) => path.join(root, name))
    .concat(filesIn(path.join(root, 'commitlog')), filesIn(path.join(root, 'config')));
  const me = process.geteuid?.();
  for (const file of files) {
    const stat = statOf(file);
    if (stat === undefined) continue;
    try {
      fs.accessSync(file, fs.constants.R_OK | fs.constants.W_OK);
    } catch {
      report.problem(
        check,
        `${file} can not be written by this user (${userText(me)}); it belongs to ${userText(stat.uid)}, mode ${modeText(stat.mode)}`,
        `run the broker as the user whose store it is, or chown -R it to ${userText(me)}`,
      );
      return;
    }
    if (stat.uid !== owner) {
      report.warning(
        check,
        `the store belongs to ${userText(owner)}, ${file} to ${userText(stat.uid)}: somebody has run a broker as another user`,
        `chown -R ${root} to the user of the broker, else it may not open its own files`,
      );
      return;
    }
  }
  if (me !== undefined && owner !== me)
    report.warning(
      check,
      `the store belongs to ${userText(owner)}; this command runs as ${userText(me)}`,
      `start the broker as ${userText(owner)}: what another user makes may be closed to it later`,
    );
  else report.ok(check, `${root} and its files belong to ${userText(owner)} and can be written`);
}

function filesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory).map((name) => path.join(directory, name));
  } catch {
    return [];
  }
}

export function checkSpace(
  report: Report,
  config: BrokerConfig,
  place: DiskPlace,
  layout: StoreLayout,
): void {
  const space = fileCalls.space(place.directory);
  const usedPercent = usedShare(space) * 100;
  const { diskSpaceWarningLevelRatio, diskSpaceCleanForciblyRatio, diskMaxUsedSpaceRatio } = config;
  const usableBytes = space.totalBytes - space.freeBytes + space.availableBytes;
  const leftBytes = Math.max(
    0,
    (usableBytes * diskSpaceWarningLevelRatio) / 100 - (space.totalBytes - space.freeBytes),
  );
  const text = `${usedPercent.toFixed(0)} % of the file system are used, ${bytesText(space.availableBytes)} are free`;
  const freeIt =
    'free space on it, make it larger, or keep messages for less time (fileReservedTime)';
  const segmentBytes =
    layout.segmentBytes ?? segmentBytesFor(config.segmentBytes, space.availableBytes);
  if (usedPercent > diskSpaceWarningLevelRatio)
    report.problem(
      'disk.space',
      `${text}: above ${diskSpaceWarningLevelRatio} % (diskSpaceWarningLevelRatio) sends are refused with 14`,
      freeIt,
    );
  else if (layout.segmentBytes !== null && space.availableBytes < segmentBytes)
    report.problem(
      'disk.space',
      `${text}: that is less than the next segment of the log needs, ${bytesText(segmentBytes)}; sends are refused with 14 then`,
      freeIt,
    );
  else if (usedPercent > diskSpaceCleanForciblyRatio)
    report.warning(
      'disk.space',
      `${text}: above ${diskSpaceCleanForciblyRatio} % the oldest messages are deleted before their time; ${bytesText(leftBytes)} more and sends are refused`,
      freeIt,
    );
  else if (usedPercent > diskMaxUsedSpaceRatio)
    report.warning(
      'disk.space',
      `${text}: above ${diskMaxUsedSpaceRatio} % expired messages are deleted at any hour; ${bytesText(leftBytes)} more and sends are refused`,
      freeIt,
    );
  else
    report.ok(
      'disk.space',
      `${text}; sends are refused above ${diskSpaceWarningLevelRatio} %, after ${bytesText(leftBytes)} more`,
    );
  if (segmentBytes === config.segmentBytes) return;
  if (layout.segmentBytes === null)
    report.warning(
      'disk.segment-size',
      `the disk has little space: segments would be made of ${bytesText(segmentBytes)}, not of ${bytesText(config.segmentBytes)}`,
      'a store keeps the size that it was made with: free space before the first start, or set mappedFileSizeCommitLog',
    );
  else
    report.ok(
      'disk.segment-size',
      `segments have ${bytesText(segmentBytes)}, whatever mappedFileSizeCommitLog says now (${bytesText(config.segmentBytes)})`,
    );
}

const INODES_MIN = 10_000;

/** statfs(2), f_type. */
const fileSystems: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x5846_5342: 'xfs',
  0x9123_683e: 'btrfs',
  0x2fc1_2fc1: 'zfs',
  0xf2f5_2010: 'f2fs',
  0x0102_1994: 'tmpfs',
  0x8584_58f6: 'ramfs',
  0x794c_7630: 'overlayfs',
  0x6969: 'nfs',
  0xff53_4d42: 'cifs',
  0xfe53_4d42: 'smb2',
  0x6573_5546: 'fuse',
  0x0102_1997: '9p',
  0x00c3_6400: 'ceph',
  0x5346_414f: 'afs',
  0x0bd0_0bd0: 'lustre',
  0x4750_4653: 'gpfs',
  0x1983_0326: 'beegfs',
};
const inMemory = new Set(['tmpfs', 'ramfs']);
const overNetwork = new Set([
  'nfs',
  'cifs',
  'smb2',
  'fuse',
  '9p',
  'ceph',
  'afs',
  'lustre',
  'gpfs',
  'beegfs',
]);

export function checkFileSystem(report: Report, place: DiskPlace): void {
  const status = fs.statfsSync(place.directory);
  const type = status.type < 0 ? status.type + 2 ** 32 : status.type;
  const name = fileSystems[type] ?? `of type 0x${type.toString(16)}`;
  const text = `the file system is ${name}`;
  if (inMemory.has(name))
    report.warning(
      'disk.file-system',
      `${text}: messages are in memory, and gone when the machine or the container ends`,
      'for anything but tests choose a directory on a disk with --store-dir',
    );
  else if (name === 'overlayfs')
    report.warning(
      'disk.file-system',
      `${text}, the layer of a container: the store goes with the container`,
      'mount a volume, and put the store there with --store-dir',
    );
  else if (overNetwork.has(name))
    report.warning(
      'disk.file-system',
      `${text}, which is usually over a network: mapped files end the broker with SIGBUS when it is lost, locks may not hold between machines, and syncs are slow`,
      'use a local disk, or a block device over the network',
    );
  else report.ok('disk.file-system', text);
  // btrfs and others make them as they are needed, and say 0.
  if (status.files > 0 && status.ffree < INODES_MIN)
    report.problem(
      'disk.inodes',
      `${status.ffree} of ${status.files} inodes are free: each queue of a topic needs two`,
      'delete small files on this file system, or make one with more inodes (mkfs -N)',
    );
  else
    report.ok(
      'disk.inodes',
      status.files > 0 ? `${status.ffree} inodes are free` : 'inodes are made as they are needed',
    );
}

const SYNC_COUNT = 16;
const SYNC_BYTES = 4096;
/** A disk that does not answer for that long does not answer. */
const SYNC_TIMEOUT_MS = 15_000;
/** With it a broker with synchronous flush has some 50 syncs a second, each for all who wait. A guess. */
const SLOW_SYNC_MS = 20;
const ALLOCATED_BYTES = 1024 * 1024;

/** Writes, syncs and allocates a small file; resolves to whether the disk answered at all. */
export async function checkWrites(
  report: Report,
  config: BrokerConfig,
  place: DiskPlace,
): Promise<boolean> {
  const file = path.join(place.directory, `.millrace-doctor.${process.pid}`);
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), SYNC_TIMEOUT_MS);
  });
  try {
    const times = await Promise.race([measure(report, config, file), patience]);
    if (times === null) {
      report.problem(
        'disk.sync',
        `a sync of ${SYNC_BYTES} bytes has not come back within ${SYNC_TIMEOUT_MS / 1000} s`,
        'look at the device (dmesg, iostat -x): sends wait for it, and are answered 2 (busy) or 10 (flush timeout)',
      );
      return false;
    }
    tellSync(report, config, times);
  } catch (error) {
    tellFailure(report, error);
  } finally {
    clearTimeout(timer);
    fs.rmSync(file, { force: true });
  }
  return true;
}

/** Milliseconds of each sync. */
async function measure(report: Report, config: BrokerConfig, file: string): Promise<number[]> {
  const handle = await fs.promises.open(file, 'wx', 0o600);
  try {
    const bytes = Buffer.alloc(SYNC_BYTES, 1);
    const times: number[] = [];
    const beganMs = performance.now();
    for (let count = 0; count < SYNC_COUNT; count++) {
      await handle.write(bytes, 0, SYNC_BYTES, count * SYNC_BYTES);
      const startMs = performance.now();
      await handle.datasync();
      times.push(performance.now() - startMs);
      if (performance.now() - beganMs > SYNC_TIMEOUT_MS / 2) break;
    }
    if (config.storeKind === 'mapped') tellAllocation(report, handle.fd);
    return times;
  } finally {
    await handle.close();
  }
}

function tellAllocation(report: Report, descriptor: number): void {
  let errno: number;
  try {
    errno = posix().posixFallocate(descriptor, 0, ALLOCATED_BYTES);
  } catch {
    // Without koffi: told where koffi is looked at.
    return;
  }
  if (errno === 0) {
    const { blocks } = fs.fstatSync(descriptor);
    if (blocks * 512 >= ALLOCATED_BYTES) report.ok('disk.allocate', 'posix_fallocate works');
    else
      report.warning(
        'disk.allocate',
        'posix_fallocate succeeds and keeps no space: the file system may compress or copy on write',
        'a full disk is then an error that ends the broker, not an answer: leave it space, or use ext4 or xfs',
      );
    return;
  }
  report.problem(
    'disk.allocate',
    `posix_fallocate fails: ${posix().errorName(errno)}; segments of the log can not be made`,
    'use a file system that has it (ext4, xfs), free space, or set storeKind=plain and --threads inline',
  );
}

function tellSync(report: Report, config: BrokerConfig, times: number[]): void {
  times.sort((one, other) => one - other);
  const median = times[Math.floor(times.length / 2)];
  const longest = times[times.length - 1];
  const text = `a sync of ${SYNC_BYTES} bytes takes ${median.toFixed(2)} ms (median of ${times.length}; longest ${longest.toFixed(1)} ms)`;
  if (median > SLOW_SYNC_MS)
    report.warning(
      'disk.sync',
      `${text}, which is slow`,
      config.flush === 'sync'
        ? 'each send waits for one: use a faster disk (NVMe, or a controller with a battery), take other writers off it, or use --flush async where the last half second may be lost with power'
        : 'sends do not wait for it, but the background flush falls behind: take other writers off this disk',
    );
  else report.ok('disk.sync', text);
}

function tellFailure(report: Report, error: unknown): void {
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    report.problem(
      'disk.write',
      code === 'EDQUOT'
        ? 'the quota of this user is used up'
        : 'the disk is full: not even a small file can be written',
      'free space, or raise the quota; a running broker goes on by itself then',
    );
  else
    report.problem(
      'disk.write',
      `a file can not be written and synced: ${messageOf(error)}`,
      'look at the device (dmesg), at rights and at limits; a broker ends when a sync fails',
    );
}
