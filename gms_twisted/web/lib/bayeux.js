// @ts-check
/**
 * A Bayeux client in one file, for the pages of this server and for yours.
 *
 *     import { BayeuxClient } from "https://gms.example/lib/bayeux.js";
 *
 *     const client = new BayeuxClient({
 *       url: "https://gms.example/genesys/cometd",
 *       ext: async () => ({ token: await fetchToken() }),   // before every handshake
 *     });
 *     client.subscribe("/_genesys", (message) => show(message.data));
 *     client.on("session", ({ first }) => { if (!first) reReadEverything(); });
 *     client.start();
 *
 * What it does:
 *
 * - Prefers websocket; when that cannot be opened it uses long polling at once, and tries the
 *   websocket again later.
 * - Keeps its session over a change of network where the server can tell that it is the same
 *   client: a new connection continues where the old one ended, and with the acknowledgement
 *   extension (the default) nothing is lost or doubled.  Where it cannot (a websocket whose user was
 *   named in the handshake only), there is a new session, and "session" says so.
 * - Follows the server's advice.  A session that the server no longer knows (402) is replaced by a
 *   new handshake, all subscriptions are made again, and "session" tells that events may be missing.
 * - Waits longer and longer between attempts, with jitter, so that a restarted server is not
 *   overrun; `retryAt` says when the next attempt is due and `retryNow()` makes it due.
 * - Calls procedures: `call("desk", {do: "hello"})` publishes to `/service/desk` and resolves with
 *   the answer that carries the same id.
 *
 * It needs a browser of today (or Node 22) and no other file.
 *
 * States: `idle` -> `connecting` -> `connected` <-> `waiting` -> `connecting` ...; `refused` and
 * `closed` are final until `start()` is called again.
 *
 * | event     | detail |
 * |-----------|--------|
 * | `state`   | `{state, retryAt, error}`; `retryAt` in milliseconds of `Date.now()` while waiting |
 * | `session` | `{first, clientId, transport}`: a handshake succeeded.  `first` false: a gap, re-read |
 * | `message` | every message that was delivered |
 * | `wire`    | `{direction: "out"\|"in", transport, messages}`: for people who want to look |
 * | `error`   | a {@link BayeuxError} that no promise reports: a subscription refused again, a listener that threw |
 *
 * @module
 */

/**
 * @typedef {Object} Message  A Bayeux message.
 * @property {string} channel
 * @property {string} [id]
 * @property {string} [clientId]
 * @property {*} [data]
 * @property {boolean} [successful]
 * @property {string} [error]
 * @property {string|string[]} [subscription]
 * @property {Advice} [advice]
 * @property {Object<string, *>} [ext]
 */

/**
 * @typedef {Object} Advice  What the server wants us to do next; times in milliseconds.
 * @property {"retry"|"handshake"|"none"} [reconnect]
 * @property {number} [interval]
 * @property {number} [timeout]
 */

/**
 * @typedef {Object} Options
 * @property {string} url  Of the Bayeux endpoint, `http(s)://` or relative to the page.
 * @property {Array<"websocket"|"long-polling">} [transports]  In order of preference.
 * @property {(() => (Object|Promise<Object>))} [ext]  Asked before every handshake; its members go
 *   into the handshake's `ext`.  Throw to try again later; throw an error with `fatal: true` to stop.
 * @property {(() => Object<string, string>)} [headers]  Further headers of long polls.
 * @property {RequestCredentials} [credentials]  Of long polls; default `same-origin`.
 * @property {boolean} [ack]  Use the acknowledgement extension; default true.
 * @property {number} [openTimeout]  For opening a connection and a handshake, ms; default 8000.
 * @property {number} [callTimeout]  For an answer to a publish, subscribe or call, ms; default 15000.
 * @property {number} [grace]  Added to the server's hold time before a connection counts as dead; default 10000.
 * @property {number} [minBackoff]  First pause after a failure, ms; default 500.
 * @property {number} [maxBackoff]  Longest pause, ms; default 30000.
 * @property {number} [websocketRetry]  After a fallback, websocket is tried again so much later, ms; default 300000.
 * @property {Partial<Environment>} [environment]  For tests.
 */

