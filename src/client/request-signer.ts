/**
 * @agent any
 *
 * Signs requests as RocketMQ's AclClientRPCHook does: Base64 of HMAC-SHA1 over the values of all fields, in
 * the order of their names, and the body.
 */
import { encodeText } from '../protocol/text-bytes.ts';

/** By whom requests are signed. */
export interface ClientCredentials {
  /** The user's name. */
  readonly accessKey: string;
  /** The user's password. It never leaves the program. */
  readonly secretKey: string;
  /** Of a temporary grant; sent along, and signed. */
  readonly securityToken?: string | undefined;
}

/** HMAC-SHA1 of the parts, one after the other: 20 bytes. */
export type HmacSha1 = (key: Uint8Array, ...parts: Uint8Array[]) => Uint8Array;

export type CreateSigner = (credentials: ClientCredentials) => RequestSigner;

const NO_BYTES = new Uint8Array();

export class RequestSigner {
  readonly #credentials: ClientCredentials;
  readonly #key: Uint8Array;
  readonly #hmac: HmacSha1;

  constructor(credentials: ClientCredentials, hmac: HmacSha1) {
    this.#credentials = credentials;
    this.#key = encodeText(credentials.secretKey);
    this.#hmac = hmac;
  }

  /** The fields with those that say who signs, and the signature. */
  sign(fields: readonly [string, string][], body: Uint8Array = NO_BYTES): [string, string][] {
    const { accessKey, securityToken } = this.#credentials;
    const signed: [string, string][] = [...fields, ['AccessKey', accessKey]];
    if (securityToken !== undefined) signed.push(['SecurityToken', securityToken]);
    signed.sort(([left], [right]) => {
      if (left === right) return 0;
      return left < right ? -1 : 1;
    });
    const content = encodeText(signed.map(([, value]) => value).join(''));
    const signature = btoa(String.fromCharCode(...this.#hmac(this.#key, content, body)));
    return [...signed, ['Signature', signature]];
  }
}
