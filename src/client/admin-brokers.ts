/**
 * @agent any
 *
 * Clusters and brokers for Admin: who is there (106), how they are (28), their configuration (25, 26),
 * and whether they may be sent to (205, 327).
 *
 * Source: DefaultMQAdminExtImpl.java, ClusterInfo.java.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import {
  type AdminContext,
  askBroker,
  askNames,
  bodyFields,
  bodyText,
  compareTexts,
  expectSuccess,
  fieldsOf,
  numberField,
  tellAllNames,
  textBody,
  textOf,
} from './admin-answers.ts';
import { answerError } from './answer-error.ts';
import { ClientError } from './client-error.ts';

export interface BrokerInfo {
  readonly cluster: string;
  readonly brokerName: string;
  /** By broker id: 0 is the master. As the name server tells them. */
  readonly addresses: Readonly<Record<string, string>>;
}

/** A broker that takes changes. */
export interface MasterBroker {
  readonly cluster: string;
  readonly brokerName: string;
  /** What `ClientCore.ask` takes. */
  readonly address: string;
}

/** Which brokers a change is for: all, those of a cluster, or one. */
export interface BrokerChoice {
  readonly cluster?: string | undefined;
  readonly broker?: string | undefined;
}

export interface BrokerHealth {
  readonly cluster: string;
  readonly brokerName: string;
  readonly address: string;
  readonly isReachable: boolean;
  /** Why it is not. */
  readonly error: string | null;
  /** From the question to the answer. */
  readonly answerMs: number | null;
  readonly version: string | null;
  readonly putTps: number | null;
  readonly getTps: number | null;
  /** How full the disk of its log is, 0 to 1. */
  readonly diskRatio: number | null;
}

export async function listBrokers(context: AdminContext): Promise<BrokerInfo[]> {
  const request = { code: RequestCode.GET_BROKER_CLUSTER_INFO };
  const what = 'the brokers can not be listed';
  // Over WebSocket each server knows itself alone.
  const answers = context.isWebSocket
    ? await tellAllNames(context, request, what)
    : [await askNames(context, request, what)];
  const brokers = new Map<string, BrokerInfo>();
  for (const answer of answers) {
    for (const value of Object.values(fieldsOf(bodyFields(answer, what)['brokerAddrTable']))) {
      const fields = fieldsOf(value);
      const brokerName = textOf(fields['brokerName']);
      const addresses: Record<string, string> = {};
      for (const [id, address] of Object.entries(fieldsOf(fields['brokerAddrs'])))
        addresses[id] = textOf(address);
      brokers.set(brokerName, { cluster: textOf(fields['cluster']), brokerName, addresses });
    }
  }
  return [...brokers.values()].sort(
    (left, right) =>
      compareTexts(left.cluster, right.cluster) || compareTexts(left.brokerName, right.brokerName),
  );
}

/** The masters that a change or a question is for. @throws ClientError where there is none */
export async function mastersOf(
  context: AdminContext,
  choice: BrokerChoice = {},
): Promise<MasterBroker[]> {
  const brokers = await listBrokers(context);
  const chosen = brokers.filter(
    ({ cluster, brokerName }) =>
      (choice.cluster === undefined || choice.cluster === cluster) &&
      (choice.broker === undefined || choice.broker === brokerName),
  );
  if (chosen.length === 0) {
    const known = brokers.map(({ cluster, brokerName }) => `${brokerName} of cluster ${cluster}`);
    const wanted =
      choice.broker === undefined
        ? `broker of cluster ${choice.cluster ?? ''}`
        : `broker ${choice.broker}`;
    throw new ClientError(
      'NOT_FOUND',
      known.length === 0
        ? 'the name server knows no broker'
        : `there is no ${wanted}; the name server knows ${known.join(', ')}`,
    );
  }
  const masters: MasterBroker[] = [];
  for (const { cluster, brokerName, addresses } of chosen) {
    const address = context.isWebSocket
      ? await webSocketMaster(context, brokerName)
      : addresses['0'];
    if (address !== undefined) masters.push({ cluster, brokerName, address });
  }
  if (masters.length > 0) return masters;
  const names = chosen.map(({ brokerName }) => brokerName).join(', ');
  throw new ClientError('CONNECTION_FAILED', `no master is up of ${names}`);
}

/** The one broker of a name. */
export async function masterNamed(context: AdminContext, broker: string): Promise<MasterBroker> {
  const [master] = await mastersOf(context, { broker });
  return master;
}

/** Every broker has a topic of its own name, whose route tells its URL. */
async function webSocketMaster(context: AdminContext, brokerName: string): Promise<string> {
  await context.core.route(brokerName);
  return context.core.masterAddress(brokerName);
}

/** The table of 28: names and values as RocketMQ has them. */
export async function readRuntime(
  context: AdminContext,
  broker: string,
): Promise<Record<string, string>> {
  const { address } = await masterNamed(context, broker);
  return runtimeAt(context, address, broker);
}

