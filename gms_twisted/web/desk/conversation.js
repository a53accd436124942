/** The middle column: the transcript of one chat, its actions, and the composer. */
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean, cleanName, safeUrl } from "../lib/text.js";
import { Transcript, typingLine } from "../lib/transcript.js";
import { confirmDialog, dialog, emptyState, errorState, field, skeleton } from "../lib/ui.js";
import { CallPanel } from "./call.js";

const NEAR_LIMIT = 0.9;
const TYPING_RENEW_MS = 5000;

export class Conversation {
  /** @param {*} desk  The shell: model and actions. */
  constructor(desk) {
    this.desk = desk;
    this.shown = null;
    this.transcript = new Transcript({
      label: t("transcript.label"),
      onretry: (ref) => desk.chats.resend(desk.model.current, ref),
      ondiscard: (ref) => desk.model.discard(desk.model.current, ref),
      onbottom: () => desk.chats.seen(),
      names: () => desk.model.agentNames(),
    });
    this.head = h("header.conversation-head");
    this.place = h("div.conversation-place");
    this.typing = h("div.typing", { role: "status", aria: { live: "polite" } });
    this.composer = new Composer(desk);
    this.call = new CallPanel(desk);
    this.note = h("div.conversation-note");
    this.element = h("main.conversation", { id: "conversation", tabindex: "-1", aria: { label: t("conversation.label") } });
    this.layout = null;
  }

  update() {
    const { model } = this.desk;
    const chat = model.current;
    const call = model.voice.current;
    if (call) {
      this.shown = null;
      if (this.layout !== "call") fill(this.element, this.call.nodes);
      this.layout = "call";
      this.call.update(call);
      return;
    }
    if (!chat) {
      this.shown = null;
      const layout = `none${model.voice.available}`;
      if (this.layout !== layout) fill(this.element, this.welcome());
      this.layout = layout;
      return;
    }
    if (this.layout !== "chat") fill(this.element, this.head, this.place, this.typing, this.note, this.composer.element);
    this.layout = "chat";
    const changed = this.shown !== chat.id;
    this.shown = chat.id;
    if (changed) {
      this.transcript.reset();
      this.composer.show(chat);
    }
    this.drawHead(chat);
    this.drawBody(chat);
    typingLine(this.typing, chat.typing.keys());
    this.composer.update(chat);
    this.drawNote(chat);
  }

  welcome() {
    const calls = this.desk.model.voice.available;
    return emptyState("chat", t(calls ? "conversation.none.title.calls" : "conversation.none.title"), t(calls ? "conversation.none.calls" : "conversation.none.text"),
      h("p.small", {}, h("kbd.key", {}, "?"), " ", t("shortcuts.title")));
  }

  drawBody(chat) {
    const state = chat.failed ? `failed:${chat.failed}` : chat.loaded ? "loaded" : "loading";
    if (this.bodyState !== state || this.bodyChat !== chat.id) {
      this.bodyState = state;
      this.bodyChat = chat.id;
      if (state === "loaded") fill(this.place, this.transcript.element);
      else if (state === "loading") fill(this.place, skeleton(6));
      else fill(this.place, errorState(chat.failed, () => this.desk.chats.open(chat.id)));
    }
    if (state === "loaded") this.transcript.update(chat);
  }

  drawHead(chat) {
    const { summary } = chat;
    const key = JSON.stringify([chat.id, summary.nickname, summary.subject, summary.group, chat.closed, summary.customer, chat.ending]);
    if (this.headKey === key) return;
    this.headKey = key;
    const presence = chat.closed ? "closed" : summary.customer ?? "here";
    fill(this.head,
      iconButton("back", t("back"), () => this.desk.show("lists"), "only-phone turns"),
      h("div.conversation-who", {},
        h("h1.one-line", {}, h("bdi", {}, cleanName(summary.nickname) || t("customer"))),
        h("p.small.muted.one-line", {},
          h("span.presence", { class: presence }), t(presence === "closed" ? "chat.closed" : `customer.${presence}`),
          summary.subject && [" \u00b7 ", h("bdi", {}, cleanName(summary.subject, 120))])),
      h("div.conversation-actions", {},
        !chat.closed && iconButton("link", t("push.url"), () => this.pushUrl(chat), "wide-action"),
        !chat.closed && iconButton("requeue", t("requeue"), () => this.requeue(chat), "wide-action"),
        iconButton("panel", t("customer.show"), () => this.desk.toggleCustomer(), "customer-toggle"),
        !chat.closed && h("button.danger-quiet.end.wide-action", { type: "button", disabled: chat.ending, onclick: () => this.end(chat) }, t("end.chat")),
        !chat.closed && iconButton("more", t("chat.actions"), () => this.actions(chat), "only-phone")));
  }

