/** Nudging a customer who does not answer: a text for the device, a button, what became of it. */
import { fill, h, icon } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean } from "../lib/text.js";
import { clockTime, now } from "../lib/times.js";
import { words } from "./link.js";

const LONGEST = 300;

export class PokeBox {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.text = h("input", { id: "poke-text", type: "text", maxlength: LONGEST, autocomplete: "off", dir: "auto", enterkeyhint: "send", oninput: () => { this.state.draft = this.text.value; this.draw(); } });
    this.button = h("button", { type: "submit" });
    this.result = h("p.small.poke-result", { role: "status" });
    this.element = h("section.poke", {}, h("h3", {}, t("poke.title")),
      h("form.poke-form", { onsubmit: (event) => { event.preventDefault(); void this.send(); } },
        h("label.offscreen", { for: "poke-text" }, t("poke.text")), this.text, this.button, this.result));
  }

  get state() {
    return this.chat.poke;
  }

  /** The section of a chat; null for one whose customer cannot be nudged. */
  of(chat) {
    const offer = chat.customer.poke;
    if (!offer) return null;
    chat.poke ??= { draft: "", until: 0, busy: false, result: "", failed: false };
    this.chat = chat;
    this.offer = offer;
    if (this.text.value !== chat.poke.draft) this.text.value = chat.poke.draft;
    this.text.placeholder = clean(offer.text, LONGEST) || t("poke.text");
    this.draw();
    return this.element;
  }

  /** A second is over. */
  tick() {
    if (this.chat && this.element.isConnected) this.draw();
  }

  draw() {
    const { state, chat } = this;
    const left = Math.max(0, Math.ceil(state.until - now()));
    const empty = !state.draft.trim() && !this.offer.text;
    this.text.disabled = chat.closed;
    this.button.disabled = chat.closed || state.busy || left > 0 || empty;
    const label = state.busy ? t("poke.busy") : left ? t("poke.again", { n: left }) : t("poke");
    if (this.button.textContent !== label) fill(this.button, icon("bell", "small"), label);
    const key = `${state.failed}${state.result}`;
    if (this.result.dataset.key === key) return;
    this.result.dataset.key = key;
    this.result.classList.toggle("failed", state.failed);
    fill(this.result, state.result && [icon(state.failed ? "alert" : "check", "small"), h("span", { dir: "auto" }, state.result)]);
  }

  async send() {
    const { chat, state, offer } = this;
    if (this.button.disabled) return;
    Object.assign(state, { busy: true, result: "", failed: false });
    this.draw();
    try {
      await this.desk.call({ do: "poke", chat: chat.id, text: state.draft.trim() });
      Object.assign(state, { draft: "", until: now() + offer.pause_s, result: t("poke.done", { time: clockTime(now()) }) });
    } catch (error) {
      Object.assign(state, { failed: true, result: clean(words(error), 300) });
    }
    state.busy = false;
    if (this.chat !== chat) return;
    if (this.text.value !== state.draft) this.text.value = state.draft;
    this.draw();
  }
}
