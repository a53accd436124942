/** Being told when an agent is free, without a page. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { ASK_MS, readNews, Watch } from "../../../gms_twisted/web/demo/watch.js";

const tag = (kind, id = "S1") => `a2c.advanced.service.${kind}.${id}`;

describe("news of the advanced service", () => {
  it("are told by the last two words of the tag", () => {
    assert.deepEqual(readNews({ tag: tag("agentavailable"), message: '{"_id":"S1","_status":"available"}' }), { kind: "agentavailable", service: "S1", state: "available", text: "" });
    assert.deepEqual(readNews({ tag: "my.own.poke.S1", message: "Hello?" }), { kind: "poke", service: "S1", state: "", text: "Hello?" });
    assert.equal(readNews({ tag: tag("expired"), message: { _status: "expired" } }).state, "expired");
  });

  it("are nothing else", () => {
    for (const data of [{ tag: "service.chat.refresh.S1", message: {} }, { tag: "poke", message: "x" }, { message: "x" }, null, undefined, 5]) assert.equal(readNews(data), null);
    assert.equal(readNews({ tag: tag("agentavailable"), message: "no JSON" }).state, "");
    assert.equal(readNews({ tag: tag("statuschanged"), message: '{"_status":"strange"}' }).state, "");
    assert.equal(readNews({ tag: tag("poke"), message: { not: "text" } }).text, "");
  });
});

describe("waiting for an agent", () => {
  let asked;
  let answer;
  let connected;
  let changes;
  let kept;
  let watch;
  const settled = async () => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };
  const pass = async (ms) => {
    mock.timers.tick(ms);
    await settled();
  };

  beforeEach(async () => {
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    asked = [];
    changes = [];
    kept = [];
    connected = false;
    answer = { _status: "waiting" };
    watch = new Watch({
      request: async (path, options) => {
        asked.push([options.method ?? "POST", path]);
        if (path.endsWith("request-chat-poll")) return { _id: "S1" };
        if (answer instanceof Error) throw answer;
        return { message: answer, tag: "x" };
      },
      connected: () => connected,
      onchange: () => changes.push(watch.state),
      keep: (wish) => kept.push(wish),
    });
    await watch.begin({ name: "Wanda", subject: "Later", email: "" });
    await settled();
  });

  afterEach(() => mock.timers.reset());

  it("keeps what it was asked for, and asks at once", () => {
    assert.deepEqual(asked, [["POST", "genesys/1/service/request-chat-poll"], ["POST", "genesys/1/service/S1/status"]]);
    assert.deepEqual([kept.at(-1).id, kept.at(-1).name, watch.state], ["S1", "Wanda", "waiting"]);
  });

  it("asks every few seconds without a connection, seldom with one, at once when it is back", async () => {
    await pass(ASK_MS);
    await pass(ASK_MS);
    assert.equal(asked.length, 4);
    connected = true;
    watch.moved();
    await settled();
    assert.equal(asked.length, 5);
    await pass(ASK_MS);
    assert.equal(asked.length, 5);
    await pass(6 * ASK_MS);
    assert.equal(asked.length, 6);
  });

  it("asks on when an answer was lost or no sense could be made of it", async () => {
    answer = Object.assign(new Error("offline"), { status: 0 });
    await pass(ASK_MS);
    answer = { _status: "strange" };
    await pass(ASK_MS);
    assert.equal(watch.state, "waiting");
    answer = { _status: "available" };
    await pass(ASK_MS);
    assert.deepEqual(changes, ["available"]);
  });

  it("hears of its own service only, and each change once", () => {
    watch.heard({ service: "other", state: "available" });
    watch.heard({ service: "S1", state: "" });
    assert.deepEqual(changes, []);
    watch.heard({ service: "S1", state: "available" });
    watch.heard({ service: "S1", state: "available" });
    watch.heard({ service: "S1", state: "waiting" });
    assert.deepEqual(changes, ["available", "waiting"]);
  });

  it("ends with the service: nothing is asked or kept any more", async () => {
    answer = Object.assign(new Error("gone"), { status: 404 });
    await pass(ASK_MS);
    assert.equal(watch.state, "expired");
    assert.equal(kept.at(-1), null);
    watch.heard({ service: "S1", state: "available" });
    watch.moved();
    await pass(20 * ASK_MS);
    assert.equal(watch.state, "expired");
    assert.equal(asked.length, 3);
  });

  it("is called off at the server, too", async () => {
    await watch.cancel();
    assert.deepEqual(asked.at(-1), ["DELETE", "genesys/1/service/S1"]);
    assert.deepEqual([watch.state, watch.wish, kept.at(-1)], ["", null, null]);
    await pass(20 * ASK_MS);
    assert.equal(asked.length, 3);
  });

  it("passes over an answer that comes after it was called off", async () => {
    answer = { _status: "available" };
    const asking = watch.ask();
    watch.stop();
    await asking;
    assert.deepEqual(changes, []);
    await pass(20 * ASK_MS);
    assert.equal(asked.length, 3);
  });
});
