/** The state of the connection: a dot in the top bar, and a thin bar while there is none. */
import { fill, h, icon } from "./dom.js";
import { t } from "./i18n.js";

export class ConnectionState {
  /** @param {{retry: () => void, restart: () => void}} actions  Try now while waiting; begin again after a refusal. */
  constructor({ retry, restart }) {
    this.actions = { retry, restart };
    this.dot = h("span.connection", { role: "img" });
    this.bar = h("div", { role: "status", aria: { live: "polite" } });
  }

  /** @param {{state: string, retryAt: number|null, error?: *}} connection @param {boolean} known  Something is on the page already. */
  draw({ state, retryAt, error }, known) {
    const word = t(`connection.${state}`);
    this.dot.className = `connection ${state}`;
    this.dot.title = word;
    this.dot.setAttribute("aria-label", word);
    const seconds = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
    const key = state === "waiting" ? `waiting${seconds}` : `${state}${known}`;
    if (this.key === key) return;
    this.key = key;
    const button = (action) => h("button.link-button", { type: "button", onclick: action }, t("try.now"));
    const parts = {
      waiting: () => [icon("offline", "small"), h("span", {}, seconds ? t("connection.retry", { n: seconds }) : t("connection.now")), button(this.actions.retry)],
      connecting: () => known && [icon("offline", "small"), t("connection.now")],
      refused: () => [icon("alert", "small"), h("span", {}, t("connection.refused.text", { reason: error?.message ?? "" })), button(this.actions.restart)],
    }[state]?.();
    this.bar.className = parts ? "connection-bar" : "";
    fill(this.bar, parts);
  }
}
