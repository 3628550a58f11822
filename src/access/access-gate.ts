/**
 * @agent reactor
 *
 * Whether a request comes in: who signed it, and whether that user may do it. It stands in front of every
 * agent that serves requests, so that none of them can be reached around it, and one count of failures
 * holds for an address whatever it asks for.
 *
 * ```
 *  frame ─▶ read as its server will read it ─▶ signed right? ─▶ allowed? ─▶ passes
 *             │ two readings: closed            │ no: 16          │ no: 16
 *             └ address has failed too often: the connection waits for its turn
 * ```
 * Until control has told it of users it lets nobody in. A user that is not there, that is disabled, and a
 * wrong signature have the same answer after the same work. What it must never do: put a secret into an
 * answer or a log.
 */
import { randomBytes } from 'node:crypto';
import { BrokerError } from '../base/errors.ts';
import type { Refusals } from '../base/refusals.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import {
  type Answer,
  decodeFrame,
  encodeAnswer,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
  type RemotingCommand,
  type SerializeType,
  serializeTypeOf,
} from '../protocol/remoting-command.ts';
import { RequestScanner } from '../protocol/request-scanner.ts';
import { AttemptLimiter } from './attempt-limiter.ts';
import { isAllowed, type Policies, type ResourceAccess } from './policy.ts';
import { policiesOf, type AclInfo } from './policy-table.ts';
import {
  type Accesses,
  accessesAtBroker,
  accessesAtNameServer,
  type AskedFields,
  changesNameServer,
  isOfNameServer,
  needsSuperUser,
} from './request-access.ts';
import { SignedRequest, SigningKey } from './signed-request.ts';
import type { User } from './user-table.ts';

/** What becomes of a frame. */
export const Admission = {
  /** It goes to its server. */
  PASSES: 0,
  /** `AccessGate.answer` is its answer; null where it gets none. */
  REFUSED: 1,
  /** The connection is not read until its address may try again. */
  WAITS: 2,
  /** It is no frame of the protocol: the connection is closed. */
  BAD: 3,
  /** A client's answer, for control and nobody else. */
  IS_ANSWER: 4,
} as const;
export type Admission = (typeof Admission)[keyof typeof Admission];

/** What control tells of users and policies, all of them with each change. */
export interface AccessSnapshot {
  readonly users: readonly User[];
  readonly acls: readonly AclInfo[];
}

export interface AccessGateOptions {
  readonly authenticationEnabled: boolean;
  /** Users need policies; without it each may do everything but what needs a super user. */
  readonly authorizationEnabled: boolean;
  /** Of brokers at a name server, where users are not asked for: what else is said there is open. */
  readonly registrationCredentials: Credentials | null;
  readonly clusterName: string;
  readonly refusals: Refusals;
}

/** What signs requests: an access key and its secret. */
export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** Who sends, as far as the gate looks at it. */
export interface GateSource {
  /** IP alone. */
  readonly peerAddress: string;
  /** Its last request was signed right: it is not slowed down by others of its address. */
  isTrusted: boolean;
  /** What it sent last was answered WAITS. */
  readonly isWaiting: boolean;
}

/** How a frame will be served. */
export interface FrameServing {
  readonly server: 'worker' | 'dispatcher' | 'control';
  /** By which port it came. */
  readonly port: 'broker' | 'name-server' | 'web';
  /** As the reactor has read it. */
  readonly code: number;
}

interface KnownUser {
  readonly key: SigningKey;
  readonly isSuper: boolean;
  readonly policies: Policies | undefined;
}

/** Constant, so that neither tells whether there is such a user. */
const REFUSED_REMARK = 'authentication failed: the access key or the signature is not right';
const UNSIGNED_REMARK =
  'authentication failed: this server takes signed requests alone (AccessKey and Signature)';
const NAME_LENGTH_LOGGED = 128;

