/**
 * @agent any
 *
 * Reads whom TLS trusts: certificates in PEM, one behind the other. OpenSSL takes such a file up to the first
 * certificate that it can not read and says nothing of the rest, and trusts nobody where there is none; so each
 * of them is read before the file is used.
 */
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';

export interface TrustedCertificates {
  /** The whole file, as TLS takes it. */
  readonly pem: string;
  /** At least one. */
  readonly certificates: readonly X509Certificate[];
}

/** Also `X509 CERTIFICATE` and `TRUSTED CERTIFICATE`; no `CERTIFICATE REQUEST`. */
const BEGIN = /^(?=-----BEGIN (?:[A-Z0-9]+ )?CERTIFICATE-----)/m;

/** @throws Error where it can not be read, holds no certificate, or one of them is broken */
export function readTrusted(file: string): TrustedCertificates {
  const pem = fs.readFileSync(file, 'latin1');
  const blocks = pem.split(BEGIN).filter((block) => block.startsWith('-----BEGIN '));
  if (blocks.length === 0) throw new Error(`${file} holds no certificate in PEM`);
  const certificates = blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`certificate ${index + 1} of ${file} can not be read: ${why}`, { cause });
    }
  });
  return { pem, certificates };
}
