/**
 * @agent any
 *
 * Access control as a configuration asks for it: the settings of its tables, and the gate.
 */
import fs from 'node:fs';
import { AccessGate, type Credentials } from '../access/access-gate.ts';
import type { AccessSettings } from '../access/access-tables.ts';
import { readPlainAcl } from '../access/plain-acl.ts';
import type { BrokerConfig } from '../base/broker-config.ts';
import { BrokerError } from '../base/errors.ts';
import type { Refusals } from '../base/refusals.ts';

/** Null where requests need not be signed. @throws BrokerError CONFIG_INVALID */
export function accessSettingsOf(config: BrokerConfig): AccessSettings | null {
  if (!isControlled(config)) return null;
  const { plainAclFile } = config;
  return {
    authenticationEnabled: true,
    authorizationEnabled: config.authorizationEnabled || config.aclEnable,
    initAuthenticationUser: config.initAuthenticationUser,
    innerClientAuthenticationCredentials: config.innerClientAuthenticationCredentials,
    imported: plainAclFile === null ? [] : readPlainAcl(plainAclFile, readText(plainAclFile)),
  };
}

/** Whether requests must be signed. */
export function isControlled(config: BrokerConfig): boolean {
  return config.authenticationEnabled || config.aclEnable;
}

/** Whether the configuration itself says secrets. */
export function hasSecrets(config: BrokerConfig): boolean {
  return (
    config.initAuthenticationUser !== null ||
    config.innerClientAuthenticationCredentials !== null ||
    config.tlsServerKeyPassword !== null
  );
}

/** The gate of a broker; null where everybody may do everything. */
export function gateOf(config: BrokerConfig, refusals: Refusals): AccessGate | null {
  const { innerClientAuthenticationCredentials: registrationCredentials, clusterName } = config;
  const authenticationEnabled = isControlled(config);
  if (!authenticationEnabled && registrationCredentials === null) return null;
  return new AccessGate({
    authenticationEnabled,
    authorizationEnabled: config.authorizationEnabled || config.aclEnable,
    registrationCredentials,
    clusterName,
    refusals,
  });
}

/** The gate of a name server alone, which knows no users: changes need the credentials of the cluster. */
export function nameServerGate(
  credentials: Credentials | null,
  refusals: Refusals,
): AccessGate | null {
  if (credentials === null) return null;
  return new AccessGate({
    authenticationEnabled: false,
    authorizationEnabled: false,
    registrationCredentials: credentials,
    clusterName: '',
    refusals,
  });
}

/** Whether only programs of this machine reach an address. */
export function isLoopback(address: string): boolean {
  return (
    address === 'localhost' || address === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address)
  );
}

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BrokerError('CONFIG_INVALID', `plainAclFile ${file} can not be read: ${why}`, {
      cause,
    });
  }
}
