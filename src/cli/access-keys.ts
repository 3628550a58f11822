/**
 * @agent any
 *
 * The settings of access control and TLS, a part of the table in configuration-keys.ts. Names are those of
 * AuthConfig.java and TlsSystemConfig.java of RocketMQ 5.3.3, where TLS is set by system properties.
 */
import { secretFault, usernameFault } from '../access/user-table.ts';
import { oneOf, type SettingValue, textThat, yesOrNo } from '../base/setting-value.ts';
import type { SettingKey } from './configuration-keys.ts';

/** Two texts of a JSON object: a name and its secret. */
function nameAndSecret(nameKey: string, secretKey: string): SettingValue {
  return {
    allowed: `JSON like {"${nameKey}":"…","${secretKey}":"…"} with a name without spaces and a secret`,
    parse: (text) => {
      try {
        const value = JSON.parse(text) as Record<string, unknown>;
        const name = value[nameKey];
        const secret = value[secretKey];
        if (typeof name !== 'string' || typeof secret !== 'string') return undefined;
        if (usernameFault(name) !== null || secretFault(secret) !== null) return undefined;
        return { [nameKey]: name, [secretKey]: secret };
      } catch {
        return undefined;
      }
    },
  };
}

const path = textThat('a file', (text) => text !== '' && !text.includes('\0'));

export const accessSettingKeys: readonly SettingKey[] = [
  {
    key: 'authenticationEnabled',
    names: ['authenticationEnabled'],
    kind: yesOrNo,
    help: 'requests must be signed by a user',
  },
  {
    key: 'authorizationEnabled',
    names: ['authorizationEnabled'],
    kind: yesOrNo,
    help: 'users that are no super users need policies',
  },
  {
    key: 'initAuthenticationUser',
    names: ['initAuthenticationUser'],
    kind: nameAndSecret('username', 'password'),
    isSecret: true,
    help: 'first super user, {"username":…,"password":…}, made where there is none of that name',
  },
  {
    key: 'innerClientAuthenticationCredentials',
    names: ['innerClientAuthenticationCredentials'],
    kind: nameAndSecret('accessKey', 'secretKey'),
    isSecret: true,
    help: 'secret of the cluster, {"accessKey":…,"secretKey":…}: brokers register with it, and nobody else',
  },
  {
    key: 'aclEnable',
    names: ['aclEnable'],
    kind: yesOrNo,
    help: 'access control of RocketMQ 4.x: both of the above, with the accounts of plainAclFile',
  },
  {
    key: 'plainAclFile',
    names: ['plainAclFile'],
    kind: path,
    help: 'plain_acl.yml whose accounts become users, where there are none of these names',
  },
  {
    key: 'tlsServerMode',
    names: ['tls.server.mode'],
    kind: oneOf('disabled, permissive or enforcing', ['disabled', 'permissive', 'enforcing']),
    help: 'TLS at all ports: none, beside plain connections, or alone',
  },
  {
    key: 'tlsServerCertPath',
    names: ['tls.server.certPath'],
    kind: path,
    help: 'certificate chain in PEM; read again when it changes; absent: no TLS',
  },
  {
    key: 'tlsServerKeyPath',
    names: ['tls.server.keyPath'],
    kind: path,
    help: 'its private key in PEM',
  },
  {
    key: 'tlsServerKeyPassword',
    names: ['tls.server.keyPassword'],
    kind: textThat('a text', (text) => text !== ''),
    isSecret: true,
    help: 'password of the private key',
  },
  {
    key: 'tlsServerNeedClientAuth',
    names: ['tls.server.need.client.auth'],
    kind: oneOf('none, optional or require', ['none', 'optional', 'require']),
    help: 'whether clients must show a certificate',
  },
  {
    key: 'tlsServerAuthClient',
    names: ['tls.server.authClient'],
    kind: yesOrNo,
    help: 'certificates of clients must be signed by tls.server.trustCertPath',
  },
  {
    key: 'tlsServerTrustCertPath',
    names: ['tls.server.trustCertPath'],
    kind: path,
    help: 'who may have signed certificates of clients, in PEM',
  },
  {
    key: 'tlsEnable',
    names: ['tls.enable'],
    kind: yesOrNo,
    help: 'register with other name servers by TLS',
  },
  {
    key: 'tlsClientTrustCertPath',
    names: ['tls.client.trustCertPath'],
    kind: path,
    help: 'who may have signed certificates of name servers, in PEM; absent: whom Node trusts',
  },
  {
    key: 'tlsClientAuthServer',
    names: ['tls.client.authServer'],
    kind: yesOrNo,
    help: 'certificates of name servers are checked',
  },
];
