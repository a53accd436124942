/**
 * What the desk knows of telephony: agent groups and calls.  Pure state, like the model that owns it.
 *
 * Knows: which call rings me, which one I talk on, which wait and which are over.
 * Does not know: chats, elements, the network, the time.
 */

const EMPTY = { direction: "inbound", number: "", dnis: "", group: "", service: "", service_name: "", answered: null, ended: null, agent: null, gms_user: "", data: {}, position: null, files: [] };

export class Voice {
  constructor() {
    /** False: this server has no contact centre, and nothing of it is shown. */
    this.available = false;
    this.groups = [];
    /** @type {Map<string, *>} */
    this.calls = new Map();
    /** Calls that an answer is awaited for. */
    this.busy = new Set();
    this.selected = null;
    this.ringS = null;
    /** When a call began to ring me, where that was seen. */
    this.rungAt = new Map();
  }

  /** The state of the world. @param {*} voice  `voice` of `hello`. */
  hello(voice) {
    const before = this.calls;
    this.available = Boolean(voice);
    this.groups = voice?.groups ?? [];
    this.ringS = voice?.ring_s ?? null;
    this.calls = new Map((voice?.calls ?? []).map((call) => [call.call, { ...EMPTY, ...call }]));
    // What is being looked at after it ended stays on the screen.
    const shown = before.get(this.selected);
    if (this.available && shown?.state === "ended" && !this.calls.has(shown.call)) this.calls.set(shown.call, { ...shown, aged: true });
    if (!this.calls.has(this.selected)) this.selected = null;
    for (const id of this.rungAt.keys()) if (this.calls.get(id)?.state !== "ringing") this.rungAt.delete(id);
    this.busy.clear();
  }

  /**
   * Take an event.  Tells what is worth announcing: `call` (one more waits), `ended` (mine is over),
   * `lost` (the caller gave up while it rang me), `withdrawn` (its application did), `left` (it waited,
   * and I was looking) or null.
   */
  take(data, now) {
    if (!this.available) return null;
    if (data.type === "groups") {
      this.groups = data.groups ?? [];
      return null;
    }
    if (data.type === "call_added" || data.type === "call_changed") return this.put(data.call, now);
    return data.type === "call_gone" ? this.gone(data.call, data.reason) : null;
  }

  put(call, now) {
    const before = this.calls.get(call.call);
    const after = { ...EMPTY, ...call };
    this.calls.set(call.call, after);
    if (rings(after)) {
      if (!rings(before)) this.rungAt.set(call.call, now);
      return null;
    }
    this.rungAt.delete(call.call);
    if (after.state === "ended") return before?.state === "talking" ? "ended" : null;
    return after.state === "waiting" && !before ? "call" : null;
  }

  gone(id, reason) {
    const call = this.calls.get(id);
    if (!call) return null;
    if (call.state === "ended" && this.selected === id) {
      this.calls.set(id, { ...call, aged: true });
      return null;
    }
    const shown = this.selected === id;
    this.forget(id);
    if (rings(call)) return { ended: "lost", timeout: "withdrawn" }[reason] ?? null;
    return call.state === "waiting" && shown ? "left" : null;
  }

  /** I declined: until the server says who has it now, it waits. */
  declined(id) {
    const call = this.calls.get(id);
    if (rings(call)) this.put({ ...call, state: "waiting", mine: false, agent: null });
    if (this.selected === id) this.selected = null;
  }

  forget(id) {
    this.calls.delete(id);
    this.rungAt.delete(id);
    this.busy.delete(id);
    if (this.selected === id) this.selected = null;
  }

  select(id) {
    const before = this.current;
    if (before?.aged && before.call !== id) this.forget(before.call);
    this.selected = this.calls.has(id) ? id : null;
  }

  /** The call on the screen, or null. */
  get current() {
    return this.calls.get(this.selected) ?? null;
  }

  /** The call that rings me, or null. */
  get ringing() {
    return this.list(rings)[0] ?? null;
  }

  /** The call that I talk on, or null. */
  get talking() {
    return this.list((call) => call.state === "talking" && call.mine)[0] ?? null;
  }

  /** Longest waiting first. */
  get waiting() {
    return this.list((call) => call.state === "waiting");
  }

  /** Mine that are over, the last one first. */
  get ended() {
    return this.list((call) => call.state === "ended").sort((one, other) => (other.ended ?? 0) - (one.ended ?? 0));
  }

  get signedIn() {
    return this.groups.filter((group) => group.signed_in);
  }

  /** Over my groups: `{ready, waiting, longest}`. */
  get load() {
    const mine = this.signedIn;
    const times = mine.filter((group) => group.waiting > 0 && Number.isFinite(group.longest_since)).map((group) => group.longest_since);
    return {
      ready: Math.max(0, ...mine.map((group) => group.ready)),
      waiting: mine.reduce((sum, group) => sum + group.waiting, 0),
      longest: times.length ? Math.min(...times) : null,
    };
  }

  /** Seconds that a call goes on ringing, or null where that is not known. */
  ringLeft(id, now) {
    const since = this.rungAt.get(id);
    return since === undefined || this.ringS === null ? null : Math.max(0, since + this.ringS - now);
  }

  list(predicate) {
    return [...this.calls.values()].filter(predicate).sort((one, other) => one.since - other.since);
  }
}

const rings = (call) => call?.state === "ringing" && call.mine;

/** What stands for a caller: the number, else nothing. */
export const numberOf = (call) => String(call.number ?? "").trim();
