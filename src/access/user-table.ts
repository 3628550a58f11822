/**
 * @agent control
 *
 * The users that may sign requests: name (the access key), secret, kind and whether they are let in.
 * Secrets are kept as they are: the broker needs them to compute the signatures that it compares with.
 * They leave this table only for the gate and for `users.json`, never for an answer or a log.
 *
 * Source: User.java, AuthenticationMetadataManagerImpl.java of RocketMQ 5.3.3.
 */

export type UserType = 'Super' | 'Normal';
export type UserStatus = 'enable' | 'disable';

export interface User {
  readonly username: string;
  /** The secret key. */
  readonly password: string;
  readonly userType: UserType;
  readonly userStatus: UserStatus;
}

/** What a request wants of a user; what is absent stays as it is, or becomes the default. */
export interface UserWish {
  readonly username: string;
  readonly password?: string | undefined;
  readonly userType?: UserType | undefined;
  readonly userStatus?: UserStatus | undefined;
}

/** The gate gets all of them with each change. */
const USER_COUNT_MAX = 10_000;
const SECRET_LENGTH_MAX = 512;

/** What is wrong with a user name, or null: it stands in headers, logs and subjects. */
export function usernameFault(username: string): string | null {
  if (username.trim() === '') return 'The username is blank';
  return /^[!-9;-~]{1,128}$/.test(username)
    ? null
    : 'a username has 1 to 128 characters, none of them a space or ":", all of ASCII';
}

export function secretFault(secret: string): string | null {
  if (secret.trim() === '') return 'password can not be blank';
  if (secret.length > SECRET_LENGTH_MAX)
    return `a password has at most ${SECRET_LENGTH_MAX} characters`;
  // What a tool shows in place of a secret must not become one.
  return /^\*+$/.test(secret) ? 'a password of asterisks is a placeholder, not a password' : null;
}

export function userTypeOf(text: unknown): UserType | undefined {
  if (typeof text !== 'string') return undefined;
  const word = text.toLowerCase();
  if (word === 'super') return 'Super';
  return word === 'normal' ? 'Normal' : undefined;
}

export function userStatusOf(text: unknown): UserStatus | undefined {
  if (typeof text !== 'string') return undefined;
  const word = text.toLowerCase();
  return word === 'enable' || word === 'disable' ? word : undefined;
}

export class UserTable {
  readonly #users = new Map<string, User>();

  /** Takes what `store` wrote; an entry that is no user is left out, and named in the result. */
  load(parsed: unknown): string[] {
    const left: string[] = [];
    const list = (parsed as { users?: unknown } | null)?.users;
    for (const value of Array.isArray(list) ? (list as Record<string, unknown>[]) : []) {
      const { username, password } = value ?? {};
      const userType = userTypeOf(value?.['userType']);
      const userStatus = userStatusOf(value?.['userStatus']);
      if (
        typeof username !== 'string' ||
        typeof password !== 'string' ||
        usernameFault(username) !== null ||
        secretFault(password) !== null ||
        userType === undefined ||
        userStatus === undefined
      )
        left.push(String(username));
      else this.#users.set(username, { username, password, userType, userStatus });
    }
    return left;
  }

  store(): string {
    return JSON.stringify({ users: [...this.#users.values()] }, null, 2);
  }

  get size(): number {
    return this.#users.size;
  }

  get(username: string): User | undefined {
    return this.#users.get(username);
  }

  /** Those whose name contains the filter, by name. */
  list(filter = ''): User[] {
    return [...this.#users.values()]
      .filter(({ username }) => username.includes(filter))
      .sort((left, right) => (left.username < right.username ? -1 : 1));
  }

  /** Makes a user; a text says why there is none. */
  create(wish: UserWish): string | null {
    const { username, password = '', userType = 'Normal', userStatus = 'enable' } = wish;
    const fault = usernameFault(username) ?? secretFault(password);
    if (fault !== null) return fault;
    if (this.#users.has(username)) return 'The user is existed';
    if (this.#users.size >= USER_COUNT_MAX) return `there are ${USER_COUNT_MAX} users already`;
    this.#users.set(username, { username, password, userType, userStatus });
    return null;
  }

  /** Changes a user; a text says why nothing was changed. */
  update(wish: UserWish): string | null {
    const known = this.#users.get(wish.username);
    if (known === undefined) return 'The user is not exist';
    const password =
      wish.password === undefined || wish.password.trim() === '' ? known.password : wish.password;
    const fault = secretFault(password);
    if (fault !== null) return fault;
    const changed: User = {
      username: known.username,
      password,
      userType: wish.userType ?? known.userType,
      userStatus: wish.userStatus ?? known.userStatus,
    };
    if (this.#isLastAdministrator(known) && !isAdministrator(changed))
      return 'the last super user can not be disabled or made a normal one';
    this.#users.set(known.username, changed);
    return null;
  }

  /** Deletes a user that may be there; a text says why it stays. */
  delete(username: string): string | null {
    const known = this.#users.get(username);
    if (known !== undefined && this.#isLastAdministrator(known))
      return 'the last super user can not be deleted';
    this.#users.delete(username);
    return null;
  }

  #isLastAdministrator(user: User): boolean {
    if (!isAdministrator(user)) return false;
    let count = 0;
    for (const other of this.#users.values()) if (isAdministrator(other)) count++;
    return count === 1;
  }
}

/** Whoever may still change users. */
function isAdministrator(user: User): boolean {
  return user.userType === 'Super' && user.userStatus === 'enable';
}
