/**
 * A small stand-in for the server: enough of its protocols to drive every page.
 *
 * Serves gms_twisted/web with the same guards as the real one, the desk's and the customer page's
 * HTTP calls, a Bayeux endpoint over websocket and long polling, the Chat API in comet mode and a
 * storage in memory.  Everything is forgotten at exit.  Tests reach into `world` to make states that
 * a healthy server does not show: refusals, silence, lost sessions.
 */
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { Advanced } from "./advanced.mjs";
import { handle } from "./http.mjs";
import { answerOps, madeUp } from "./ops.mjs";
import { Voice } from "./voice.mjs";
import { id, Refusal, seconds } from "./words.mjs";

export class World {
  constructor() {
    this.agents = new Map([
      ["anna", { name: "anna", display_name: "Anna Weber", role: "operator", enabled: true, state: "away", password: "correct horse" }],
      ["ben", { name: "ben", display_name: "Ben Okafor", role: "agent", enabled: true, state: "offline", password: "battery staple" }],
    ]);
    this.links = new Map([["first", { name: "", display_name: "", role: "operator", new: true }]]);
    this.logins = new Map();
    this.tickets = new Map();
    this.sessions = new Map();
    this.chats = new Map();
    this.areas = new Map();
    this.settings = {
      canned: [{ key: "hello", text: "Hello, how can I help you today?" }, { key: "thanks", text: "Thank you for your patience." }, { key: "bye", text: "Have a good day!" }],
      amber_s: 60, red_s: 180, max_message: 4000, push_hosts: ["*"],
    };
    /** Functions `(request path or "do" name) => Error|undefined` that make calls fail. */
    this.failing = null;
    this.silent = false;
    /** Telephony; null as of a server without. */
    this.voice = new Voice(this);
    /** The advanced chat service; null as of a server without. */
    this.advanced = new Advanced(this);
    /** What operators see. */
    this.ops = madeUp();
    this.websockets = true;
    this.holdMs = 20000;
  }

  // ---- chats ----

  newChat(details) {
    const chat = {
      chat: id().toUpperCase(), service: id(), nickname: "Customer", subject: "", group: "default", since: seconds(), email: "", reopened: false,
      started: seconds(), events: [], agent: null, closed: false, read: 0, customer: "here", user: null, data: {}, files: [], past: [], refs: new Map(), ...details,
    };
    this.chats.set(chat.chat, chat);
    this.append(chat, { type: "joined", nickname: chat.nickname, party: "CLIENT", text: "" });
    this.tell(null, { type: "queue_added", entry: this.entry(chat) });
    return chat;
  }

  append(chat, event, agent = null) {
    const whole = { position: chat.events.length + 1, at: seconds(), text: "", ...event, agent };
    chat.events.push(whole);
    if (chat.agent) {
      this.tell(chat.agent, { type: "chat_event", chat: chat.chat, event: this.seen(whole, chat.agent), unread: this.unread(chat) });
    }
    this.toCustomer(chat, [whole]);
    return whole;
  }

  toCustomer(chat, events, after) {
    if (!chat.user) return;
    const names = { joined: ["Notice.Joined", "has joined the session"], left: ["Notice.Left", "has left the session"], message: ["Message.Text"], push_url: ["Notice.PushUrl"], typing_started: ["Notice.TypingStarted", "is typing"], typing_stopped: ["Notice.TypingStopped", "stopped typing"], custom: ["Notice.Custom"] };
    const rows = events.map((event) => [names[event.type][0], event.nickname, names[event.type][1] ?? event.text, String(Math.floor(event.at - chat.started)), event.party]);
    const message = {
      chatIxnState: chat.closed ? "DISCONNECTED" : "TRANSCRIPT", chatSessionId: chat.chat, transcriptPosition: chat.events.length,
      chatServiceMessage: "Chat service is available", startedAt: new Date(chat.started * 1000).toISOString(), transcriptToShow: rows,
    };
    if (after !== undefined && !rows.length && !chat.closed) return;
    for (const session of this.sessions.values()) {
      if (session.user === chat.user && session.subscriptions.has("/_genesys")) {
        session.deliver({ channel: "/_genesys", data: { id: id() + id(), message, tag: `service.chat.refresh.${chat.service}` } });
      }
    }
  }

