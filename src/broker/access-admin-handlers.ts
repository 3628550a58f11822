/**
 * @agent control
 *
 * Administration of users (3001 to 3005) and policies (3006 to 3010). The gate has checked who asks; what is
 * left is that only a super user makes or changes another one. A secret is never answered: it comes
 * sealed (see sealed-secret.ts).
 *
 * Source: AdminBrokerProcessor.java, UserConverter.java, AclConverter.java of RocketMQ 5.3.3.
 */
import type { AccessTables } from '../access/access-tables.ts';
import { policyTypeOf, parseResource } from '../access/policy.ts';
import { userOfSubject } from '../access/policy-table.ts';
import { ACCESS_KEY } from '../access/signed-request.ts';
import {
  type User,
  usernameFault,
  userStatusOf,
  userTypeOf,
  type UserWish,
} from '../access/user-table.ts';
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { Answer, RemotingCommand } from '../protocol/remoting-command.ts';
import type { ControlState, RequestHandler } from './control-state.ts';
import { jsonAnswer } from './json-answer.ts';
import { bodyObject } from './request-fields.ts';

type AccessHandler = (
  access: AccessTables,
  request: RemotingCommand,
  state: ControlState,
) => Answer;

const done: Answer = { code: ResponseCode.SUCCESS };
const BODY_VALUE_COUNT_MAX = 20_000;

function refused(remark: string, code: number = ResponseCode.NO_PERMISSION): Answer {
  return { code, remark };
}

const field = (request: RemotingCommand, name: string): string =>
  request.extFields.get(name)?.trim() ?? '';

/** What the body says of a user; a text says what is wrong with it. */
function wishOf(access: AccessTables, request: RemotingCommand): UserWish | string {
  const username = field(request, 'username');
  const fault = usernameFault(username);
  if (fault !== null) return fault;
  const body = bodyObject(request, BODY_VALUE_COUNT_MAX);
  const type = body['userType'];
  const status = body['userStatus'];
  if (typeof type === 'string' && userTypeOf(type) === undefined)
    return 'The userType is Super or Normal';
  if (typeof status === 'string' && userStatusOf(status) === undefined)
    return 'The userStatus is enable or disable';
  const given = body['password'];
  const password = typeof given === 'string' ? access.seal.open(username, given) : undefined;
  if (password === null)
    return 'the password was sealed by a broker with other innerClientAuthenticationCredentials, or for another user';
  return { username, password, userType: userTypeOf(type), userStatus: userStatusOf(status) };
}

/** Whether a normal user would change a super user, or make one. */
function mayNot(access: AccessTables, request: RemotingCommand, wish: UserWish): boolean {
  if (access.isSuper(request.extFields.get(ACCESS_KEY))) return false;
  return wish.userType === 'Super' || access.isSuper(wish.username);
}

const createUser: AccessHandler = (access, request, state) => {
  const wish = wishOf(access, request);
  if (typeof wish === 'string') return refused(wish, ResponseCode.INVALID_PARAMETER);
  if (mayNot(access, request, wish))
    return refused('The super user can only be create by super user', ResponseCode.SYSTEM_ERROR);
  const fault = access.users.create(wish);
  if (fault !== null) return refused(fault);
  publishUsers(state, access);
  return done;
};

const updateUser: AccessHandler = (access, request, state) => {
  const wish = wishOf(access, request);
  if (typeof wish === 'string') return refused(wish, ResponseCode.INVALID_PARAMETER);
  if (mayNot(access, request, wish))
    return refused('The super user can only be update by super user', ResponseCode.SYSTEM_ERROR);
  const fault = access.users.update(wish);
  if (fault !== null) return refused(fault);
  publishUsers(state, access);
  return done;
};

const deleteUser: AccessHandler = (access, request, state) => {
  const username = field(request, 'username');
  if (mayNot(access, request, { username }))
    return refused('The super user can only be update by super user');
  const fault = access.users.delete(username);
  if (fault !== null) return refused(fault);
  // Whoever gets this name later begins without policies.
  if (access.policies.delete(username, 'Custom', null)) publishPolicies(state, access);
  publishUsers(state, access);
  return done;
};

