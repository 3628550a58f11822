/**
 * @agent any
 *
 * `millrace init --secure`: a folder with all that a broker with access control and TLS needs, made of secrets
 * that nobody has seen, and a configuration that works with it as it is.
 *
 * ```
 * DIR/broker.conf          settings, and the secrets of admin and cluster     0600
 * DIR/plain_acl.yml        the user app: any topic, any group                 0600
 * DIR/conf/tools.yml       credentials of admin, where mqadmin looks for them 0600
 * DIR/conf/app.yml         credentials of app                                 0600
 * DIR/tls/certificate.pem  for the names given; clients trust it as it is
 * DIR/tls/key.pem          its key                                            0600
 * DIR/store                messages, users and policies
 * ```
 * It overwrites nothing, and prints no secret.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { BrokerError } from '../base/errors.ts';
import { selfSignedCertificate } from './self-signed-certificate.ts';

export interface InitOptions {
  readonly directory: string;
  readonly listenAddress: string;
  /** Names and addresses by which clients reach the broker, besides those of this machine. */
  readonly hosts: readonly string[];
  readonly now: Date;
}

const CERTIFICATE_DAYS = 825;
const SECRET_BYTES = 24;

/** Makes the folder; returns what to do next. @throws BrokerError CONFIG_INVALID */
export function initSecure(options: InitOptions): string[] {
  const { listenAddress, hosts, now } = options;
  const directory = path.resolve(options.directory);
  const at = (...names: string[]): string => path.join(directory, ...names);
  if (fs.existsSync(at('broker.conf'))) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `${at('broker.conf')} is there already; remove it, or choose another folder`,
    );
  }
  for (const made of [directory, at('conf'), at('tls')])
    fs.mkdirSync(made, { recursive: true, mode: 0o700 });
  const secrets = { admin: newSecret(), cluster: newSecret(), app: newSecret() };
  const names = certificateHosts(listenAddress, hosts);
  const { certificate, privateKey } = selfSignedCertificate({
    commonName: 'millrace',
    hosts: names,
    notBefore: now,
    days: CERTIFICATE_DAYS,
  });
  const write = (file: string, text: string, mode = 0o600): void =>
    fs.writeFileSync(file, text, { mode, flag: 'wx' });
  write(at('tls', 'certificate.pem'), certificate, 0o644);
  write(at('tls', 'key.pem'), privateKey);
  write(at('conf', 'tools.yml'), credentialsText('admin', secrets.admin));
  write(at('conf', 'app.yml'), credentialsText('app', secrets.app));
  write(at('plain_acl.yml'), accountsText(secrets.app));
  write(at('broker.conf'), configurationText(at, listenAddress, secrets));
  const client = `--credentials ${at('conf', 'tools.yml')} --tls-ca ${at('tls', 'certificate.pem')}`;
  return [
    `made ${directory}: users admin and app, and a certificate for ${names.join(', ')}`,
    `  start      millrace start --config ${at('broker.conf')}`,
    `  a topic    millrace topic create orders ${client}`,
    `  mqadmin    ROCKETMQ_HOME=${directory} JAVA_OPT=-Dtls.enable=true`,
    `  programs   accessKey and secretKey of ${at('conf', 'app.yml')}, TLS with ${at('tls', 'certificate.pem')}`,
  ];
}

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function certificateHosts(listenAddress: string, hosts: readonly string[]): string[] {
  const own = ['localhost', '127.0.0.1', '::1', os.hostname()];
  const isEverywhere = listenAddress === '0.0.0.0' || listenAddress === '::';
  const addresses = isEverywhere
    ? Object.values(os.networkInterfaces())
        .flatMap((list) => list ?? [])
        .map(({ address }) => address)
        .filter((address) => !address.startsWith('fe80'))
    : [listenAddress];
  return [...new Set([...own, ...addresses, ...hosts])].filter((host) => host !== '');
}

function credentialsText(accessKey: string, secretKey: string): string {
  // In quotes: to YAML some texts are numbers.
  return `accessKey: "${accessKey}"\nsecretKey: "${secretKey}"\n`;
}

function accountsText(secretKey: string): string {
  return `# Becomes a user when the broker starts and has none of this name; mqadmin changes it then.
accounts:
- accessKey: app
  secretKey: "${secretKey}"
  admin: false
  defaultTopicPerm: PUB|SUB
  defaultGroupPerm: SUB
`;
}

function configurationText(
  at: (...names: string[]) => string,
  listenAddress: string,
  secrets: { admin: string; cluster: string },
): string {
  const admin = JSON.stringify({ username: 'admin', password: secrets.admin });
  const cluster = JSON.stringify({ accessKey: 'cluster', secretKey: secrets.cluster });
  return `# Made by "millrace init --secure". Holds secrets: only its owner may read it.
storePathRootDir=${at('store')}
bindAddress=${listenAddress}

authenticationEnabled=true
authorizationEnabled=true
# Users are kept in the store; what stands here makes those that are missing.
initAuthenticationUser=${admin}
plainAclFile=${at('plain_acl.yml')}
# The same for all brokers and name servers of a cluster.
innerClientAuthenticationCredentials=${cluster}

tls.server.mode=enforcing
tls.server.certPath=${at('tls', 'certificate.pem')}
tls.server.keyPath=${at('tls', 'key.pem')}
# Towards other name servers.
tls.enable=true
tls.client.trustCertPath=${at('tls', 'certificate.pem')}

# Topics are made by administrators.
autoCreateTopicEnable=false
`;
}
