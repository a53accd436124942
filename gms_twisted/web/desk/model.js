/**
 * What the desk knows: pure state, fed with the server's answers and events.
 *
 * No document, no network, no clock: times are passed in.  Views read it and call nothing on it
 * but the methods below; `onchange` is called after every change.
 */

import { Voice } from "./voice.js";

/** How long a typing mark lives without being renewed, in seconds. */
export const TYPING_S = 12;

/** One chat of mine. */
class Chat {
  constructor(summary) {
    this.id = summary.chat;
    this.summary = summary;
    /** Transcript, sorted by position.  @type {Array<*>} */
    this.events = [];
    this.pending = [];
    this.typing = new Map();
    this.customer = null;
    this.loaded = false;
    this.stale = false;
    this.failed = null;
    this.divider = null;
    this.draft = "";
    this.ending = false;
  }

  get last() {
    return this.events.at(-1)?.position ?? 0;
  }

  get closed() {
    return this.summary.state === "closed";
  }

  /** When the customer last said something, as far as is known here. */
  get spokeAt() {
    const { last, started } = this.summary;
    if (last?.party === "CLIENT" && last.type === "message") return last.at;
    return this.events.findLast((event) => event.party === "CLIENT" && event.type === "message")?.at ?? started;
  }

  /** Add an event unless it is there; keeps the order. */
  add(event) {
    let index = this.events.length;
    while (index && this.events[index - 1].position > event.position) index -= 1;
    if (index && this.events[index - 1].position === event.position) return false;
    this.events.splice(index, 0, event);
    return true;
  }
}

export class Model {
  constructor(onchange = () => {}) {
    this.onchange = onchange;
    this.agent = null;
    this.state = "away";
    this.groups = [];
    this.settings = { canned: [], amber_s: 60, red_s: 180, max_message: 4000, push_hosts: ["*"] };
    /** @type {Map<string, *>} */
    this.queue = new Map();
    /** @type {Map<string, Chat>} */
    this.chats = new Map();
    this.selected = null;
    this.ready = false;
    /** Why the state of the world could not be read, or null. */
    this.failure = null;
    this.connection = { state: "connecting", retryAt: null };
    this.accepting = new Set();
    this.voice = new Voice();
  }

  changed() {
    this.onchange();
  }

  /** Something is on screen: a chat or a call. */
  get showing() {
    return Boolean(this.current || this.voice.current);
  }

  /** The chat on screen, or null. */
  get current() {
    return this.selected ? this.chats.get(this.selected) ?? null : null;
  }

  /** Longest waiting first. */
  get waiting() {
    return [...this.queue.values()].sort((one, other) => one.since - other.since);
  }

  /** Mine: open ones before closed ones, each in the order in which they were accepted. */
  get mine() {
    return [...this.chats.values()].sort((one, other) =>
      Number(one.closed) - Number(other.closed) || one.summary.started - other.summary.started);
  }

  get unread() {
    let sum = 0;
    for (const chat of this.chats.values()) sum += chat.summary.unread || 0;
    return sum;
  }

  /** Names that customers must not be mistaken for (C06). */
  agentNames() {
    const names = new Set([this.agent?.display_name, this.agent?.name].filter(Boolean));
    for (const chat of this.chats.values()) {
      for (const event of chat.events) if (event.party === "AGENT" || event.party === "SUPERVISOR") names.add(event.nickname);
    }
    return names;
  }

  /** The state of the world, after every (re)connect. */
  hello(data) {
    this.agent = data.agent;
    this.state = data.agent.state ?? this.state;
    this.groups = data.groups ?? [];
    this.settings = { ...this.settings, ...data.settings };
    this.queue = new Map((data.queue ?? []).map((entry) => [entry.chat, entry]));
    const before = this.chats;
    this.chats = new Map();
    for (const summary of data.chats ?? []) {
      const chat = before.get(summary.chat) ?? new Chat(summary);
      chat.summary = summary;
      chat.stale = chat.loaded;
      chat.typing.clear();
      this.chats.set(summary.chat, chat);
    }
    if (this.selected && !this.chats.has(this.selected)) this.selected = null;
    this.voice.hello(data.voice);
    this.ready = true;
    this.failure = null;
    this.changed();
  }

  /** The state of the world could not be read. */
  failed(text) {
    this.failure = text;
    this.changed();
  }

  setConnection(connection) {
    this.connection = connection;
    this.changed();
  }

  setState(state) {
    this.state = state;
    this.changed();
  }

  /** An event of `/service/desk/event`.  Tells what is worth announcing: `queue`, `message`, `over`, `no_answer`, what calls have, or null. */
  event(data, now) {
    const announced = this.take(data, now);
    this.changed();
    return announced;
  }