const shown = (access: AccessTables, { username, password, userType, userStatus }: User) => ({
  password: access.seal.seal(username, password),
  userStatus,
  userType,
  username,
});

const getUser: AccessHandler = (access, request) => {
  const username = field(request, 'username');
  if (username === '') return refused('The username is blank', ResponseCode.INVALID_PARAMETER);
  const user = access.users.get(username);
  return user === undefined ? done : jsonAnswer(shown(access, user));
};

const listUsers: AccessHandler = (access, request) => {
  const users = access.users.list(field(request, 'filter'));
  return users.length === 0 ? done : jsonAnswer(users.map((user) => shown(access, user)));
};

/** The user of the subject field; a text says why there is none. */
function subjectOf(access: AccessTables, request: RemotingCommand): { username: string } | string {
  const username = userOfSubject(field(request, 'subject'));
  if (username === null) return 'The subject is User:name';
  return access.users.get(username) === undefined
    ? `The subject of User:${username} is not exist.`
    : { username };
}

const putPolicies: AccessHandler = (access, request, state) => {
  const subject = subjectOf(access, request);
  if (typeof subject === 'string') return refused(subject);
  const body = bodyObject(request, BODY_VALUE_COUNT_MAX);
  const fault = access.policies.put(subject.username, body['policies']);
  if (fault !== null) return refused(fault);
  publishPolicies(state, access);
  return done;
};

const deletePolicies: AccessHandler = (access, request, state) => {
  const subject = subjectOf(access, request);
  if (typeof subject === 'string') return refused(subject);
  const type = field(request, 'policyType');
  const policyType = type === '' ? 'Custom' : policyTypeOf(type);
  if (policyType === undefined) return refused('The policy type is illegal.');
  const resource = field(request, 'resource');
  // Read as none it would mean all of them.
  if (resource !== '' && parseResource(resource) === null)
    return refused('The resource is illegal.');
  if (!access.policies.delete(subject.username, policyType, resource === '' ? null : resource))
    return refused('The acl is not exist.');
  publishPolicies(state, access);
  return done;
};

const getPolicies: AccessHandler = (access, request) => {
  const subject = subjectOf(access, request);
  if (typeof subject === 'string') return refused('The subject is not exist.');
  const acl = access.policies.get(subject.username);
  return acl === null ? done : jsonAnswer(acl);
};

const listPolicies: AccessHandler = (access, request) => {
  const acls = access.policies.list(
    field(request, 'subjectFilter'),
    field(request, 'resourceFilter'),
  );
  return acls.length === 0 ? done : jsonAnswer(acls);
};

function publishUsers(state: ControlState, access: AccessTables): void {
  state.effects.persist('users.json', access.users.store());
  state.effects.publishAccess(access.snapshot());
}

function publishPolicies(state: ControlState, access: AccessTables): void {
  state.effects.persist('acls.json', access.policies.store());
  state.effects.publishAccess(access.snapshot());
}

const handlers: readonly (readonly [number, AccessHandler])[] = [
  [RequestCode.AUTH_CREATE_USER, createUser],
  [RequestCode.AUTH_UPDATE_USER, updateUser],
  [RequestCode.AUTH_DELETE_USER, deleteUser],
  [RequestCode.AUTH_GET_USER, getUser],
  [RequestCode.AUTH_LIST_USER, listUsers],
  [RequestCode.AUTH_CREATE_ACL, putPolicies],
  [RequestCode.AUTH_UPDATE_ACL, putPolicies],
  [RequestCode.AUTH_DELETE_ACL, deletePolicies],
  [RequestCode.AUTH_GET_ACL, getPolicies],
  [RequestCode.AUTH_LIST_ACL, listPolicies],
];

export const accessAdminHandlers: readonly (readonly [number, RequestHandler])[] = handlers.map(
  ([code, handler]): readonly [number, RequestHandler] => [
    code,
    (state, request) =>
      state.access === null
        ? // Whoever could make users now would be let in when access control is turned on.
          refused(
            'access control is off: there are no users until authenticationEnabled is set',
            ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
          )
        : handler(state.access, request, state),
  ],
);
