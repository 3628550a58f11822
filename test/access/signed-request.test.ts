/**
 * A request is the same to who signs and to who checks, whatever the header codec and whichever way it is
 * read; our own signer, the one for browsers and the one of this test agree.
 */
import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SignedRequest, SigningKey } from '../../src/access/signed-request.ts';
import { nodeHmacSha1 } from '../../src/client/node-security.ts';
import { RequestSigner } from '../../src/client/request-signer.ts';
import { hmacSha1 } from '../../src/client/sha1.ts';
import { decodeFrame, encodeRequest } from '../../src/protocol/remoting-command.ts';
import { RequestScanner } from '../../src/protocol/request-scanner.ts';
import { signed } from './signed-raw.ts';

const credentials = { accessKey: 'user', secretKey: 'the secret' };
const key = new SigningKey(credentials.secretKey);
const otherKey = new SigningKey('another');

const name = fc
  .string({ minLength: 1, maxLength: 12, unit: fc.constantFrom(...'abcXYZ_09.-'.split('')) })
  .filter((text) => !['AccessKey', 'Signature', '_UNIQUE_KEY_QUERY'].includes(text));
/** Lone surrogates have no UTF-8, and each language puts something else in their place. */
const value = fc.string({ maxLength: 40, unit: 'binary' }).map((text) => text.toWellFormed());

const fieldsOf = (entries: [string, string][]): Record<string, string> =>
  Object.fromEntries(entries);

function frameOf(fields: Record<string, string>, body: Buffer, serializeType: 0 | 1 | 2): Buffer {
  const frame = encodeRequest({
    code: 310,
    opaque: 7,
    extFields: Object.entries(fields),
    body,
    serializeType,
  });
  return frame.subarray(4);
}

function scanned(frame: Buffer): SignedRequest {
  const scanner = new RequestScanner();
  expect(scanner.scan(frame, 0, frame.length)).toBe(true);
  const request = new SignedRequest();
  request.readScanned(scanner);
  return request;
}

describe('the signature of a request', () => {
  test.each([0, 1, 2] as const)('is found right however it is read, codec %i', (codec) => {
    const property = fc.property(
      fc.uniqueArray(fc.tuple(name, value), { selector: ([one]) => one, maxLength: 20 }),
      fc.uint8Array({ maxLength: 200 }),
      (entries, bytes) => {
        const body = Buffer.from(bytes);
        const { fields } = signed({ code: 310, fields: fieldsOf(entries), body }, credentials);
        const frame = frameOf(fields as Record<string, string>, body, codec);
        const byScanner = scanned(frame);
        const byDecoder = new SignedRequest();
        const command = decodeFrame(frame);
        byDecoder.readDecoded(command.extFields, command.version, command.body);
        for (const request of [byScanner, byDecoder]) {
          expect(request.accessKey).toBe('user');
          expect(request.isAmbiguous).toBe(false);
          expect(request.isSignedWith(key)).toBe(true);
          expect(request.isSignedWith(otherKey)).toBe(false);
        }
      },
    );
    fc.assert(property, { numRuns: 300 });
  });

  test.each([
    ['Node', nodeHmacSha1],
    ['a browser', hmacSha1],
  ] as const)('is made the same by our own client in %s', (_place, hmac) => {
    const signer = new RequestSigner(credentials, hmac);
    const property = fc.property(
      fc.uniqueArray(fc.tuple(name, value), { selector: ([one]) => one, maxLength: 10 }),
      fc.uint8Array({ maxLength: 300 }),
      (entries, body) => {
        const { fields } = signed({ code: 1, fields: fieldsOf(entries), body }, credentials);
        expect(fieldsOf(signer.sign(entries, body))).toEqual(fields);
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  test('HMAC-SHA1 of a browser is that of Node for all lengths about a block', () => {
    for (const keyBytes of [0, 1, 63, 64, 65, 200]) {
      for (let bytes = 0; bytes < 130; bytes++) {
        const secret = new Uint8Array(keyBytes).fill(7);
        const text = new Uint8Array(bytes).fill(9);
        const expected = createHmac('sha1', secret).update(text).digest('hex');
        expect(Buffer.from(hmacSha1(secret, text)).toString('hex')).toBe(expected);
      }
    }
  });

  test('a secret may be longer than a block, and no text of ASCII', () => {
    for (const secretKey of ['x'.repeat(63), 'x'.repeat(64), 'x'.repeat(65), 'ü'.repeat(200)]) {
      const { fields } = signed(
        { code: 12, fields: { topic: 't' } },
        { accessKey: 'u', secretKey },
      );
      const request = scanned(frameOf(fields as Record<string, string>, Buffer.alloc(0), 0));
      expect(request.isSignedWith(new SigningKey(secretKey))).toBe(true);
      // The one before has left nothing.
      expect(request.isSignedWith(new SigningKey('y'))).toBe(false);
      expect(request.isSignedWith(new SigningKey(secretKey))).toBe(true);
    }
  });

  test('what clients up to 4.9.3 do not sign is left out for them alone', () => {
    const { fields } = signed({ code: 12, fields: { topic: 't' } }, credentials);
    const all = new Map(Object.entries({ ...fields, _UNIQUE_KEY_QUERY: 'true' }));
    const request = new SignedRequest();
    request.readDecoded(all, 399, Buffer.alloc(0));
    expect(request.isSignedWith(key)).toBe(true);
    request.readDecoded(all, 401, Buffer.alloc(0));
    expect(request.isSignedWith(key)).toBe(false);
  });

  test.each(['', 'x', 'A'.repeat(28), `${'A'.repeat(27)}=`, '====', 'ü'.repeat(28)])(
    'no other text passes for it: %j',
    (signature) => {
      const { fields } = signed({ code: 12, fields: { topic: 't' } }, credentials);
      const changed = { ...(fields as Record<string, string>), Signature: signature };
      expect(scanned(frameOf(changed, Buffer.alloc(0), 0)).isSignedWith(key)).toBe(false);
    },
  );

  test('a value longer than what is kept for it is no trouble, nor is the next', () => {
    for (const length of [10, 600_000, 10]) {
      const { fields } = signed({ code: 12, fields: { i: 'é"'.repeat(length) } }, credentials);
      const request = scanned(frameOf(fields as Record<string, string>, Buffer.alloc(0), 0));
      expect(request.isSignedWith(key)).toBe(true);
    }
  });

  test('names twice, with escapes or beyond ASCII are ambiguous', () => {
    const odd = [['b', 'b'], [String.raw`\u0062`], ['é']];
    for (const names of odd) {
      const fields = names.map((one) => `"${one}":"x"`).join(',');
      const header = `{"code":310,"extFields":{${fields}},"flag":0,"opaque":1,"version":479}`;
      const frame = Buffer.alloc(4 + Buffer.byteLength(header));
      frame.writeInt32BE(frame.length - 4, 0);
      frame.write(header, 4);
      expect(scanned(frame).isAmbiguous).toBe(true);
    }
  });
});