  seen({ agent, ...event }, reader) {
    return { ...event, mine: agent !== null && agent === reader };
  }

  unread(chat) {
    return chat.events.filter((event) => event.position > chat.read && event.type === "message" && event.party !== "AGENT").length;
  }

  entry({ chat, service, nickname, subject, group, since, email, reopened }) {
    return { chat, service, nickname, subject, group, since, email, reopened };
  }

  summary(chat) {
    const shown = chat.events.filter((event) => !event.type.startsWith("typing"));
    const last = chat.events.filter((event) => event.party === "CLIENT" && event.type === "message").at(-1);
    return {
      ...this.entry(chat), started: chat.started, unread: this.unread(chat), last: shown.length ? this.seen(shown.at(-1), chat.agent) : null,
      state: chat.closed ? "closed" : "open", customer: chat.customer, customer_since: last?.at ?? chat.started, read: chat.read,
    };
  }

  details(chat, after = 0) {
    return {
      summary: this.summary(chat),
      events: chat.events.filter((event) => event.position > after && !event.type.startsWith("typing")).map((event) => this.seen(event, chat.agent)),
      customer: { nickname: chat.nickname, first_name: chat.first_name ?? "", last_name: chat.last_name ?? "", email: chat.email, gms_user: chat.user ?? "buzz", service: chat.service, data: chat.data, files: chat.files, poke: chat.poke ?? null },
    };
  }

  /** An event for one agent's windows, or for everybody's. */
  tell(agent, data) {
    for (const session of this.sessions.values()) {
      if (session.agent && (agent === null || session.agent === agent)) session.deliver({ channel: "/service/desk/event", data });
      if (session.operator && session.operator === agent && data.type === "signed_out") session.deliver({ channel: "/service/ops/event", data });
    }
  }

  close(chat) {
    chat.closed = true;
    if (chat.agent) this.tell(chat.agent, { type: "chat_changed", summary: this.summary(chat) });
    else this.tell(null, { type: "queue_removed", chat: chat.chat, reason: "closed" });
    this.toCustomer(chat, []);
  }

  // ---- the desk's calls ----

