/**
 * The advanced service: the customer is told when an agent is free, and begins the chat then.
 *
 * 1. `POST /genesys/1/service/request-chat-poll` with `device_os=comet`: its news come on `/_genesys`.
 * 2. Each has the tag `a2c.advanced.service.KIND.ID`: `statuschanged`, `agentavailable` and `expired` with
 *    the service's state as JSON text, and during the chat `poke` with what the agent says.
 * 3. News can be lost, so the service is asked for its `status` besides: often while there is no
 *    connection, seldom while there is one, at once when there is one again.
 *
 * The chat itself is `visitor.js`.  Knows no document.
 */
export const SERVICE = "request-chat-poll";
export const ASK_MS = 5000;
const ASK_CONNECTED_MS = 30000;
const STATES = new Set(["waiting", "available", "expired"]);
const KINDS = new Set(["statuschanged", "agentavailable", "expired", "poke"]);

/**
 * An event of such a service: `state` of it, or what the agent says.
 * @returns {{kind: string, service: string, state: string, text: string}|null}  null: of something else.
 */
export function readNews(data) {
  const [kind, service] = String(data?.tag ?? "").split(".").slice(-2);
  if (!service || !KINDS.has(kind)) return null;
  const text = typeof data.message === "string" ? data.message : "";
  return { kind, service, state: kind === "poke" ? "" : stateOf(data.message), text: kind === "poke" ? text : "" };
}

/** `_status` of an answer or event; "" for none that is known. */
function stateOf(message) {
  let found = message;
  try {
    if (typeof found === "string") found = JSON.parse(found);
  } catch {
    return "";
  }
  const state = found?._status ?? found?.message?._status;
  return STATES.has(state) ? state : "";
}

export class Watch {
  /**
   * @param {{request: (path: string, options: *) => Promise<*>, connected: () => boolean, onchange: () => void, keep: (what: *) => void}} options
   *   `keep`: saves what is needed after a reload, `null` when nothing is.
   */
  constructor({ request, connected, onchange, keep }) {
    Object.assign(this, { request, connected, onchange, keep });
    /** What the customer has asked for: `{id, name, subject, email, since}`.  @type {*} */
    this.wish = null;
    /** @type {""|"waiting"|"available"|"expired"} */
    this.state = "";
    this.timer = null;
  }

  get path() {
    return `genesys/1/service/${encodeURIComponent(this.wish.id)}`;
  }

  /** @param {{name: string, subject: string, email: string}} details */
  async begin(details) {
    const made = await this.request(`genesys/1/service/${SERVICE}`, { form: { _verbose: "true", device_os: "comet" } });
    this.take({ ...details, id: made._id, since: Date.now() });
  }

  /** Go on with what was kept. */
  take(wish) {
    this.wish = wish;
    this.state = "waiting";
    this.keep(wish);
    void this.ask();
  }

  /** Ask the service how it stands. */
  async ask() {
    const { wish } = this;
    if (!wish) return;
    clearTimeout(this.timer);
    try {
      const answer = await this.request(`${this.path}/status`, { form: { _verbose: "true" } });
      if (this.wish === wish) this.becomes(stateOf(answer));
    } catch (error) {
      // A service that nobody knows any more has ended while nobody listened.
      if (this.wish === wish && error.status === 404) this.becomes("expired");
    }
    if (this.wish !== wish || this.state === "expired") return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), this.connected() ? ASK_CONNECTED_MS : ASK_MS);
  }

  /** The connection is another: there, or gone. */
  moved() {
    if (this.wish && this.state !== "expired") void this.ask();
  }

  /** News of {@link readNews}; those of other services are passed over. */
  heard({ service, state }) {
    if (this.wish && service === this.wish.id) this.becomes(state);
  }

  becomes(state) {
    if (!state || state === this.state || this.state === "expired") return;
    this.state = state;
    if (state === "expired") {
      clearTimeout(this.timer);
      this.keep(null);
    }
    this.onchange();
  }

  /** The customer needs it no more. */
  async cancel() {
    const { path, state } = this;
    this.stop();
    if (state !== "expired") await this.request(path, { method: "DELETE" });
  }

  /** Listen no more: the chat has begun, or there will be none. */
  stop() {
    clearTimeout(this.timer);
    this.wish = null;
    this.state = "";
    this.keep(null);
  }
}