  /** On a phone the actions are behind one button. */
  async actions(chat) {
    const action = await dialog(t("chat.actions"), (close) => [h("div.actions-list", {},
      h("button", { type: "button", onclick: () => close("pushUrl") }, icon("link"), t("push.url")),
      h("button", { type: "button", onclick: () => close("requeue") }, icon("requeue"), t("requeue")),
      h("button.danger-quiet", { type: "button", disabled: chat.ending, onclick: () => close("end") }, icon("close"), t("end.chat")))]);
    if (action) void this[action](chat);
  }

  drawNote(chat) {
    const key = chat.closed ? "closed" : chat.summary.customer === "gone" ? "gone" : chat.summary.customer === "away" ? "away" : "";
    if (this.noteKey === key + chat.id) return;
    this.noteKey = key + chat.id;
    fill(this.note, key && h("p.conversation-hint", { role: "status" }, icon("info", "small"), t(`conversation.${key}`),
      key === "closed" && h("button.link-button", { type: "button", onclick: () => this.desk.chats.dismiss(chat) }, t("conversation.dismiss"))));
  }

  async end(chat) {
    const name = cleanName(chat.summary.nickname) || t("customer");
    if (await confirmDialog(t("end.title"), t("end.text", { name }), t("end.chat"), { danger: true })) this.desk.chats.end(chat);
  }

  async requeue(chat) {
    if (await confirmDialog(t("requeue.title"), t("requeue.text"), t("requeue"))) void this.desk.chats.requeue(chat);
  }

  async pushUrl(chat) {
    const input = h("input", { id: "push-url", type: "url", inputmode: "url", placeholder: "https://", required: true, maxlength: 2000, dataset: { autofocus: "" } });
    const box = field(t("push.url.label"), input, t("push.url.hint"));
    const url = await dialog(t("push.url"), (close) => [
      h("form.form", {
        onsubmit: (event) => {
          event.preventDefault();
          const text = /^[a-z][a-z0-9+.-]*:/i.test(input.value.trim()) ? input.value.trim() : `https://${input.value.trim()}`;
          const parsed = safeUrl(text);
          if (!parsed) box.setError(t("push.url.bad"));
          else if (!hostAllowed(parsed.hostname, this.desk.model.settings.push_hosts)) box.setError(t("push.url.host", { host: parsed.hostname }));
          else close(parsed.href);
        },
      }, box, h("div.dialog-actions", {},
        h("button", { type: "button", onclick: () => close() }, t("cancel")),
        h("button.primary", { type: "submit" }, t("push.url.send")))),
    ]);
    if (url) void this.desk.chats.pushUrl(chat, url);
  }

  focusComposer() {
    this.composer.text.focus({ preventScroll: true });
  }
}

/** The server decides; this only spares a round trip. */
export function hostAllowed(host, allowed) {
  if (!allowed?.length) return true;
  return allowed.some((rule) => rule === "*" || rule === host || (rule.startsWith("*.") && host.endsWith(rule.slice(1))));
}

/** Canned answers whose key or text fits what was typed after the slash. */
export function cannedFor(text, canned) {
  const match = /^\/(\S*)$/.exec(text);
  if (!match) return null;
  const word = match[1].toLowerCase();
  const starts = canned.filter((answer) => answer.key.toLowerCase().startsWith(word));
  const holds = canned.filter((answer) => !starts.includes(answer) && `${answer.key} ${answer.text}`.toLowerCase().includes(word));
  return [...starts, ...holds].slice(0, 8);
}

