/** The left column: who waits, and my chats. */
import { fill, h, icon, reconcile } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean, cleanName, collides } from "../lib/text.js";
import { preview } from "../lib/transcript.js";
import { ago, duration, everySecond, fullTime, now } from "../lib/times.js";
import { emptyState, errorState, skeleton } from "../lib/ui.js";
import { callItem, paintCall, sortedQueue } from "./call-items.js";

/** Of a call, a chat that waits, or a chat of mine. */
const keyOf = (item) => (item.call ? `call ${item.call}` : item.chat ?? item.id);

export class Lists {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.queueCount = h("span.count");
    this.chatCount = h("span.count");
    this.chatTitle = h("span", {}, t("chats.title"));
    this.queue = h("ul.list", { aria: { labelledby: "queue-title" } });
    this.chats = h("ul.list", { aria: { labelledby: "chats-title" } });
    this.queueNote = h("div.list-note");
    this.chatNote = h("div.list-note");
    this.announcer = h("p.offscreen", { role: "status", aria: { live: "polite" } });
    this.element = h("nav.lists", { aria: { label: t("lists.label") } },
      h("section.queue", {},
        h("h2.list-title", { id: "queue-title" }, t("queue.title"), this.queueCount), this.queue, this.queueNote),
      h("section.chats", {},
        h("h2.list-title", { id: "chats-title" }, this.chatTitle, this.chatCount), this.chats, this.chatNote),
      this.announcer);
    this.element.addEventListener("keydown", (event) => this.move(event));
    everySecond(this.element, () => this.tick());
  }

  /** False on a phone that shows another column. */
  get visible() {
    return this.element.offsetParent !== null;
  }

  announce(text) {
    this.announcer.textContent = text;
  }

  update() {
    const { model } = this.desk;
    if (!model.ready || model.failure) {
      const key = `loading ${model.failure}`;
      if (this.noteKey === key) return;
      this.noteKey = key;
      fill(this.queueNote, model.failure ? errorState(model.failure, this.desk.link.retryHello) : skeleton(3));
      fill(this.chatNote, !model.failure && skeleton(2));
      return;
    }
    const { voice } = model;
    const waiting = sortedQueue(model);
    const chats = model.mine;
    const mine = [...(voice.talking ? [voice.talking] : []), ...chats, ...voice.ended];
    reconcile(this.queue, waiting, keyOf, (entry, old) => (entry.call ? callItem(this.desk, entry, old, this.drawnOnce) : this.entry(entry, old)));
    reconcile(this.chats, mine, keyOf, (item, old) => (item.call ? callItem(this.desk, item, old, this.drawnOnce) : this.chat(item, old, chats.indexOf(item))));
    this.drawnOnce = true;
    this.queueCount.textContent = waiting.length || "";
    this.chatCount.textContent = mine.length || "";
    const title = t(voice.available ? "mine.title" : "chats.title");
    if (this.chatTitle.textContent !== title) this.chatTitle.textContent = title;
    this.notes(waiting.length, mine.length, model.state, voice.available);
  }

  notes(waiting, mine, state, voice) {
    const key = [waiting > 0, mine > 0, state, voice].join();
    if (this.noteKey === key) return;
    this.noteKey = key;
    const ready = state === "ready";
    fill(this.queueNote, !waiting && (ready
      ? emptyState("inbox", t("queue.empty.title"), t(voice ? "queue.empty.calls" : "queue.empty.text"))
      : emptyState("inbox", t("queue.away.title"), t("queue.away.text"),
        h("button", { type: "button", onclick: this.desk.goReady }, t("state.go.ready")))));
    fill(this.chatNote, !mine && h("p.list-hint", {}, t(voice ? "mine.empty" : "chats.empty")));
  }

  entry(entry, old) {
    const signature = JSON.stringify(entry) + this.desk.model.accepting.has(entry.chat);
    if (old?.dataset.signature === signature) return old;
    const busy = this.desk.model.accepting.has(entry.chat);
    const wait = h("span.chip.wait", { title: fullTime(entry.since) });
    const name = cleanName(entry.nickname) || t("customer");
    const fresh = !old && this.drawnOnce;
    const element = h("li.item.entry", { class: fresh ? "fresh" : "", dataset: { signature, since: entry.since } },
      h("button.item-main", { type: "button", disabled: busy, onclick: () => this.desk.chats.accept(entry.chat) },
        h("span.item-head", {},
          h("bdi.item-name.one-line", {}, name),
          collides(entry.nickname, this.desk.model.agentNames()) && h("span.chip.amber", { title: t("collides.hint") }, t("party.CLIENT")),
          wait),
        h("span.item-text.one-line", { dir: "auto" }, cleanName(entry.subject, 120) || t("no.subject")),
        h("span.item-foot", {}, h("span.one-line", {}, cleanName(entry.group, 40)),
          entry.reopened && h("span.chip", {}, t("queue.reopened")),
          h("span.accept", {}, busy ? t("accepting") : t("accept")))));
    this.paintWait(element);
    return element;
  }

  chat(chat, old, index) {
    const { model } = this.desk;
    const { summary } = chat;
    const selected = model.selected === chat.id;
    const typing = chat.typing.size > 0;
    const draft = chat.draft.trim() && !selected ? chat.draft : "";
    const signature = JSON.stringify([summary, chat.spokeAt, selected, typing, index, draft]);
    if (old?.dataset.signature === signature) return old;
    const name = cleanName(summary.nickname) || t("customer");
    const number = index < 9 ? index + 1 : null;
    const element = old ?? h("li.item.chat");
    const focused = element.contains(document.activeElement);
    element.className = ["item", "chat", selected && "selected", chat.closed && "closed", summary.unread && "unread"].filter(Boolean).join(" ");
    element.dataset.signature = signature;
    element.dataset.since = chat.spokeAt ?? "";
    fill(element, h("button.item-main", {
      type: "button", aria: { current: selected ? "true" : null, keyshortcuts: number ? `Alt+${number}` : null },
      title: number ? `Alt+${number}` : null, onclick: () => this.desk.chats.select(chat.id),
    },
    h("span.item-head", {},
      h("span.presence", { class: chat.closed ? "closed" : summary.customer ?? "here", title: t(chat.closed ? "chat.closed" : `customer.${summary.customer ?? "here"}`) }),
      h("bdi.item-name.one-line", {}, name),
      h("span.since.small.muted"),
      summary.unread > 0 && h("span.badge", { aria: { label: t("unread", { n: summary.unread }) } }, summary.unread > 99 ? "99+" : summary.unread)),
    h("span.item-text.one-line", { dir: "auto" }, typing
      ? [h("span.dots", { aria: { hidden: "true" } }, h("i"), h("i"), h("i")), h("span.offscreen", {}, t("is.typing", { name }))]
      : draft ? t("preview.draft", { text: clean(draft, 120) }) : preview(summary.last) || cleanName(summary.subject, 120) || t("no.subject"))));
    if (focused) element.firstElementChild.focus();
    this.paintSince(element);
    return element;
  }

  tick() {
    for (const element of this.queue.children) if (!paintCall(this.desk, element)) this.paintWait(element);
    for (const element of this.chats.children) if (!paintCall(this.desk, element)) this.paintSince(element);
  }

  paintWait(element) {
    const { amber_s: amber, red_s: red } = this.desk.model.settings;
    const seconds = now() - Number(element.dataset.since);
    const chip = element.querySelector(".wait");
    chip.className = `chip wait ${seconds >= red ? "red" : seconds >= amber ? "amber" : ""}`;
    const text = duration(seconds);
    if (chip.textContent !== text) fill(chip, icon("clock", "small"), text);
  }

  paintSince(element) {
    const place = element.querySelector(".since");
    const since = Number(element.dataset.since);
    const text = since ? ago(since) : "";
    if (place.textContent !== text) {
      place.textContent = text;
      if (since) place.title = fullTime(since);
    }
  }

  /** Arrow keys walk through both lists. */
  move(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const buttons = [...this.element.querySelectorAll(".item-main")];
    const index = buttons.indexOf(document.activeElement);
    if (index < 0) return;
    event.preventDefault();
    buttons[index + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  }
}
