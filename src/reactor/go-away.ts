/**
 * @agent reactor
 *
 * What a request is answered while the broker stops: clients newer than 5.3.1 go elsewhere at once.
 */
import { ResponseCode, Version } from '../protocol/codes.ts';
import {
  decodeFrame,
  encodeAnswer,
  FLAG_ONEWAY,
  FLAG_RESPONSE,
} from '../protocol/remoting-command.ts';

/** GO_AWAY for a frame without its length word; null where its client would not know that answer. */
export function goAwayAnswer(frame: Buffer): Buffer | null {
  try {
    const request = decodeFrame(frame);
    if (request.version <= Version.V5_3_1 || (request.flag & (FLAG_RESPONSE | FLAG_ONEWAY)) !== 0)
      return null;
    return encodeAnswer(request, {
      code: ResponseCode.GO_AWAY,
      remark: 'the broker is shutting down',
    });
  } catch {
    return null;
  }
}