/**
 * @typedef {Object} Environment
 * @property {typeof WebSocket|undefined} WebSocket
 * @property {typeof fetch} fetch
 * @property {(callback: () => void, ms: number) => *} setTimeout
 * @property {(handle: *) => void} clearTimeout
 * @property {() => number} now
 * @property {() => number} random
 * @property {string} base
 */

/** Why something did not work.  `code` is a word of ours or the number of the server's error. */
export class BayeuxError extends Error {
  /**
   * @param {string} code  `offline`, `lost` (sent, but the outcome is unknown), `timeout`, `closed`,
   *   `failed` (a remote call), `overflow`, or the server's `402`, `403`, ...
   * @param {string} message
   * @param {*} [detail]  The server's message, or the `data` of a failed call.
   */
  constructor(code, message, detail) {
    super(message);
    this.name = "BayeuxError";
    this.code = code;
    this.detail = detail;
  }
}

const MAX_PENDING = 200;

/** @param {string} error @returns {{code: string, text: string}} */
export function parseError(error) {
  const parts = /^(\d{3}):([^:]*):(.*)$/s.exec(error || "");
  return parts ? { code: parts[1], text: parts[3] } : { code: "error", text: error || "refused" };
}

/**
 * Tell whether a subscription's pattern covers a channel.
 * @param {string} pattern @param {string} channel
 */
export function matches(pattern, channel) {
  if (pattern === channel) return true;
  if (channel.startsWith("/meta/") || channel.startsWith("/service/")) return false;
  if (pattern.endsWith("/**")) return channel.startsWith(pattern.slice(0, -2));
  if (!pattern.endsWith("/*")) return false;
  const stem = pattern.slice(0, -1);
  return channel.startsWith(stem) && !channel.slice(stem.length).includes("/");
}

/** One websocket; several payloads are under way at a time. */
class SocketTransport {
  /** @param {BayeuxClient} client @param {(transport: *, reason: string) => void} lost */
  constructor(client, lost) {
    this.name = "websocket";
    this.client = client;
    this.lost = lost;
    this.opened = false;
    this.over = false;
    const url = new URL(client.url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const Socket = /** @type {typeof WebSocket} */ (client.environment.WebSocket);
    /** @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      this.socket = new Socket(url.href);
      const timer = client.environment.setTimeout(
        () => this.end("The websocket did not open in time."), client.options.openTimeout);
      this.socket.onopen = () => {
        client.environment.clearTimeout(timer);
        this.opened = true;
        resolve();
      };
      this.socket.onmessage = (event) => {
        if (this.over) return;
        try {
          client.received(JSON.parse(event.data), this);
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
          this.end("The server sent something that is not JSON.");
        }
      };
      this.socket.onerror = () => {};
      this.socket.onclose = (event) => {
        client.environment.clearTimeout(timer);
        this.end(event.reason || "The websocket was closed.");
      };
      this.reject = reject;
    });
    this.ready.catch(() => {});
  }

  /** @param {Message[]} messages */
  send(messages) {
    if (this.over) return;
    try {
      /** @type {WebSocket} */ (this.socket).send(JSON.stringify(messages));
    } catch (error) {
      this.end(String(error));
    }
  }

  /** @param {string} reason */
  end(reason) {
    if (this.over) return;
    this.over = true;
    if (this.reject) this.reject(new BayeuxError("offline", reason));
    this.close();
    if (this.opened) this.lost(this, reason);
  }

  close() {
    this.over = true;
    const socket = /** @type {WebSocket} */ (this.socket);
    socket.onclose = null;
    socket.onmessage = null;
    try {
      socket.close();
    } catch {
      // A socket that never opened may refuse; it is gone all the same.
    }
  }
}

/** Long polling: one request held by the server, and one at a time for everything else. */
class PollTransport {
  /** @param {BayeuxClient} client @param {(transport: *, reason: string) => void} lost */
  constructor(client, lost) {
    this.name = "long-polling";
    this.client = client;
    this.lost = lost;
    this.over = false;
    this.ready = Promise.resolve();
    /** @type {Set<AbortController>} */
    this.requests = new Set();
    /** @type {Message[]} */
    this.waiting = [];
    this.busy = false;
  }

  /** @param {Message[]} messages */
  send(messages) {
    if (this.over) return;
    if (messages.some((message) => message.channel === "/meta/connect")) {
      void this.post(messages);
    } else {
      this.waiting.push(...messages);
      void this.flush();
    }
  }

  async flush() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length && !this.over) {
      const batch = this.waiting.splice(0, this.waiting.length);
      await this.post(batch);
    }
    this.busy = false;
  }

