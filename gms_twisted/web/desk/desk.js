/** The desk itself: what it is made of, what the server tells it, its columns and keys. */
import { accountMenu } from "../lib/account.js";
import * as api from "../lib/api.js";
import { ConnectionState } from "../lib/connection.js";
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { now } from "../lib/times.js";
import { confirmDialog, preference, setPreference, themeButton, toast } from "../lib/ui.js";
import * as alerts from "./alerts.js";
import { showAgents } from "./agents.js";
import { CallBar } from "./call.js";
import { callerName } from "./call-words.js";
import { Calls } from "./calls.js";
import { Chats } from "./chats.js";
import { Conversation } from "./conversation.js";
import { CustomerPane } from "./customer.js";
import { GroupsMenu } from "./groups.js";
import { Link, words } from "./link.js";
import { Lists } from "./lists.js";
import { showShortcuts } from "./menus.js";
import { Model } from "./model.js";

const PHONE = "(max-width: 760px)";

export class Desk {
  /**
   * @param {*} me  Answer of `me`, `login` or `claim`.
   * @param {(notice: string) => void} leave  Go back to the log-in form.
   */
  constructor(me, leave) {
    this.me = me;
    this.leave = leave;
    this.model = new Model(() => this.schedule());
    this.model.agent = { ...me.agent, state: "away" };
    this.link = new Link(this.model, { greeted: () => this.greeted(), event: (data) => this.event(data), over: (notice) => this.goodbye(notice) });
    this.chats = new Chats(this);
    this.calls = new Calls(this);
    this.lists = new Lists(this);
    this.conversation = new Conversation(this);
    this.customer = new CustomerPane(this);
    this.connectionState = new ConnectionState({ retry: () => this.link.retryNow(), restart: () => this.link.restart() });
    this.stateButton = h("button.switch", { type: "button", role: "switch", onclick: () => this.toggleState() });
    this.groups = new GroupsMenu(this);
    this.callBar = new CallBar(this);
    this.soundButton = iconButton("bell", "", () => this.toggleSound());
    this.columns = h("div.columns", { dataset: { view: "lists", customer: preference("desk.customer", true) ? "open" : "closed" } },
      this.lists.element, this.conversation.element, this.customer.element, this.callBar.element);
    this.element = h("div.desk", {},
      h("a.skip", { href: "#conversation" }, t("skip")),
      this.topBar(), this.connectionState.bar, this.columns, this.calls.announcer);
    this.stopped = new AbortController();
  }

  topBar() {
    return h("header.top", {},
      h("span.brand", {}, icon("headset"), h("span.only-wide", {}, t("desk.title"))),
      this.stateButton, this.groups.element,
      h("span.spacer"),
      this.connectionState.dot, this.soundButton,
      this.me.agent.role === "operator" && iconButton("users", t("agents.title"), () => this.administer(), "only-wide"),
      iconButton("help", `${t("shortcuts.title")} (?)`, () => this.help(), "only-wide"),
      h("span.only-wide", {}, themeButton()),
      accountMenu(this.me.agent, () => [
        alerts.notificationState() === "default" && ["bell", t("notifications.allow"), () => void this.askForNotifications()],
        this.me.agent.role === "operator" && matchMedia(PHONE).matches && ["users", t("agents.title"), () => this.administer()],
        this.me.agent.role === "operator" && ["pulse", t("ops.title"), () => { location.href = new URL("../ops/", location.href).href; }],
        ["keyboard", t("shortcuts.title"), () => this.help()],
      ], () => this.logout()));
  }

