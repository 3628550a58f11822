/**
 * @agent reactor
 *
 * Which agent serves a request: sends go to request workers, what reads or ends what is stored to the
 * dispatcher, everything else to control.
 */
import { RequestCode } from '../protocol/codes.ts';
import { Listener } from '../workers/ring-messages.ts';

export type RequestServer = 'worker' | 'dispatcher' | 'control';

/** By which door a request came in, as the gate knows them. */
export type RequestPort = 'broker' | 'name-server' | 'web';

export function portOf(listener: number): RequestPort {
  if (listener === Listener.NAME_SERVER) return 'name-server';
  return listener === Listener.WEB ? 'web' : 'broker';
}

export function serverOf(code: number, listener: number): RequestServer {
  if (listener === Listener.NAME_SERVER) return 'control';
  switch (code) {
    case RequestCode.SEND_MESSAGE:
    case RequestCode.SEND_MESSAGE_V2:
    case RequestCode.SEND_BATCH_MESSAGE:
      return 'worker';
    case RequestCode.PULL_MESSAGE:
    case RequestCode.LITE_PULL_MESSAGE:
      return listener === Listener.VIP ? 'control' : 'dispatcher';
    case RequestCode.END_TRANSACTION:
    case RequestCode.SEARCH_OFFSET_BY_TIMESTAMP:
    case RequestCode.GET_MAX_OFFSET:
    case RequestCode.GET_MIN_OFFSET:
    case RequestCode.GET_EARLIEST_MSG_STORETIME:
    case RequestCode.QUERY_MESSAGE:
    case RequestCode.VIEW_MESSAGE_BY_ID:
    case RequestCode.GET_TOPIC_STATS_INFO:
      return 'dispatcher';
    default:
      return 'control';
  }
}
