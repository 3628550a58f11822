/**
 * Requests of a raw client, signed as RocketMQ's documents say, by code of its own.
 */
import { createHmac } from 'node:crypto';
import type { RawRequest } from '../workers/raw-client.ts';

export interface TestCredentials {
  accessKey: string;
  secretKey: string;
}

export function signed(request: RawRequest, { accessKey, secretKey }: TestCredentials): RawRequest {
  const fields: Record<string, string> = { AccessKey: accessKey };
  for (const [name, value] of Object.entries(request.fields ?? {})) fields[name] = String(value);
  const content = Object.keys(fields)
    .sort()
    .map((name) => fields[name])
    .join('');
  const signature = createHmac('sha1', secretKey)
    .update(content)
    .update(request.body ?? new Uint8Array())
    .digest('base64');
  return { ...request, fields: { ...fields, Signature: signature } };
}