  start() {
    const { signal } = this.stopped;
    addEventListener("keydown", (event) => this.key(event), { signal });
    addEventListener("keydown", (event) => { if (/^(?:Tab|Arrow)/.test(event.key)) this.byKeys = true; }, { signal, capture: true });
    addEventListener("pointerdown", () => { this.byKeys = false; }, { signal, capture: true });
    addEventListener("focus", () => this.chats.seen(), { signal });
    document.addEventListener("visibilitychange", () => this.chats.seen(), { signal });
    addEventListener("beforeunload", (event) => {
      if ([...this.model.chats.values()].some((chat) => chat.pending.length)) event.preventDefault();
    }, { signal });
    this.ticker = setInterval(() => {
      this.model.expireTyping(now());
      if (this.model.connection.state === "waiting") this.drawBar();
    }, 1000);
    this.link.start();
    this.update();
    if (location.hash === "#agents") this.administer();
  }

  stop() {
    this.stopped.abort();
    this.link.stop();
    clearInterval(this.ticker);
    this.chats.stop();
    this.calls.stop();
    alerts.titleBadge(0);
  }

  // ---- what the server tells ----------------------------------------------------------------

  call(data) {
    return this.link.call(data);
  }

  greeted() {
    this.customer.forget();
    this.chats.resume();
  }

  event(data) {
    if (!data || typeof data !== "object") return;
    if (data.type === "signed_out") {
      this.goodbye(t(data.reason === "disabled" ? "signed.out.disabled" : "signed.out"));
      return;
    }
    const gone = data.type === "chat_gone" ? this.model.chats.get(data.chat) : null;
    const call = this.model.voice.calls.get(data.call?.call ?? data.call) ?? data.call;
    const announced = this.model.event(data, now());
    if (announced === "queue") this.chats.announceEntry(data.entry);
    else if (announced === "message") this.chats.announceMessage(data);
    else if (announced === "over" && gone && !gone.closed && !gone.leaving) this.chats.announceGone(gone);
    else this.calls.announce(announced, call);
    if (data.type === "chat_event" && data.chat === this.model.selected) this.chats.seen();
  }

  goodbye(notice) {
    if (this.stopped.signal.aborted) return;
    this.stop();
    this.link.disconnect();
    this.leave(notice);
  }

  async logout() {
    const open = [...this.model.chats.values()].filter((chat) => !chat.closed).length;
    const lost = [open && t("logout.text", { n: open }), this.model.voice.talking && t("logout.call")].filter(Boolean).join(" ");
    if (lost && !(await confirmDialog(t("logout.title"), lost, t("logout"), { danger: true }))) return;
    this.stop();
    try {
      await api.logout();
    } catch (error) {
      if (error.status !== 401) toast(t("logout.failed"), { kind: "danger" });
    }
    this.link.disconnect();
    this.leave(t("signed.out"));
  }

  // ---- what an agent does with the desk -----------------------------------------------------

  goReady = () => this.setState("ready");

  toggleState() {
    if (!this.model.ready) return;
    void this.setState(this.model.state === "ready" ? "away" : "ready");
  }

  async setState(state) {
    const before = this.model.state;
    this.model.setState(state);
    try {
      const answer = await this.call({ do: "state", state });
      this.model.setState(answer.state ?? state);
    } catch (error) {
      this.model.setState(before);
      this.failed(error);
    }
  }

  async askForNotifications() {
    const state = await alerts.askForNotifications();
    toast(t(`notifications.${state}`), { kind: state === "granted" ? "success" : "info" });
  }

  help() {
    showShortcuts(this.model.voice.available);
  }

  administer() {
    void showAgents(this);
  }

  failed(error) {
    toast(words(error), { kind: "danger" });
  }

  words(error) {
    return words(error);
  }

  toggleSound() {
    alerts.setSound(!alerts.soundOn());
    this.drawSound();
  }

  // ---- drawing ------------------------------------------------------------------------------

  schedule() {
    if (this.scheduled || this.stopped.signal.aborted) return;
    this.scheduled = true;
    // Hidden tabs get no animation frames, but their title must go on counting.
    const draw = () => {
      if (!this.scheduled) return;
      this.scheduled = false;
      this.update();
    };
    if (document.visibilityState === "visible") requestAnimationFrame(draw);
    else setTimeout(draw, 50);
  }