export class AccessGate {
  /** The answer to the frame that was refused last, length word included. */
  answer: Buffer | null = null;
  readonly #options: AccessGateOptions;
  readonly #scanner = new RequestScanner();
  readonly #signed = new SignedRequest();
  readonly #limiter = new AttemptLimiter();
  readonly #users = new Map<string, KnownUser>();
  /** Takes the place of the key of a user that is not there. */
  readonly #noUsersKey = new SigningKey(randomBytes(24).toString('hex'));

  constructor(options: AccessGateOptions) {
    this.#options = options;
    const { registrationCredentials: credentials } = options;
    // Control tells of it as of any other where there are users.
    if (!options.authenticationEnabled && credentials !== null)
      this.#users.set(credentials.accessKey, {
        key: new SigningKey(credentials.secretKey),
        isSuper: true,
        policies: undefined,
      });
  }

  /** Takes the users and policies that hold from now on. */
  change({ users, acls }: AccessSnapshot): void {
    if (!this.#options.authenticationEnabled) return;
    const policies = new Map(acls.map((acl) => [acl.subject, policiesOf(acl)]));
    this.#users.clear();
    for (const { username, password, userType, userStatus } of users) {
      if (userStatus !== 'enable') continue;
      this.#users.set(username, {
        key: new SigningKey(password),
        isSuper: userType === 'Super',
        policies: policies.get(`User:${username}`),
      });
    }
  }

  /** Looks at the frame `bytes[start, end)`, which begins behind its length word. */
  admit(
    source: GateSource,
    serving: FrameServing,
    bytes: Buffer,
    start: number,
    end: number,
    nowMs: number,
  ): Admission {
    const { code, server } = serving;
    if (!this.#isGuarded(serving)) return Admission.PASSES;
    // A frame that waits is not read again before it has a turn.
    if (source.isWaiting && !this.#limiter.mayTry(source.peerAddress, nowMs))
      return Admission.WAITS;
    const isPull = code === RequestCode.PULL_MESSAGE || code === RequestCode.LITE_PULL_MESSAGE;
    const isScanned =
      server === 'worker' ||
      (server === 'dispatcher' && (isPull || code === RequestCode.END_TRANSACTION));
    const request = isScanned ? this.#scan(bytes, start, end) : decoded(bytes, start, end);
    if (request === null || request.code !== code) return Admission.BAD;
    if ((request.flag & FLAG_RESPONSE) !== 0) return this.#onAnswer(source, serving);
    if (isScanned) this.#signed.readScanned(this.#scanner);
    else {
      const { extFields, version, body } = request as RemotingCommand;
      this.#signed.readDecoded(extFields, version, body);
    }
    if (this.#signed.isAmbiguous) return Admission.BAD;
    const { accessKey } = this.#signed;
    if (accessKey === null) {
      this.#options.refusals.add('unsigned', { code, from: source.peerAddress });
      source.isTrusted = false;
      return this.#refuse(request, UNSIGNED_REMARK);
    }
    const hasTurn = source.isTrusted || source.isWaiting;
    if (!hasTurn && !this.#limiter.mayTry(source.peerAddress, nowMs)) {
      this.#options.refusals.add('guessing', { from: source.peerAddress });
      return Admission.WAITS;
    }
    const user = this.#users.get(accessKey);
    const isRight = this.#signed.isSignedWith(user?.key ?? this.#noUsersKey);
    if (user === undefined || !isRight) {
      this.#onFailure(source, user === undefined ? null : accessKey, nowMs);
      return this.#refuse(request, REFUSED_REMARK);
    }
    source.isTrusted = true;
    const denied = this.#deniedOf(
      user,
      isScanned ? this.#scannedFields : fieldsOf(request as RemotingCommand),
      serving,
      source,
    );
    if (denied === null) return Admission.PASSES;
    const fields = { user: accessKey, code, from: source.peerAddress, denied };
    this.#options.refusals.add('permission', fields);
    return this.#refuse(
      request,
      `User:${accessKey} has no permission to access ${denied} from ${source.peerAddress}`,
    );
  }

  /** Without users only what brokers and administrators change at a name server is looked at. */
  #isGuarded({ port, code }: FrameServing): boolean {
    if (this.#options.authenticationEnabled) return true;
    return port !== 'broker' && changesNameServer(code);
  }

  /** Answers to questions of the broker are not signed; only who is let in has been asked any. */
  #onAnswer(source: GateSource, { port }: FrameServing): Admission {
    if (source.isTrusted && port !== 'name-server') return Admission.IS_ANSWER;
    this.#options.refusals.add('stray-answer', { from: source.peerAddress });
    this.answer = null;
    return Admission.REFUSED;
  }

  #onFailure(source: GateSource, knownUser: string | null, nowMs: number): void {
    source.isTrusted = false;
    const failures = this.#limiter.failed(source.peerAddress, nowMs);
    // A name that nobody has may be a secret in the wrong place.
    const user = knownUser ?? 'unknown';
    this.#options.refusals.add('signature', { user, from: source.peerAddress, failures });
  }

  /** What of the accesses is denied first, as text; null where nothing is. */
  #deniedOf(
    user: KnownUser,
    fields: AskedFields,
    { port }: FrameServing,
    { peerAddress }: GateSource,
  ): string | null {
    if (user.isSuper) return null;
    const { authorizationEnabled, clusterName } = this.#options;
    const isAtNameServer =
      port === 'name-server' || (port === 'web' && isOfNameServer(fields.code));
    const accesses: Accesses = isAtNameServer
      ? accessesAtNameServer(fields, clusterName)
      : accessesAtBroker(fields, clusterName);
    if (!authorizationEnabled)
      return needsSuperUser(fields.code, accesses) ? `Cluster:${clusterName}` : null;
    for (const access of accesses)
      if (!isAllowed(user.policies, access, peerAddress)) return accessText(access);
    return null;
  }

  #scan(bytes: Buffer, start: number, end: number): RequestScanner | null {
    return this.#scanner.scan(bytes, start, end) ? this.#scanner : null;
  }

  /** The scanner's fields, by name: few are asked for. */
  readonly #scannedFields: AskedFields = ((scanner: RequestScanner): AskedFields => ({
    get code() {
      return scanner.code;
    },
    field: (name) => scanner.text(scanner.find(nameBytes(name))),
    body: () => scanner.bytes.subarray(scanner.bodyStart, scanner.bodyEnd),
  }))(this.#scanner);

  #refuse(
    request: { opaque: number; serializeType: number; flag: number },
    remark: string,
  ): Admission {
    const answer: Answer = { code: ResponseCode.NO_PERMISSION, remark };
    const serializeType: SerializeType = serializeTypeOf(request.serializeType);
    const isOneway = (request.flag & FLAG_ONEWAY) !== 0;
    this.answer = isOneway ? null : encodeAnswer({ opaque: request.opaque, serializeType }, answer);
    return Admission.REFUSED;
  }
}

function accessText({ type, name }: ResourceAccess): string {
  return `${type}:${name.slice(0, NAME_LENGTH_LOGGED)}`;
}

function decoded(bytes: Buffer, start: number, end: number): RemotingCommand | null {
  try {
    return decodeFrame(bytes.subarray(start, end));
  } catch (error) {
    if (BrokerError.is(error)) return null;
    throw error;
  }
}

function fieldsOf(request: RemotingCommand): AskedFields {
  return {
    code: request.code,
    field: (name) => request.extFields.get(name) ?? null,
    body: () => request.body,
  };
}

const names = new Map<string, Buffer>();

/** Of the few names that rules ask for. */
function nameBytes(name: string): Buffer {
  let bytes = names.get(name);
  if (bytes === undefined) {
    bytes = Buffer.from(name);
    names.set(name, bytes);
  }
  return bytes;
}
