/** The advanced chat service of the stand-in.  Nobody becomes free by itself: a test says so. */
import { id, Refusal } from "./words.mjs";

const KINDS = { waiting: "statuschanged", available: "agentavailable", expired: "expired" };

export class Advanced {
  /** @param {import("./server.mjs").World} world */
  constructor(world) {
    /** What a poke says by itself. */
    this.text = "Are you still there?";
    Object.assign(this, { world, services: new Map() });
  }

  knows(service) {
    return this.services.has(service);
  }

  create(service, user) {
    this.services.set(service, { user, state: "waiting" });
    return { _id: service, _session_comand_STATUS_URL: `/genesys/1/service/${service}/status` };
  }

  forget(service) {
    this.services.delete(service);
  }

  message(service) {
    return { _id: service, _status: this.services.get(service).state };
  }

  status(service) {
    return { message: this.message(service), tag: this.tag(service, KINDS[this.services.get(service).state]) };
  }

  tag(service, kind) {
    return `a2c.advanced.service.${kind}.${service}`;
  }

  /** There is no chat before an agent is free. */
  check(service) {
    if (this.knows(service) && this.services.get(service).state !== "available") throw new Refusal(503, "No agent is available for this service yet.", "gms.chat.no_agent");
  }

  /** Every service becomes `waiting`, `available` or `expired`; `silent`: the news of it are lost. */
  become(state, { silent = false } = {}) {
    for (const [service, one] of this.services) {
      one.state = state;
      if (!silent) this.tell(service, KINDS[state], JSON.stringify(this.message(service)));
    }
  }

  /** News of a service for its customer; of one that nobody has, for everybody. */
  tell(service, kind, message) {
    const user = this.services.get(service)?.user;
    for (const session of this.world.sessions.values()) {
      if ((user ?? session.user) === session.user && session.subscriptions.has("/_genesys")) session.deliver({ channel: "/_genesys", data: { id: id() + id(), message, tag: this.tag(service, kind) } });
    }
  }
}
