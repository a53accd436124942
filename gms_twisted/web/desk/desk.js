/** The desk itself: the connection, what the agent can do, and the three columns. */
import { accountMenu } from "../lib/account.js";
import * as api from "../lib/api.js";
import { BayeuxClient } from "../lib/bayeux.js";
import { ConnectionState } from "../lib/connection.js";
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { now, setServerTime } from "../lib/times.js";
import { confirmDialog, preference, setPreference, themeButton, toast } from "../lib/ui.js";
import * as alerts from "./alerts.js";
import { showAgents } from "./agents.js";
import { Conversation } from "./conversation.js";
import { CustomerPane } from "./customer.js";
import { Lists } from "./lists.js";
import { showShortcuts } from "./menus.js";
import { Model } from "./model.js";

const UNDO_S = 5;
const LOST = new Set(["lost", "offline", "timeout"]);

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
    this.lists = new Lists(this);
    this.conversation = new Conversation(this);
    this.customer = new CustomerPane(this);
    this.connectionState = new ConnectionState({ retry: () => this.client.retryNow(), restart: () => this.restart() });
    this.stateButton = h("button.switch", { type: "button", role: "switch", onclick: () => this.toggleState() });
    this.groups = h("span.groups.one-line");
    this.soundButton = iconButton("bell", "", () => this.toggleSound());
    this.columns = h("div.columns", { dataset: { view: "lists", customer: preference("desk.customer", true) ? "open" : "closed" } },
      this.lists.element, this.conversation.element, this.customer.element);
    this.element = h("div.desk", {},
      h("a.skip", { href: "#conversation" }, t("skip")),
      this.topBar(), this.connectionState.bar, this.columns);
    this.ends = new Map();
    this.client = new BayeuxClient({
      url: new URL("../genesys/cometd", location.href).href,
      ext: () => this.ticket(),
    });
    this.stopped = new AbortController();
  }

  topBar() {
    return h("header.top", {},
      h("span.brand", {}, icon("headset"), h("span.only-wide", {}, t("desk.title"))),
      this.groups, this.stateButton,
      h("span.spacer"),
      this.connectionState.dot, this.soundButton,
      this.me.agent.role === "operator" && iconButton("users", t("agents.title"), () => this.administer()),
      iconButton("help", `${t("shortcuts.title")} (?)`, showShortcuts, "only-wide"),
      h("span.only-wide", {}, themeButton()),
      accountMenu(this.me.agent, () => [
        alerts.notificationState() === "default" && ["bell", t("notifications.allow"), () => void this.askForNotifications()],
        this.me.agent.role === "operator" && ["pulse", t("ops.title"), () => { location.href = new URL("../ops/", location.href).href; }],
        ["keyboard", t("shortcuts.title"), showShortcuts],
      ], () => this.logout()));
  }

  start() {
    const { signal } = this.stopped;
    this.client.on("state", (state) => this.connection(state));
    this.client.on("session", () => void this.hello());
    this.client.on("error", (error) => reportError(error));
    this.client.listen("/service/desk/event", (message) => this.event(message.data));
    addEventListener("keydown", (event) => this.key(event), { signal });
    addEventListener("focus", () => this.seen(), { signal });
    document.addEventListener("visibilitychange", () => this.seen(), { signal });
    addEventListener("beforeunload", (event) => {
      if ([...this.model.chats.values()].some((chat) => chat.pending.length)) event.preventDefault();
    }, { signal });
    this.ticker = setInterval(() => {
      this.model.expireTyping(now());
      if (this.model.connection.state === "waiting") this.drawBar();
    }, 1000);
    this.client.start();
    this.update();
    if (location.hash === "#agents") this.administer();
  }

  stop() {
    this.stopped.abort();
    clearInterval(this.ticker);
    for (const timer of this.ends.values()) clearTimeout(timer);
    alerts.titleBadge(0);
  }

  // ---- connection ---------------------------------------------------------------------------

  async ticket() {
    try {
      const { ticket } = await api.ticket();
      return { desk: { ticket } };
    } catch (error) {
      if (error.status === 401 || error.status === 403) throw Object.assign(error, { fatal: true });
      throw error;
    }
  }

  connection({ state, retryAt, error }) {
    this.model.setConnection({ state, retryAt });
    if (state === "refused") void this.refused(error);
  }

  /** The server ended the session: logged out elsewhere, disabled, or restarted in between. */
  async refused(error) {
    if (this.stopped.signal.aborted) return;
    try {
      await api.me();
    } catch (reason) {
      if (reason.status === 401) return this.goodbye(t("signed.out"));
    }
    if (!this.stopped.signal.aborted) {
      this.model.setConnection({ state: "refused", retryAt: null, error });
    }
    return undefined;
  }

  restart() {
    this.client.start();
  }

  retryHello = () => {
    this.model.failed(null);
    void this.hello();
  };

  call(data) {
    return this.client.call("desk", data);
  }

  async hello() {
    let data;
    try {
      data = await this.call({ do: "hello" });
    } catch (error) {
      // A lost connection says so itself, and says hello again when it is back.
      if (!LOST.has(error.code)) this.model.failed(error.message);
      return;
    }
    setServerTime(data.now);
    this.customer.forget();
    this.model.hello(data);
    for (const chat of this.model.chats.values()) {
      if (chat.stale) void this.open(chat.id);
      for (const message of chat.pending) if (message.state === "sending" && message.position === null) void this.deliver(chat, message);
    }
    if (this.model.selected && !this.model.current?.loaded) void this.open(this.model.selected);
  }

  event(data) {
    if (!data || typeof data !== "object") return;
    if (data.type === "signed_out") {
      this.goodbye(t(data.reason === "disabled" ? "signed.out.disabled" : "signed.out"));
      return;
    }
    const gone = data.type === "chat_gone" ? this.model.chats.get(data.chat) : null;
    const announced = this.model.event(data, now());
    if (announced === "queue") this.announceEntry(data.entry);
    else if (announced === "message") this.announceMessage(data);
    else if (announced === "over" && gone && !gone.closed && !gone.leaving) {
      toast(t("chat.gone", { name: cleanName(gone.summary.nickname) || t("customer") }));
      this.backToLists();
    }
    if (data.type === "chat_event" && data.chat === this.model.selected) this.seen();
  }

  announceEntry(entry) {
    const name = cleanName(entry.nickname) || t("customer");
    const subject = cleanName(entry.subject, 120);
    this.lists.announce(t("queue.announce", { name, subject: subject || t("no.subject") }));
    if (this.model.state !== "ready") return;
    alerts.play("queue");
    alerts.notify(t("notify.queue", { name }), subject, `queue-${entry.chat}`, () => this.show("lists"));
  }

  announceMessage({ chat, event }) {
    const looking = chat === this.model.selected && document.hasFocus() && this.conversation.transcript.atBottom;
    if (looking) return;
    alerts.play("message");
    alerts.notify(cleanName(event.nickname) || t("customer"), cleanName(event.text, 160), `chat-${chat}`, () => this.select(chat));
  }

  goodbye(notice) {
    if (this.stopped.signal.aborted) return;
    this.stop();
    void this.client.disconnect();
    this.leave(notice);
  }

  async logout() {
    const open = [...this.model.chats.values()].filter((chat) => !chat.closed).length;
    if (open && !(await confirmDialog(t("logout.title"), t("logout.text", { n: open }), t("logout"), { danger: true }))) return;
    this.stop();
    try {
      await api.logout();
    } catch (error) {
      if (error.status !== 401) toast(t("logout.failed"), { kind: "danger" });
    }
    void this.client.disconnect();
    this.leave(t("signed.out"));
  }

  // ---- what an agent does -------------------------------------------------------------------

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

  async accept(id) {
    if (this.model.accepting.has(id)) return;
    this.model.accepting.add(id);
    this.model.changed();
    try {
      const answer = await this.call({ do: "accept", chat: id });
      this.model.opened(id, answer);
      this.select(id);
    } catch (error) {
      const taken = error.detail?.exception === "gms.desk.taken";
      if (taken) this.model.queue.delete(id);
      toast(taken ? t("accept.taken") : this.words(error), { kind: taken ? "info" : "danger" });
    } finally {
      this.model.accepting.delete(id);
      this.model.changed();
    }
  }

  select(id) {
    const chat = this.model.chats.get(id);
    if (!chat) return;
    this.model.select(id);
    this.show("conversation");
    if (!chat.loaded || chat.stale) void this.open(id);
    this.update();
    if (matchMedia("(min-width: 761px)").matches) this.conversation.focusComposer();
    this.seen();
  }

  async open(id) {
    const chat = this.model.chats.get(id);
    if (!chat) return;
    const after = chat.loaded ? chat.last : 0;
    if (chat.failed) {
      chat.failed = null;
      this.model.changed();
    }
    try {
      this.model.opened(id, await this.call({ do: "open", chat: id, after }), after);
      this.seen();
    } catch (error) {
      if (!LOST.has(error.code) || !chat.loaded) this.model.failedToOpen(id, this.words(error));
    }
  }

  /** Tell the server what has been read: only while somebody can be looking. */
  seen() {
    const chat = this.model.current;
    if (!chat?.loaded || document.visibilityState !== "visible" || !document.hasFocus()) return;
    if (!this.conversation.transcript.atBottom) return;
    const position = this.model.markRead(chat);
    if (position !== null) this.call({ do: "read", chat: chat.id, position }).catch(() => {});
  }

  send(chat, text) {
    const ref = crypto.getRandomValues(new Uint32Array(4)).reduce((word, part) => word + part.toString(16).padStart(8, "0"), "");
    this.model.addPending(chat, ref, text, now());
    this.conversation.transcript.toBottom();
    void this.deliver(chat, chat.pending.at(-1));
  }

  /** The same `ref` twice appends once, so a message whose fate is unknown is simply sent again. */
  async deliver(chat, message) {
    if (message.busy) return;
    message.busy = true;
    try {
      const { position } = await this.call({ do: "send", chat: chat.id, text: message.text, ref: message.ref });
      this.model.sent(chat, message.ref, position);
    } catch (error) {
      if (!LOST.has(error.code)) this.model.notSent(chat, message.ref, this.words(error));
      else if (error.code !== "lost") this.model.notSent(chat, message.ref, t("not.sent"));
    } finally {
      message.busy = false;
    }
  }

  resend(chat, ref) {
    const message = chat && this.model.resend(chat, ref);
    if (message) void this.deliver(chat, message);
  }

  typing(chat, on) {
    if (chat.closed || this.model.connection.state !== "connected") return;
    this.call({ do: "typing", chat: chat.id, on }).catch(() => {});
  }

  async pushUrl(chat, url) {
    try {
      await this.call({ do: "push_url", chat: chat.id, url });
    } catch (error) {
      this.failed(error);
    }
  }

  /** End after five seconds in which it can be undone. */
  end(chat) {
    chat.ending = true;
    this.model.changed();
    const finish = async () => {
      this.ends.delete(chat.id);
      chat.leaving = true;
      try {
        await this.call({ do: "end", chat: chat.id });
      } catch (error) {
        chat.leaving = false;
        this.failed(error);
      }
      chat.ending = false;
      this.model.changed();
    };
    const undo = () => {
      clearTimeout(this.ends.get(chat.id));
      this.ends.delete(chat.id);
      chat.ending = false;
      this.model.changed();
    };
    this.ends.set(chat.id, setTimeout(() => void finish(), UNDO_S * 1000));
    toast(t("end.soon", { name: cleanName(chat.summary.nickname) || t("customer") }), { action: t("undo"), onaction: undo, seconds: UNDO_S - 0.2 });
  }

  async requeue(chat) {
    chat.leaving = true;
    try {
      await this.call({ do: "requeue", chat: chat.id });
      this.model.forget(chat.id);
      this.model.changed();
      this.backToLists();
    } catch (error) {
      chat.leaving = false;
      this.failed(error);
    }
  }

  /** Put a closed chat away; the server forgets it by itself. */
  dismiss(chat) {
    this.model.forget(chat.id);
    this.model.changed();
    this.backToLists();
  }

  async askForNotifications() {
    const state = await alerts.askForNotifications();
    toast(t(`notifications.${state}`), { kind: state === "granted" ? "success" : "info" });
  }

  administer() {
    void showAgents(this);
  }

  failed(error) {
    toast(this.words(error), { kind: "danger" });
  }

  words(error) {
    return LOST.has(error.code) ? t("error.network") : error.message;
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
    const groups = model.groups.map((group) => cleanName(group, 40)).join(", ");
    if (this.groups.textContent !== groups) {
      this.groups.textContent = groups;
      this.groups.title = t("groups.title", { groups });
    }
    this.lists.update();
    this.conversation.update();
    this.customer.update();
    if (!model.current && this.columns.dataset.view !== "lists") this.show("lists");
    this.columns.classList.toggle("no-chat", !model.current);
    alerts.titleBadge(model.queue.size + model.unread);
  }

  drawState() {
    const ready = this.model.state === "ready";
    const key = `${ready}${this.model.ready}`;
    if (this.stateKey === key) return;
    this.stateKey = key;
    this.stateButton.disabled = !this.model.ready;
    this.stateButton.setAttribute("aria-checked", String(ready));
    this.stateButton.setAttribute("aria-label", t("state.switch"));
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
    if (!this.model.current) this.show("lists");
  }

  /** On a wide screen the pane folds, on a smaller one it lies over the conversation, on a phone it is a view. */
  toggleCustomer(open) {
    if (matchMedia("(max-width: 760px)").matches) {
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
        this.select(chat.id);
      }
      return;
    }
    const writing = /^(?:INPUT|TEXTAREA|SELECT)$/.test(event.target?.tagName ?? "");
    if (event.key === "Escape" && writing) event.target.blur();
    if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = {
      "?": showShortcuts,
      a: () => this.model.waiting.length && this.accept(this.model.waiting[0].chat),
      r: () => this.toggleState(),
      i: () => this.toggleCustomer(),
      c: () => this.conversation.focusComposer(),
      m: () => this.toggleSound(),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    void action();
  }
}

function reportError(error) {
  // A listener that threw is a fault of this page: let the console and monitors see it.
  setTimeout(() => { throw error; });
}
