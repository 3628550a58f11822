/** Frames of sends, whole and broken, and what is made of them without what the writer stamps. */

export const plainHeader =
  '{"code":310,"extFields":{"a":"group","b":"TopicA","c":"TBW102","d":"4","e":"3","f":"0","g":"1764300000000","h":"0","i":"UNIQ_KEY\\u0001AC11000200\\u0002WAIT\\u0001true\\u0002TAGS\\u0001TagA","j":"0","k":"false","m":"false"},"flag":0,"language":"JAVA","opaque":77,"serializeTypeCurrentRPC":"JSON","version":461}';

export function frameOf(header: Buffer, body: Uint8Array, serializeType = 0): Buffer {
  const frame = Buffer.alloc(8 + header.length + body.length);
  frame.writeInt32BE(frame.length - 4, 0);
  frame.writeInt32BE(header.length | (serializeType << 24), 4);
  frame.set(header, 8);
  frame.set(body, 8 + header.length);
  return frame;
}

/** Where the writer stamps, whatever the ring had before is still there. */
export function withoutStamps(bytes: Buffer): string {
  const copy = Buffer.from(bytes);
  const magics = ['daa320a7', 'daa320ab'].map((magic) => copy.indexOf(Buffer.from(magic, 'hex')));
  const record = Math.max(...magics) - 4;
  if (record >= 0) {
    copy.fill(0, record + 20, record + 36);
    const bornHostBytes = (copy.readInt32BE(record + 36) & 0x10) === 0 ? 8 : 20;
    copy.fill(0, record + 48 + bornHostBytes, record + 56 + bornHostBytes);
  }
  return copy.toString('latin1');
}

export const plain = (
  change: (header: string) => string = (header) => header,
  bodyBytes = 128,
): Buffer =>
  frameOf(Buffer.from(change(plainHeader)), Buffer.alloc(bodyBytes, 'body of a message; '));

export const replaced =
  (from: string | RegExp, to: string) =>
  (header: string): string => {
    const changed = header.replace(from, to);
    if (changed === header) throw new Error(`nothing to replace: ${String(from)}`);
    return changed;
  };

/** The fields of `plainHeader`, or others, in the binary form of a header. */
export function binary(
  body: Uint8Array = Buffer.from('body'),
  fields: Readonly<Record<string, string>> = (
    JSON.parse(plainHeader) as { extFields: Record<string, string> }
  ).extFields,
): Buffer {
  const encoded = Buffer.concat(
    Object.entries(fields).map(([name, value]) => {
      const field = Buffer.alloc(2 + name.length + 4 + value.length);
      field.writeInt16BE(name.length);
      field.write(name, 2);
      field.writeInt32BE(value.length, 2 + name.length);
      field.write(value, 6 + name.length);
      return field;
    }),
  );
  const head = Buffer.alloc(21);
  head.writeInt16BE(310);
  head.writeInt16BE(461, 3);
  head.writeInt32BE(77, 5);
  head.writeInt32BE(encoded.length, 17);
  return frameOf(Buffer.concat([head, encoded]), body, 1);
}