  /** @param {Message[]} messages */
  async post(messages) {
    const abort = new AbortController();
    this.requests.add(abort);
    const { options, environment } = this.client;
    try {
      const response = await environment.fetch(this.client.url, {
        method: "POST",
        headers: { "Content-Type": "application/json;charset=UTF-8", ...(options.headers ? options.headers() : {}) },
        body: JSON.stringify(messages),
        credentials: options.credentials,
        cache: "no-store",
        signal: abort.signal,
      });
      if (!response.ok) throw new BayeuxError(String(response.status), `The server answered ${response.status}.`);
      const answer = await response.json();
      if (!this.over) this.client.received(answer, this);
    } catch (error) {
      this.end(error instanceof Error ? error.message : String(error));
    } finally {
      this.requests.delete(abort);
    }
  }

  /** @param {string} reason */
  end(reason) {
    if (this.over) return;
    this.close();
    this.lost(this, reason);
  }

  close() {
    this.over = true;
    for (const request of this.requests) request.abort();
    this.requests.clear();
  }
}

/** A Bayeux client; see the top of the file. */
export class BayeuxClient {
  /** @param {Options} options */
  constructor(options) {
    const scope = /** @type {*} */ (globalThis);
    /** @type {Environment} */
    this.environment = {
      WebSocket: scope.WebSocket,
      fetch: (...args) => scope.fetch(...args),
      setTimeout: (callback, ms) => scope.setTimeout(callback, ms),
      clearTimeout: (handle) => scope.clearTimeout(handle),
      now: () => Date.now(),
      random: () => Math.random(),
      base: scope.location ? scope.location.href : "http://localhost/",
      ...options.environment,
    };
    this.options = {
      transports: /** @type {Array<"websocket"|"long-polling">} */ (["websocket", "long-polling"]),
      credentials: /** @type {RequestCredentials} */ ("same-origin"),
      ack: true,
      openTimeout: 8000,
      callTimeout: 15000,
      grace: 10000,
      minBackoff: 500,
      maxBackoff: 30000,
      websocketRetry: 300000,
      ...options,
    };
    /** Absolute address of the endpoint. */
    this.url = new URL(options.url, this.environment.base).href;
    this.leaving = false;
    /** @type {"idle"|"connecting"|"connected"|"waiting"|"refused"|"closed"} */
    this.state = "idle";
    /** When the next attempt is due, or null.  @type {number|null} */
    this.retryAt = null;
    /** @type {string|null} */
    this.clientId = null;
    /** @type {SocketTransport|PollTransport|null} */
    this.transport = null;
    /** @type {Map<string, Set<(detail: *) => void>>} */
    this.listeners = new Map();
    /** @type {Map<string, Set<(message: Message) => void>>} */
    this.subscriptions = new Map();
    /** @type {Map<string, Set<(message: Message) => void>>} */
    this.channelListeners = new Map();
    /** @type {Map<string, {message: Message, call: boolean, sent: boolean, timer: *, resolve: (value: *) => void, reject: (error: Error) => void}>} */
    this.pending = new Map();
    /** @type {Message[]} */
    this.outbox = [];
    this.batches = 0;
    this.flushing = false;
    this.counter = 0;
    this.attempts = 0;
    this.run = 0;
    this.sessions = 0;
    this.lastAck = -1;
    this.acked = false;
    this.fallbackUntil = 0;
    /** @type {Advice} */
    this.advice = {};
    /** @type {*} */
    this.retryTimer = null;
    /** @type {*} */
    this.watchdog = null;
    /** @type {string|null} */
    this.connectId = null;
    /** @type {((message: Message) => void)|null} */
    this.handshakeReply = null;
    /** @type {((reason: string) => void)|null} */
    this.handshakeLost = null;
    this.websocketFailed = false;
    this.online = () => this.retryNow();
  }

  // ---- what callers use ---------------------------------------------------------------------

  /** Begin, and keep going until {@link disconnect} or a refusal. */
  start() {
    if (!["idle", "closed", "refused"].includes(this.state)) return;
    this.attempts = 0;
    this.clientId = null;
    this.sessions = 0;
    if (typeof globalThis.addEventListener === "function") globalThis.addEventListener("online", this.online);
    void this.attempt();
  }

