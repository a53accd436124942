/**
 * One customer's chat through the public API: what an app does, step by step.
 *
 * 1. `POST /demo/api/visitor` gives a random user and a token that proves it.
 * 2. A Bayeux handshake with the token, then a subscription to `/_genesys`.
 * 3. `POST /genesys/1/service/request-chat`, then `POST .../ixn/chat` with `notify_by=comet`.  Or the
 *    advanced service of `watch.js` first, and `ixn/chat` once it has said that an agent is free.
 * 4. Messages go out with `ixn/chat/send` and come back, like everybody's, on `/_genesys`.
 *
 * After a new Bayeux session something may have been missed: `refresh?transcriptPosition=N` has
 * the server send again what came after N.  Knows no document.
 */
import { BayeuxClient, BayeuxError } from "../lib/bayeux.js";
import { PublicApi } from "./public-api.js";
import { readNews, SERVICE, Watch } from "./watch.js";

const KINDS = {
  "Message.Text": "message", "Notice.Joined": "joined", "Notice.Left": "left", "Notice.PushUrl": "push_url",
  "Notice.Custom": "custom", "Notice.TypingStarted": "typing_started", "Notice.TypingStopped": "typing_stopped",
};
const TYPING_MS = 12000;
const TYPING_RENEW_MS = 4000;
const ECHO_MS = 6000;
const MAX_ROWS = 2000;

/**
 * How many rows at the start of `rows` we have already: the longest beginning of `rows` that is
 * the end of `known`.
 */
export function overlap(known, rows) {
  for (let size = Math.min(known.length, rows.length); size > 0; size -= 1) {
    const start = known.length - size;
    let same = true;
    for (let index = 0; same && index < size; index += 1) {
      same = known[start + index].every((part, place) => String(part) === String(rows[index][place]));
    }
    if (same) return size;
  }
  return 0;
}

/** A text without control characters and outer blanks. */
function essence(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "").trim();
}

export class Visitor {
  /**
   * @param {{base: string, onchange: () => void, wire: (entry: *) => void, storage?: Storage}} options
   *   `base`: address of the server; `wire` is told about every request and Bayeux message.
   */
  constructor({ base, onchange, wire, storage = globalThis.localStorage }) {
    this.api = new PublicApi({ base, wire, storage });
    this.onchange = onchange;
    /** @type {"idle"|"starting"|"watching"|"waiting"|"talking"|"ended"} */
    this.phase = "idle";
    this.endedBy = "";
    this.events = [];
    this.rows = [];
    this.pending = [];
    this.typing = new Map();
    this.place = null;
    this.connection = { state: "idle", retryAt: null };
    this.restoring = false;
    this.replaying = false;
    /** Number of the last event that is on screen. */
    this.position = 0;
    /** What the agent nudged the customer with: `{id, text}`. */
    this.poke = null;
    this.beginning = false;
    /** Whether there is the advanced service; unknown at first. */
    this.advanced = false;
    this.watch = new Watch({
      request: (path, options) => this.request(path, options),
      connected: () => this.connection.state === "connected",
      onchange: () => this.onchange(),
      keep: (wish) => this.save({ watch: wish }),
    });
    this.typingSent = 0;
    this.subscribed = false;
    this.client = new BayeuxClient({
      url: new URL("genesys/cometd", base).href,
      ext: async () => ({ token: await this.token() }),
      headers: () => (this.saved.token ? { Authorization: `Bearer ${this.saved.token}` } : {}),
    });
    this.client.on("state", (state) => this.connectionChanged(state));
    this.client.on("session", ({ first }) => this.session(first));
    this.client.on("wire", (detail) => wire({ kind: "bayeux", ...detail }));
  }

  get service() {
    return this.saved.service ?? null;
  }

  // ---- requests -----------------------------------------------------------------------------

  get saved() {
    return this.api.saved;
  }

  save(changes) {
    this.api.save(changes);
  }

