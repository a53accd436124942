/** The desk's state. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { Model, TYPING_S } from "../../../gms_twisted/web/desk/model.js";

const summary = (chat, more = {}) => ({ chat, service: "s", nickname: "Cara", subject: "Hi", group: "g", since: 1, started: 10, unread: 0, last: null, state: "open", customer: "here", read: 0, ...more });
const event = (position, more = {}) => ({ position, type: "message", text: `m${position}`, nickname: "Cara", party: "CLIENT", at: 100 + position, mine: false, ...more });
const hello = (more = {}) => ({ agent: { name: "anna", display_name: "Anna", role: "agent", state: "ready" }, queue: [], chats: [], groups: ["g"], settings: {}, now: 1, ...more });

let model;
beforeEach(() => {
  model = new Model();
  model.hello(hello({ chats: [summary("A"), summary("B", { started: 20, unread: 2, read: 1 })], queue: [{ chat: "Q2", since: 9 }, { chat: "Q1", since: 5 }] }));
});

describe("the queue", () => {
  it("has who waits longest first", () => assert.deepEqual(model.waiting.map((entry) => entry.chat), ["Q1", "Q2"]));

  it("announces an entry once", () => {
    assert.equal(model.event({ type: "queue_added", entry: { chat: "Q3", since: 1 } }, 0), "queue");
    assert.equal(model.event({ type: "queue_added", entry: { chat: "Q3", since: 1 } }, 0), null);
    model.event({ type: "queue_removed", chat: "Q3", reason: "taken" }, 0);
    assert.equal(model.queue.has("Q3"), false);
  });

  it("loses a chat that becomes mine", () => {
    model.opened("Q1", { summary: summary("Q1"), events: [], customer: {} });
    assert.equal(model.queue.has("Q1"), false);
    assert.ok(model.chats.get("Q1").loaded);
  });
});

describe("transcripts", () => {
  it("stay sorted and take an event once", () => {
    const chat = model.opened("A", { summary: summary("A"), events: [event(1), event(3)] });
    model.event({ type: "chat_event", chat: "A", event: event(2), unread: 0 }, 0);
    model.event({ type: "chat_event", chat: "A", event: event(3), unread: 0 }, 0);
    assert.deepEqual(chat.events.map((each) => each.position), [1, 2, 3]);
  });

  it("are read further after a gap, not from the start", () => {
    const chat = model.opened("A", { summary: summary("A"), events: [event(1), event(2)] });
    model.hello(hello({ chats: [summary("A")] }));
    assert.equal(chat.stale, true);
    model.opened("A", { events: [event(3)] }, 2);
    assert.deepEqual([chat.events.length, chat.stale], [3, false]);
  });

  it("announce the customer's messages only", () => {
    model.opened("A", { summary: summary("A"), events: [] });
    const tell = (each) => model.event({ type: "chat_event", chat: "A", event: each, unread: 1 }, 0);
    assert.equal(tell(event(1)), "message");
    assert.equal(tell(event(2, { party: "AGENT" })), null);
    assert.equal(tell(event(3, { type: "joined" })), null);
    assert.equal(tell(event(1)), null);
  });

  it("know when the customer last spoke", () => {
    model.opened("A", { summary: summary("A"), events: [event(1), event(2, { party: "AGENT", mine: true })] });
    assert.equal(model.chats.get("A").spokeAt, 101);
    assert.equal(model.chats.get("B").spokeAt, 20);
  });
});

describe("unread marks", () => {
  it("are the server's numbers and go when read", () => {
    assert.equal(model.unread, 2);
    model.opened("B", { summary: summary("B", { unread: 2, read: 1 }), events: [event(1), event(2), event(3)] });
    assert.equal(model.markRead(model.chats.get("B")), 3);
    assert.equal(model.markRead(model.chats.get("B")), null);
    assert.equal(model.unread, 0);
  });

  it("leave a divider where reading ended, until the chat is left", () => {
    model.select("B");
    assert.equal(model.current.divider, 1);
    model.select("A");
    assert.equal(model.chats.get("B").divider, null);
    assert.equal(model.current.divider, null);
  });
});

describe("my messages", () => {
  it("are shown at once and replaced by their event, whichever comes first", () => {
    const chat = model.opened("A", { summary: summary("A"), events: [] });
    model.addPending(chat, "r1", "one", 1);
    model.addPending(chat, "r2", "two", 1);
    model.sent(chat, "r1", 5);
    assert.equal(chat.pending.length, 2);
    model.event({ type: "chat_event", chat: "A", event: event(5, { mine: true, text: "one" }), unread: 0 }, 0);
    assert.deepEqual(chat.pending.map((message) => message.ref), ["r2"]);
    model.event({ type: "chat_event", chat: "A", event: event(6, { mine: true, text: "two" }), unread: 0 }, 0);
    model.sent(chat, "r2", 6);
    assert.deepEqual(chat.pending, []);
  });

  it("that were refused can be sent again under the same ref, or thrown away", () => {
    const chat = model.opened("A", { summary: summary("A"), events: [] });
    model.addPending(chat, "r1", "one", 1);
    model.notSent(chat, "r1", "Too fast.");
    assert.equal(chat.pending[0].state, "failed");
    assert.equal(model.resend(chat, "r1").ref, "r1");
    model.discard(chat, "r1");
    assert.deepEqual(chat.pending, []);
  });
});

describe("typing", () => {
  it("ends by a notice, a message, or time", () => {
    const chat = model.opened("A", { summary: summary("A"), events: [] });
    const tell = (type, position) => model.event({ type: "chat_event", chat: "A", event: event(position, { type }), unread: 0 }, 100);
    tell("typing_started", 1);
    assert.deepEqual([...chat.typing.keys()], ["Cara"]);
    tell("message", 2);
    assert.equal(chat.typing.size, 0);
    tell("typing_started", 3);
    assert.equal(model.expireTyping(100 + TYPING_S - 1), false);
    assert.equal(model.expireTyping(100 + TYPING_S), true);
    assert.equal(chat.typing.size, 0);
  });
});

describe("losing a chat", () => {
  it("takes it from the screen and says so", () => {
    model.select("A");
    assert.equal(model.event({ type: "chat_gone", chat: "A" }, 0), "over");
    assert.equal(model.selected, null);
  });

  it("keeps the draft of a chat over a new hello", () => {
    model.chats.get("A").draft = "half a sent";
    model.hello(hello({ chats: [summary("A")] }));
    assert.equal(model.chats.get("A").draft, "half a sent");
    assert.equal(model.chats.has("B"), false);
  });
});

describe("names", () => {
  it("C06: of agents are collected from me and the transcripts", () => {
    model.opened("A", { summary: summary("A"), events: [event(1, { party: "SUPERVISOR", nickname: "Sue" })] });
    assert.deepEqual([...model.agentNames()].sort(), ["Anna", "Sue", "anna"]);
  });
});