  /**
   * Leave for good.  Resolves when the server has answered, or after two seconds.
   * @param {Object<string, *>} [ext]  For the `/meta/disconnect`, e.g. `{transcriptPosition: "7"}`.
   * @returns {Promise<void>}
   */
  async disconnect(ext) {
    if (typeof globalThis.removeEventListener === "function") {
      globalThis.removeEventListener("online", this.online);
    }
    if (this.state === "connected" && this.clientId) {
      this.leaving = true; // the held connect is answered with "none" now, which is no refusal
      const sent = this.request({ channel: "/meta/disconnect", ...(ext ? { ext } : {}) }, 2000);
      this.flush();
      await sent.catch(() => {});
      this.leaving = false;
    }
    this.stop("closed", new BayeuxError("closed", "The client has disconnected."));
  }

  /** Make the next attempt now instead of at {@link retryAt}. */
  retryNow() {
    if (this.state !== "waiting") return;
    this.environment.clearTimeout(this.retryTimer);
    void this.attempt();
  }

  /**
   * Listen to an event of the table at the top.
   * @param {string} type @param {(detail: *) => void} listener
   * @returns {() => void} call it to stop listening
   */
  on(type, listener) {
    return add(this.listeners, type, listener);
  }

  /**
   * Listen on a channel without subscribing: the server's `/service/...` deliveries.
   * @param {string} channel @param {(message: Message) => void} listener
   * @returns {() => void} call it to stop listening
   */
  listen(channel, listener) {
    return add(this.channelListeners, channel, listener);
  }

  /**
   * Subscribe, now and again after every handshake.
   * @param {string} channel  A name or a pattern (`/a/*`, `/a/**`).
   * @param {(message: Message) => void} listener
   * @returns {{ready: Promise<void>, unsubscribe: () => Promise<void>}}
   */
  subscribe(channel, listener) {
    const known = this.subscriptions.has(channel);
    const remove = add(this.subscriptions, channel, listener);
    /** @type {Promise<void>} */
    const ready = known || !this.clientId
      ? Promise.resolve()
      : this.request({ channel: "/meta/subscribe", subscription: channel }).then(() => {});
    ready.catch(() => {});
    return {
      ready,
      unsubscribe: async () => {
        remove();
        if (!this.subscriptions.has(channel) && this.state === "connected") {
          await this.request({ channel: "/meta/unsubscribe", subscription: channel }).catch(() => {});
        }
      },
    };
  }

  /**
   * Publish.  Waits for a session if there is none; resolves when the server has acknowledged.
   * @param {string} channel @param {*} data @param {Object<string, *>} [ext]
   * @returns {Promise<Message>}
   */
  publish(channel, data, ext) {
    return this.request({ channel, data, ...(ext ? { ext } : {}) });
  }

  /**
   * Call a procedure of the server.
   * @param {string} target  `desk` for `/service/desk`.
   * @param {*} data @param {{timeout?: number}} [options]
   * @returns {Promise<*>} the result; rejects with code `failed` and the server's data as `detail`.
   */
  call(target, data, { timeout } = {}) {
    return this.request({ channel: `/service/${target}`, data }, timeout, true);
  }

  /**
   * Send everything that `body` publishes or subscribes in one payload.
   * @template T @param {() => T} body @returns {T}
   */
  batch(body) {
    this.batches += 1;
    try {
      return body();
    } finally {
      this.batches -= 1;
      if (!this.batches) this.flushSoon();
    }
  }

  // ---- sending ------------------------------------------------------------------------------

  /**
   * @param {Message} message @param {number} [timeout] @param {boolean} [call]
   * @returns {Promise<*>}
   */
  request(message, timeout = this.options.callTimeout, call = false) {
    if (["idle", "closed", "refused"].includes(this.state)) {
      return Promise.reject(new BayeuxError("closed", "The client is not started."));
    }
    if (this.pending.size >= MAX_PENDING) {
      return Promise.reject(new BayeuxError("overflow", "Too many messages are waiting for an answer."));
    }
    const id = String(++this.counter);
    return new Promise((resolve, reject) => {
      const timer = this.environment.setTimeout(() => this.overdue(id), timeout);
      this.pending.set(id, { message: { ...message, id }, call, sent: false, taken: false, timer, resolve, reject });
      this.outbox.push({ ...message, id });
      this.flushSoon();
    });
  }