async function runtimeAt(
  context: AdminContext,
  address: string,
  broker: string,
): Promise<Record<string, string>> {
  const what = `broker ${broker} does not tell how it is`;
  const request = { code: RequestCode.GET_BROKER_RUNTIME_INFO };
  const answer = await askBroker(context, address, request, what);
  const table: Record<string, string> = {};
  for (const [name, value] of Object.entries(fieldsOf(bodyFields(answer, what)['table'])))
    table[name] = String(value);
  return table;
}

/** Every master of the clusters, asked at once; one that does not answer is told as such. */
export async function readHealth(context: AdminContext): Promise<BrokerHealth[]> {
  const masters = await mastersOf(context);
  return Promise.all(masters.map((master) => healthOf(context, master)));
}

async function healthOf(context: AdminContext, place: MasterBroker): Promise<BrokerHealth> {
  const { brokerName, address } = place;
  const startedMs = performance.now();
  try {
    const table = await runtimeAt(context, address, brokerName);
    return {
      ...place,
      isReachable: true,
      error: null,
      answerMs: Math.round((performance.now() - startedMs) * 100) / 100,
      version: table['brokerVersionDesc'] ?? null,
      putTps: firstNumber(table['putTps']),
      getTps: firstNumber(table['getTransferredTps']),
      diskRatio: firstNumber(table['commitLogDiskRatio']),
    };
  } catch (error) {
    if (!ClientError.is(error)) throw error;
    return {
      ...place,
      isReachable: false,
      error: error.message,
      answerMs: null,
      version: null,
      putTps: null,
      getTps: null,
      diskRatio: null,
    };
  }
}

/** Rates come as three numbers: of 10 s, 1 min and 10 min. */
function firstNumber(text: string | undefined): number | null {
  const value = Number(text?.trim().split(' ')[0]);
  return text !== undefined && Number.isFinite(value) ? value : null;
}

export async function readConfig(
  context: AdminContext,
  broker: string,
): Promise<Record<string, string>> {
  const { address } = await masterNamed(context, broker);
  const what = `the configuration of broker ${broker} can not be read`;
  const request = { code: RequestCode.GET_BROKER_CONFIG };
  const answer = await askBroker(context, address, request, what);
  const settings: Record<string, string> = {};
  for (const line of bodyText(answer).split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0 && !line.startsWith('#'))
      settings[line.slice(0, equals)] = line.slice(equals + 1);
  }
  return settings;
}

export async function changeConfig(
  context: AdminContext,
  broker: string,
  settings: Readonly<Record<string, string | number | boolean>>,
): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => {
    const text = `${name}=${String(value)}`;
    if (/[\r\n]/.test(text))
      throw new ClientError(
        'INVALID_ARGUMENT',
        `the setting ${JSON.stringify(name)} has a line break`,
      );
    return `${text}\n`;
  });
  if (lines.length === 0) throw new ClientError('INVALID_ARGUMENT', 'no setting is given');
  const { address } = await masterNamed(context, broker);
  await askBroker(
    context,
    address,
    { code: RequestCode.UPDATE_BROKER_CONFIG, body: textBody(lines.join('')) },
    `the configuration of broker ${broker} can not be changed`,
  );
}

/** On every name server; the count is the first one's. */
export async function setWritePermission(
  context: AdminContext,
  brokerName: string,
  isWritable: boolean,
): Promise<{ topicCount: number }> {
  const code = isWritable
    ? RequestCode.ADD_WRITE_PERM_OF_BROKER
    : RequestCode.WIPE_WRITE_PERM_OF_BROKER;
  const what = `the write permission of broker ${brokerName} can not be changed`;
  const [first] = await tellAllNames(context, { code, fields: { brokerName } }, what);
  const field = isWritable ? 'addTopicCount' : 'wipeTopicCount';
  return { topicCount: numberField(first, field, what) };
}

/** Half an hour of deliveries may take a while in real time. */
const ADVANCE_TIMEOUT_MS = 120_000;

export async function moveClocks(context: AdminContext, ms: number): Promise<{ wallMs: number }> {
  if (!Number.isSafeInteger(ms) || ms < 0)
    throw new ClientError('INVALID_ARGUMENT', `${ms} is no number of milliseconds from 0 on`);
  let wallMs = 0;
  for (const { brokerName, address } of await mastersOf(context)) {
    const what = `the clock of broker ${brokerName} can not be moved`;
    const answer = await context.core.ask(address, {
      code: RequestCode.ADVANCE_CLOCK,
      fields: { millis: ms },
      timeoutMs: Math.max(context.timeoutMs, ADVANCE_TIMEOUT_MS),
      // The clock waits for the work of this process; it must not wait for the one who moves it.
      mayBeHeld: true,
    });
    if (answer.code === ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
      throw answerError({ ...answer, remark: 'it runs on real time' }, what);
    wallMs = numberField(expectSuccess(answer, what), 'wallMs', what);
  }
  return { wallMs };
}