  desk(name, data) {
    const agent = this.agents.get(name);
    const failure = this.failing?.(data.do);
    if (failure) throw failure;
    const mine = () => {
      const chat = this.chats.get(data.chat);
      if (!chat || chat.agent !== name) throw new Refusal(404, "There is no such chat of yours.", "gms.not_found");
      return chat;
    };
    const operator = () => {
      if (agent.role !== "operator") throw new Refusal(403, "Only operators may do this.", "gms.forbidden");
    };
    const say = (chat, type, text) => {
      chat.read = chat.events.length + 1;
      return { position: this.append(chat, { type, text, nickname: agent.display_name, party: "AGENT" }, name).position };
    };
    const calls = {
      hello: () => ({
        agent: this.shape(agent), groups: ["Billing", "default"], settings: this.settings, voice: this.voice?.hello(name) ?? null, now: seconds(),
        queue: [...this.chats.values()].filter((chat) => !chat.agent && !chat.closed).map((chat) => this.entry(chat)),
        chats: [...this.chats.values()].filter((chat) => chat.agent === name).map((chat) => this.summary(chat)),
      }),
      state: () => {
        agent.state = data.state;
        this.tell(name, { type: "agent_state", state: data.state });
        this.voice?.tellGroups();
        return { state: data.state };
      },
      accept: () => {
        const chat = this.chats.get(data.chat);
        if (!chat || chat.agent || chat.closed) throw new Refusal(409, "Somebody else was first.", "gms.desk.taken");
        chat.agent = name;
        this.tell(null, { type: "queue_removed", chat: chat.chat, reason: "taken" });
        this.append(chat, { type: "joined", nickname: agent.display_name, party: "AGENT" }, name);
        return this.details(chat);
      },
      open: () => this.details(mine(), data.after ?? 0),
      send: () => {
        const chat = mine();
        if (!chat.refs.has(data.ref)) chat.refs.set(data.ref, say(chat, "message", data.text));
        return chat.refs.get(data.ref);
      },
      typing: () => {
        this.append(mine(), { type: data.on ? "typing_started" : "typing_stopped", nickname: agent.display_name, party: "AGENT" }, name);
        return {};
      },
      poke: () => {
        const { poke, service } = mine();
        if (!poke) throw new Refusal(404, "This customer has nothing that could be poked.", "gms.desk.no_poke");
        this.advanced.tell(service, "poke", data.text || poke.text);
        return {};
      },
      push_url: () => say(mine(), "push_url", data.url),
      read: () => {
        mine().read = data.position;
        return {};
      },
      end: () => {
        const chat = mine();
        this.append(chat, { type: "left", nickname: agent.display_name, party: "AGENT", reason: "LEFT" }, name);
        this.close(chat);
        return {};
      },
      requeue: () => {
        const chat = mine();
        chat.agent = null;
        chat.reopened = true;
        this.tell(name, { type: "chat_gone", chat: chat.chat });
        this.tell(null, { type: "queue_added", entry: this.entry(chat) });
        return {};
      },
      history: () => ({ chats: mine().past.map(({ events, ...chat }) => chat) }),
      past: () => ({ events: mine().past.find((chat) => chat.chat === data.earlier).events }),
      agents: () => (operator(), { agents: [...this.agents.values()].map((each) => ({ ...this.shape(each), voice: this.voice?.stateOf(each) ?? null })) }),
      agent_add: () => {
        operator();
        if (this.agents.has(data.name)) throw new Refusal(409, "An agent of this name exists.", "gms.conflict");
        this.agents.set(data.name, { name: data.name, display_name: data.display_name, role: data.role, enabled: true, state: "offline", password: id() });
        return calls.agent_link();
      },
      agent_link: () => {
        operator();
        const token = id() + id();
        this.links.set(token, { ...this.shape(this.agents.get(data.name)), new: false });
        return { link: `/desk/#link=${token}` };
      },
      agent_enable: () => {
        operator();
        this.agents.get(data.name).enabled = data.enabled;
        return {};
      },
      ...this.voice?.desk(name, data),
    };
    if (!Object.hasOwn(calls, data.do)) throw new Refusal(400, "There is no such call.", "gms.invalid_request");
    return calls[data.do]();
  }

  shape({ name, display_name, role, state, enabled }) {
    return { name, display_name, role, state, enabled };
  }

  // ---- Bayeux ----

  /** Handle a payload; `reply(messages)` may be called later for a held connect. */
  bayeux(messages, connection) {
    for (const message of messages) this.message(message, connection);
  }

  message(message, connection) {
    const answer = (more) => connection.send([{ channel: message.channel, id: message.id, ...more }]);
    if (message.channel === "/meta/handshake") return this.handshake(message, connection, answer);
    const session = this.sessions.get(message.clientId);
    if (!session) {
      return answer({ successful: false, error: "402::session_unknown", ...(message.channel === "/meta/connect" ? { advice: { reconnect: "handshake", interval: 0 } } : {}) });
    }
    if (connection.live) session.socket = connection;
    if (message.channel === "/meta/connect") return session.connect(message, connection, answer);
    if (message.channel === "/meta/subscribe") {
      session.subscriptions.add(message.subscription);
      return answer({ successful: true, subscription: message.subscription });
    }
    if (message.channel === "/meta/disconnect") {
      this.sessions.delete(message.clientId);
      session.release(true);
      return answer({ successful: true });
    }
    if (this.silent) return undefined;
    answer({ successful: true });
    const answering = { "/service/desk": session.agent && (() => this.desk(session.agent, message.data)), "/service/ops": session.operator && (() => this.answerOperator(session.operator, message.data)) }[message.channel];
    if (!answering) return undefined;
    try {
      const data = answering();
      session.deliver({ channel: message.channel, id: message.id, successful: true, data });
    } catch (error) {
      session.deliver({ channel: message.channel, id: message.id, successful: false, data: { message: error.message, exception: error.code ?? "gms.error" } });
    }
    return undefined;
  }

