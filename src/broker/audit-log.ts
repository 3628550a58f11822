/**
 * @agent control
 *
 * One line of the log for each administrative change: what, to what, by whom, from where, and how it ended.
 * Names alone are logged, never a body: a secret may stand there.
 */
import { ACCESS_KEY } from '../access/signed-request.ts';
import type { Logger } from '../base/logging.ts';
import { RequestCode } from '../protocol/codes.ts';
import type { RemotingCommand } from '../protocol/remoting-command.ts';

const auditedCodes: ReadonlyMap<number, string> = new Map([
  [RequestCode.AUTH_CREATE_USER, 'createUser'],
  [RequestCode.AUTH_UPDATE_USER, 'updateUser'],
  [RequestCode.AUTH_DELETE_USER, 'deleteUser'],
  [RequestCode.AUTH_CREATE_ACL, 'createAcl'],
  [RequestCode.AUTH_UPDATE_ACL, 'updateAcl'],
  [RequestCode.AUTH_DELETE_ACL, 'deleteAcl'],
  [RequestCode.UPDATE_BROKER_CONFIG, 'updateBrokerConfig'],
  [RequestCode.UPDATE_AND_CREATE_TOPIC, 'updateTopic'],
  [RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, 'updateTopicList'],
  [RequestCode.DELETE_TOPIC_IN_BROKER, 'deleteTopic'],
  [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, 'updateSubGroup'],
  [RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, 'updateSubGroupList'],
  [RequestCode.DELETE_SUBSCRIPTIONGROUP, 'deleteSubGroup'],
  [RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, 'resetOffset'],
  [RequestCode.CLONE_GROUP_OFFSET, 'cloneGroupOffset'],
  [RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE, 'cleanExpiredCQ'],
  [RequestCode.CLEAN_UNUSED_TOPIC, 'cleanUnusedTopic'],
  // At the name server
  [RequestCode.PUT_KV_CONFIG, 'updateKvConfig'],
  [RequestCode.DELETE_KV_CONFIG, 'deleteKvConfig'],
  [RequestCode.UNREGISTER_BROKER, 'unregisterBroker'],
  [RequestCode.WIPE_WRITE_PERM_OF_BROKER, 'wipeWritePerm'],
  [RequestCode.ADD_WRITE_PERM_OF_BROKER, 'addWritePerm'],
  [RequestCode.DELETE_TOPIC_IN_NAMESRV, 'deleteTopicInNamesrv'],
  [RequestCode.REGISTER_TOPIC_IN_NAMESRV, 'registerTopicInNamesrv'],
]);

/** Fields that say what was changed. */
const namingFields = [
  'username',
  'subject',
  'resource',
  'topic',
  'group',
  'groupName',
  'srcGroup',
  'destGroup',
  'namespace',
  'key',
  'brokerName',
] as const;
const NAME_LENGTH_LOGGED = 256;

/** `code` is that of the answer; null where somebody else gives it. */
export function auditRequest(
  logger: Logger,
  request: RemotingCommand,
  remoteAddress: string,
  code: number | null,
): void {
  const audit = auditedCodes.get(request.code);
  if (audit === undefined) return;
  const fields: Record<string, unknown> = { audit };
  for (const name of namingFields) {
    const value = request.extFields.get(name);
    if (value !== undefined) fields[name] = value.slice(0, NAME_LENGTH_LOGGED);
  }
  fields['by'] = request.extFields.get(ACCESS_KEY)?.slice(0, NAME_LENGTH_LOGGED) ?? null;
  fields['from'] = remoteAddress;
  fields['code'] = code;
  logger.info(
    fields,
    code === null || code === 0 ? 'administrative change' : 'administrative change refused',
  );
}
