/**
 * One customer's chat through the public API: what an app does, step by step.
 *
 * 1. `POST /demo/api/visitor` gives a random user and a token that proves it.
 * 2. A Bayeux handshake with the token, then a subscription to `/_genesys`.
 * 3. `POST /genesys/1/service/request-chat`, then `POST .../ixn/chat` with `notify_by=comet`.
 * 4. Messages go out with `ixn/chat/send` and come back, like everybody's, on `/_genesys`.
 *
 * After a new Bayeux session something may have been missed: `refresh?transcriptPosition=N` has
 * the server send again what came after N.  Knows no document.
 */
import { BayeuxClient, BayeuxError } from "../lib/bayeux.js";

const STORED = "gms.demo";
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

/** A refusal of the API: `status`, and `message` for people. */
export class RefusedError extends Error {
  constructor(status, body, retryAfter = 0) {
    super(body?.message || `The server answered ${status}.`);
    this.name = "RefusedError";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export class Visitor {
  /**
   * @param {{base: string, onchange: () => void, wire: (entry: *) => void, storage?: Storage}} options
   *   `base`: address of the server; `wire` is told about every request and Bayeux message.
   */
  constructor({ base, onchange, wire, storage = globalThis.localStorage }) {
    this.base = base;
    this.onchange = onchange;
    this.wire = wire;
    this.storage = storage;
    /** @type {"idle"|"starting"|"waiting"|"talking"|"ended"} */
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
    this.saved = this.load();
    this.typingSent = 0;
    this.subscribed = false;
    this.client = new BayeuxClient({
      url: new URL("genesys/cometd", base).href,
      ext: async () => ({ token: await this.token() }),
      headers: () => (this.saved.token ? { Authorization: `Bearer ${this.saved.token}` } : {}),
    });
    this.client.on("state", (state) => this.connectionChanged(state));
    this.client.on("session", ({ first }) => this.session(first));
    this.client.on("wire", (detail) => this.wire({ kind: "bayeux", ...detail }));
  }

  // ---- what is kept in this browser ---------------------------------------------------------

  load() {
    try {
      const value = JSON.parse(this.storage.getItem(STORED) ?? "{}");
      return value && typeof value === "object" ? value : {};
    } catch {
      return {};
    }
  }

  save(changes) {
    this.saved = { ...this.saved, ...changes };
    try {
      this.storage.setItem(STORED, JSON.stringify(this.saved));
    } catch {
      // Without storage the chat works, but does not survive a reload.
    }
  }

  get service() {
    return this.saved.service ?? null;
  }


  // ---- requests -----------------------------------------------------------------------------

  /** A token that is good for another minute at least; renewed for the same user. */
  async token() {
    if (this.saved.token && this.saved.expires - 60000 > Date.now()) return this.saved.token;
    const answer = await this.request("demo/api/visitor", { json: this.saved.token ? { token: this.saved.token } : {}, bare: true });
    this.save({ token: answer.token, user: answer.user, expires: Date.now() + answer.expires_s * 1000 });
    return answer.token;
  }

  /** @param {string} path @param {{form?: Object, json?: Object, bare?: boolean}} [options] */
  async request(path, { form, json, bare = false } = {}) {
    const url = new URL(path, this.base).href;
    const headers = {
      "Content-Type": json ? "application/json" : "application/x-www-form-urlencoded;charset=UTF-8",
      ...(bare ? {} : { Authorization: `Bearer ${await this.token()}` }),
    };
    const body = json ? JSON.stringify(json) : new URLSearchParams(form ?? {}).toString();
    const entry = { kind: "http", method: "POST", url, headers, body, status: null, answer: "" };
    this.wire(entry);
    let response;
    try {
      response = await fetch(url, { method: "POST", headers, body, credentials: "same-origin", cache: "no-store" });
      entry.answer = await response.text();
    } catch (error) {
      entry.status = 0;
      entry.answer = String(error);
      this.wire(entry);
      throw new RefusedError(0, null);
    }
    entry.status = response.status;
    this.wire(entry);
    let answer = null;
    try {
      answer = JSON.parse(entry.answer);
    } catch {
      // Not ours: the status is all there is.
    }
    if (!response.ok) throw new RefusedError(response.status, answer, Number(response.headers.get("Retry-After")) || 0);
    return answer ?? {};
  }

  chat(operation = "", form = {}) {
    const path = `genesys/1/service/${encodeURIComponent(this.service)}/ixn/chat`;
    return this.request(operation ? `${path}/${operation}` : path, { form });
  }

  // ---- beginning and coming back ------------------------------------------------------------

  /** Take up the chat that this browser was in; false when there is none. */
  restore() {
    if (!this.service) return false;
    this.phase = "waiting";
    this.restoring = true;
    this.connect();
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

  /** Begin a chat.  @param {{name: string, subject: string, email: string}} details */
  async start({ name, subject, email }) {
    this.phase = "starting";
    this.forgetTranscript();
    this.onchange();
    try {
      await this.token();
      this.connect();
      await this.connected(3000);
      const service = await this.request("genesys/1/service/request-chat", { form: { _verbose: "true" } });
      const id = service._id;
      const created = await this.request(`genesys/1/service/${encodeURIComponent(id)}/ixn/chat`, {
        form: { _verbose: "true", notify_by: "comet", userDisplayName: name, firstName: name, subject, ...(email ? { email } : {}) },
      });
      this.save({ service: id, chat: created.chatSessionId ?? "", position: 0, name, subject, since: Date.now() });
      this.phase = "waiting";
      this.replay();
      void this.askPlace();
    } catch (error) {
      this.phase = "idle";
      this.onchange();
      throw error;
    }
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
    if (!this.service || this.phase === "ended" || this.phase === "starting") return;
    if (!first || this.restoring) this.replay();
  }

  connectionChanged({ state, retryAt }) {
    this.connection = { state, retryAt };
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
    const message = data?.message;
    if (!message || typeof message !== "object" || !Array.isArray(message.transcriptToShow)) return;
    const own = data.tag === undefined || String(data.tag).endsWith(`.${this.service}`) || message.chatSessionId === this.saved.chat;
    if (own && this.service) this.answered(message);
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
