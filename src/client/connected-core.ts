/**
 * @agent any
 *
 * ClientCore over connections: which server is asked, what is remembered of routes, what brokers are
 * told of this client, and how a lost broker is found again.
 *
 * - A route is fresh for 30 s; those in use are asked anew in the background, and `onRouteChanged`
 *   listeners hear of changes.
 * - While the client belongs to a group, the first frame of each connection to a broker is a heartbeat,
 *   and a lost one is connected again after a jittered time.
 * - Nothing here throws in the background: such trouble goes to `onError`.
 */
import * as RequestCode from '../protocol/request-code.ts';
import * as ResponseCode from '../protocol/response-code.ts';
import { answerError } from './answer-error.ts';
import { clientActivity } from './client-activity.ts';
import type {
  BrokerRequestHandler,
  ClientCore,
  ConsumerData,
  CoreAnswer,
  CoreRequest,
  TopicRoute,
  Transport,
} from './client-core.ts';
import { ClientError } from './client-error.ts';
import { CODEC_JSON, CODEC_MESSAGE_PACK, type HeaderCodec } from './frame-codec.ts';
import { GroupMembership } from './group-membership.ts';
import { NameServerList } from './name-server-list.ts';
import {
  type BackgroundTimer,
  createSigner,
  currentPlatform,
  startBackgroundTimer,
  type TlsClientOptions,
} from './platform.ts';
import {
  abortedError,
  RemotingConnection,
  REQUEST_TIMEOUT_MS,
  type ServerRequest,
} from './remoting-connection.ts';
import type { ClientCredentials, RequestSigner } from './request-signer.ts';
import { decodeRoute, inheritedRoute, isSameRoute, mergeRoutes } from './route-table.ts';

export interface CoreOptions {
  /** Name servers as `host:port`, or brokers as ws: URLs; several in one text with `;` between. */
  readonly servers: string | readonly string[];
  /** `ip@pid#number` unless said. */
  readonly clientId?: string | undefined;
  /** Of a request that says none; 3000. */
  readonly timeoutMs?: number | undefined;
  readonly headerCodec?: 'auto' | 'json' | 'msgpack' | undefined;
  /** By whom requests are signed; by nobody unless said. */
  readonly credentials?: ClientCredentials | undefined;
  /** TLS: true, or what is different from Node's own rules. A browser has wss: URLs instead. */
  readonly tls?: boolean | TlsClientOptions | undefined;
  /** Trouble that no call can tell of. Must not throw. */
  readonly onError?: ((error: ClientError) => void) | undefined;
}

const HEARTBEAT_INTERVAL_MS = 30_000;
const ROUTE_FRESH_MS = 30_000;
/** A route that stands for a topic that was not there yet. */
const INHERITED_ROUTE_FRESH_MS = 1000;
const RECONNECT_MIN_MS = 100;
const RECONNECT_MAX_MS = 5000;
/** Goodbyes are waited for so long. */
const LEAVE_TIMEOUT_MS = 1000;
const AUTO_CREATE_TOPIC = 'TBW102';
const AUTO_CREATE_QUEUE_COUNT = 4;
const MESSAGE_PACK_FIELD = 'IS_SUPPORT_MSGPACK_HEADER';

export interface PublishRoute {
  readonly route: TopicRoute;
  /** The topic is not there yet: its queues are those that its broker will make. */
  readonly isInherited: boolean;
}

interface CachedRoute extends PublishRoute {
  readonly freshUntilMs: number;
}

interface Reconnect {
  attemptCount: number;
  timer: BackgroundTimer | null;
}

/** Room is kept for them in each frame. */
const CREDENTIALS_LENGTH_MAX = 512;
let clientCount = 0;

/** @throws ClientError INVALID_ARGUMENT */
function signerOf({ credentials }: CoreOptions): RequestSigner | null {
  if (credentials === undefined) return null;
  const { accessKey, secretKey, securityToken = '' } = credentials;
  const isShort = accessKey.length + securityToken.length <= CREDENTIALS_LENGTH_MAX;
  if (accessKey === '' || secretKey === '' || !isShort)
    throw new ClientError('INVALID_ARGUMENT', 'credentials need an accessKey and a secretKey');
  return createSigner(credentials);
}

