/**
 * @agent any
 *
 * The configuration of a broker process. Each key says which one of Apache's broker.conf it stands
 * for (BrokerConfig.java, MessageStoreConfig.java, NettyServerConfig.java); defaults are theirs.
 */
import os from 'node:os';

export interface BrokerConfig {
  /** storePathRootDir */
  readonly storeDirectory: string;
  /** What segments are: mapped memory, or plain files without native code. */
  readonly storeKind: 'mapped' | 'plain';
  /** Address that the ports are bound to (bindAddress). */
  readonly listenAddress: string;
  /** listenPort; the VIP port is two below. 0 picks a free port. */
  readonly brokerPort: number;
  readonly nameServerPort: number;
  /** Other name servers to register with (namesrvAddr, ";" between them). */
  readonly nameServerAddresses: readonly string[];
  readonly embeddedNameServer: boolean;
  /** Port for browsers: WebSocket and HTTP. 0 picks a free port, -1 opens none. */
  readonly webPort: number;
  /** Origins of pages that may connect, besides those of this machine and of this port itself; `*` for all. */
  readonly webAllowedOrigins: readonly string[];
  /** Library that carries the web port; auto: uWebSockets.js where it loads, else ws. */
  readonly webLibrary: 'auto' | 'uws' | 'ws';
  /** Lines of one answer of /metrics, beyond which lines of single groups, topics and queues are left out. */
  readonly metricsLineCountMax: number;
  /** flushDiskType */
  readonly flush: 'async' | 'sync';
  readonly threads: 'auto' | 'pipelined' | 'inline';
  /** `host` or `host:port` that clients are given (brokerIP1); null: where they reach us. */
  readonly advertise: string | null;
  /** brokerClusterName */
  readonly clusterName: string;
  readonly brokerName: string;
  readonly brokerId: number;
  /** mappedFileSizeCommitLog */
  readonly segmentBytes: number;
  /** maxMessageSize */
  readonly maxMessageBytes: number;
  /** fileReservedTime */
  readonly fileReservedTimeHours: number;
  /** Hours of the day, local, ";" between them, at which expired files are deleted. */
  readonly deleteWhen: string;
  /** Percent of the disk above which expired files are deleted at any hour. */
  readonly diskMaxUsedSpaceRatio: number;
  /** Percent above which the oldest files are deleted whatever their age (rocketmq.broker.diskSpaceCleanForciblyRatio). */
  readonly diskSpaceCleanForciblyRatio: number;
  /** Percent above which messages are refused (rocketmq.broker.diskSpaceWarningLevelRatio). */
  readonly diskSpaceWarningLevelRatio: number;
  readonly autoCreateTopicEnable: boolean;
  readonly autoCreateSubscriptionGroup: boolean;
  readonly defaultTopicQueueNums: number;
  readonly messageDelayLevel: string;
  readonly timerWheelEnable: boolean;
  readonly timerMaxDelaySec: number;
  readonly recallMessageEnable: boolean;
  readonly rejectTransactionMessage: boolean;
  readonly transactionTimeOutMs: number;
  readonly transactionCheckIntervalMs: number;
  readonly transactionCheckMax: number;
  readonly longPollingEnable: boolean;
  readonly notifyConsumerIdsChangedEnable: boolean;
  readonly useServerSideResetOffset: boolean;
  readonly storeReplyMessageEnable: boolean;
  /** Of the name server in this process. */
  readonly orderMessageEnable: boolean;
  readonly enablePropertyFilter: boolean;
  /** syncFlushTimeout */
  readonly syncFlushTimeoutMs: number;
  /** flushIntervalCommitLog */
  readonly flushIntervalMs: number;
  /** Whether the page cache forgets what a fast stream has left behind; auto: where new memory is dear. */
  readonly dropBehind: 'auto' | 'on' | 'off';
  readonly messageIndexEnable: boolean;
  /** checkCRCOnRecover */
  readonly checkCrcOnRecover: boolean;
  /** enabledAppendPropCRC */
  readonly appendsPropertyCrc: boolean;
  /** forceVerifyPropCRC */
  readonly verifiesPropertyCrc: boolean;
  readonly connectionCountMax: number;
  /** Connections a second that come in, and so many at once; others wait. */
  readonly acceptRateMax: number;
  /** Bytes of answers that all peers together may leave untaken. */
  readonly waitingAnswerBytesMax: number;
  /** Bytes of frames of which all peers together have sent a part. */
  readonly waitingRequestBytesMax: number;
  /** Pulls that wait for messages at once. */
  readonly heldPullCountMax: number;
  /** Topics, besides the system's own. */
  readonly topicCountMax: number;
  /** Queues of all topics. */
  readonly queueCountMax: number;
  readonly subscriptionGroupCountMax: number;
  /** Members of consumer and producer groups, over all connections. */
  readonly clientCountMax: number;
  /** Consumer groups, and producer groups, that one connection may be a member of. */
  readonly membershipCountMax: number;
  /** Topics that one group may subscribe to. */
  readonly subscriptionCountMax: number;
  /** Characters of what all consumers subscribe to. */
  readonly subscriptionBytesMax: number;
  /** Of the name server: memory of what brokers register there. */
  readonly routeBytesMax: number;
  /** serverChannelMaxIdleTimeSeconds */
  readonly idleCloseMs: number;
  /** waitTimeMillsInSendQueue */
  readonly waitTimeMillsInSendQueue: number;
  /** Requests must be signed by a user. */
  readonly authenticationEnabled: boolean;
  /** Users that are no super users need policies. */
  readonly authorizationEnabled: boolean;
  /** The first super user, made where there is none of that name; a secret. */
  readonly initAuthenticationUser: { readonly username: string; readonly password: string } | null;
  /** What brokers of the cluster sign with at name servers, and may register by; a secret. */
  readonly innerClientAuthenticationCredentials: {
    readonly accessKey: string;
    readonly secretKey: string;
  } | null;
  /** Of RocketMQ 4.x: both of the above, with the users of `plainAclFile`. */
  readonly aclEnable: boolean;
  /** A plain_acl.yml whose accounts become users where there are none of these names. */
  readonly plainAclFile: string | null;
  /** tls.server.mode; without a certificate there is no TLS, whatever it says. */
  readonly tlsServerMode: 'disabled' | 'permissive' | 'enforcing';
  /** Files in PEM. */
  readonly tlsServerCertPath: string | null;
  readonly tlsServerKeyPath: string | null;
  /** A secret. */
  readonly tlsServerKeyPassword: string | null;
  readonly tlsServerNeedClientAuth: 'none' | 'optional' | 'require';
  readonly tlsServerAuthClient: boolean;
  readonly tlsServerTrustCertPath: string | null;
  /** Towards other name servers. */
  readonly tlsEnable: boolean;
  readonly tlsClientTrustCertPath: string | null;
  readonly tlsClientAuthServer: boolean;
  /** Other machines may reach a broker that has no access control. */
  readonly allowPublic: boolean;
  readonly regionId: string;
  readonly traceOn: boolean;
  readonly traceTopicEnable: boolean;
}

