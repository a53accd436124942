/**
 * Telephony of the stand-in: agent groups, and calls that tests move from state to state.  Nobody is
 * rung by itself: a test says `ring`, as a healthy server would for the longest idle agent.
 */
import { id, Refusal, seconds } from "./words.mjs";

const EVERYBODY = null;

export class Voice {
  /** @param {import("./server.mjs").World} world */
  constructor(world) {
    Object.assign(this, { world, ringS: 20 });
    this.clear();
  }

  clear() {
    this.calls = new Map();
    /** Who is signed in where. */
    this.groups = new Map([["Billing", new Set(["anna", "ben"])], ["Sales", new Set()]]);
  }

  /** A call that waits in a group. */
  arrive(details = {}) {
    const call = {
      call: id(), direction: "inbound", state: "waiting", number: "+49 30 5550 1234", dnis: "+49 30 5550 100", group: "Billing", service: id(), service_name: "inbound-delay",
      since: seconds(), answered: null, ended: null, agent: null, gms_user: "customer-17", data: {}, position: null, files: [], who: null, ...details,
    };
    this.calls.set(call.call, call);
    this.tellGroup(call, { type: "call_added" });
    this.tellGroups();
    return call;
  }

  /** It rings one agent; the others of its group see it no more. */
  ring(call, who) {
    Object.assign(call, { state: "ringing", who, agent: this.world.agents.get(who).display_name });
    this.tellGroup(call, { type: "call_gone", reason: "taken" }, who);
    this.world.tell(who, { type: "call_changed", call: this.seen(call, who) });
    this.tellGroups();
    return call;
  }

  /** Nobody answered in time: the agent is away now, the call waits again. */
  unanswered(call) {
    const { who } = call;
    this.world.agents.get(who).state = "away";
    this.world.tell(who, { type: "agent_state", state: "away", reason: "no_answer" });
    this.wait(call);
  }

  /** It rings nobody any more: whom it rang sees it wait, the others of the group see it again. */
  wait(call) {
    const { who } = call;
    Object.assign(call, { state: "waiting", who: null, agent: null });
    this.world.tell(who, { type: "call_changed", call: this.seen(call, who) });
    this.tellGroup(call, { type: "call_added" }, who);
    this.tellGroups();
  }

  /** The caller hangs up. */
  end(call) {
    const { who, state } = call;
    if (state === "talking") {
      Object.assign(call, { state: "ended", ended: seconds() });
      this.world.tell(who, { type: "call_changed", call: this.seen(call, who) });
    } else {
      this.calls.delete(call.call);
      if (who) this.world.tell(who, { type: "call_gone", call: call.call, reason: "ended" });
      else this.tellGroup(call, { type: "call_gone", reason: "ended" });
    }
    this.tellGroups();
  }

  seen({ who, ...call }, reader) {
    return { ...call, mine: who === reader };
  }

  tellGroup(call, event, but = EVERYBODY) {
    for (const who of this.groups.get(call.group) ?? []) {
      if (who !== but) this.world.tell(who, { ...event, call: event.type === "call_gone" ? call.call : this.seen(call, who) });
    }
  }

  tellGroups() {
    for (const who of this.world.agents.keys()) this.world.tell(who, { type: "groups", groups: this.groupsOf(who) });
  }

  groupsOf(who) {
    return [...this.groups].map(([name, members]) => {
      const waiting = [...this.calls.values()].filter((call) => call.group === name && call.state === "waiting");
      return {
        name, signed_in: members.has(who), agents: members.size, ready: [...members].filter((member) => this.world.agents.get(member)?.state === "ready").length,
        waiting: waiting.length, longest_since: waiting.length ? Math.min(...waiting.map((call) => call.since)) : null,
      };
    });
  }

  /** What an agent is to telephony. */
  stateOf({ name, state }) {
    const call = [...this.calls.values()].find((each) => each.who === name && each.state !== "ended");
    return { ringing: "ringing", talking: "busy" }[call?.state] ?? state;
  }

  /** `voice` of `hello`. */
  hello(who) {
    const calls = [...this.calls.values()].filter((call) => call.who === who || (call.state === "waiting" && this.groups.get(call.group)?.has(who)));
    return { groups: this.groupsOf(who), calls: calls.map((call) => this.seen(call, who)), ring_s: this.ringS };
  }

  /** The desk's calls of telephony. */
  desk(who, data) {
    const agent = this.world.agents.get(who);
    const mine = (...states) => {
      const call = this.calls.get(data.call);
      if (!call || call.who !== who || !states.includes(call.state)) throw new Refusal(409, "It does not ring here any more.", "gms.desk.taken");
      return call;
    };
    return {
      group: () => {
        const members = this.groups.get(data.name) ?? new Set();
        this.groups.set(data.name, members);
        members[data.on ? "add" : "delete"](who);
        for (const call of this.calls.values()) {
          if (call.group === data.name && call.state === "waiting") this.world.tell(who, data.on ? { type: "call_added", call: this.seen(call, who) } : { type: "call_gone", call: call.call, reason: "left" });
        }
        this.tellGroups();
        return { groups: this.groupsOf(who) };
      },
      answer: () => {
        const call = Object.assign(mine("ringing"), { state: "talking", answered: seconds(), agent: agent.display_name });
        this.world.tell(who, { type: "call_changed", call: this.seen(call, who) });
        return { call: this.seen(call, who) };
      },
      decline: () => {
        this.wait(mine("ringing"));
        return {};
      },
      hang_up: () => {
        const call = mine("talking", "ended");
        if (call.state === "talking") this.end(call);
        else {
          this.calls.delete(call.call);
          this.world.tell(who, { type: "call_gone", call: call.call, reason: "ended" });
        }
        return {};
      },
    };
  }
}

/** What a caller's application sends, with everything in it that the desk can show. */
export const RICH_CALL = {
  service_name: "inbound-delay-location", number: "+49 151 2345 6789",
  data: { customer_number: "K-20418", reason: "Parcel has not arrived", order: "2026-118-4471", language: "de", app_version: "4.2.1", plan: "Family", last_screen: "Order / Tracking", note: "I have written twice already and nobody has answered. The neighbour did not take it either, and the shop next door is closed until Monday." },
  position: { latitude: 52.520008, longitude: 13.404954, place: "Berlin-Mitte" },
  files: [{ key: "photo", filename: "door.jpg", type: "image/jpeg", size: 184320, url: "/genesys/1/storage/x/photo" }],
};