  update() {
    if (this.stopped.signal.aborted) return;
    const { model } = this;
    this.drawState();
    this.drawBar();
    this.drawSound();
    this.calls.sync();
    this.groups.update();
    this.lists.update();
    this.conversation.update();
    this.customer.update();
    this.callBar.update();
    if (!model.showing && this.columns.dataset.view !== "lists") this.show("lists");
    this.columns.classList.toggle("no-chat", !model.showing);
    const { ringing, waiting } = model.voice;
    alerts.titleBadge(model.queue.size + waiting.length + model.unread, ringing ? callerName(ringing) : "");
  }

  drawState() {
    const ready = this.model.state === "ready";
    const calls = this.model.voice.available;
    const key = `${ready}${this.model.ready}${calls}`;
    if (this.stateKey === key) return;
    this.stateKey = key;
    this.stateButton.disabled = !this.model.ready;
    this.stateButton.setAttribute("aria-checked", String(ready));
    this.stateButton.setAttribute("aria-label", t(calls ? "state.switch.calls" : "state.switch"));
    this.stateButton.title = t(ready ? "state.ready.hint" : "state.away.hint");
    fill(this.stateButton, h("span.switch-track", { aria: { hidden: "true" } }, h("span.switch-knob")), t(ready ? "state.ready" : "state.away"));
  }

  drawSound() {
    const on = alerts.soundOn();
    if (this.soundKey === on) return;
    this.soundKey = on;
    const label = t(on ? "sound.on" : "sound.off");
    this.soundButton.title = label;
    this.soundButton.setAttribute("aria-label", label);
    this.soundButton.setAttribute("aria-pressed", String(on));
    fill(this.soundButton, icon(on ? "bell" : "bell-off"));
  }

  drawBar() {
    this.connectionState.draw(this.model.connection, this.model.ready);
  }

  /** Which column a phone shows. */
  show(view) {
    if (this.columns.dataset.view === view) return;
    this.columns.dataset.view = view;
    if (view === "conversation") this.columns.dataset.over = "";
  }

  backToLists() {
    if (!this.model.showing) this.show("lists");
  }

  /** On a wide screen the pane folds, on a smaller one it lies over the conversation, on a phone it is a view. */
  toggleCustomer(open) {
    if (matchMedia(PHONE).matches) {
      this.show(this.columns.dataset.view === "customer" || open === false ? "conversation" : "customer");
      return;
    }
    const narrow = matchMedia("(max-width: 1099px)").matches;
    const name = narrow ? "over" : "customer";
    const now = this.columns.dataset[name] === "open";
    const next = open ?? !now;
    this.columns.dataset[name] = next ? "open" : "closed";
    if (!narrow) setPreference("desk.customer", next);
  }

  key(event) {
    if (document.querySelector("dialog[open]")) return;
    if (event.altKey && !event.ctrlKey && !event.metaKey && /^Digit[1-9]$/.test(event.code)) {
      const chat = this.model.mine[Number(event.code.slice(5)) - 1];
      if (chat) {
        event.preventDefault();
        this.chats.select(chat.id);
      }
      return;
    }
    const writing = /^(?:INPUT|TEXTAREA|SELECT)$/.test(event.target?.tagName ?? "");
    if (event.key === "Escape" && writing) event.target.blur();
    if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
    const control = event.target?.closest?.("button, a, summary, label");
    if (this.calls.key(event, Boolean(control) && (this.byKeys || this.callBar.element.contains(control)))) {
      event.preventDefault();
      return;
    }
    const action = {
      "?": () => this.help(),
      a: () => this.chats.acceptFirst(),
      r: () => this.toggleState(),
      i: () => this.toggleCustomer(),
      c: () => this.conversation.focusComposer(),
      p: () => this.calls.goTo(),
      m: () => this.toggleSound(),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    void action();
  }
}
