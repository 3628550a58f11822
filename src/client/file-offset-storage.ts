/**
 * @agent any
 *
 * Offsets of broadcasting members in files of the user's home, where RocketMQ's clients keep theirs, too:
 * of Node alone. A file is replaced as a whole, so that a crash leaves the former or the new one.
 */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { OffsetStorage } from './offset-store.ts';

const FOLDER = '.millrace_offsets';

export class FileOffsetStorage implements OffsetStorage {
  readonly #folder: string;

  constructor(folder = path.join(os.homedir(), FOLDER)) {
    this.#folder = folder;
  }

  async read(name: string): Promise<string | null> {
    try {
      return await fs.readFile(this.#fileOf(name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  async write(name: string, text: string): Promise<void> {
    const file = this.#fileOf(name);
    const temporary = `${file}.${process.pid}.tmp`;
    await fs.mkdir(path.dirname(file), { recursive: true });
    await fs.writeFile(temporary, text);
    await fs.rename(temporary, file);
  }

  /** Names hold what clients and groups are called, which may be anything. */
  #fileOf(name: string): string {
    return path.join(this.#folder, `${encodeURIComponent(name).replaceAll('.', '%2E')}.json`);
  }
}
