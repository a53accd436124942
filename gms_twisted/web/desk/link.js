/**
 * The desk's connection: the ticket, the state of the line, the state of the world after every
 * (re)connect.  Knows the server's calls by name only; what an answer means is the model's.
 */
import * as api from "../lib/api.js";
import { BayeuxClient } from "../lib/bayeux.js";
import { setServerTime } from "../lib/times.js";
import { t } from "../lib/i18n.js";

const LOST = new Set(["lost", "offline", "timeout"]);

/** A call that failed for want of a connection: its fate is unknown, and a hello comes after. */
export const isLost = (error) => LOST.has(error.code);

/** An error in words for the agent. */
export const words = (error) => (isLost(error) ? t("error.network") : error.message);

export class Link {
  /**
   * @param {import("./model.js").Model} model
   * @param {{greeted: () => void, event: (data: *) => void, over: (notice: string) => void}} desk
   *   `greeted`: after each hello; `over`: the session has ended on the server.
   */
  constructor(model, desk) {
    Object.assign(this, { model, desk, closed: false });
    this.client = new BayeuxClient({
      url: new URL("../genesys/cometd", location.href).href,
      ext: () => this.ticket(),
    });
  }

  start() {
    this.client.on("state", (state) => this.changed(state));
    this.client.on("session", () => void this.hello());
    this.client.on("error", (error) => reportError(error));
    this.client.listen("/service/desk/event", (message) => this.desk.event(message.data));
    this.client.start();
  }

  stop() {
    this.closed = true;
  }

  disconnect() {
    void this.client.disconnect();
  }

  call(data) {
    return this.client.call("desk", data);
  }

  retryNow() {
    this.client.retryNow();
  }

  restart() {
    this.client.start();
  }

  async ticket() {
    try {
      const { ticket } = await api.ticket();
      return { desk: { ticket } };
    } catch (error) {
      if (error.status === 401 || error.status === 403) throw Object.assign(error, { fatal: true });
      throw error;
    }
  }

  changed({ state, retryAt, error }) {
    this.model.setConnection({ state, retryAt });
    if (state === "refused") void this.refused(error);
  }

  /** The server ended the session: logged out elsewhere, disabled, or restarted in between. */
  async refused(error) {
    if (this.closed) return;
    try {
      await api.me();
    } catch (reason) {
      if (reason.status === 401) {
        this.desk.over(t("signed.out"));
        return;
      }
    }
    if (!this.closed) this.model.setConnection({ state: "refused", retryAt: null, error });
  }

  retryHello = () => {
    this.model.failed(null);
    void this.hello();
  };

  async hello() {
    let data;
    try {
      data = await this.call({ do: "hello" });
    } catch (error) {
      // A lost connection says so itself, and says hello again when it is back.
      if (!isLost(error)) this.model.failed(error.message);
      return;
    }
    setServerTime(data.now);
    this.model.hello(data);
    this.desk.greeted();
  }
}

function reportError(error) {
  // A listener that threw is a fault of this page: let the console and monitors see it.
  setTimeout(() => { throw error; });
}
