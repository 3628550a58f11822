/**
 * A disk of its own for a test: a file system in a file, which can be filled, frozen and made read-only without
 * harm to anybody else. Needs root and a kernel that mounts.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const MIB = 1024 * 1024;

export class LoopDisk {
  readonly directory: string;
  readonly #image: string;
  readonly #device: string;

  private constructor(directory: string, image: string, device: string) {
    this.directory = directory;
    this.#image = image;
    this.#device = device;
  }

  /** Why there can be none; null where there can. */
  static refusal(): string | null {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'millrace-loop-'));
    try {
      LoopDisk.mount(root, 8).unmount();
      return null;
    } catch (error) {
      return String(error instanceof Error ? error.message : error).split('\n')[0];
    } finally {
      fs.rmSync(root, { recursive: true, force: true });
    }
  }

  /** Makes and mounts an ext4 below a folder. */
  static mount(under: string, mib: number): LoopDisk {
    const image = path.join(under, 'disk.img');
    const directory = path.join(under, 'disk');
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(image, '');
    fs.truncateSync(image, mib * MIB);
    const device = run('losetup', '-f', '--show', image).trim();
    try {
      run('mkfs.ext4', '-q', '-O', '^has_journal', device);
      run('mount', '-o', 'errors=remount-ro', device, directory);
    } catch (error) {
      run('losetup', '-d', device);
      throw error;
    }
    return new LoopDisk(directory, image, device);
  }

  /** Nothing more gets to the disk until `thaw`: whoever writes or syncs waits. */
  freeze(): void {
    run('fsfreeze', '-f', this.directory);
  }

  thaw(): void {
    run('fsfreeze', '-u', this.directory);
  }

  /** The file system finds an error, and is read-only from then on, as after a fault of a real device. */
  failReadOnly(): void {
    fs.writeFileSync(`/sys/fs/ext4/${path.basename(this.#device)}/trigger_fs_error`, 'a test');
  }

  /** Unmounts, mends, and mounts again. */
  repair(): void {
    run('umount', this.directory);
    try {
      run('e2fsck', '-fy', this.#device);
    } catch (error) {
      // 1: errors were corrected.
      if ((error as { status?: number }).status !== 1) throw error;
    }
    run('mount', this.#device, this.directory);
  }

  unmount(): void {
    run('umount', this.directory);
    run('losetup', '-d', this.#device);
    fs.rmSync(this.#image, { force: true });
  }
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
