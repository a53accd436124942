/** The Bayeux client, without any network. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BayeuxClient, matches, parseError } from "../../../gms_twisted/web/lib/bayeux.js";
import { FakeClock, fakeFetch, fakeSockets, settle } from "./fakes.mjs";

function make(options = {}) {
  const clock = new FakeClock();
  const Socket = fakeSockets();
  const { fetch, requests } = fakeFetch();
  const { environment, ...rest } = options;
  const client = new BayeuxClient({ url: "/genesys/cometd", ...rest, environment: clock.environment({ WebSocket: Socket, fetch, ...environment }) });
  const states = [];
  client.on("state", ({ state }) => states.push(state));
  return { client, clock, Socket, requests, states };
}

async function online(options = {}, welcome = {}) {
  const made = make(options);
  made.client.start();
  await settle();
  await made.Socket.last.welcome(welcome);
  return made;
}

describe("channel patterns", () => {
  it("match as the server's do", () => {
    for (const [pattern, channel, expected] of [
      ["/a/b", "/a/b", true], ["/a/*", "/a/b", true], ["/a/*", "/a/b/c", false], ["/a/**", "/a/b/c", true],
      ["/a/**", "/a", false], ["/**", "/x/y", true], ["/**", "/service/x", false], ["/*", "/meta/connect", false], ["/_genesys", "/_genesys", true],
    ]) assert.equal(matches(pattern, channel), expected, `${pattern} ${channel}`);
  });

  it("errors are number and text", () => {
    assert.deepEqual(parseError("402::session_unknown"), { code: "402", text: "session_unknown" });
    assert.deepEqual(parseError("403:denied:subscribe_denied"), { code: "403", text: "subscribe_denied" });
    assert.deepEqual(parseError("odd"), { code: "error", text: "odd" });
  });
});

describe("beginning", () => {
  it("handshakes over a websocket with what ext gives", async () => {
    const { client, Socket, states } = await online({ ext: async () => ({ token: "t" }) });
    assert.equal(Socket.last.url, "wss://gms.example/genesys/cometd");
    assert.deepEqual(Socket.last.on("/meta/handshake")[0].ext, { token: "t", ack: true });
    assert.equal(client.state, "connected");
    assert.deepEqual(states, ["connecting", "connected"]);
  });

  it("sends each connect alone and keeps one held", async () => {
    const { client, Socket } = await online();
    void client.publish("/a", 1);
    await settle();
    for (const payload of Socket.last.sent) {
      if (payload.some((message) => message.channel === "/meta/connect")) assert.equal(payload.length, 1);
    }
    assert.equal(Socket.last.on("/meta/connect").length, 2);
  });

  it("falls back to long polling at once, and remembers it once that works", async () => {
    const { client, Socket, requests, clock } = make();
    client.start();
    await settle();
    await Socket.last.drop("refused");
    assert.equal(requests[0].messages[0].channel, "/meta/handshake");
    await requests[0].answer({ channel: "/meta/handshake", successful: true, clientId: "c1" });
    assert.equal(client.state, "connected");
    assert.deepEqual(client.candidates(), ["long-polling"]);
    await clock.advance(60000);
    client.fallbackUntil = 0;
    assert.deepEqual(client.candidates(), ["websocket", "long-polling"]);
  });

  it("falls back when a websocket opens but swallows the handshake", async () => {
    const { client, Socket, requests, clock } = make();
    client.start();
    await settle();
    await Socket.last.open();
    await clock.advance(8000);
    assert.ok(Socket.last.closed);
    assert.equal(requests[0].messages[0].channel, "/meta/handshake");
    assert.equal(client.state, "connecting");
  });

  it("does not blame the websocket when the server is away", async () => {
    const { client, Socket, requests } = make();
    client.start();
    await settle();
    await Socket.last.drop();
    await requests[0].fail();
    assert.equal(client.state, "waiting");
    assert.deepEqual(client.candidates(), ["websocket", "long-polling"]);
  });

  it("stops when the handshake is refused for good", async () => {
    const { client, Socket, requests } = make();
    client.start();
    await settle();
    await Socket.last.open();
    await Socket.last.say({ channel: "/meta/handshake", successful: false, error: "403::handshake_denied", advice: { reconnect: "none" } });
    assert.equal(client.state, "refused");
    assert.equal(requests.length, 0);
  });

  it("tries again when ext fails, and stops when it says so", async () => {
    let fatal = false;
    const { client, Socket, clock } = make({ ext: async () => { throw Object.assign(new Error("no ticket"), { fatal }); } });
    client.start();
    await settle();
    await Socket.last.open();
    assert.equal(client.state, "waiting");
    fatal = true;
    await clock.advance(500);
    await Socket.last.open();
    assert.equal(client.state, "refused");
  });
});

describe("staying", () => {
  it("takes up its session on a new socket, acknowledging what it has", async () => {
    const { client, Socket, clock } = await online({}, { ext: { ack: true } });
    const connect = Socket.last.on("/meta/connect").at(-1);
    await Socket.last.say({ channel: "/a", data: 1 }, { channel: "/meta/connect", id: connect.id, successful: true, ext: { ack: 7 } });
    await Socket.last.drop();
    assert.equal(client.state, "waiting");
    await clock.advance(500);
    await Socket.last.open();
    assert.equal(Socket.made.length, 2);
    const [again] = Socket.last.on("/meta/connect");
    assert.deepEqual([again.clientId, again.ext, again.advice], ["c1", { ack: 7 }, { timeout: 0 }]);
    assert.equal(Socket.last.on("/meta/handshake").length, 0);
    await Socket.last.say({ channel: "/meta/connect", id: again.id, successful: true });
    assert.equal(client.state, "connected");
  });

  it("handshakes again on 402, re-subscribes and tells of the gap", async () => {
    const { client, Socket, clock } = await online();
    const sessions = [];
    client.on("session", ({ first }) => sessions.push(first));
    client.subscribe("/news", () => {});
    await settle();
    const connect = Socket.last.on("/meta/connect").at(-1);
    await Socket.last.say({ channel: "/meta/connect", id: connect.id, successful: false, error: "402::session_unknown", advice: { reconnect: "handshake", interval: 3000 } });
    assert.equal(client.retryAt - clock.time, 3000);
    await clock.advance(3000);
    await Socket.last.welcome({ clientId: "c2" });
    assert.deepEqual(Socket.last.on("/meta/subscribe").map((message) => [message.subscription, message.clientId]), [["/news", "c2"]]);
    assert.deepEqual(sessions, [false]);
  });

  it("waits longer after each failure, never above the limit", async () => {
    const { client, Socket, requests, clock } = make();
    client.start();
    const delays = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      await settle();
      await Socket.last.drop();
      await requests.at(-1).fail();
      delays.push(client.retryAt - clock.time);
      await clock.advance(client.retryAt - clock.time);
    }
    assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  });

  it("spreads attempts: jitter takes up to half of the pause", async () => {
    const { client, Socket, requests, clock } = make({ environment: { random: () => 0 } });
    client.start();
    await settle();
    await Socket.last.drop();
    await requests[0].fail();
    assert.equal(client.retryAt - clock.time, 250);
  });

  it("tries at once when told to", async () => {
    const { client, Socket } = await online();
    await Socket.last.drop();
    client.retryNow();
    await settle();
    assert.equal(Socket.made.length, 2);
    assert.equal(client.state, "connecting");
  });

  it("takes a silent connection for dead after the hold time and the grace", async () => {
    const { client, clock } = await online();
    await clock.advance(69999);
    assert.equal(client.state, "connected");
    await clock.advance(1);
    assert.equal(client.state, "waiting");
  });

  it("pauses between connects as advised", async () => {
    const { Socket, clock } = await online({}, { advice: { reconnect: "retry", interval: 2000, timeout: 1000 } });
    assert.equal(Socket.last.on("/meta/connect").length, 1);
    await clock.advance(2000);
    assert.equal(Socket.last.on("/meta/connect").length, 2);
  });

  it("ends when the server ends the session", async () => {
    const { client, Socket } = await online();
    await Socket.last.say({ channel: "/meta/disconnect", successful: true });
    assert.equal(client.state, "refused");
    assert.ok(Socket.last.closed);
  });

  it("drops a connection that sends what is not JSON", async () => {
    const { client, Socket } = await online();
    Socket.last.onmessage({ data: "<html>" });
    assert.equal(client.state, "waiting");
  });

  it("ignores answers to connects of the past", async () => {
    const { Socket } = await online();
    const before = Socket.last.sent.length;
    await Socket.last.say({ channel: "/meta/connect", id: "1", successful: true });
    assert.equal(Socket.last.sent.length, before);
  });
});

describe("long polling", () => {
  async function polling(options = {}) {
    const made = make({ transports: ["long-polling"], ...options });
    made.client.start();
    await settle();
    await made.requests[0].answer({ channel: "/meta/handshake", successful: true, clientId: "c1" });
    return made;
  }

  it("holds one request and sends the rest one after the other, in order", async () => {
    const { client, requests } = await polling();
    void client.publish("/a", 1);
    await settle();
    void client.publish("/a", 2);
    void client.publish("/a", 3);
    await settle();
    assert.deepEqual(requests.slice(1).map((request) => request.messages.map((message) => message.data ?? message.channel)), [["/meta/connect"], [1]]);
    await requests[2].answer({ channel: "/a", id: requests[2].messages[0].id, successful: true });
    assert.deepEqual(requests[3].messages.map((message) => message.data), [2, 3]);
  });

  it("sends the headers and credentials that were asked for", async () => {
    const { requests } = await polling({ headers: () => ({ gms_user: "buzz" }), credentials: "include" });
    assert.equal(requests[1].options.headers.gms_user, "buzz");
    assert.equal(requests[1].options.credentials, "include");
  });

  it("takes a refusal by a proxy as a lost connection", async () => {
    const { client, requests } = await polling();
    await requests[1].refuse(502);
    assert.equal(client.state, "waiting");
    assert.equal(client.clientId, "c1");
  });

  it("gives up its requests when it is left", async () => {
    const { client, requests } = await polling();
    const left = client.disconnect({ transcriptPosition: "7" });
    await settle();
    const last = requests.at(-1);
    assert.deepEqual([last.messages[0].channel, last.messages[0].ext], ["/meta/disconnect", { transcriptPosition: "7" }]);
    await last.answer({ channel: "/meta/disconnect", id: last.messages[0].id, successful: true });
    await left;
    assert.equal(client.state, "closed");
    assert.ok(requests[1].aborted);
  });
});

describe("messages", () => {
  it("go to subscribers, patterns and listeners of the channel", async () => {
    const { client, Socket } = await online();
    const seen = [];
    client.subscribe("/a/*", (message) => seen.push(["pattern", message.data]));
    client.subscribe("/a/b", (message) => seen.push(["name", message.data]));
    client.listen("/service/desk/event", (message) => seen.push(["service", message.data]));
    await Socket.last.say({ channel: "/a/b", data: 0 }, { channel: "/service/desk/event", data: { type: "x" } });
    assert.deepEqual(seen, [["pattern", 0], ["name", 0], ["service", { type: "x" }]]);
  });

  it("reach the others when one listener throws", async () => {
    const { client, Socket } = await online();
    const errors = [];
    const seen = [];
    client.on("error", (error) => errors.push(error.message));
    client.subscribe("/a", () => { throw new Error("mine"); });
    client.subscribe("/a", () => seen.push(1));
    await Socket.last.say({ channel: "/a", data: 1 });
    assert.deepEqual([errors, seen], [["mine"], [1]]);
  });

  it("of one batch leave in one payload", async () => {
    const { client, Socket } = await online();
    const before = Socket.last.sent.length;
    client.batch(() => {
      void client.publish("/a", 1);
      client.subscribe("/b", () => {});
      void client.publish("/a", 2);
    });
    await settle();
    assert.equal(Socket.last.sent.length, before + 1);
    assert.equal(Socket.last.sent.at(-1).length, 3);
  });

  it("published while offline leave when there is a session again", async () => {
    const { client, Socket, clock } = await online();
    await Socket.last.drop();
    const sent = client.publish("/a", "later");
    await clock.advance(500);
    await Socket.last.open();
    const [connect] = Socket.last.on("/meta/connect");
    await Socket.last.say({ channel: "/meta/connect", id: connect.id, successful: true });
    const [message] = Socket.last.on("/a");
    assert.equal(message.data, "later");
    await Socket.last.say({ channel: "/a", id: message.id, successful: true });
    assert.equal((await sent).successful, true);
  });

  it("under way when the connection is lost are reported, since nobody knows their fate", async () => {
    const { client, Socket } = await online();
    const sent = client.publish("/a", 1);
    await settle();
    await Socket.last.drop();
    await assert.rejects(sent, { code: "lost" });
  });

  it("are bounded while waiting", async () => {
    const { client } = make();
    client.start();
    await settle();
    const fates = Array.from({ length: 201 }, () => client.publish("/a", 1).catch((error) => error.code));
    assert.equal(await fates[200], "overflow");
  });

  it("do not leave before start or after the end", async () => {
    const { client } = make();
    await assert.rejects(client.publish("/a", 1), { code: "closed" });
  });
});

describe("calls", () => {
  it("resolve with the message that has their id and data, not with the acknowledgement", async () => {
    const { client, Socket } = await online();
    const call = client.call("desk", { do: "hello" });
    await settle();
    const [message] = Socket.last.on("/service/desk");
    assert.deepEqual(message.data, { do: "hello" });
    await Socket.last.say({ channel: "/service/desk", id: message.id, successful: true });
    await Socket.last.say({ channel: "/service/desk", id: message.id, successful: true, data: { queue: [] } });
    assert.deepEqual(await call, { queue: [] });
  });

  it("reject with the server's data", async () => {
    const { client, Socket } = await online();
    const call = client.call("desk", { do: "accept" });
    await settle();
    const [message] = Socket.last.on("/service/desk");
    await Socket.last.say({ channel: "/service/desk", id: message.id, successful: false, data: { message: "Too late.", exception: "gms.desk.taken" } });
    await assert.rejects(call, (error) => error.code === "failed" && error.message === "Too late." && error.detail.exception === "gms.desk.taken");
  });

  it("reject when the acknowledgement is a refusal", async () => {
    const { client, Socket } = await online();
    const call = client.call("desk", {});
    await settle();
    await Socket.last.say({ channel: "/service/desk", id: Socket.last.on("/service/desk")[0].id, successful: false, error: "429::rate_exceeded" });
    await assert.rejects(call, { code: "429" });
  });

  it("that get no answer at all end the connection", async () => {
    const { client, clock } = await online();
    const call = client.call("desk", {}).catch((error) => error.code);
    await settle();
    await clock.advance(15000);
    assert.equal(await call, "timeout");
    assert.equal(client.state, "waiting");
  });
});

describe("leaving", () => {
  it("that were taken and never answered leave the connection alone", async () => {
    const { client, Socket, clock } = await online();
    const call = client.call("nobody", {}).catch((error) => error.code);
    await settle();
    const [sent] = Socket.last.on("/service/nobody");
    await Socket.last.say({ channel: "/service/nobody", id: sent.id, successful: true });
    await clock.advance(60000);
    assert.equal(await call, "timeout");
    assert.equal(client.state, "connected");
    assert.ok(!Socket.last.closed);
  });

  it("ends without a refusal when the held connect is let go first", async () => {
    const { client, Socket, states } = await online();
    const left = client.disconnect();
    await settle();
    const held = Socket.last.on("/meta/connect").at(-1);
    await Socket.last.say({ channel: "/meta/connect", id: held.id, successful: true, advice: { reconnect: "none" } });
    await Socket.last.say({ channel: "/meta/disconnect", id: Socket.last.on("/meta/disconnect")[0].id, successful: true });
    await left;
    assert.deepEqual(states, ["connecting", "connected", "closed"]);
  });

  it("leaves no timer behind", async () => {
    const { client, Socket, clock } = await online();
    const left = client.disconnect();
    await settle();
    await Socket.last.say({ channel: "/meta/disconnect", id: Socket.last.on("/meta/disconnect")[0].id, successful: true });
    await left;
    assert.deepEqual(clock.timers, []);
    assert.ok(Socket.last.closed);
  });

  it("can start again", async () => {
    const { client, Socket, clock } = await online();
    const left = client.disconnect();
    await clock.advance(2000);
    await left;
    client.start();
    await settle();
    await Socket.last.welcome({ clientId: "c9" });
    assert.equal(client.clientId, "c9");
  });
});

describe("the wire", () => {
  it("is seen in both directions", async () => {
    const { client, Socket } = make();
    const seen = [];
    client.on("wire", ({ direction, transport, messages }) => seen.push(`${direction} ${transport} ${messages[0].channel}`));
    client.start();
    await settle();
    await Socket.last.welcome();
    assert.deepEqual(seen.slice(0, 4), [
      "out websocket /meta/handshake", "in websocket /meta/handshake", "out websocket /meta/connect", "in websocket /meta/connect",
    ]);
  });
});
