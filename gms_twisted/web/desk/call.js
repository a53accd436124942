/** The middle column for a call: its state, what can be done, what the caller's application sent. */
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean, cleanName } from "../lib/text.js";
import { clockTime, duration, everySecond, fullTime, now, timeElement } from "../lib/times.js";
import { copyText } from "../lib/ui.js";
import { callerName, callTime, stateWord } from "./call-words.js";
import { numberOf } from "./voice.js";

const TILES = 6;

/** The buttons of a call: those of a list are small. */
export function callButtons(desk, call, small = false) {
  const disabled = desk.model.voice.busy.has(call.call);
  const button = (kind, sign, word, action, key) => h("button", {
    type: "button", class: `${kind} ${small ? "small-button" : "big-button"}`, disabled, title: key ? `${t(word)} (${key})` : null, onclick: () => void action(),
  }, icon(sign), t(word));
  if (call.state === "ringing" && call.mine) {
    return [button("success", "phone", "call.answer", () => desk.calls.answer(call.call), "Enter"),
      button("danger-quiet", "close", "call.decline", () => desk.calls.decline(call.call), "Esc")];
  }
  if (call.state === "talking" && call.mine) return [button("danger", "hangup", "call.hang.up", () => desk.calls.hangUp(call.call))];
  if (call.state === "ended") return [button("", "check", "call.dismiss", () => desk.calls.dismiss(call.call))];
  return [];
}

export class CallPanel {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.head = h("header.conversation-head");
    this.time = h("span.call-time", { role: "timer" });
    this.left = h("p.small.muted.call-left", { aria: { hidden: "true" } });
    this.body = h("div.call-panel");
    everySecond(this.body, () => this.tick());
  }

  get nodes() {
    return [this.head, this.body];
  }

  update(call) {
    this.call = call;
    this.drawHead(call);
    const key = JSON.stringify([call, this.desk.model.voice.busy.has(call.call)]);
    if (this.key === key) return;
    this.key = key;
    const focused = this.body.contains(document.activeElement);
    fill(this.body, this.stage(call), this.facts(call), this.tiles(call));
    if (focused) this.desk.conversation.element.focus({ preventScroll: true });
    this.tick();
  }

  drawHead(call) {
    const key = JSON.stringify([call.call, call.state, call.group, call.service_name]);
    if (this.headKey === key) return;
    this.headKey = key;
    fill(this.head,
      iconButton("back", t("back"), () => this.desk.show("lists"), "only-phone turns"),
      h("div.conversation-who", {},
        h("h1.one-line", {}, t(call.direction === "outbound" ? "call.title.outbound" : "call.title", { name: callerName(call) })),
        h("p.small.muted.one-line", {}, h("span.presence", { class: { talking: "", ringing: "ringing" }[call.state] ?? (call.state === "waiting" ? "away" : "closed") }), stateWord(call),
          call.group && [" \u00b7 ", h("bdi", {}, cleanName(call.group, 60))])),
      h("div.conversation-actions", {}, iconButton("panel", t("customer.show"), () => this.desk.toggleCustomer(), "customer-toggle")));
  }

  stage(call) {
    const number = numberOf(call);
    return h("section.call-stage", { class: `${call.state}${call.mine ? " mine" : ""}`, aria: { label: t("call.label") } },
      h("span.call-sign", { aria: { hidden: "true" } }, icon(call.state === "ended" ? "hangup" : "phone", "large")),
      h("p.call-state", {}, h("strong", {}, stateWord(call)), this.time),
      h("p.call-number", {}, h("bdi", { dir: number ? "ltr" : null }, callerName(call)),
        number && iconButton("copy", t("copy.what", { what: t("call.number") }), () => copyText(cleanName(number, 60)))),
      call.service_name && h("p.muted", {}, h("bdi", {}, cleanName(call.service_name, 80))),
      h("div.call-buttons", {}, callButtons(this.desk, call)),
      call.state === "ringing" && call.mine ? this.left : call.state === "waiting" ? h("p.small.muted", {}, t("call.waiting.text")) : null);
  }

  facts(call) {
    const rows = [
      [t("call.group"), call.group && h("bdi", {}, cleanName(call.group, 60))],
      [t(call.direction === "outbound" ? "call.from" : "call.dialled"), call.dnis && h("bdi", { dir: "ltr" }, cleanName(call.dnis, 40))],
      [t("call.began"), timeElement(call.since, clockTime(call.since))],
      [t("call.answered"), call.answered && timeElement(call.answered, clockTime(call.answered))],
      [t("call.ended"), call.ended && timeElement(call.ended, clockTime(call.ended))],
      [t("call.agent"), call.agent && !call.mine && h("bdi", {}, cleanName(call.agent, 60))],
    ];
    return h("dl.call-facts", {}, rows.filter(([, value]) => value).map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
  }

  /** The first few short values; the column beside has all of them. */
  tiles(call) {
    const entries = Object.entries(call.data ?? {});
    const short = entries.filter(([, value]) => String(value ?? "").length <= 80).slice(0, TILES);
    return h("section.call-data", {}, h("h2", {}, t("customer.data")),
      short.length ? h("dl.tiles", {}, short.map(([key, value]) => h("div.tile", {},
        h("dt.one-line", { title: cleanName(key, 200) }, h("bdi", {}, cleanName(key, 60))), h("dd", { dir: "auto" }, clean(value, 80) || "\u2013"))))
        : h("p.muted.small", {}, t(entries.length ? "call.data.long" : "customer.data.none")),
      entries.length > short.length && short.length > 0 && h("button.link-button.small", { type: "button", onclick: () => this.desk.toggleCustomer(true) }, t("call.data.more", { n: entries.length - short.length })));
  }

  tick() {
    const { call } = this;
    if (!call) return;
    const text = call.state === "ringing" ? t("call.waited", { time: callTime(call, now()) }) : callTime(call, now());
    if (this.time.textContent !== text) {
      this.time.textContent = text;
      this.time.title = fullTime(call.answered ?? call.since);
    }
    const left = this.desk.model.voice.ringLeft(call.call, now());
    const words = left === null ? "" : t("call.left.time", { time: duration(Math.ceil(left)) });
    if (this.left.textContent !== words) this.left.textContent = words;
  }
}

