/**
 * @agent control
 *
 * The answer that most administrative requests have: success, and a body of JSON.
 */
import { ResponseCode } from '../protocol/codes.ts';

export function jsonAnswer(body: unknown): { code: number; body: Buffer } {
  return { code: ResponseCode.SUCCESS, body: Buffer.from(JSON.stringify(body)) };
}