/** @throws ClientError INVALID_ARGUMENT */
function transportOf({ tls = false }: CoreOptions): Transport {
  const { transport, secureTransport } = currentPlatform();
  if (tls === false) return transport;
  if (secureTransport === null)
    throw new ClientError('INVALID_ARGUMENT', 'in a browser TLS is asked for by a wss: URL');
  return secureTransport(tls === true ? {} : tls);
}

export class ConnectedCore implements ClientCore {
  readonly clientId: string;
  readonly timeoutMs: number;
  readonly signer: RequestSigner | null;
  readonly #transport: Transport;
  /** Background trouble so far. */
  errorCount = 0;
  readonly #options: CoreOptions;
  readonly #servers: NameServerList;
  readonly #membership: GroupMembership;
  readonly #connections = new Map<string, RemotingConnection>();
  /** Connections over which a heartbeat was sent. */
  readonly #greeted = new WeakSet<RemotingConnection>();
  readonly #routes = new Map<string, CachedRoute>();
  readonly #routesAsked = new Map<string, Promise<TopicRoute>>();
  readonly #masters = new Map<string, string>();
  readonly #reconnects = new Map<string, Reconnect>();
  readonly #routeListeners: ((route: TopicRoute) => void)[] = [];
  readonly #disconnectListeners: ((address: string) => void)[] = [];
  readonly #handlers = new Map<number, BrokerRequestHandler>();
  #tick: BackgroundTimer | null = null;
  #closed: Promise<void> | null = null;