  take(data, now) {
    switch (data.type) {
      case "queue_added": {
        const known = this.queue.has(data.entry.chat);
        this.queue.set(data.entry.chat, data.entry);
        return known ? null : "queue";
      }
      case "queue_removed":
        this.queue.delete(data.chat);
        this.accepting.delete(data.chat);
        return null;
      case "chat_event":
        return this.chatEvent(data, now);
      case "chat_changed": {
        const chat = this.remember(data.summary);
        if (chat.closed) chat.typing.clear();
        return null;
      }
      case "chat_gone":
        this.forget(data.chat);
        return "over";
      case "agent_state":
        this.state = data.state;
        return data.reason === "no_answer" ? "no_answer" : null;
      default:
        return this.voice.take(data, now);
    }
  }

  remember(summary) {
    let chat = this.chats.get(summary.chat);
    if (!chat) this.chats.set(summary.chat, (chat = new Chat(summary)));
    chat.summary = summary;
    this.queue.delete(summary.chat);
    return chat;
  }

  forget(id) {
    this.chats.delete(id);
    if (this.selected === id) this.selected = null;
  }

  chatEvent({ chat: id, event, unread }, now) {
    const chat = this.chats.get(id);
    if (!chat) return null;
    if (typeof unread === "number") chat.summary = { ...chat.summary, unread };
    if (event.type === "typing_started" || event.type === "typing_stopped") {
      if (event.mine) return null;
      if (event.type === "typing_started") chat.typing.set(event.nickname, now + TYPING_S);
      else chat.typing.delete(event.nickname);
      if (chat.loaded) chat.add(event);
      return null;
    }
    chat.typing.delete(event.nickname);
    chat.summary = { ...chat.summary, last: event };
    const added = chat.loaded ? chat.add(event) : true;
    if (event.mine) this.confirm(chat, event);
    else if (event.party === "CLIENT" && added && event.type === "message") return "message";
    return null;
  }

  /** My own message came back: its pending bubble has done its work. */
  confirm(chat, event) {
    let index = chat.pending.findIndex((message) => message.position === event.position);
    if (index < 0) index = chat.pending.findIndex((message) => message.position === null && message.text === event.text);
    if (index >= 0) chat.pending.splice(index, 1);
  }

  /** What `accept` and `open` answer. */
  opened(id, { summary, events, customer }, after = 0) {
    const chat = this.remember(summary ?? this.chats.get(id)?.summary ?? { chat: id });
    if (!after) chat.events = [];
    for (const event of events ?? []) {
      if (chat.add(event) && event.mine) this.confirm(chat, event);
    }
    if (customer) chat.customer = customer;
    chat.loaded = true;
    chat.stale = false;
    chat.failed = null;
    if (this.selected === id && chat.divider === null) this.markDivider(chat);
    this.changed();
    return chat;
  }

  failedToOpen(id, text) {
    const chat = this.chats.get(id);
    if (chat) chat.failed = text;
    this.changed();
  }

  /** Show a call instead of a chat. */
  selectCall(id) {
    if (this.current) this.current.divider = null;
    this.selected = null;
    this.voice.select(id);
    this.changed();
  }

  select(id) {
    this.voice.select(null);
    if (this.selected === id) return;
    const before = this.current;
    if (before) before.divider = null;
    this.selected = id;
    const chat = this.current;
    if (chat) this.markDivider(chat);
    this.changed();
  }

  markDivider(chat) {
    chat.divider = chat.summary.unread ? chat.summary.read ?? 0 : null;
  }

  /** I have read everything; gives the position to report, or null when there is nothing new. */
  markRead(chat) {
    const position = chat.last;
    if (!position || (chat.summary.unread === 0 && (chat.summary.read ?? 0) >= position)) return null;
    const news = Boolean(chat.summary.unread);
    chat.summary = { ...chat.summary, unread: 0, read: position };
    this.changed();
    return news ? position : null;
  }

  addPending(chat, ref, text, now) {
    chat.pending.push({ ref, text, at: now, state: "sending", position: null, error: "" });
    chat.draft = "";
    chat.divider = null;
    this.changed();
  }

  /** The server took a message; the bubble goes when its event is here. */
  sent(chat, ref, position) {
    const message = chat.pending.find((each) => each.ref === ref);
    if (!message) return;
    message.position = position;
    if (chat.events.some((event) => event.position === position)) chat.pending.splice(chat.pending.indexOf(message), 1);
    this.changed();
  }

  notSent(chat, ref, error) {
    const message = chat.pending.find((each) => each.ref === ref);
    if (message) Object.assign(message, { state: "failed", error });
    this.changed();
  }

  resend(chat, ref) {
    const message = chat.pending.find((each) => each.ref === ref);
    if (message) Object.assign(message, { state: "sending", error: "" });
    this.changed();
    return message ?? null;
  }

  discard(chat, ref) {
    chat.pending = chat.pending.filter((message) => message.ref !== ref);
    this.changed();
  }

  /** Take away typing marks that were not renewed; true when one went. */
  expireTyping(now) {
    let gone = false;
    for (const chat of this.chats.values()) {
      for (const [name, until] of chat.typing) {
        if (until <= now) {
          chat.typing.delete(name);
          gone = true;
        }
      }
    }
    if (gone) this.changed();
    return gone;
  }
}
