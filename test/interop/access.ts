/**
 * Stock clients and mqadmin at a broker that `millrace init --secure` has configured: with right and wrong
 * credentials, with TLS and without, at a second broker of the same cluster secret.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { selfSignedCertificate } from '../../src/cli/self-signed-certificate.ts';
import { startJava } from './apache-rocketmq.ts';

const main = path.join(import.meta.dirname, '../../src/cli/main.ts');
const TIMEOUT_MS = 240_000;

export interface AccessServers {
  readonly nameServer: string;
  /** `ip:port` */
  readonly broker: string;
  readonly otherBroker: string;
  /** What `millrace init --secure` has made. */
  readonly home: string;
}

/** Makes the folder, as a user would, with a mode of TLS. */
export function makeHome(home: string, tlsMode: 'permissive' | 'enforcing'): void {
  execFileSync(process.execPath, [main, 'init', '--secure', home]);
  const file = path.join(home, 'broker.conf');
  const text = fs.readFileSync(file, 'utf8');
  const settings = text.replace('tls.server.mode=enforcing', `tls.server.mode=${tlsMode}`);
  if (tlsMode !== 'enforcing' && settings === text) throw new Error('init has made no TLS mode');
  fs.writeFileSync(file, `${settings}transactionTimeOut=1000\ntransactionCheckInterval=1000\n`);
}

/** Java's client verifies what it is shown, unlike in its test mode. */
export function trusting(certificate: string): Record<string, string> {
  return {
    'tls.enable': 'true',
    'tls.test.mode.enable': 'false',
    'tls.client.authServer': 'true',
    'tls.client.trustCertPath': certificate,
  };
}

/** A certificate that the broker does not have. */
export function foreignCertificate(directory: string): string {
  const file = path.join(directory, 'foreign.pem');
  const made = selfSignedCertificate({
    commonName: 'millrace',
    hosts: ['127.0.0.1'],
    notBefore: new Date(),
    days: 1,
  });
  fs.writeFileSync(file, made.certificate);
  return file;
}

/** Returns what was done. @throws Error with the end of the output where something went wrong */
export async function accessScenarios(
  servers: AccessServers,
  directory: string,
  properties: Record<string, string>,
  only: 'all' | 'reachable' = 'all',
): Promise<string[]> {
  const client = startJava({
    main: 'millrace.AccessScenarios',
    arguments: [
      servers.nameServer,
      servers.broker,
      servers.otherBroker,
      servers.home,
      ...(only === 'all' ? [] : [only]),
    ],
    directory,
    heapMb: 256,
    properties,
    name: `access-${only}-${Object.keys(properties).length}`,
  });
  const timer = setTimeout(() => client.kill(), TIMEOUT_MS);
  await client.ended;
  clearTimeout(timer);
  const output = client.output();
  if (!/^PASS$/m.test(output)) {
    // Before that stands what logback says of itself.
    const fault = output.slice(Math.max(output.indexOf('FAILED '), 0));
    throw new Error(fault.slice(0, 3000));
  }
  return [...output.matchAll(/^INFO (.*)$/gm)].map(([, text]) => text);
}

/** The log holds a line for each change, and none of the secrets. @throws Error */
export function checkLog(logFile: string, home: string): string {
  const log = fs.readFileSync(logFile, 'utf8');
  const secrets = ['first-secret', 'second-secret', 'other-secret', 'thief-secret'];
  for (const file of ['conf/tools.yml', 'conf/app.yml'])
    secrets.push(
      /secretKey: "?([^"\n]+)/.exec(fs.readFileSync(path.join(home, file), 'utf8'))?.[1] ?? '',
    );
  for (const secret of secrets)
    if (secret === '' || log.includes(secret)) throw new Error('a secret is in the log');
  const audits = log.split('\n').filter((line) => line.includes('"audit"'));
  for (const audit of [
    'createUser',
    'updateUser',
    'deleteUser',
    'createAcl',
    'updateAcl',
    'deleteAcl',
  ])
    if (
      !audits.some((line) => line.includes(`"audit":"${audit}"`) && line.includes('"by":"admin"'))
    )
      throw new Error(`no line of the log for ${audit}`);
  return `${audits.length} lines for changes in the log`;
}
