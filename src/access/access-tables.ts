/**
 * @agent control
 *
 * Users and policies of a broker, as they are stored and as the gate is told of them.
 */
import { BrokerError } from '../base/errors.ts';
import type { Logger } from '../base/logging.ts';
import { parseFastjson } from '../protocol/fastjson.ts';
import type { AccessSnapshot, Credentials } from './access-gate.ts';
import { PolicyTable } from './policy-table.ts';
import { SecretSeal } from './sealed-secret.ts';
import { UserTable, type UserWish } from './user-table.ts';

export interface AccessSettings {
  readonly authenticationEnabled: boolean;
  readonly authorizationEnabled: boolean;
  /** The first super user; made where there is no user of that name. */
  readonly initAuthenticationUser: { readonly username: string; readonly password: string } | null;
  /** What the brokers of the cluster sign with; a super user, made like the first. */
  readonly innerClientAuthenticationCredentials: Credentials | null;
  /** Of a plain_acl.yml of RocketMQ 4.x; made like the first. */
  readonly imported: readonly { readonly user: UserWish; readonly policies: unknown }[];
}

/**
 * The tables of a broker, with what is stored under these names. Null where nobody signs.
 * @throws BrokerError CONFIG_INVALID
 */
export function accessTables(
  settings: AccessSettings,
  read: (file: string) => string | undefined,
  logger: Logger,
): AccessTables | null {
  if (!settings.authenticationEnabled) return null;
  return new AccessTables(settings, { users: read('users.json'), acls: read('acls.json') }, logger);
}

export class AccessTables {
  readonly users = new UserTable();
  readonly policies = new PolicyTable();
  readonly seal: SecretSeal;
  readonly authorizationEnabled: boolean;
  /** Users were made that are not stored yet. */
  isNew = false;

  /** @throws BrokerError CONFIG_INVALID where nobody could ever come in */
  constructor(
    settings: AccessSettings,
    stored: { users?: string | undefined; acls?: string | undefined },
    logger: Logger,
  ) {
    const { initAuthenticationUser: first, innerClientAuthenticationCredentials: inner } = settings;
    this.authorizationEnabled = settings.authorizationEnabled;
    this.seal = new SecretSeal(inner?.secretKey ?? null);
    const left = [
      ...(stored.users === undefined ? [] : this.users.load(parseFastjson(stored.users))),
      ...(stored.acls === undefined ? [] : this.policies.load(parseFastjson(stored.acls))),
    ];
    if (left.length > 0)
      logger.error({ left }, 'stored users or policies can not be read; they are left out');
    const superUsers: UserWish[] = [];
    if (first !== null) superUsers.push({ ...first, userType: 'Super' });
    if (inner !== null)
      superUsers.push({ username: inner.accessKey, password: inner.secretKey, userType: 'Super' });
    for (const wish of superUsers) this.#make(wish, null, logger);
    for (const { user, policies } of settings.imported) this.#make(user, policies, logger);
    if (
      !this.users
        .list()
        .some(({ userType, userStatus }) => userType === 'Super' && userStatus === 'enable')
    )
      throw new BrokerError(
        'CONFIG_INVALID',
        'authenticationEnabled needs a super user: set initAuthenticationUser={"username":"…","password":"…"}',
      );
  }

  snapshot(): AccessSnapshot {
    return { users: this.users.list(), acls: this.policies.list('', '') };
  }

  isSuper(username: string | undefined): boolean {
    return username !== undefined && this.users.get(username)?.userType === 'Super';
  }

  /** Makes a user that the configuration names, unless there is one. */
  #make(wish: UserWish, policies: unknown, logger: Logger): void {
    const { username } = wish;
    const known = this.users.get(username);
    if (known !== undefined) {
      if (known.password !== wish.password)
        logger.warn(
          { username },
          'the configuration has another password of this user than the store, which counts; mqadmin updateUser changes it',
        );
      return;
    }
    const fault =
      this.users.create(wish) ??
      (Array.isArray(policies) && policies.length > 0
        ? this.policies.put(username, policies)
        : null);
    if (fault !== null)
      throw new BrokerError('CONFIG_INVALID', `user ${username} of the configuration: ${fault}`);
    this.isNew = true;
    logger.info({ audit: 'createUser', username, by: 'configuration' }, 'administrative change');
  }
}
