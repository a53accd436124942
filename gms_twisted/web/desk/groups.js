/** The agent groups in the top bar: which I am signed in to, who is ready, who waits. */
import { fill, h, icon, reconcile } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { duration, everySecond, now } from "../lib/times.js";

export class GroupsMenu {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.button = h("button.groups-button", {
      type: "button", aria: { haspopup: "true", expanded: "false", controls: "groups-menu" }, onclick: () => this.toggle(this.menu.hidden),
    });
    this.list = h("ul.group-list");
    this.note = h("p.small.group-note");
    this.chats = h("p.small.muted.group-chats");
    this.menu = h("div.menu.groups-menu", { id: "groups-menu", hidden: true, role: "group", aria: { label: t("groups.calls") } },
      h("h2.group-title", {}, t("groups.calls")), this.list, this.note, this.chats);
    this.element = h("div.groups-box", {
      onfocusout: (event) => { if (!this.element.contains(event.relatedTarget)) this.toggle(false); },
      onkeydown: (event) => {
        if (event.key !== "Escape" || this.menu.hidden) return;
        event.stopPropagation();
        this.toggle(false);
        this.button.focus();
      },
    });
    everySecond(this.element, () => this.tick());
  }

  toggle(open) {
    if (this.menu.hidden === !open) return;
    this.menu.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.update();
  }

  update() {
    const { model } = this.desk;
    const chats = model.groups.map((group) => cleanName(group, 40)).join(", ");
    this.drawPlace(model.voice.available, chats);
    if (!model.voice.available) return;
    this.drawButton(model.voice);
    if (this.menu.hidden) return;
    reconcile(this.list, model.voice.groups, (group) => group.name, (group, old) => this.row(group, old));
    const note = !model.voice.groups.length ? "groups.none" : !model.voice.signedIn.length ? "groups.nowhere" : model.state !== "ready" ? "groups.away" : "groups.ready";
    if (this.noteKey !== note) {
      this.noteKey = note;
      this.note.textContent = t(note);
    }
    this.chats.textContent = chats && t("groups.chats", { groups: chats });
  }

  /** Without telephony the bar names the groups that chats come from. */
  drawPlace(voice, chats) {
    const key = `${voice}${voice ? "" : chats}`;
    if (this.placeKey === key) return;
    this.placeKey = key;
    if (voice) fill(this.element, this.button, this.menu);
    else fill(this.element, chats && h("span.groups.one-line", { title: t("groups.title", { groups: chats }) }, chats));
  }

  drawButton(voice) {
    const names = voice.signedIn.map((group) => cleanName(group.name, 40));
    const { ready, waiting, longest } = voice.load;
    const level = waiting ? this.level(longest) : "";
    const key = JSON.stringify([names, ready, waiting, level]);
    if (this.buttonKey === key) return;
    this.buttonKey = key;
    const text = names.length ? names.join(", ") : t("groups.nowhere.short");
    const told = names.length ? t("groups.button", { groups: text, ready, waiting }) : t("groups.nowhere");
    this.button.title = told;
    this.button.setAttribute("aria-label", told);
    this.button.classList.toggle("nowhere", !names.length);
    fill(this.button, icon("phone"), h("span.groups-names.one-line.only-wide", {}, text),
      names.length > 0 && h("span.groups-ready.small.muted.only-wide", {}, t("groups.ready.count", { n: ready })),
      waiting > 0 && h("span.chip.groups-waiting", { class: level || "plain" }, icon("clock", "small"), String(waiting)));
  }

  row(group, old) {
    const key = JSON.stringify(group);
    if (old?.dataset.sign === key) return old;
    const name = cleanName(group.name, 60);
    const element = old ?? h("li.group-row", {}, h("label", {},
      h("input", { type: "checkbox", onchange: (event) => void this.desk.calls.signIn(group.name, event.target.checked) }),
      h("span.group-text", {}, h("bdi.one-line", {}, name), h("span.small.muted.group-facts"))), h("span.chip.wait", { hidden: true }));
    element.dataset.sign = key;
    element.dataset.since = group.longest_since ?? "";
    element.dataset.waiting = group.waiting;
    const box = element.querySelector("input");
    if (box.checked !== group.signed_in) box.checked = group.signed_in;
    element.querySelector(".group-facts").textContent = t("groups.facts", { ready: group.ready, agents: group.agents });
    this.paint(element);
    return element;
  }

  tick() {
    if (!this.desk.model.voice.available) return;
    this.drawButton(this.desk.model.voice);
    if (!this.menu.hidden) for (const element of this.list.children) this.paint(element);
  }

  level(since) {
    const { amber_s: amber, red_s: red } = this.desk.model.settings;
    const seconds = since ? now() - since : 0;
    return seconds >= red ? "red" : seconds >= amber ? "amber" : "";
  }

  paint(element) {
    const waiting = Number(element.dataset.waiting);
    const since = Number(element.dataset.since);
    const chip = element.lastElementChild;
    chip.hidden = !waiting;
    if (!waiting) return;
    chip.className = `chip wait ${this.level(since)}`;
    const text = since ? t("groups.waiting.since", { n: waiting, time: duration(now() - since) }) : t("groups.waiting", { n: waiting });
    if (chip.textContent !== text) chip.textContent = text;
  }
}
