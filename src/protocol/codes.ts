/**
 * @agent any
 *
 * Request and response codes of RocketMQ's remoting protocol, by their names there
 * (RequestCode.java, ResponseCode.java, RemotingSysResponseCode.java of 5.3.3).
 */
export * as RequestCode from './request-code.ts';

export * as ResponseCode from './response-code.ts';

/** Ordinals of MQVersion.java that rules of the protocol compare with. */
export const Version = {
  V3_0_11: 37,
  V3_4_9: 121,
  V4_9_4: 401,
  V5_0_0: 413,
  V5_3_1: 475,
  V5_3_3: 479,
} as const;

/** The version that Millrace states in every frame it sends: its wire contract is 5.3.3's. */
export const MILLRACE_PROTOCOL_VERSION = Version.V5_3_3;

/** LanguageCode.java, by number. */
export const languages = [
  'JAVA',
  'CPP',
  'DOTNET',
  'PYTHON',
  'DELPHI',
  'ERLANG',
  'RUBY',
  'OTHER',
  'HTTP',
  'GO',
  'PHP',
  'OMS',
  'RUST',
  'NODE_JS',
] as const;
export const LANGUAGE_OTHER = 7;
