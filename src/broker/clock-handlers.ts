/**
 * @agent control
 *
 * ADVANCE_CLOCK (28001), Millrace's own: moves the clock of a broker that was started with one that stands
 * still, for test programs in other processes. Answered when everything that became due has been done, as
 * far as can be seen from here. Any other broker does not know the request.
 */
import { RequestCode, ResponseCode } from '../protocol/codes.ts';
import type { RequestHandler } from './control-state.ts';
import { requiredInteger, RequestFault } from './request-fields.ts';

const advanceClock: RequestHandler = (state, request, connection) => {
  const { advanceClock: advance } = state;
  if (advance === null) {
    return {
      code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
      remark: ` request type ${request.code} not supported: the clock of this broker goes by itself`,
    };
  }
  const millis = requiredInteger(request, 'millis');
  if (millis < 0) throw new RequestFault('the custom field <millis> is negative');
  const { opaque, serializeType, flag } = request;
  const asked = { opaque, serializeType, flag };
  void advance(millis).then(
    (wallMs) =>
      state.answerLater(connection.id, asked, {
        code: ResponseCode.SUCCESS,
        extFields: [['wallMs', String(wallMs)]],
      }),
    (error: unknown) =>
      state.answerLater(connection.id, asked, {
        code: ResponseCode.SYSTEM_ERROR,
        remark: error instanceof Error ? error.message : String(error),
      }),
  );
  return null;
};

export const clockHandlers: ReadonlyMap<number, RequestHandler> = new Map([
  [RequestCode.ADVANCE_CLOCK, advanceClock],
]);
