/**
 * @agent control
 *
 * The record of a send that control handles itself: a client's own retry, or a reply. What request
 * workers take goes by `send-encoder.ts`, which does the same without making objects.
 */
import { decodeProperties, PropertyName } from '../protocol/message-properties.ts';
import { SysFlag } from '../protocol/message-record.ts';
import { encodeHost, type RecordFields, splitAddress } from '../protocol/record-encoder.ts';
import type { Connection, ControlState } from './control-state.ts';
import type { SendHeader } from './send-header.ts';

/** Bits of sysFlag that follow from the hosts, or that a client has no say in. */
const SYS_FLAG_OF_BROKER = SysFlag.BORN_HOST_V6 | SysFlag.STORE_HOST_V6 | SysFlag.TRANSACTION_MASK;

/** The record's fields; properties and destination are the caller's. */
export function recordFieldsOf(
  state: ControlState,
  header: SendHeader,
  connection: Connection,
  body: Buffer,
): RecordFields {
  const peer = splitAddress(connection.remoteAddress);
  return {
    topic: header.topic,
    queueId: header.queueId,
    flag: header.flag,
    sysFlag: header.sysFlag & ~SYS_FLAG_OF_BROKER,
    bornTimestampMs: header.bornTimestampMs,
    bornHost: encodeHost(peer.address, peer.port),
    storeHost: state.config.storeHost,
    reconsumeTimes: header.reconsumeTimes,
    preparedTransactionOffset: 0,
    body,
    properties: Buffer.alloc(0),
  };
}

export function bodyFault(state: ControlState, body: Buffer): string | null {
  if (body.length === 0) return 'the message body is empty';
  if (body.length <= state.config.maxMessageSize) return null;
  return `the message body has ${body.length} bytes, more than maxMessageSize ${state.config.maxMessageSize}`;
}

/** The client's properties, with what the broker adds to every send. */
export function propertiesOfSend(state: ControlState, header: SendHeader): Map<string, string> {
  const properties = decodeProperties(header.properties);
  properties.delete(PropertyName.POP_CK);
  properties.delete(PropertyName.RECORD_CRC);
  properties.set(PropertyName.MSG_REGION, state.config.regionId);
  properties.set(PropertyName.TRACE_ON, String(state.config.traceOn));
  if (!properties.has(PropertyName.UNIQUE_KEY))
    properties.set(PropertyName.UNIQUE_KEY, uniqueKey(state));
  properties.set(PropertyName.CLUSTER, state.config.clusterName);
  return properties;
}

/** 32 hex digits for a client that sent no key: the time and chance. */
function uniqueKey(state: ControlState): string {
  const chance = (digits: number): string =>
    Math.floor(state.random() * 16 ** digits)
      .toString(16)
      .padStart(digits, '0');
  const time = state.wallClock.nowMs().toString(16).padStart(12, '0');
  return (time + chance(10) + chance(10)).toUpperCase();
}
