/** The sheet while the customer waits to be told that an agent is free. */
import { fill, h, icon } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean } from "../lib/text.js";
import { duration } from "../lib/times.js";
import { ASK_MS } from "./watch.js";

const SIGNS = { waiting: "clock", available: "check", expired: "alert" };

export class WatchView {
  /** @param {{visitor: import("./visitor.js").Visitor, onclose: () => void}} options */
  constructor({ visitor, onclose }) {
    Object.assign(this, { visitor, onclose, key: "", error: "" });
    this.text = h("div.watch-text", { role: "status" });
    this.facts = h("dl.watch-facts");
    this.problem = h("div.form-error", { role: "alert" });
    this.actions = h("div.watch-actions");
    this.sign = h("span.watch-sign", { aria: { hidden: "true" } });
    this.element = h("div.watch", {}, this.sign, this.text, this.problem, this.actions, this.facts);
  }

  update() {
    const { watch, beginning, connection } = this.visitor;
    const { state } = watch;
    const live = connection.state === "connected";
    const [before] = this.key ? JSON.parse(this.key) : [""];
    if (state === "available" && before !== state) this.error = "";
    const waited = duration((Date.now() - (watch.wish?.since ?? Date.now())) / 1000);
    const key = JSON.stringify([state, beginning, live, waited, this.error]);
    if (this.key === key || !state) return;
    this.key = key;
    fill(this.facts,
      fact(t("watch.status"), h("code", {}, state)),
      state !== "expired" && fact(t("watch.news"), t(live ? "watch.news.live" : "watch.news.asked", { n: ASK_MS / 1000 })),
      state !== "expired" && fact(t("watch.since"), waited));
    fill(this.problem, this.error && [icon("alert"), h("span", {}, this.error)]);
    if (before === state && this.busy === beginning) return;
    this.busy = beginning;
    this.element.dataset.state = state;
    fill(this.sign, icon(SIGNS[state], "large"));
    fill(this.text, h("p.watch-title", {}, t(`watch.${state}`)), h("p.muted", {}, t(`watch.${state}.text`)));
    const focused = this.element.contains(document.activeElement);
    fill(this.actions, this.buttons(state, beginning));
    if (focused || state === "available") this.actions.querySelector(".primary")?.focus({ preventScroll: true });
  }

  buttons(state, beginning) {
    const button = (kind, text, onclick) => h("button", { type: "button", class: kind, disabled: beginning, onclick }, text);
    if (state === "expired") return [button("primary", t("watch.again"), () => this.visitor.unwatch()), button("quiet", t("demo.minimise"), this.onclose)];
    const cancel = button("quiet danger-quiet", t("watch.cancel"), () => this.visitor.unwatch());
    if (state === "available") return [button("primary", [icon("chat"), t(beginning ? "demo.phase.starting" : "demo.start")], () => void this.begin()), cancel];
    return [button("primary", t("watch.shop"), this.onclose), cancel];
  }

  async begin() {
    this.error = "";
    try {
      await this.visitor.begin();
    } catch (error) {
      this.error = error.code === "gms.chat.no_agent" ? t("watch.missed") : error.status ? clean(error.message, 300) : t("error.network");
    }
    this.update();
  }

  /** Another wish: nothing of the last one is shown. */
  reset() {
    Object.assign(this, { key: "", error: "", busy: undefined });
  }
}

function fact(label, value) {
  return h("div", {}, h("dt", {}, label), h("dd", {}, value));
}
