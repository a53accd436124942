/** What an agent does with chats: accept, answer, put back, end.  Knows the model and the calls, no elements. */
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { now } from "../lib/times.js";
import { toast } from "../lib/ui.js";
import * as alerts from "./alerts.js";
import { isLost, words } from "./link.js";

const UNDO_S = 5;

export class Chats {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.model = desk.model;
    this.ends = new Map();
  }

  call(data) {
    return this.desk.link.call(data);
  }

  stop() {
    for (const timer of this.ends.values()) clearTimeout(timer);
  }

  /** After a hello: read what was missed, send what waits. */
  resume() {
    for (const chat of this.model.chats.values()) {
      if (chat.stale) void this.open(chat.id);
      for (const message of chat.pending) if (message.state === "sending" && message.position === null) void this.deliver(chat, message);
    }
    if (this.model.selected && !this.model.current?.loaded) void this.open(this.model.selected);
  }

  announceEntry(entry) {
    const name = cleanName(entry.nickname) || t("customer");
    const subject = cleanName(entry.subject, 120);
    this.desk.lists.announce(t("queue.announce", { name, subject: subject || t("no.subject") }));
    if (this.model.state !== "ready") return;
    alerts.play("queue");
    alerts.notify(t("notify.queue", { name }), subject, `queue-${entry.chat}`, { onclick: () => this.desk.show("lists") });
  }

  announceMessage({ chat, event }) {
    const looking = chat === this.model.selected && document.hasFocus() && this.desk.conversation.transcript.atBottom;
    if (looking) return;
    alerts.play("message");
    alerts.notify(cleanName(event.nickname) || t("customer"), cleanName(event.text, 160), `chat-${chat}`, { onclick: () => this.select(chat) });
  }

  /** A chat went without my doing. */
  announceGone(chat) {
    toast(t("chat.gone", { name: cleanName(chat.summary.nickname) || t("customer") }));
    this.desk.backToLists();
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
      toast(taken ? t("accept.taken") : words(error), { kind: taken ? "info" : "danger" });
    } finally {
      this.model.accepting.delete(id);
      this.model.changed();
    }
  }

  acceptFirst() {
    if (this.model.waiting.length) void this.accept(this.model.waiting[0].chat);
  }

  select(id) {
    const chat = this.model.chats.get(id);
    if (!chat) return;
    this.model.select(id);
    this.desk.show("conversation");
    if (!chat.loaded || chat.stale) void this.open(id);
    this.desk.update();
    if (matchMedia("(min-width: 761px)").matches) this.desk.conversation.focusComposer();
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
      if (!isLost(error) || !chat.loaded) this.model.failedToOpen(id, words(error));
    }
  }

  /** Tell the server what has been read: only while somebody can be looking. */
  seen() {
    const chat = this.model.current;
    if (!chat?.loaded || document.visibilityState !== "visible" || !document.hasFocus()) return;
    if (!this.desk.conversation.transcript.atBottom) return;
    const position = this.model.markRead(chat);
    if (position !== null) this.call({ do: "read", chat: chat.id, position }).catch(() => {});
  }

  send(chat, text) {
    const ref = crypto.getRandomValues(new Uint32Array(4)).reduce((word, part) => word + part.toString(16).padStart(8, "0"), "");
    this.model.addPending(chat, ref, text, now());
    this.desk.conversation.transcript.toBottom();
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
      if (!isLost(error)) this.model.notSent(chat, message.ref, words(error));
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
      this.desk.failed(error);
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
        this.desk.failed(error);
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
      this.desk.backToLists();
    } catch (error) {
      chat.leaving = false;
      this.desk.failed(error);
    }
  }

  /** Put a closed chat away; the server forgets it by itself. */
  dismiss(chat) {
    this.model.forget(chat.id);
    this.model.changed();
    this.desk.backToLists();
  }
}