  answerOperator(name, data) {
    return answerOps(this, this.agents.get(name), data, (status, text, code) => new Refusal(status, text, code));
  }

  handshake(message, connection, answer) {
    const desk = message.ext?.desk ?? message.ext?.ops;
    const agent = desk ? this.tickets.get(desk.ticket) : null;
    if (desk) this.tickets.delete(desk.ticket);
    const common = { version: "1.0", minimumVersion: "1.0", supportedConnectionTypes: ["websocket", "long-polling"] };
    if (desk && !agent) return answer({ ...common, successful: false, error: "403::handshake_denied", advice: { reconnect: "none" } });
    const session = new Session(this, message.ext?.desk ? agent : null, message.ext?.token?.split(":")[0] ?? null);
    session.operator = message.ext?.ops ? agent : null;
    this.sessions.set(session.clientId, session);
    if (connection.live) session.socket = connection;
    return answer({ ...common, successful: true, clientId: session.clientId });
  }

  /** What a restart looks like to clients: every session unknown, every connection cut. */
  restart() {
    for (const session of this.sessions.values()) {
      session.socket?.cut();
      session.held?.connection.cut();
    }
    this.sessions.clear();
  }
}

class Session {
  constructor(world, agent, user) {
    Object.assign(this, { world, agent, user, clientId: id() + id(), subscriptions: new Set(), queue: [], held: null, socket: null, connected: false });
  }

  deliver(message) {
    if (this.socket?.open()) this.socket.send([message]);
    else {
      this.queue.push(message);
      if (this.held) this.release();
    }
  }

  connect(message, connection, answer) {
    this.release();
    const advice = this.connected ? undefined : { reconnect: "retry", interval: 0, timeout: this.world.holdMs };
    const done = (more = {}) => {
      const events = this.queue.splice(0);
      connection.send([...events, { channel: message.channel, id: message.id, successful: true, ...(advice ? { advice } : {}), ...more }]);
    };
    if (!this.connected || message.advice?.timeout === 0 || (!connection.live && this.queue.length)) {
      this.connected = true;
      return done();
    }
    const timer = setTimeout(() => this.release(), this.world.holdMs);
    this.held = { connection, done: (more) => { clearTimeout(timer); done(more); } };
    return undefined;
  }

  release(last = false) {
    const { held } = this;
    this.held = null;
    held?.done(last ? { advice: { reconnect: "none" } } : {});
  }
}

/** Start on a port (0: any).  @returns {Promise<{url: string, world: World, stop: () => Promise<void>}>} */
export async function startMock(port = 0) {
  const world = new World();
  const server = createServer((request, response) => {
    handle(world, request, response).catch((error) => {
      response.writeHead(error.status ?? 500, { "Content-Type": "application/json", ...(error.retryAfter ? { "Retry-After": String(error.retryAfter) } : {}) });
      response.end(JSON.stringify({ message: error.message, exception: error.code ?? "gms.error" }));
    });
  });
  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    if (!world.websockets) return socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    return sockets.handleUpgrade(request, socket, head, (ws) => {
      const connection = { live: true, open: () => ws.readyState === 1, cut: () => ws.terminate(), send: (messages) => ws.readyState === 1 && ws.send(JSON.stringify(messages)) };
      ws.on("message", (data) => world.bayeux([JSON.parse(data)].flat(), connection));
    });
  });
  await new Promise((resolve) => { server.listen(port, "127.0.0.1", resolve); });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    world,
    Refusal,
    stop: () => new Promise((resolve) => {
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      server.close(resolve);
    }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startMock(Number(process.argv[2]) || 8090);
  process.stdout.write(`${url}desk/ (anna, "correct horse"), ${url}ops/ and ${url}demo/\n`);
}
