/**
 * The public API as one visitor uses it: who it is, requests, what this browser keeps.  Knows no document.
 */
const STORED = "gms.demo";

/** A refusal of the API: `status`, its stable name in `code`, and `message` for people. */
export class RefusedError extends Error {
  constructor(status, body, retryAfter = 0) {
    super(body?.message || `The server answered ${status}.`);
    this.name = "RefusedError";
    this.status = status;
    this.code = body?.exception ?? "";
    this.retryAfter = retryAfter;
  }
}

export class PublicApi {
  /** @param {{base: string, wire: (entry: *) => void, storage: Storage}} options  As for `Visitor`. */
  constructor({ base, wire, storage }) {
    Object.assign(this, { base, wire, storage });
    this.saved = this.load();
  }

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

  /** A token that is good for another minute at least; renewed for the same user. */
  async token() {
    if (this.saved.token && this.saved.expires - 60000 > Date.now()) return this.saved.token;
    const answer = await this.request("demo/api/visitor", { json: this.saved.token ? { token: this.saved.token } : {}, bare: true });
    this.save({ token: answer.token, user: answer.user, expires: Date.now() + answer.expires_s * 1000 });
    return answer.token;
  }

  /** @param {string} path @param {{method?: string, form?: Object, json?: Object, bare?: boolean}} [options] */
  async request(path, { method = "POST", form, json, bare = false } = {}) {
    const url = new URL(path, this.base).href;
    const headers = {
      ...(method === "POST" ? { "Content-Type": json ? "application/json" : "application/x-www-form-urlencoded;charset=UTF-8" } : {}),
      ...(bare ? {} : { Authorization: `Bearer ${await this.token()}` }),
    };
    const body = method !== "POST" ? undefined : json ? JSON.stringify(json) : new URLSearchParams(form ?? {}).toString();
    const entry = { kind: "http", method, url, headers, body, status: null, answer: "" };
    this.wire(entry);
    let response;
    try {
      response = await fetch(url, { method, headers, body, credentials: "same-origin", cache: "no-store" });
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
}