  token() {
    return this.api.token();
  }

  request(path, options) {
    return this.api.request(path, options);
  }

  chat(operation = "", form = {}) {
    const path = `genesys/1/service/${encodeURIComponent(this.service)}/ixn/chat`;
    return this.request(operation ? `${path}/${operation}` : path, { form });
  }

  // ---- beginning and coming back ------------------------------------------------------------

  /** Take up the chat that this browser was in; false when there is none. */
  restore() {
    if (!this.service && !this.saved.watch) return false;
    this.phase = this.service ? "waiting" : "watching";
    this.restoring = Boolean(this.service);
    this.connect();
    if (!this.service) this.watch.take(this.saved.watch);
    this.onchange();
    return true;
  }

  connect() {
    if (!this.subscribed) {
      this.subscribed = true;
      this.client.subscribe("/_genesys", (message) => this.delivered(message.data));
    }
    this.client.start();
  }

  /** See whether the advanced service can be offered. */
  async askServices() {
    try {
      const { services } = await this.request("demo/api/services", { method: "GET", bare: true });
      this.advanced = services.includes(SERVICE);
    } catch {
      // Not known: then it is not offered.
    }
    this.onchange();
  }

  /** Begin a chat.  @param {{name: string, subject: string, email: string}} details */
  start(details) {
    return this.starting(async () => {
      const service = await this.request("genesys/1/service/request-chat", { form: { _verbose: "true" } });
      await this.enter(service._id, details);
    });
  }

  /** Wait to be told that an agent is free.  @param {{name: string, subject: string, email: string}} details */
  watchFor(details) {
    return this.starting(async () => {
      await this.watch.begin(details);
      this.save({ name: details.name, subject: details.subject });
      this.phase = "watching";
    });
  }

  async starting(work) {
    this.phase = "starting";
    this.forgetTranscript();
    this.onchange();
    try {
      await this.token();
      this.connect();
      await this.connected(3000);
      await work();
    } catch (error) {
      this.phase = "idle";
      throw error;
    } finally {
      this.onchange();
    }
  }

  /** The chat of a service. */
  async enter(id, { name, subject, email }) {
    const created = await this.request(`genesys/1/service/${encodeURIComponent(id)}/ixn/chat`, {
      form: { _verbose: "true", notify_by: "comet", userDisplayName: name, firstName: name, subject, ...(email ? { email } : {}) },
    });
    this.save({ service: id, chat: created.chatSessionId ?? "", position: 0, name, subject, since: Date.now() });
    this.phase = "waiting";
    this.replay();
    void this.askPlace();
  }

  /** An agent is free: begin the chat.  Only the customer decides when, for only the customer knows. */
  async begin() {
    const { wish } = this.watch;
    if (!wish || this.beginning) return;
    this.beginning = true;
    this.onchange();
    try {
      await this.enterFree(wish);
      this.watch.stop();
    } catch (error) {
      if (error.status === 404) this.watch.becomes("expired");
      throw error;
    } finally {
      this.beginning = false;
      this.onchange();
    }
  }

  /** The server may hear of the free agent a moment after us; whether one still is, it says itself. */
  async enterFree(wish) {
    try {
      await this.enter(wish.id, wish);
    } catch (error) {
      if (error.code !== "gms.chat.no_agent") throw error;
      await this.watch.ask();
      if (this.watch.state !== "available") throw error;
      await this.enter(wish.id, wish);
    }
  }

  /** Wait no longer, or put away that it was in vain. */
  unwatch() {
    this.phase = "idle";
    this.watch.cancel().catch(() => {
      // It ends by itself when its time is over.
    });
    void this.client.disconnect();
    this.onchange();
  }

