/**
 * @agent any
 *
 * Response codes, by their names in ResponseCode.java and RemotingSysResponseCode.java, of 5.3.3. Names of their own,
 * so that a page loads only those that it uses.
 */
export const SUCCESS = 0;
export const SYSTEM_ERROR = 1;
export const SYSTEM_BUSY = 2;
export const REQUEST_CODE_NOT_SUPPORTED = 3;
export const FLUSH_DISK_TIMEOUT = 10;
export const SLAVE_NOT_AVAILABLE = 11;
export const FLUSH_SLAVE_TIMEOUT = 12;
export const MESSAGE_ILLEGAL = 13;
export const SERVICE_NOT_AVAILABLE = 14;
export const VERSION_NOT_SUPPORTED = 15;
export const NO_PERMISSION = 16;
export const TOPIC_NOT_EXIST = 17;
export const PULL_NOT_FOUND = 19;
export const PULL_RETRY_IMMEDIATELY = 20;
export const PULL_OFFSET_MOVED = 21;
export const QUERY_NOT_FOUND = 22;
export const SUBSCRIPTION_PARSE_FAILED = 23;
export const SUBSCRIPTION_NOT_EXIST = 24;
export const SUBSCRIPTION_NOT_LATEST = 25;
export const SUBSCRIPTION_GROUP_NOT_EXIST = 26;
export const FILTER_DATA_NOT_EXIST = 27;
export const FILTER_DATA_NOT_LATEST = 28;
export const INVALID_PARAMETER = 29;
export const CONSUMER_NOT_ONLINE = 206;
export const CONSUME_MSG_TIMEOUT = 207;
export const FLOW_CONTROL = 215;
export const ILLEGAL_OPERATION = 604;
export const GO_AWAY = 1500;
