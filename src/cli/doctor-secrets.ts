/**
 * @agent any
 *
 * Looks at who else can read secrets, and at certificates: whether they belong to their key, hold, and name what
 * clients connect to.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { BrokerConfig } from '../base/broker-config.ts';
import { accessSettingsOf, hasSecrets, isLoopback } from './access-settings.ts';
import { readTrusted } from '../reactor/trusted-certificates.ts';
import type { ClientAddress } from './client-address.ts';
import { messageOf, type Report, spanText } from './doctor-report.ts';

const OTHERS = 0o077;
const EXPIRY_WARNING_MS = 14 * 86_400_000;

export function checkSecrets(report: Report, config: BrokerConfig, file: string | undefined): void {
  const { plainAclFile, tlsServerKeyPath } = config;
  const at = (name: string): string =>
    path.join(path.resolve(config.storeDirectory), 'config', name);
  const secrets: [string, string | null | undefined][] = [
    ['the configuration, which holds secrets,', hasSecrets(config) ? file : null],
    ['the accounts of plainAclFile', plainAclFile],
    ['the key of the certificate', tlsServerKeyPath],
    ['the users of the store', at('users.json')],
    ['the copy of the users of the store', at('users.json.bak')],
    ['the policies of the store', at('acls.json')],
  ];
  let isTold = false;
  for (const [what, secret] of secrets) {
    const stat =
      secret === null || secret === undefined
        ? undefined
        : fs.statSync(secret, { throwIfNoEntry: false });
    if (stat === undefined || secret === null || secret === undefined) continue;
    isTold = true;
    if ((stat.mode & OTHERS) === 0)
      report.ok('secrets.mode', `only its owner reads ${what} ${secret}`);
    else
      report.warning(
        'secrets.mode',
        `others may read ${what} ${secret} (mode ${(stat.mode & 0o777).toString(8).padStart(4, '0')})`,
        `chmod 600 ${secret}, and make new secrets if others can have seen them`,
      );
  }
  if (!isTold) report.ok('secrets.mode', 'there are no secrets in files');
  try {
    accessSettingsOf(config);
  } catch (error) {
    report.problem(
      'secrets.accounts',
      messageOf(error),
      'mend the file, or the path in plainAclFile',
    );
  }
}

export function checkCertificate(
  report: Report,
  config: BrokerConfig,
  given: ClientAddress,
  nowMs: number,
): void {
  const { tlsServerMode, tlsServerCertPath, tlsServerKeyPath, tlsServerKeyPassword } = config;
  checkTrusted(report, config);
  if (tlsServerMode === 'disabled' || tlsServerCertPath === null || tlsServerKeyPath === null) {
    report.ok(
      'tls.certificate',
      'connections are plain: there is no certificate, or TLS is disabled',
    );
    return;
  }
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(fs.readFileSync(tlsServerCertPath));
  } catch (error) {
    report.problem(
      'tls.certificate',
      `tls.server.certPath ${tlsServerCertPath} can not be used: ${messageOf(error)}`,
      'give a certificate in PEM that the user of the broker may read',
    );
    return;
  }
  try {
    const key = createPrivateKey({
      key: fs.readFileSync(tlsServerKeyPath),
      ...(tlsServerKeyPassword === null ? {} : { passphrase: tlsServerKeyPassword }),
    });
    if (certificate.checkPrivateKey(key))
      report.ok('tls.key', 'the key belongs to the certificate');
    else
      report.problem(
        'tls.key',
        `the key ${tlsServerKeyPath} does not belong to the certificate ${tlsServerCertPath}`,
        'give the two that were made together; both files have to be replaced when a certificate is renewed',
      );
  } catch (error) {
    report.problem(
      'tls.key',
      `tls.server.keyPath ${tlsServerKeyPath} can not be used: ${messageOf(error)}`,
      'give a key in PEM that the user of the broker may read, and tls.server.keyPassword where it has one',
    );
  }
  checkValidity(report, certificate, nowMs);
  checkNames(report, certificate, given);
}

function checkValidity(report: Report, certificate: X509Certificate, nowMs: number): void {
  const check = 'tls.validity';
  const fromMs = Date.parse(certificate.validFrom);
  const toMs = Date.parse(certificate.validTo);
  const renew = 'renew it: a running broker takes new files within seconds';
  if (toMs < nowMs)
    report.problem(
      check,
      `the certificate has expired ${spanText(nowMs - toMs)} ago (${certificate.validTo})`,
      renew,
    );
  else if (fromMs > nowMs)
    report.problem(
      check,
      `the certificate holds only from ${certificate.validFrom} on, in ${spanText(fromMs - nowMs)}`,
      'see whether the clock is right, or make a new one',
    );
  else if (toMs - nowMs < EXPIRY_WARNING_MS)
    report.warning(
      check,
      `the certificate expires in ${spanText(toMs - nowMs)} (${certificate.validTo})`,
      renew,
    );
  else report.ok(check, `the certificate holds until ${certificate.validTo}`);
}

function checkNames(report: Report, certificate: X509Certificate, { host }: ClientAddress): void {
  const check = 'tls.names';
  const isNamed =
    net.isIP(host) === 0
      ? certificate.checkHost(host) !== undefined
      : certificate.checkIP(host) !== undefined;
  const names = certificate.subjectAltName ?? certificate.subject;
  if (isNamed) report.ok(check, `the certificate names ${host}, which clients are told`);
  else if (isLoopback(host)) report.ok(check, `the certificate is for ${names}`);
  else
    report.warning(
      check,
      `the certificate is for ${names}, not for ${host}, which clients are told`,
      `make one that names ${host} as well (millrace init --secure --host ${host}): clients that check names refuse it`,
    );
}

function checkTrusted(report: Report, config: BrokerConfig): void {
  const files: [string, string | null][] = [
    ['tls.server.trustCertPath', config.tlsServerAuthClient ? config.tlsServerTrustCertPath : null],
    ['tls.client.trustCertPath', config.tlsEnable ? config.tlsClientTrustCertPath : null],
  ];
  for (const [name, file] of files) {
    if (file === null) continue;
    try {
      const { certificates } = readTrusted(file);
      const subjects = certificates.map(({ subject }) => subject.replaceAll('\n', ', '));
      report.ok('tls.trusted', `${name} trusts ${subjects.join('; ')}`);
    } catch (error) {
      report.problem(
        'tls.trusted',
        `${name} can not be used: ${messageOf(error)}`,
        'give certificates in PEM that the user of the broker may read',
      );
    }
  }
}