  /** Connects when first needed. @throws ClientError INVALID_ARGUMENT */
  constructor(options: CoreOptions) {
    const { hostAddress, processId } = currentPlatform();
    this.#options = options;
    this.signer = signerOf(options);
    this.#transport = transportOf(options);
    this.#servers = new NameServerList(options.servers);
    const number = `${Date.now().toString(36)}${(clientCount++).toString(36)}`;
    this.clientId = options.clientId ?? `${hostAddress}@${processId}#${number}`;
    this.timeoutMs = options.timeoutMs ?? REQUEST_TIMEOUT_MS;
    this.#membership = new GroupMembership(this.clientId);
    this.#scheduleTick();
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  async route(
    topic: string,
    options: { fresh?: boolean; signal?: AbortSignal } = {},
  ): Promise<TopicRoute> {
    const known = this.#routes.get(topic);
    if (options.fresh !== true && known !== undefined && !known.isInherited) {
      if (performance.now() < known.freshUntilMs) return known.route;
      // Better an old route than none while no name server can be reached.
      return this.#untilAborted(
        this.#askRoute(topic).catch((error: unknown) => {
          if (ClientError.is(error) && error.code !== 'TOPIC_NOT_FOUND') return known.route;
          throw error;
        }),
        options.signal,
      );
    }
    return this.#untilAborted(this.#askRoute(topic), options.signal);
  }

  /**
   * The route to send by: where there is none yet, that of the queues which the broker will make with
   * the first message. @throws ClientError TOPIC_NOT_FOUND where brokers make none
   */
  async publishRoute(topic: string, fresh = false): Promise<PublishRoute> {
    const known = this.#routes.get(topic);
    if (!fresh && known?.isInherited === true && performance.now() < known.freshUntilMs)
      return known;
    try {
      return { route: await this.route(topic, { fresh }), isInherited: false };
    } catch (error) {
      if (!ClientError.is(error) || error.code !== 'TOPIC_NOT_FOUND') throw error;
      const template = await this.#askRoute(AUTO_CREATE_TOPIC).catch(() => null);
      if (template === null || template.writeQueues.length === 0) throw error;
      const route = inheritedRoute(topic, template, AUTO_CREATE_QUEUE_COUNT);
      this.#remember(route, true);
      return { route, isInherited: true };
    }
  }

  onRouteChanged(listener: (route: TopicRoute) => void): void {
    this.#routeListeners.push(listener);
  }

  onDisconnected(listener: (address: string) => void): void {
    this.#disconnectListeners.push(listener);
  }

  /** Empty where the address is not that of a master. */
  brokerNameOf(address: string): string {
    for (const [brokerName, masterAddress] of this.#masters)
      if (masterAddress === address) return brokerName;
    return '';
  }

  onBrokerRequest(code: number, handler: BrokerRequestHandler): void {
    this.#handlers.set(code, handler);
  }

  async askNameServer(request: CoreRequest): Promise<CoreAnswer> {
    const deadlineMs = performance.now() + (request.timeoutMs ?? this.timeoutMs);
    const addresses = this.#servers.inOrder();
    let failure: ClientError | null = null;
    for (const [index, address] of addresses.entries()) {
      const restMs = deadlineMs - performance.now();
      if (restMs <= 0) break;
      try {
        // One that is silent may not use up the time of all.
        const timeoutMs = restMs / (addresses.length - index);
        const answer = await this.ask(address, { ...request, timeoutMs });
        this.#servers.answered(address);
        return answer;
      } catch (error) {
        failure = this.#asClientError(error);
        if (!failure.canRetry) throw failure;
      }
    }
    throw failure ?? new ClientError('TIMEOUT', 'no name server answered in time');
  }

  async askAllNameServers(request: CoreRequest): Promise<CoreAnswer[]> {
    return Promise.all(this.#servers.addresses.map((address) => this.ask(address, request)));
  }

  async ask(address: string, request: CoreRequest): Promise<CoreAnswer> {
    const timeoutMs = request.timeoutMs ?? this.timeoutMs;
    return this.connection(address).request({ ...request, timeoutMs });
  }

  async tell(address: string, request: CoreRequest): Promise<void> {
    const connection = this.connection(address);
    connection.tell(request);
    if (!connection.isOpen) await connection.opened;
  }

  masterAddress(brokerName: string): string {
    const address = this.#masters.get(brokerName);
    if (address === undefined)
      throw new ClientError('CONNECTION_FAILED', `no address of broker ${brokerName} is known`);
    return address;
  }

  async setProducerGroup(group: string | null): Promise<void> {
    const former = this.#membership.producerGroup;
    this.#membership.producerGroup = group;
    if (group !== null) await this.heartbeat();
    else if (former !== null) await this.#leave({ producerGroup: former });
  }

  async setConsumer(data: ConsumerData | null): Promise<void> {
    const former = this.#membership.consumer;
    this.#membership.consumer = data;
    if (data !== null) await this.heartbeat();
    else if (former !== null) await this.#leave({ consumerGroup: former.groupName });
  }

  async heartbeat(): Promise<void> {
    if (!this.#membership.isMember) return;
    await Promise.all([...this.#brokerAddresses()].map((address) => this.#heartbeatTo(address)));
  }

  /** The connection to an address, made if there is none. @throws ClientError CLOSED */
  connection(address: string): RemotingConnection {
    const known = this.#connections.get(address);
    if (known !== undefined) return known;
    const connection = this.#connect(address);
    if (this.#membership.isMember && this.#brokerAddresses().has(address))
      void this.#heartbeatTo(address);
    return connection;
  }

  #connect(address: string): RemotingConnection {
    if (this.isClosed) throw this.#closedError();
    const connection = new RemotingConnection({
      address,
      transport: this.#transport,
      signer: this.signer,
      codec: this.#firstCodec(address),
      onRequest: (request) => this.#onServerRequest(request, address),
      onClosed: (error, wasOpen) => this.#onClosed(connection, error, wasOpen),
    });
    this.#connections.set(address, connection);
    return connection;
  }

  /** Trouble that no call can tell of. */
  report(error: unknown): void {
    this.errorCount++;
    try {
      this.#options.onError?.(this.#asClientError(error));
    } catch {
      // A listener that throws has nobody else to be told.
      this.errorCount++;
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#tick !== null) clearTimeout(this.#tick);
    for (const { timer } of this.#reconnects.values()) if (timer !== null) clearTimeout(timer);
    this.#reconnects.clear();
    await this.setProducerGroup(null);
    await this.setConsumer(null);
    for (const connection of this.#connections.values()) connection.close(this.#closedError());
  }

  #closedError(): ClientError {
    return new ClientError('CLOSED', 'the client was closed');
  }

  #asClientError(error: unknown): ClientError {
    if (ClientError.is(error)) return error;
    return new ClientError('PROTOCOL_ERROR', 'the client failed by a fault of its own', {
      cause: error,
    });
  }

  #firstCodec(address: string): HeaderCodec {
    const wanted = this.#options.headerCodec ?? 'auto';
    if (wanted !== 'auto') return wanted === 'json' ? CODEC_JSON : CODEC_MESSAGE_PACK;
    return /^wss?:/.test(address) ? CODEC_MESSAGE_PACK : CODEC_JSON;
  }

  #scheduleTick(): void {
    const delayMs = Math.min(HEARTBEAT_INTERVAL_MS, ROUTE_FRESH_MS);
    this.#tick = startBackgroundTimer(() => {
      this.#scheduleTick();
      void this.heartbeat();
      for (const topic of this.#routes.keys())
        if (topic !== AUTO_CREATE_TOPIC) this.refreshRoute(topic);
    }, delayMs);
  }

  /** Asks anew without waiting for it. */
  refreshRoute(topic: string): void {
    if (this.isClosed) return;
    this.#askRoute(topic).catch((error: unknown) => {
      if (!this.isClosed) this.report(error);
    });
  }

  #askRoute(topic: string): Promise<TopicRoute> {
    const asked = this.#routesAsked.get(topic);
    if (asked !== undefined) return asked;
    const answer = this.#fetchRoute(topic).finally(() => this.#routesAsked.delete(topic));
    this.#routesAsked.set(topic, answer);
    return answer;
  }

  async #fetchRoute(topic: string): Promise<TopicRoute> {
    if (this.isClosed) throw this.#closedError();
    const request: CoreRequest = { code: RequestCode.GET_ROUTEINFO_BY_TOPIC, fields: { topic } };
    try {
      const route = this.#servers.isWebSocket
        ? await this.#mergedRoute(topic, request)
        : this.#routeOf(topic, await this.askNameServer(request));
      this.#remember(route, false);
      return route;
    } catch (error) {
      if (ClientError.is(error) && error.code === 'TOPIC_NOT_FOUND') this.#routes.delete(topic);
      throw error;
    }
  }

  /** Of brokers that each speak for themselves; those that can not be reached are left out. */
  async #mergedRoute(topic: string, request: CoreRequest): Promise<TopicRoute> {
    const routes: TopicRoute[] = [];
    const failures: ClientError[] = [];
    await Promise.all(
      this.#servers.addresses.map(async (url) => {
        try {
          routes.push(this.#routeOf(topic, await this.ask(url, request), url));
        } catch (error) {
          failures.push(this.#asClientError(error));
        }
      }),
    );
    const unreachable = failures.find(({ code }) => code !== 'TOPIC_NOT_FOUND');
    if (routes.length > 0) return mergeRoutes(topic, routes);
    throw unreachable ?? failures[0];
  }

  #routeOf(topic: string, answer: CoreAnswer, url?: string): TopicRoute {
    if (answer.code !== ResponseCode.SUCCESS) throw answerError(answer, `route of topic ${topic}`);
    const { body } = answer;
    return decodeRoute(topic, currentPlatform().decodeText(body, 0, body.length), url);
  }

  #remember(route: TopicRoute, isInherited: boolean): void {
    const freshMs = isInherited ? INHERITED_ROUTE_FRESH_MS : ROUTE_FRESH_MS;
    const former = this.#routes.get(route.topic);
    const freshUntilMs = performance.now() + freshMs;
    this.#routes.set(route.topic, { route, freshUntilMs, isInherited });
    for (const [name, { masterAddress }] of route.brokers)
      if (masterAddress !== null) this.#masters.set(name, masterAddress);
    if (this.#membership.isMember && !this.isClosed) this.#greetNewBrokers();
    if (former === undefined || isSameRoute(former.route, route)) return;
    for (const listener of this.#routeListeners) this.#guard(() => listener(route));
  }

  /** Brokers that are new are told of this client at once, also over a connection that was there before. */
  #greetNewBrokers(): void {
    for (const address of this.#brokerAddresses()) {
      const known = this.#connections.get(address);
      const isGreeted = known !== undefined && this.#greeted.has(known);
      if (!isGreeted && !this.#reconnects.has(address)) void this.#heartbeatTo(address);
    }
  }

  /** Of the brokers that this client tells of itself: masters alone, if it only produces. */
  #brokerAddresses(): Set<string> {
    if (this.#membership.consumer !== null) return this.#knownAddresses();
    const addresses = new Set<string>();
    for (const { route } of this.#routes.values()) {
      for (const { masterAddress } of route.brokers.values())
        if (masterAddress !== null) addresses.add(masterAddress);
    }
    return addresses;
  }

  #knownAddresses(): Set<string> {
    const known = new Set<string>();
    for (const { route } of this.#routes.values()) {
      for (const { addresses } of route.brokers.values())
        for (const address of addresses) known.add(address);
    }
    return known;
  }

  async #heartbeatTo(address: string): Promise<void> {
    try {
      const connection = this.#connections.get(address) ?? this.#connect(address);
      this.#greeted.add(connection);
      const answer = await connection.request(this.#membership.heartbeat(this.timeoutMs));
      if (answer.code !== ResponseCode.SUCCESS)
        throw answerError(answer, `heartbeat to ${address}`);
      this.#reconnects.delete(address);
      const isAuto = (this.#options.headerCodec ?? 'auto') === 'auto';
      if (isAuto && answer.fields.get(MESSAGE_PACK_FIELD) === 'true')
        connection.codec = CODEC_MESSAGE_PACK;
    } catch (error) {
      const isLoss = ClientError.is(error) && error.code === 'CONNECTION_FAILED';
      if (!this.isClosed && !isLoss) this.report(error);
    }
  }

  async #leave(groups: { producerGroup?: string; consumerGroup?: string }): Promise<void> {
    const request = this.#membership.unregister(groups, LEAVE_TIMEOUT_MS);
    const brokers = this.#knownAddresses();
    const open = [...this.#connections.values()].filter(
      ({ isOpen, address }) => isOpen && brokers.has(address),
    );
    // A broker that can not be told finds the connection closed.
    await Promise.allSettled(open.map((connection) => connection.request(request)));
  }

  #onClosed(connection: RemotingConnection, error: ClientError, wasOpen: boolean): void {
    const { address } = connection;
    if (this.#connections.get(address) === connection) this.#connections.delete(address);
    if (this.isClosed) return;
    if (wasOpen) {
      for (const listener of this.#disconnectListeners) this.#guard(() => listener(address));
    }
    if (!this.#membership.isMember || !this.#brokerAddresses().has(address)) return;
    this.report(error);
    this.#scheduleReconnect(address);
  }

  #scheduleReconnect(address: string): void {
    const reconnect = this.#reconnects.get(address) ?? { attemptCount: 0, timer: null };
    if (reconnect.timer !== null) return;
    this.#reconnects.set(address, reconnect);
    const longestMs = Math.min(RECONNECT_MIN_MS * 2 ** reconnect.attemptCount++, RECONNECT_MAX_MS);
    reconnect.timer = startBackgroundTimer(
      () => {
        reconnect.timer = null;
        this.#reconnect(address);
      },
      longestMs / 2 + (Math.random() * longestMs) / 2,
    );
  }

  #reconnect(address: string): void {
    const isWanted = this.#membership.isMember && this.#brokerAddresses().has(address);
    if (this.isClosed || !isWanted) {
      this.#reconnects.delete(address);
      return;
    }
    this.#guard(() => this.connection(address));
    // The broker may have gone for good, or come back at another address.
    for (const topic of this.#routes.keys())
      if (topic !== AUTO_CREATE_TOPIC) this.refreshRoute(topic);
  }

  #onServerRequest(request: ServerRequest, address: string): void {
    const handler = this.#handlers.get(request.code);
    if (handler === undefined) {
      request.answer({
        code: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
        remark: ` request type ${request.code} not supported`,
      });
      return;
    }
    clientActivity.begin();
    this.#serve(handler, request, address)
      .catch((error: unknown) => {
        this.report(error);
        const remark = this.#asClientError(error).message;
        request.answer({ code: ResponseCode.SYSTEM_ERROR, remark });
      })
      .finally(() => clientActivity.end());
  }

  async #serve(
    handler: BrokerRequestHandler,
    request: ServerRequest,
    address: string,
  ): Promise<void> {
    const { code, fields, body } = request;
    const answer = await handler({ code, fields, body }, address);
    if (answer !== null) request.answer(answer);
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.report(error);
    }
  }

  /** What many wait for goes on when one of them has had enough. */
  async #untilAborted<Value>(promise: Promise<Value>, signal?: AbortSignal): Promise<Value> {
    if (signal === undefined) return promise;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(abortedError(signal));
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort);
      promise
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', onAbort))
        .catch(() => {});
    });
  }
}
