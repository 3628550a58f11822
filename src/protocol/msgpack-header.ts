/**
 * @agent any
 *
 * The third form of a frame's header, serialize type 2, which only Millrace and its clients speak: one
 * MessagePack array.
 *
 * ```
 * [ code, flag, opaque, version, remark | nil, { name: value, … } ]
 *   int32 each, in any form of      str          str → str, always text, as in the other headers
 *   MessagePack's integers
 * ```
 * A library reads whatever MessagePack can say: floats, dates, nested maps and extensions that make objects,
 * and only then could be asked whether it was a header. Here a byte that is no header ends the reading, a
 * declared count or length is held against the bytes that are left before anything is made of it, and
 * nothing nests, so that hostile input costs neither time nor memory. The scanner of requests and the
 * client's reader of frames, which need places and no strings, share the reader (`msgpack-reader.ts`).
 *
 * Source: the MessagePack specification (github.com/msgpack/msgpack/blob/master/spec.md).
 */
import { MsgpackReader } from './msgpack-reader.ts';
import { messagePackTextBytesMax, writeMessagePackHeader } from './msgpack-writer.ts';

export interface MsgpackHeader {
  code: number;
  flag: number;
  opaque: number;
  version: number;
  remark: string | null;
  extFields: Map<string, string>;
}

const reader = new MsgpackReader();

/** Null where the bytes are no header, or one with more than `fieldCountMax` fields. */
export function decodeMsgpackHeader(header: Buffer, fieldCountMax: number): MsgpackHeader | null {
  reader.begin(header, 0, header.length);
  const code = reader.integer();
  const flag = reader.integer();
  const opaque = reader.integer();
  const version = reader.integer();
  const text = (): string => {
    reader.text();
    return header.toString('utf8', reader.textStart, reader.textEnd);
  };
  const remark = reader.nil() ? null : text();
  const count = reader.mapCount();
  if (count > fieldCountMax) return null;
  const extFields = new Map<string, string>();
  for (let index = 0; index < count && !reader.isBad; index++) {
    const name = text();
    extFields.set(name, text());
  }
  return reader.isWhole ? { code, flag, opaque, version, remark, extFields } : null;
}

/** Of the array, four integers and a map's count, without the text. */
const PLAIN_BYTES_MAX = 1 + 4 * 5 + 5;

export function encodeMsgpackHeader(header: MsgpackHeader): Buffer {
  const { remark, extFields } = header;
  const fields = [...extFields];
  let bytesMax = PLAIN_BYTES_MAX + messagePackTextBytesMax(remark ?? '');
  for (const [name, value] of fields)
    bytesMax += messagePackTextBytesMax(name) + messagePackTextBytesMax(value);
  const bytes = Buffer.alloc(bytesMax);
  return bytes.subarray(0, writeMessagePackHeader(bytes, 0, { ...header, fields }));
}
