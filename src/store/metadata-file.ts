/**
 * @agent flusher
 *
 * The JSON files under `config/`, as RocketMQ keeps them: the version before is kept as `.bak`, and
 * is read where the file itself is missing, empty or cut.
 */
import { parseFastjson } from '../protocol/fastjson.ts';
import type { StoreFiles } from './segment.ts';

/** The text of the newest version that can be parsed; undefined where there is none. */
export function readMetadata(files: StoreFiles, path: string): string | undefined {
  for (const file of [path, `${path}.bak`]) {
    const text = files.readFile(file)?.toString('utf8');
    if (text === undefined || text.trim() === '') continue;
    if (isParsable(text)) return text;
  }
  return undefined;
}

/** Whether it is JSON, as it should be or as RocketMQ writes it. */
export function isParsable(text: string): boolean {
  for (const parse of [JSON.parse, parseFastjson]) {
    try {
      parse(text);
      return true;
    } catch {
      continue;
    }
  }
  return false;
}

/** Replaces the file; after a crash it is the old one or the new one. A private one only its owner may read. */
export function writeMetadata(
  files: StoreFiles,
  path: string,
  text: string,
  isPrivate = false,
): void {
  const previous = files.readFile(path);
  if (previous !== undefined && looksWhole(previous))
    files.replaceFile(`${path}.bak`, previous, isPrivate);
  files.replaceFile(path, Buffer.from(text), isPrivate);
}

/** A cut or blanked file does not end like JSON; it must not take the place of a good `.bak`. */
function looksWhole(content: Buffer): boolean {
  const text = content.toString('latin1').trim();
  return text.startsWith('{') && text.endsWith('}');
}