/** Over the columns while a call rings or is talked on that is not on the screen. */
export class CallBar {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.time = h("span.call-time.small.muted");
    this.element = h("div.call-bar", { hidden: true, role: "region", aria: { label: t("call.label") } });
    everySecond(this.element, () => this.tick());
  }

  update() {
    const { voice } = this.desk.model;
    const call = voice.ringing ?? voice.talking;
    const shown = call && voice.selected === call.call;
    const key = call ? JSON.stringify([call, shown, voice.busy.has(call.call)]) : "";
    if (this.key === key) return;
    this.key = key;
    this.call = call;
    this.element.hidden = !call;
    if (!call) return;
    // On a phone the call's own view may be behind the list although it is chosen.
    this.element.className = `call-bar ${call.state}${shown ? " shown" : ""}`;
    fill(this.element, h("span.call-sign", { aria: { hidden: "true" } }, icon("phone")),
      h("button.call-bar-text", { type: "button", title: t("call.show"), onclick: () => this.desk.calls.select(call.call) },
        h("bdi.one-line", {}, callerName(call)),
        h("span.small.one-line.muted", {}, h("strong", {}, stateWord(call)), call.state === "talking" && [" ", this.time], call.service_name && [" \u00b7 ", h("bdi", {}, cleanName(call.service_name, 60))])),
      h("span.call-buttons", {}, callButtons(this.desk, call, true)));
    this.tick();
  }

  tick() {
    if (!this.call || this.element.hidden) return;
    const text = callTime(this.call, now());
    if (this.time.textContent !== text) this.time.textContent = text;
  }
}