export function defaultBrokerConfig(): BrokerConfig {
  return {
    storeDirectory: 'store',
    storeKind: 'mapped',
    listenAddress: '127.0.0.1',
    brokerPort: 10911,
    nameServerPort: 9876,
    nameServerAddresses: [],
    embeddedNameServer: true,
    webPort: 8088,
    webAllowedOrigins: [],
    webLibrary: 'auto',
    metricsLineCountMax: 100_000,
    flush: 'async',
    threads: 'auto',
    advertise: null,
    clusterName: 'DefaultCluster',
    brokerName: os.hostname().replace(/[^A-Za-z0-9_-]/g, '-') || 'broker-a',
    brokerId: 0,
    segmentBytes: 1024 * 1024 * 1024,
    maxMessageBytes: 4 * 1024 * 1024,
    fileReservedTimeHours: 72,
    deleteWhen: '04',
    diskMaxUsedSpaceRatio: 75,
    diskSpaceCleanForciblyRatio: 85,
    diskSpaceWarningLevelRatio: 90,
    autoCreateTopicEnable: true,
    autoCreateSubscriptionGroup: true,
    defaultTopicQueueNums: 8,
    messageDelayLevel: '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h',
    timerWheelEnable: true,
    timerMaxDelaySec: 3 * 86_400,
    recallMessageEnable: true,
    rejectTransactionMessage: false,
    transactionTimeOutMs: 6000,
    transactionCheckIntervalMs: 30_000,
    transactionCheckMax: 15,
    longPollingEnable: true,
    enablePropertyFilter: false,
    notifyConsumerIdsChangedEnable: true,
    useServerSideResetOffset: true,
    storeReplyMessageEnable: true,
    orderMessageEnable: false,
    syncFlushTimeoutMs: 5000,
    flushIntervalMs: 500,
    dropBehind: 'auto',
    messageIndexEnable: true,
    checkCrcOnRecover: true,
    appendsPropertyCrc: false,
    verifiesPropertyCrc: false,
    connectionCountMax: 100_000,
    acceptRateMax: 5000,
    waitingAnswerBytesMax: 256 * 1024 * 1024,
    waitingRequestBytesMax: 256 * 1024 * 1024,
    heldPullCountMax: 100_000,
    topicCountMax: 100_000,
    queueCountMax: 1_000_000,
    subscriptionGroupCountMax: 50_000,
    clientCountMax: 200_000,
    membershipCountMax: 1000,
    subscriptionCountMax: 1000,
    subscriptionBytesMax: 64 * 1024 * 1024,
    routeBytesMax: 256 * 1024 * 1024,
    idleCloseMs: 120_000,
    waitTimeMillsInSendQueue: 200,
    authenticationEnabled: false,
    authorizationEnabled: false,
    initAuthenticationUser: null,
    innerClientAuthenticationCredentials: null,
    aclEnable: false,
    plainAclFile: null,
    tlsServerMode: 'permissive',
    tlsServerCertPath: null,
    tlsServerKeyPath: null,
    tlsServerKeyPassword: null,
    tlsServerNeedClientAuth: 'none',
    tlsServerAuthClient: false,
    tlsServerTrustCertPath: null,
    tlsEnable: false,
    tlsClientTrustCertPath: null,
    tlsClientAuthServer: true,
    allowPublic: false,
    regionId: 'DefaultRegion',
    traceOn: true,
    traceTopicEnable: false,
  };
}