class Composer {
  constructor(desk) {
    this.desk = desk;
    this.choice = 0;
    this.typingSent = 0;
    this.text = h("textarea.composer-text", {
      id: "composer", rows: 1, placeholder: t("composer.placeholder"), enterkeyhint: "send", dir: "auto",
      role: "combobox", aria: { label: t("composer.label"), describedby: "composer-count", autocomplete: "list", expanded: "false", controls: "canned-list" },
      oninput: () => this.changed(), onkeydown: (event) => this.key(event), onblur: () => this.stopTyping(),
    });
    this.count = h("span.composer-count.small", { id: "composer-count", aria: { live: "polite" } });
    this.list = h("ul.canned", { id: "canned-list", role: "listbox", hidden: true, aria: { label: t("canned.title") } });
    this.button = h("button.primary.send", { type: "button", title: t("send"), aria: { label: t("send") }, onclick: () => this.send() }, icon("send", "turns"));
    this.element = h("div.composer", {}, this.list,
      h("div.composer-row", {}, this.text, this.button),
      h("div.composer-foot", {}, h("span.small.muted.only-wide", {}, t("composer.hint")), this.count));
  }

  show(chat) {
    this.stopTyping();
    this.chat = chat;
    this.text.value = chat.draft;
    this.choice = 0;
    this.drawCanned();
    this.size();
  }

  update(chat) {
    const limit = this.desk.model.settings.max_message;
    this.text.setAttribute("maxlength", String(limit));
    this.text.disabled = chat.closed || chat.ending;
    this.element.classList.toggle("off", chat.closed);
    this.drawCount();
  }

  changed() {
    this.chat.draft = this.text.value;
    this.choice = 0;
    this.drawCanned();
    this.size();
    this.drawCount();
    if (this.text.value.trim() && !this.text.value.startsWith("/")) this.startTyping();
    else this.stopTyping();
  }

  size() {
    this.text.style.blockSize = "auto";
    this.text.style.blockSize = `${Math.min(this.text.scrollHeight + 2, 180)}px`;
  }

  drawCount() {
    const limit = this.desk.model.settings.max_message;
    const { length } = this.text.value;
    this.count.textContent = length > limit * NEAR_LIMIT ? t("composer.left", { n: limit - length }) : "";
    this.count.classList.toggle("full", length >= limit);
    this.button.disabled = !this.text.value.trim() || this.text.disabled;
  }

  key(event) {
    if (event.isComposing) return;
    if (!this.list.hidden && this.cannedKey(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.send();
    }
  }

  cannedKey(event) {
    const options = this.options ?? [];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.choice = (this.choice + (event.key === "ArrowDown" ? 1 : options.length - 1)) % Math.max(1, options.length);
      this.drawCanned();
    } else if ((event.key === "Enter" || event.key === "Tab") && options.length) this.insert(options[this.choice]);
    else if (event.key === "Escape") this.closeCanned();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  drawCanned() {
    this.options = cannedFor(this.text.value, this.desk.model.settings.canned ?? []);
    this.list.hidden = this.options === null;
    this.text.setAttribute("aria-expanded", String(!this.list.hidden));
    if (this.list.hidden) {
      this.text.removeAttribute("aria-activedescendant");
      return;
    }
    fill(this.list, this.options.map((answer, index) => h("li.canned-item", {
      id: `canned-${index}`, role: "option", aria: { selected: String(index === this.choice) },
      onmousedown: (event) => { event.preventDefault(); this.insert(answer); },
    }, h("span.canned-key.mono", {}, `/${clean(answer.key, 40)}`), h("span.one-line.muted", { dir: "auto" }, clean(answer.text, 160)))),
    !this.options.length && h("li.canned-none", { role: "option", aria: { selected: "false", disabled: "true" } },
      t(this.desk.model.settings.canned?.length ? "canned.none" : "canned.empty")));
    if (this.options.length) this.text.setAttribute("aria-activedescendant", `canned-${this.choice}`);
    this.list.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }

  closeCanned() {
    this.list.hidden = true;
    this.text.setAttribute("aria-expanded", "false");
  }

  insert(answer) {
    this.text.value = answer.text;
    this.changed();
    this.text.focus();
    this.text.setSelectionRange(answer.text.length, answer.text.length);
  }

  send() {
    const text = this.text.value.trim();
    if (!text || this.text.disabled) return;
    this.text.value = "";
    this.chat.draft = "";
    this.closeCanned();
    this.size();
    this.drawCount();
    this.typingSent = 0;
    this.desk.chats.send(this.chat, text);
    this.text.focus();
  }

  startTyping() {
    const time = Date.now();
    if (time - this.typingSent < TYPING_RENEW_MS) return;
    this.typingSent = time;
    this.desk.chats.typing(this.chat, true);
  }

  stopTyping() {
    if (!this.typingSent || !this.chat) return;
    this.typingSent = 0;
    this.desk.chats.typing(this.chat, false);
  }
}
