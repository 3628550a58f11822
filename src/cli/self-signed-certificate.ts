/**
 * @agent any
 *
 * Makes a certificate that signs itself (X.509 v3, RFC 5280), which Node can read and check but not make:
 * ECDSA on P-256 with SHA-256, good for a server under the names given, and for being trusted as it is.
 *
 * DER is tag, length, content, one in the other:
 * ```
 * Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature BIT STRING }
 * tbsCertificate ::= SEQUENCE { [0] version, serial, algorithm, issuer, validity, subject, key, [3] extensions }
 * ```
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import net from 'node:net';
import { addressBytes } from '../reactor/connection.ts';

export interface CertificateOptions {
  readonly commonName: string;
  /** Host names and addresses that the certificate is for. */
  readonly hosts: readonly string[];
  readonly notBefore: Date;
  readonly days: number;
}

/** Both in PEM. */
export interface CertificateAndKey {
  readonly certificate: string;
  readonly privateKey: string;
}

const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OBJECT_ID: 0x06,
  UTF8_STRING: 0x0c,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
  VERSION: 0xa0,
  EXTENSIONS: 0xa3,
  /** Of GeneralName. */
  DNS_NAME: 0x82,
  IP_ADDRESS: 0x87,
} as const;

const DAY_MS = 86_400_000;
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const COMMON_NAME = '2.5.4.3';
const SUBJECT_ALT_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
/** A broker is a client of other name servers. */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

export function selfSignedCertificate(options: CertificateOptions): CertificateAndKey {
  const { commonName, hosts, notBefore, days } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(objectId(ECDSA_WITH_SHA256));
  const name = sequence(
    der(Tag.SET, sequence(objectId(COMMON_NAME), der(Tag.UTF8_STRING, Buffer.from(commonName)))),
  );
  const serial = randomBytes(16);
  // Positive, and without a leading zero.
  serial[0] = (serial[0] & 0x7f) | 0x40;
  const altNames = hosts.map((host) =>
    net.isIP(host) === 0
      ? der(Tag.DNS_NAME, Buffer.from(host))
      : der(Tag.IP_ADDRESS, Buffer.from(addressBytes(host))),
  );
  const extensions = sequence(
    extension(SUBJECT_ALT_NAME, sequence(...altNames)),
    // Whoever trusts it trusts it alone: what it would sign is no server of ours.
    extension(BASIC_CONSTRAINTS, sequence(), true),
    extension(EXTENDED_KEY_USAGE, sequence(objectId(SERVER_AUTH), objectId(CLIENT_AUTH))),
  );
  const toBeSigned = sequence(
    der(Tag.VERSION, der(Tag.INTEGER, Buffer.from([2]))),
    der(Tag.INTEGER, serial),
    algorithm,
    name,
    sequence(time(notBefore), time(new Date(notBefore.getTime() + days * DAY_MS))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(Tag.EXTENSIONS, extensions),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const certificate = sequence(
    toBeSigned,
    algorithm,
    der(Tag.BIT_STRING, Buffer.from([0]), signature),
  );
  return {
    certificate: pem('CERTIFICATE', certificate),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const lengthBytes = length < 0x100 ? [length] : [length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, 0x80 | lengthBytes.length, ...lengthBytes]), content]);
}

function sequence(...contents: Buffer[]): Buffer {
  return der(Tag.SEQUENCE, ...contents);
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  const critical = isCritical ? [der(Tag.BOOLEAN, Buffer.from([0xff]))] : [];
  return sequence(objectId(id), ...critical, der(Tag.OCTET_STRING, value));
}

function objectId(text: string): Buffer {
  const [first, second, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const digits = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return der(Tag.OBJECT_ID, Buffer.from(bytes));
}

function time(date: Date): Buffer {
  const text = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  // Up to 2049 a year has two digits.
  return date.getUTCFullYear() < 2050
    ? der(Tag.UTC_TIME, Buffer.from(text.slice(2)))
    : der(Tag.GENERALIZED_TIME, Buffer.from(text));
}

function pem(label: string, content: Buffer): string {
  const lines = content.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