  /**
   * A request got no answer: it fails, and a connection that swallowed it counts as dead.  A call
   * that was acknowledged has only met a procedure that is slow, or that nobody serves.
   * @param {string} id
   */
  overdue(id) {
    const entry = this.settle(id);
    if (!entry) return;
    this.outbox = this.outbox.filter((message) => message.id !== id);
    entry.reject(new BayeuxError(entry.sent ? "timeout" : "offline", "The server did not answer in time."));
    if (entry.sent && !entry.taken && this.transport && this.state === "connected") this.transport.end("The server does not answer.");
  }

  flushSoon() {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      if (!this.batches) this.flush();
    });
  }

  flush() {
    if (!this.outbox.length || this.state !== "connected" || !this.clientId) return;
    const messages = this.outbox.splice(0, this.outbox.length);
    for (const message of messages) {
      const entry = this.pending.get(/** @type {string} */ (message.id));
      if (entry) entry.sent = true;
    }
    this.transmit(messages);
  }

  /** @param {Message[]} messages */
  transmit(messages) {
    const transport = this.transport;
    if (!transport) return;
    const clientId = this.clientId;
    const stamped = messages.map((message) => (clientId ? { ...message, clientId } : message));
    this.emit("wire", { direction: "out", transport: transport.name, messages: stamped });
    transport.send(stamped);
  }

  /** @param {string} id */
  settle(id) {
    const entry = this.pending.get(id);
    if (!entry) return undefined;
    this.pending.delete(id);
    this.environment.clearTimeout(entry.timer);
    return entry;
  }

  // ---- connection ---------------------------------------------------------------------------

  /** One attempt: open a transport, continue the session or begin a new one. */
  async attempt() {
    const run = ++this.run;
    this.websocketFailed = false;
    this.enter("connecting");
    const candidates = this.candidates();
    for (const kind of candidates) {
      let error;
      try {
        await this.open(kind, run);
        return;
      } catch (reason) {
        error = /** @type {*} */ (reason);
      }
      if (run !== this.run) return;
      this.drop();
      this.websocketFailed = kind === "websocket";
      if (error && error.fatal) {
        this.stop("refused", error);
        return;
      }
      if (error && error.fromProvider) {
        this.pause(error);
        return;
      }
      if (kind === candidates.at(-1)) this.pause(error);
    }
  }

  /** Transports to try, best first.  @returns {Array<"websocket"|"long-polling">} */
  candidates() {
    const usable = this.options.transports.filter((kind) => kind !== "websocket" || this.environment.WebSocket);
    if (usable.length > 1 && this.environment.now() < this.fallbackUntil) {
      return usable.filter((kind) => kind !== "websocket");
    }
    return usable;
  }

  /** @param {"websocket"|"long-polling"} kind @param {number} run */
  async open(kind, run) {
    const Transport = kind === "websocket" ? SocketTransport : PollTransport;
    const transport = new Transport(this, (which, reason) => this.lostTransport(which, reason));
    this.transport = transport;
    await transport.ready;
    if (run !== this.run) return transport.close();
    if (this.clientId) return this.connect({ timeout: 0 });
    return this.handshake(kind, run);
  }

  /** @param {string} kind @param {number} run */
  async handshake(kind, run) {
    let ext = {};
    if (this.options.ext) {
      try {
        ext = await this.options.ext();
      } catch (reason) {
        const error = reason instanceof Error ? reason : new Error(String(reason));
        throw Object.assign(error, { fromProvider: true });
      }
      if (run !== this.run) return;
    }
    const reply = await new Promise((resolve, reject) => {
      const timer = this.environment.setTimeout(
        () => reject(new BayeuxError("timeout", "The handshake was not answered in time.")), this.options.openTimeout);
      this.handshakeReply = (message) => {
        this.environment.clearTimeout(timer);
        resolve(message);
      };
      this.handshakeLost = (reason) => {
        this.environment.clearTimeout(timer);
        reject(new BayeuxError("offline", reason));
      };
      this.transmit([{
        channel: "/meta/handshake",
        id: String(++this.counter),
        version: "1.0",
        minimumVersion: "1.0",
        supportedConnectionTypes: this.options.transports,
        ...(this.options.ack || Object.keys(ext).length ? { ext: { ...ext, ...(this.options.ack ? { ack: true } : {}) } } : {}),
      }]);
    }).finally(() => {
      this.handshakeReply = null;
      this.handshakeLost = null;
    });
    if (run !== this.run) return;
    if (!reply.successful) {
      const { code, text } = parseError(reply.error);
      const error = new BayeuxError(code, text, reply);
      const final = (reply.advice && reply.advice.reconnect === "none") || (!reply.advice && code === "403");
      throw Object.assign(error, { fatal: final });
    }
    this.clientId = reply.clientId;
    this.lastAck = -1;
    this.acked = this.options.ack && Boolean(reply.ext && reply.ext.ack);
    if (reply.advice) this.advice = { ...this.advice, ...reply.advice };
    this.connected();
    const channels = [...this.subscriptions.keys()];
    const first = this.sessions === 0;
    this.sessions += 1;
    const waiting = this.outbox.splice(0, this.outbox.length);
    this.batch(() => {
      for (const channel of channels) {
        this.request({ channel: "/meta/subscribe", subscription: channel }).catch((error) => this.emit("error", error));
      }
    });
    this.flush();
    this.outbox.push(...waiting);
    this.flushSoon();
    this.connect();
    this.emit("session", { first, clientId: this.clientId, transport: kind });
  }

  /** Send the next `/meta/connect`.  @param {Advice} [advice] */
  connect(advice) {
    const id = String(++this.counter);
    this.connectId = id;
    const hold = advice && advice.timeout === 0 ? 0 : this.advice.timeout ?? 60000;
    this.environment.clearTimeout(this.watchdog);
    this.watchdog = this.environment.setTimeout(() => {
      if (this.transport) this.transport.end("The server does not answer.");
    }, hold + this.options.grace);
    this.transmit([{
      channel: "/meta/connect",
      id,
      connectionType: this.transport ? this.transport.name : "long-polling",
      ...(advice ? { advice } : {}),
      ...(this.acked ? { ext: { ack: this.lastAck } } : {}),
    }]);
  }

  /** The transport failed after it had worked.  @param {*} transport @param {string} reason */
  lostTransport(transport, reason) {
    if (transport !== this.transport) return;
    if (this.handshakeLost) {
      this.handshakeLost(reason);
      return;
    }
    this.drop();
    this.pause(new BayeuxError("offline", reason));
  }

  /** Let go of the transport; what it had sent has an unknown outcome. */
  drop() {
    const transport = this.transport;
    this.transport = null;
    this.connectId = null;
    this.environment.clearTimeout(this.watchdog);
    if (transport) transport.close();
    for (const [id, entry] of [...this.pending]) {
      if (!entry.sent) continue;
      this.settle(id);
      entry.reject(new BayeuxError("lost", "The connection was lost before the server answered."));
    }
  }

  /** Wait before the next attempt.  @param {*} error @param {number} [interval] */
  pause(error, interval) {
    this.run += 1;
    const { minBackoff, maxBackoff } = this.options;
    const ceiling = Math.min(maxBackoff, minBackoff * 2 ** Math.min(this.attempts, 16));
    const delay = interval ?? Math.round(ceiling * (0.5 + this.environment.random() / 2));
    this.attempts += 1;
    this.retryAt = this.environment.now() + delay;
    this.enter("waiting", error);
    this.environment.clearTimeout(this.retryTimer);
    this.retryTimer = this.environment.setTimeout(() => void this.attempt(), delay);
  }

  connected() {
    this.attempts = 0;
    if (this.websocketFailed && this.transport?.name === "long-polling") {
      this.fallbackUntil = this.environment.now() + this.options.websocketRetry;
    }
    this.enter("connected");
  }

  /** @param {"refused"|"closed"} state @param {*} error */
  stop(state, error) {
    this.run += 1;
    this.environment.clearTimeout(this.retryTimer);
    this.drop();
    this.clientId = null;
    this.outbox = [];
    for (const id of [...this.pending.keys()]) this.settle(id)?.reject(error);
    this.enter(state, error);
  }

  /** @param {BayeuxClient["state"]} state @param {*} [error] */
  enter(state, error) {
    if (state !== "waiting") this.retryAt = null;
    if (this.state === state && state !== "waiting") return;
    this.state = state;
    this.emit("state", { state, retryAt: this.retryAt, error: error ?? null });
  }

  // ---- receiving ----------------------------------------------------------------------------

  /** @param {*} payload @param {*} transport */
  received(payload, transport) {
    if (transport !== this.transport) return;
    const messages = /** @type {Message[]} */ (Array.isArray(payload) ? payload : [payload]);
    this.emit("wire", { direction: "in", transport: transport.name, messages });
    for (const message of messages) {
      if (!message || typeof message.channel !== "string") continue;
      if (message.channel === "/meta/handshake") this.handshakeReply?.(message);
      else if (message.channel === "/meta/connect") this.connectReply(message);
      else if (message.channel === "/meta/disconnect" && !message.id) this.ended();
      else this.other(message);
    }
  }

  /** @param {Message} message */
  connectReply(message) {
    if (message.id && message.id !== this.connectId) return;
    this.connectId = null;
    this.environment.clearTimeout(this.watchdog);
    if (message.advice) this.advice = { ...this.advice, ...message.advice };
    if (message.successful) {
      const ack = message.ext && message.ext.ack;
      if (typeof ack === "number") this.lastAck = ack;
      if (this.advice.reconnect === "none") return this.ended();
      if (this.state !== "connected") this.connected();
      if (!this.batches) this.flush();
      const interval = Number(this.advice.interval) || 0;
      if (interval <= 0) return this.connect();
      const { run } = this;
      this.watchdog = this.environment.setTimeout(() => {
        if (run === this.run) this.connect();
      }, interval);
      return undefined;
    }
    const { code, text } = parseError(message.error || "");
    const error = new BayeuxError(code, text, message);
    const what = message.advice?.reconnect ?? (code === "402" ? "handshake" : "retry");
    if (what === "none") return this.leaving ? undefined : this.stop("refused", error);
    if (what === "handshake") {
      this.clientId = null;
      this.advice = {};
    }
    this.drop();
    const interval = message.advice?.interval;
    return this.pause(error, what === "handshake" && this.attempts < 3 ? Number(interval) || 0 : undefined);
  }

  /** The server has ended the session. */
  ended() {
    if (this.leaving) return;
    this.advice = {};
    this.stop("refused", new BayeuxError("closed", "The server has ended the session."));
  }

  /** @param {Message} message */
  other(message) {
    const entry = message.id === undefined ? undefined : this.pending.get(message.id);
    if (entry && entry.message.channel === message.channel && message.successful !== undefined) {
      return this.answer(/** @type {string} */ (message.id), entry, message);
    }
    if (message.successful !== undefined && message.data === undefined) return undefined;
    this.emit("message", message);
    for (const [channel, listeners] of this.channelListeners) {
      if (channel === message.channel) this.notify(listeners, message);
    }
    for (const [pattern, listeners] of this.subscriptions) {
      if (matches(pattern, message.channel)) this.notify(listeners, message);
    }
    return undefined;
  }

  /** @param {string} id @param {*} entry @param {Message} message */
  answer(id, entry, message) {
    if (entry.call && message.successful && message.data === undefined) {
      entry.taken = true;
      return;
    }
    this.settle(id);
    if (message.successful) {
      entry.resolve(entry.call ? message.data : message);
      return;
    }
    if (message.data !== undefined) {
      const text = message.data && message.data.message ? String(message.data.message) : "The call failed.";
      entry.reject(new BayeuxError("failed", text, message.data));
      return;
    }
    const { code, text } = parseError(message.error || "");
    entry.reject(new BayeuxError(code, text, message));
  }

  /** @param {Set<(value: *) => void>} listeners @param {*} value */
  notify(listeners, value) {
    for (const listener of [...listeners]) {
      try {
        listener(value);
      } catch (error) {
        this.emit("error", error);
      }
    }
  }

  /** @param {string} type @param {*} detail */
  emit(type, detail) {
    const listeners = this.listeners.get(type);
    if (!listeners) return;
    if (type !== "error") return this.notify(listeners, detail);
    for (const listener of [...listeners]) listener(detail);
    return undefined;
  }
}

/**
 * @template T @param {Map<string, Set<T>>} map @param {string} key @param {T} value
 * @returns {() => void}
 */
function add(map, key, value) {
  let values = map.get(key);
  if (!values) map.set(key, (values = new Set()));
  values.add(value);
  return () => {
    values.delete(value);
    if (!values.size && map.get(key) === values) map.delete(key);
  };
}
