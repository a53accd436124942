/** What the desk knows of calls and groups, and of positions. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { sortedQueue } from "../../../gms_twisted/web/desk/call-items.js";
import { Model } from "../../../gms_twisted/web/desk/model.js";
import { decimal, degreesMinutes, field, HEIGHT, readPosition, WIDTH } from "../../../gms_twisted/web/desk/place.js";
import { clockDuration } from "../../../gms_twisted/web/lib/times.js";

const call = (id, state = "waiting", more = {}) => ({ call: id, state, mine: state !== "waiting", number: "1", group: "Billing", since: 1, ...more });
const group = (name, more = {}) => ({ name, signed_in: true, ready: 1, agents: 2, waiting: 0, longest_since: null, ...more });
const hello = (voice, more = {}) => ({ agent: { name: "anna", state: "ready" }, queue: [], chats: [], settings: {}, voice, now: 1, ...more });
const added = (each) => ({ type: "call_added", call: each });
const changed = (each) => ({ type: "call_changed", call: each });
const gone = (id, reason) => ({ type: "call_gone", call: id, reason });

let model;
let voice;
beforeEach(() => {
  model = new Model();
  ({ voice } = model);
  model.hello(hello({ groups: [group("Billing")], calls: [call("W", "waiting", { since: 5 })], ring_s: 20 }));
});

describe("a server without telephony", () => {
  it("shows nothing of it and takes no event of it", () => {
    model.hello(hello(null));
    assert.equal(voice.available, false);
    assert.equal(model.event(added(call("X")), 1), null);
    assert.deepEqual([voice.calls.size, voice.groups], [0, []]);
  });

  it("is what an older one is", () => {
    model.hello(hello(undefined));
    assert.equal(voice.available, false);
  });
});

describe("calls that wait", () => {
  it("stand among waiting chats by time, behind the one that rings me", () => {
    model.hello(hello({ groups: [], calls: [call("W", "waiting", { since: 5 }), call("R", "ringing", { since: 8 })] }, { queue: [{ chat: "C1", since: 4 }, { chat: "C2", since: 6 }] }));
    assert.deepEqual(sortedQueue(model).map((each) => each.call ?? each.chat), ["R", "C1", "W", "C2"]);
  });

  it("are announced when they come, once", () => {
    assert.equal(model.event(added(call("N")), 1), "call");
    assert.equal(model.event(changed(call("N")), 1), null);
  });

  it("that I look at are said to be gone", () => {
    model.selectCall("W");
    assert.equal(model.event(gone("W", "taken"), 1), "left");
    assert.equal(voice.current, null);
    model.event(added(call("N")), 1);
    assert.equal(model.event(gone("N", "taken"), 1), null);
  });
});

describe("a call that rings me", () => {
  it("is known by its state, with the seconds that are left", () => {
    assert.equal(voice.ringing, null);
    model.event(changed(call("W", "ringing")), 100);
    assert.equal(voice.ringing.call, "W");
    assert.equal(voice.ringLeft("W", 105), 15);
    assert.equal(voice.ringLeft("W", 200), 0);
    model.event(changed(call("W", "ringing", { data: { a: "b" } })), 110);
    assert.equal(voice.ringLeft("W", 110), 10);
  });

  it("is not one that rings somebody else", () => {
    model.event(changed(call("W", "ringing", { mine: false })), 1);
    assert.equal(voice.ringing, null);
  });

  it("is lost when the caller or the application gives up, not when I left or another has it", () => {
    for (const [reason, announced] of [["ended", "lost"], ["timeout", "withdrawn"], ["left", null], ["taken", null]]) {
      model.event(added(call("R", "ringing")), 1);
      assert.equal(model.event(gone("R", reason), 2), announced, reason);
      assert.equal(voice.ringLeft("R", 2), null);
    }
  });

  it("waits again when I declined, whichever of answer and event comes first, and is no news", () => {
    model.event(changed(call("W", "ringing")), 1);
    model.selectCall("W");
    voice.declined("W");
    assert.deepEqual([voice.ringing, voice.current, voice.waiting.map((each) => each.call)], [null, null, ["W"]]);
    assert.equal(model.event(changed(call("W")), 2), null);
    model.event(changed(call("W", "ringing")), 3);
    assert.equal(model.event(changed(call("W")), 4), null);
    voice.declined("W");
    assert.deepEqual(voice.waiting.map((each) => each.call), ["W"]);
    model.event(gone("W", "taken"), 5);
    voice.declined("W");
    assert.equal(voice.calls.has("W"), false);
  });

  it("sets the agent away where nobody answered, and says so", () => {
    assert.equal(model.event({ type: "agent_state", state: "away", reason: "no_answer" }, 1), "no_answer");
    assert.equal(model.state, "away");
    assert.equal(model.event({ type: "agent_state", state: "ready" }, 1), null);
  });
});

describe("a call of mine", () => {
  it("stays to be looked at when it is over", () => {
    model.event(added(call("T", "talking", { answered: 3 })), 1);
    assert.equal(voice.talking.call, "T");
    assert.equal(model.event(changed(call("T", "ended", { ended: 9 })), 9), "ended");
    assert.deepEqual([voice.talking, voice.ended.map((each) => each.call)], [null, ["T"]]);
    model.event(gone("T", "ended"), 300);
    assert.deepEqual(voice.ended, []);
  });

  it("does not vanish from under the reader's eyes, but when they leave it", () => {
    model.event(added(call("E", "ended")), 1);
    model.selectCall("E");
    assert.equal(model.event(gone("E", "ended"), 300), null);
    assert.equal(voice.current.aged, true);
    model.hello(hello({ groups: [], calls: [] }));
    assert.equal(voice.current.call, "E");
    model.selectCall(null);
    assert.equal(voice.calls.has("E"), false);
  });

  it("and a chat take turns on the screen", () => {
    model.opened("A", { summary: { chat: "A", started: 1 }, events: [] });
    model.select("A");
    model.selectCall("W");
    assert.deepEqual([model.current, voice.current.call, model.showing], [null, "W", true]);
    model.select("A");
    assert.deepEqual([model.current.id, voice.current], ["A", null]);
  });
});

describe("groups", () => {
  it("add up over those that I am signed in to", () => {
    model.event({ type: "groups", groups: [group("A", { ready: 3, waiting: 1, longest_since: 9 }), group("B", { ready: 2, waiting: 2, longest_since: 4 }), group("C", { signed_in: false, ready: 9, waiting: 7, longest_since: 1 })] }, 1);
    assert.deepEqual(voice.load, { ready: 3, waiting: 3, longest: 4 });
    assert.deepEqual(voice.signedIn.map(({ name }) => name), ["A", "B"]);
  });

  it("may be none at all", () => {
    model.event({ type: "groups", groups: [] }, 1);
    assert.deepEqual(voice.load, { ready: 0, waiting: 0, longest: null });
  });
});

describe("the length of a call", () => {
  it("is written as on a telephone", () => assert.deepEqual([0, 65, 3725, -4].map(clockDuration), ["0:00", "1:05", "1:02:05", "0:00"]));
});

describe("a position", () => {
  it("is two numbers on the earth, or none", () => {
    assert.deepEqual(readPosition({ latitude: "52.5", longitude: -13 }), { latitude: 52.5, longitude: -13 });
    for (const bad of [null, undefined, "here", {}, { latitude: 91, longitude: 0 }, { latitude: 0, longitude: 180.1 }, { latitude: "", longitude: "" }, { latitude: null, longitude: 1 }, { latitude: NaN, longitude: 1 }, { latitude: "<b>", longitude: 1 }]) {
      assert.equal(readPosition(bad), null, JSON.stringify(bad));
    }
  });

  it("in degrees and minutes carries what is rounded", () => {
    assert.deepEqual(degreesMinutes(52.520008), { negative: false, degrees: 52, minutes: 31.2 });
    assert.deepEqual(degreesMinutes(-0.99999), { negative: true, degrees: 1, minutes: 0 });
    assert.deepEqual(degreesMinutes(-0.0000001), { negative: false, degrees: 0, minutes: 0 });
  });

  it("in decimals is what programs take, without noise", () => {
    assert.equal(decimal({ latitude: 52.5, longitude: -13.4049541234 }), "52.5,-13.404954");
    assert.equal(decimal({ latitude: 1e-9, longitude: 180 }), "0,180");
  });
});

describe("the field around a position", () => {
  it("has round minutes apart enough to be read, within its edges", () => {
    for (const [latitude, longitude] of [[0, 0], [52.52, 13.405], [-33.9, 151.2], [78.2, 15.6], [89.99, -100]]) {
      const { parallels, meridians } = field({ latitude, longitude });
      for (const [lines, size] of [[parallels, HEIGHT], [meridians, WIDTH]]) {
        const places = lines.map(({ at }) => at).sort((one, other) => one - other);
        assert.ok(places.every((at) => at >= 0 && at <= size), `${latitude}: ${places}`);
        for (let index = 1; index < places.length; index += 1) assert.ok(places[index] - places[index - 1] >= 57, `${latitude}: ${places}`);
        for (const { value } of lines) assert.ok(Math.abs(value * 60 - Math.round(value * 60)) < 1e-6, String(value));
      }
      assert.ok(parallels.length >= 1);
    }
  });

  it("puts the north at the top and the east at the right", () => {
    const { parallels, meridians } = field({ latitude: 52.5, longitude: 13.4 });
    assert.ok(parallels.every(({ at, value }) => Math.abs(value - 52.5) < 1e-9 || (value > 52.5) === (at < HEIGHT / 2)));
    assert.ok(meridians.every(({ at, value }) => Math.abs(value - 13.4) < 1e-9 || (value > 13.4) === (at > WIDTH / 2)));
  });

  it("draws no meridians at a pole, no parallel beyond one, and goes on behind the line of the date", () => {
    const pole = field({ latitude: 90, longitude: 0 });
    assert.deepEqual(pole.meridians, []);
    assert.ok(pole.parallels.every(({ value }) => value <= 90));
    assert.ok(field({ latitude: 0, longitude: 179.995 }).meridians.every(({ value }) => Math.abs(value) <= 180));
  });
});