  /** Wait for a Bayeux session, but not for ever: events are kept for a while anyway. */
  connected(ms) {
    if (this.client.state === "connected") return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const off = this.client.on("session", done);
      function done() {
        clearTimeout(timer);
        off();
        resolve();
      }
    });
  }

  session(first) {
    this.watch.moved();
    if (!this.service || this.phase === "ended" || this.phase === "starting") return;
    if (!first || this.restoring) this.replay();
  }

  connectionChanged({ state, retryAt }) {
    const lost = this.connection.state === "connected" && state !== "connected";
    this.connection = { state, retryAt };
    if (lost) this.watch.moved();
    this.onchange();
  }

  /** Ask for everything after the last position that we know. */
  async replay() {
    const service = this.service;
    this.replaying = true;
    if (this.restoring) this.forgetTranscript();
    try {
      this.answered(await this.chat("refresh", { transcriptPosition: String(this.position) }));
      this.failure = null;
    } catch (error) {
      if (this.service !== service) return;
      if (error.status === 404 || error.status === 410) this.finish("gone");
      else if (error.status === 429 || error.status === 503 || error.status === 0) {
        setTimeout(() => this.service === service && this.phase !== "ended" && this.replay(), 1000 * Math.max(2, error.retryAfter || 0));
      } else this.failure = error;
    }
    this.restoring = false;
    this.onchange();
  }

  // ---- what comes in ------------------------------------------------------------------------

  delivered(data) {
    const news = readNews(data);
    if (news) {
      if (news.kind === "poke") this.poked(news, data.id);
      else this.watch.heard(news);
      return;
    }
    const message = data?.message;
    if (!message || typeof message !== "object" || !Array.isArray(message.transcriptToShow)) return;
    const own = data.tag === undefined || String(data.tag).endsWith(`.${this.service}`) || message.chatSessionId === this.saved.chat;
    if (own && this.service) this.answered(message);
    this.onchange();
  }

  /** The agent asks for a sign of life; what was delivered twice is shown once. */
  poked({ service, text }, id) {
    if (service !== this.service || !text || (id && id === this.lastPoke)) return;
    this.lastPoke = id;
    this.poke = { id, text };
    this.onchange();
  }

  unpoke() {
    this.poke = null;
    this.onchange();
  }

  /** A chat object, from the channel or in an answer: one shape for both. */
  answered(message) {
    const rows = (message.transcriptToShow ?? []).filter((row) => Array.isArray(row) && row.length >= 5);
    const position = Number(message.transcriptPosition) || 0;
    if (message.startedAt) this.startedAt = Date.parse(message.startedAt) / 1000 || this.startedAt;
    // An answer without rows may name a position whose event is still to come on the channel.
    if (rows.length && position > this.position) {
      const doubtful = this.replaying || position - rows.length < this.position;
      for (const row of rows.slice(doubtful ? overlap(this.rows, rows) : 0)) this.row(row.slice(0, 5));
      this.replaying = false;
      this.position = position;
      this.save({ position });
    }
    if (message.chatIxnState === "DISCONNECTED") this.finish(this.leaving ? "me" : "them");
  }

  row(row) {
    const [type, nickname, text, seconds, party] = row.map((part) => String(part ?? ""));
    this.rows.push(row);
    if (this.rows.length > MAX_ROWS) this.rows.shift();
    const kind = KINDS[type] ?? "custom";
    const mine = party === "CLIENT";
    const at = (this.startedAt ?? Date.now() / 1000) + (Number(seconds) || 0);
    if (kind === "typing_started" || kind === "typing_stopped") {
      if (!mine) this.setTyping(nickname, kind === "typing_started" && Date.now() / 1000 - at < TYPING_MS / 1000);
      return;
    }
    this.setTyping(nickname, false);
    if (mine && kind === "message") this.confirm(text);
    if (kind === "joined" && (party === "AGENT" || party === "SUPERVISOR")) this.phase = this.phase === "ended" ? "ended" : "talking";
    if (mine && kind === "joined") return;
    this.events.push({ position: this.events.length + 1, type: kind, text, nickname, party, at, mine });
    if (kind === "left" && party === "AGENT" && !this.agents().size && this.phase === "talking") this.phase = "waiting";
  }

  /** Agents who are in the chat now. */
  agents() {
    const present = new Set();
    for (const event of this.events) {
      if (event.party !== "AGENT" && event.party !== "SUPERVISOR") continue;
      if (event.type === "left") present.delete(event.nickname);
      else present.add(event.nickname);
    }
    return present;
  }

  setTyping(name, on) {
    clearTimeout(this.typing.get(name));
    this.typing.delete(name);
    if (on) {
      this.typing.set(name, setTimeout(() => {
        this.typing.delete(name);
        this.onchange();
      }, TYPING_MS));
    }
  }

  /** An own message came back: as it was sent, or without what the server takes out of messages. */
  confirm(text) {
    let index = this.pending.findIndex((message) => message.text === text);
    if (index < 0) index = this.pending.findIndex((message) => essence(message.text) === essence(text));
    if (index < 0) index = this.pending.findIndex((message) => message.accepted);
    if (index >= 0) this.pending.splice(index, 1);
  }

  // ---- what goes out ------------------------------------------------------------------------

  async send(text, ref = `m${Date.now()}${Math.random()}`) {
    let message = this.pending.find((each) => each.ref === ref);
    if (message) Object.assign(message, { state: "sending", error: "" });
    else this.pending.push((message = { ref, text, at: Date.now() / 1000, state: "sending", error: "" }));
    this.typingSent = 0;
    this.poke = null;
    this.onchange();
    try {
      const answer = await this.chat("send", { message: text });
      message.accepted = true;
      this.answered(answer);
      setTimeout(() => this.pending.includes(message) && this.phase !== "ended" && this.replay(), ECHO_MS);
    } catch (error) {
      if (error.status === 404) this.finish("gone");
      Object.assign(message, { state: "failed", error: error.status === 0 ? "" : error.message });
    }
    this.onchange();
  }

  retry(ref) {
    const message = this.pending.find((each) => each.ref === ref);
    if (message) void this.send(message.text, ref);
  }

  discard(ref) {
    this.pending = this.pending.filter((message) => message.ref !== ref);
    this.onchange();
  }

  typed(on) {
    if (this.phase !== "talking" && this.phase !== "waiting") return;
    const time = Date.now();
    if (on ? time - this.typingSent < TYPING_RENEW_MS : !this.typingSent) return;
    this.typingSent = on ? time : 0;
    this.chat(on ? "startTyping" : "stopTyping").then((answer) => this.answered(answer), () => {});
  }

  /** Place in the queue, where the server tells it. */
  async askPlace() {
    if (this.noPlace || this.phase !== "waiting" || !this.service) return;
    try {
      const answer = await this.request("demo/api/queue", { json: { token: await this.token(), service: this.service }, bare: true });
      this.place = Number(answer.position) || null;
    } catch (error) {
      this.noPlace = error.status === 404 || error.status === 405;
      this.place = null;
    }
    this.onchange();
  }

  async leave() {
    this.leaving = true;
    try {
      await this.chat("disconnect");
    } catch (error) {
      if (error.status !== 404) {
        this.leaving = false;
        throw error;
      }
    }
    this.finish("me");
  }

  finish(by) {
    if (this.phase === "ended") return;
    this.phase = "ended";
    this.endedBy = by;
    this.poke = null;
    this.leaving = false;
    this.pending = [];
    for (const timer of this.typing.values()) clearTimeout(timer);
    this.typing.clear();
    this.save({ service: null, chat: null, position: 0 });
    void this.client.disconnect();
    this.onchange();
  }

  /** Put an ended chat away. */
  reset() {
    this.phase = "idle";
    this.forgetTranscript();
    this.onchange();
  }

  forgetTranscript() {
    this.events = [];
    this.rows = [];
    this.position = 0;
    this.place = null;
    this.startedAt = undefined;
    this.failure = null;
  }
}

export { BayeuxError };
