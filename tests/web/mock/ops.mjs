/**
 * What the operator page asks for, made up: enough of everything that pages, low pools, old
 * certificates and failures can be seen.  Tests change `world.ops` to make states of their own.
 */
const seconds = () => Date.now() / 1000;
const hex = (number, digits) => Math.abs(Math.imul(number + 7, 2654435761) >>> 0).toString(16).padStart(8, "0").repeat(4).slice(0, digits);
const uuid = (number) => hex(number, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");

const APPLICATIONS = ["request-inbound-delay", "request-outbound-poll", "request-chat-poll", "request-inbound-poll"];

/** Orchestration sessions with all that one may have. */
function madeUpSessions(now) {
  return Array.from({ length: 140 }, (_, index) => ({
    id: uuid(40000 + index), application: APPLICATIONS[index % 4], service: uuid(index), states: index % 3 ? ["waiting_for_agent"] : ["notify", "poll.position", "watch_customer"],
    started: now - 40 - index * 53, ends: now + 3000 - index * 11, events: 3 + (index * 7) % 40, strikes: index % 29 === 4 ? 2 : 0, awake: index % 5 < 2, pending: index % 3, node: [1, 2, 301][index % 3],
    data: { _phone_number: "***", retries: 2, "position.estimate": { wait: 120 }, customer_name: "***" },
    timers: index % 2 ? [] : [{ event: "poll.timer", at: now + 12 }, { event: "session.expired", at: now + 3000 - index * 11 }],
    operations: index % 3 ? [{ module: "queue", element: "submit", since: now - 31 }] : [],
    log: [{ at: now - 39, level: "info", text: "[request] agents asked for: Billing" }, { at: now - 12, level: "warn", text: "No agent is ready; asked again in 30 s" }],
  })).sort((one, other) => (one.id < other.id ? -1 : 1));
}

function madeUpCalls(now) {
  return Array.from({ length: 34 }, (_, index) => {
    const state = ["talking", "waiting", "ended", "ringing"][index % 4];
    return {
      call: hex(70000 + index, 16), direction: index % 5 === 2 ? "outbound" : "inbound", state, number: `***${10 + index}`, dnis: "+49 30 5550 100", group: index % 3 ? "Billing" : "Sales",
      service: index % 4 ? uuid(index) : "", service_name: index % 4 ? APPLICATIONS[index % 4] : "", since: now - 20 - index * 37, answered: index % 2 ? null : now - 9, ended: state === "ended" ? now - 2 : null, agent: state === "waiting" ? null : "Anna Weber",
    };
  });
}

/** A state of the world with something in every section. */
export function madeUp() {
  const now = seconds();
  const names = ["request-interaction", "request-chat", "iPhoneService", "request-access"];
  const types = ["fcm", "ios", "comet", "httpcb", "webpush"];
  const serviceIds = Array.from({ length: 430 }, (_, index) => uuid(index)).sort();
  const bookings = (group, count, digits) => Array.from({ length: count }, (_, index) => ({ number: `+1415555${String(100 + index).padStart(4, "0")}`, service: serviceIds[index * 3], phone: "***34", code: digits ? "***" : "", until: now + 4 + index * 3, group }));
  return {
    health: {
      status: "ready", ok: true, since: now - 5 * 3600, started: now - 5 * 3600, node: 1, ill: [],
      parts: [
        { name: "storage", ok: true, since: now - 5 * 3600, details: { keys: 1204, bytes: 48203112, full: false, writable: true, damaged_records: 0 } },
        { name: "bayeux", ok: true, since: now - 5 * 3600, details: { sessions: 214, held: 201, queued_bytes: 18044 } },
        { name: "push", ok: true, since: now - 5 * 3600, details: { senders: 4, queued: 3, retries_due: 0 } },
        { name: "orchestration", ok: true, since: now - 5 * 3600, details: { embedded: true, sessions: 140, max_sessions: 20000, awake: 56, waiting_turns: 0, ill_servers: [] } },
        {
          name: "cluster", ok: true, since: now - 5 * 3600,
          details: {
            node: 1, run: hex(1, 32), home: true, shards: 22, shards_of_all: 64, shards_unowned: 0, last_beat_s: 0.7,
            nodes: [1, 2, 301].map((node) => ({ node, address: `gms-${node}, process ${4000 + node}`, started: now - 5 * 3600, reachable: true })),
          },
        },
        { name: "contact-centre", ok: true, since: now - 5 * 3600, details: { agents_ready: 2, calls: 26, calls_waiting: 9 } },
      ],
      changes: [],
      facts: { version: "1.0", identity_mode: "open", store: "sqlite", listeners: ["http://127.0.0.1:8080/"] },
    },
    samples: Array.from({ length: 180 }, (_, index) => [now - (180 - index) * 5,
      Math.round((38 + 22 * Math.sin(index / 14) + (index % 7) * 1.7) * 100) / 100, Math.round((64 + 30 * Math.sin(index / 9) + (index % 5) * 3) * 100) / 100,
      201 + Math.round(9 * Math.sin(index / 30)), 214 + Math.round(9 * Math.sin(index / 30)), index % 40 === 0 ? 3.4 : 0.4, Math.round(Math.max(0, 5 * Math.sin(index / 20)) * 100) / 100]),
    nodes: [
      { node: 1, address: "gms-1.example.com, process 4001", started: now - 5 * 3600, configured: now - 620, refused: "", here: true, home: true, reachable: true, answered: true, status: "ready", ok: true, shards: 22, bayeux: 81, users: 74, orchestration: 52, chats: 3, lag_s: 0.012, memory_bytes: 141_203_456, deliveries: 23.4 },
      { node: 2, address: "gms-2.example.com, process 4002", started: now - 5 * 3600, configured: now - 5 * 3600, refused: "/etc/gms/gms.ini:17: http/max_body: much is no number", here: false, home: false, reachable: true, answered: true, status: "ready", ok: true, shards: 21, bayeux: 68, users: 61, orchestration: 45, chats: 2, lag_s: 0.31, memory_bytes: 138_117_120, deliveries: 19.8 },
      { node: 301, address: "gms-3.example.com, process 4301", started: now - 95, configured: now - 95, refused: "", here: false, home: false, reachable: true, answered: true, status: "ready", ok: true, shards: 21, bayeux: 65, users: 60, orchestration: 43, chats: 1, lag_s: 0.004, memory_bytes: 98_766_848, deliveries: 21.2 },
    ],
    away: [],
    services: serviceIds.map((id, index) => ({ id, name: names[index % 4], service: names[index % 4].startsWith("iPhone") ? "request-interaction" : names[index % 4], user: index % 3 ? `customer-${index}` : "", created: now - index * 31, ends: now + 20 + index * 17, idle: index % 4 === 1 })),
    groups: [
      { name: "DNIS", strategy: "LOCAL", numbers: 10, held: 9, free: 1 },
      { name: "Billing", strategy: "CLUSTER", numbers: 40, held: 12, free: 28 },
      { name: "Hotline", strategy: "LOCAL", numbers: 3, held: 3, free: 0 },
      { name: "Sales", strategy: "RANDOM", numbers: 6, held: 0, free: 6 },
    ],
    bookings: [...bookings("DNIS", 9, true), ...bookings("Billing", 12, false), ...bookings("Hotline", 3, true)],
    subscriptions: Array.from({ length: 260 }, (_, index) => ({ id: uuid(5000 + index), subscriber: `app-${index % 17}`, filter: index % 2 ? "service.statuschanged.*" : "campaign.spring", type: types[index % 5], device: `${hex(9000 + index, 8)}\u2026`, provider: index % 5 < 2 ? "SalesApp" : "", ends: index % 4 ? now + index * 90 : null, enabled: index % 23 !== 5 })).sort((one, other) => (one.id < other.id ? -1 : 1)),
    deliveries: Array.from({ length: 90 }, (_, index) => {
      const devices = [1, 3, 12, 0][index % 4];
      const failed = index % 6 === 1 ? Math.min(devices, 2) : 0;
      return {
        id: hex(20000 + index, 32), tag: index % 2 ? "campaign.spring" : `service.statuschanged.${hex(index, 8)}`, at: now - index * 47, devices, failed, delivered: devices - failed - (index === 0 ? devices : 0),
        results: Array.from({ length: devices }, (_each, place) => ({ subscription: uuid(5000 + index + place), type: types[(index + place) % 5], status: index === 0 ? "undecided" : place >= failed ? "delivered" : place ? "failed" : "pending", unsubscribed: place < failed && place > 0, reason: place < failed ? (place ? "Unregistered" : "503 Service Unavailable") : "", attempts: place < failed ? 4 : 1 })),
      };
    }),
    sessions: madeUpSessions(now),
    calls: madeUpCalls(now),
    voiceGroups: [
      { name: "Billing", agents: 6, ready: 2, waiting: 5, longest_since: now - 95 },
      { name: "Sales", agents: 3, ready: 0, waiting: 3, longest_since: now - 250 },
      { name: "Specialists", agents: 1, ready: 1, waiting: 0, longest_since: null },
    ],
    senders: [
      { transport: "fcm", provider: "SalesApp", debug: false, queue: 3, in_flight: 12, circuit: "closed", last_error: "", days_left: null },
      { transport: "apns2", provider: "SalesApp", debug: false, queue: 0, in_flight: 0, circuit: "closed", last_error: "", days_left: 24.6 },
      { transport: "apns", provider: "SalesApp", debug: true, queue: 41, in_flight: 0, circuit: "open", last_error: "certificate revoked", days_left: 4.2 },
      { transport: "apns2", provider: "Kiosk", debug: false, queue: 0, in_flight: 0, circuit: "half-open", last_error: "503 ServiceUnavailable", days_left: -1 },
      { transport: "webpush", provider: "", debug: false, queue: 0, in_flight: 1, circuit: "closed", last_error: "", days_left: 311 },
    ],
    configuration: [
      ["server", "web_port", "8080"], ["server", "web_host", "127.0.0.1"], ["server", "identity_secret", "***"], ["push", "pushEnabled", "comet,httpcb,orscb,fcm"],
      ["push", "android.senderAccount", "***"], ["bayeux", "timeout", "60"], ["bayeux", "client_channels", ""],
      ...Array.from({ length: 210 }, (_, index) => ["limits", `limit_${String(index).padStart(3, "0")}`, String(index * 10)]),
    ].map(([section, option, value]) => ({ section, option, value })),
    errors: [
      { id: "3", node: 1, at: now - 40, level: "critical", who: "app.tasks", text: "Failed: push to a device", traceback: "Traceback (most recent call last):\n  File \"sender.py\", line 214, in attempt\n    raise ConnectionLost()\nConnectionLost: Connection to the other side was lost in a non-clean fashion." },
      { id: "2", node: 2, at: now - 600, level: "warn", who: "push.sender", text: "Provider SalesApp: the certificate ends in 4 days", traceback: "" },
      { id: "1", node: 301, at: now - 7200, level: "error", who: "process", text: "Configuration not applied: 2 faults; the old one stays", traceback: "" },
    ],
    /** Sections that this server does not have, and lines of the traffic: `traffic pushes`. */
    missing: new Set(),
  };
}

const SERIES = [["requests", true], ["deliveries", true], ["held", false], ["clients", false], ["publishes", true], ["pushes", true]];

/** Answer one call of an operator. @param {*} world @param {(status: number, message: string, code: string) => Error} refusal */
export function answerOps(world, agent, data, refusal) {
  const state = world.ops;
  const failure = world.failing?.(data.do);
  if (failure) throw failure;
  if (agent?.role !== "operator") throw refusal(403, "Only operators may see this page.", "gms.ops.not_operator");
  const page = (rows, wanted = data.text) => {
    const text = (wanted ?? "").toLowerCase();
    const found = rows.filter((row) => !text || Object.values(row).some((value) => String(value).toLowerCase().includes(text)));
    const begin = Number(data.after ?? 0);
    const end = begin + (data.limit ?? 25);
    return { available: true, rows: found.slice(begin, end), next: end < found.length ? String(end) : null, total: found.length, now: seconds() };
  };
  const section = (name, rows) => (state.missing.has(name) ? { available: false } : page(rows));
  const scanned = ({ total, ...rest }) => rest;
  const one = (rows) => {
    const row = rows.find((each) => each.id === data.id);
    if (!row) throw refusal(404, "There is nothing of this id, or its time is over.", "gms.not_found");
    return { row, now: seconds() };
  };
  const chats = [...world.chats.values()].filter((chat) => !chat.closed).map((chat) => ({
    id: chat.chat, group: chat.group, nickname: chat.nickname, agents: chat.agent ? [chat.agent] : [], waiting: !chat.agent, since: chat.since, started: chat.started, service: chat.service, customer: chat.customer, reopened: chat.reopened,
  }));
  const waiting = chats.filter((chat) => chat.waiting);
  const calls = {
    hello: () => ({
      agent: { name: agent.name, display_name: agent.display_name, role: agent.role }, now: seconds(),
      available: Object.fromEntries(["nodes", "chats", "calls", "services", "sessions", "numbers", "subscriptions", "deliveries", "senders", "errors"].map((name) => [name, !state.missing.has(name)])),
    }),
    health: () => ({ ...state.health, now: seconds() }),
    traffic: () => {
      const last = Math.floor((seconds() - state.samples[0][0]) / 5);
      const all = !(data.after > 0 && data.after <= last);
      const fresh = all ? state.samples : state.samples.slice(-1).map(([, ...values]) => [seconds(), ...values]).slice(0, last - data.after);
      return { last, all, period_s: 5, span_s: 900, samples: fresh, series: SERIES.map(([name, rate]) => ({ name, rate, known: !state.missing.has(`traffic ${name}`) })), now: seconds() };
    },
    nodes: () => section("nodes", state.nodes),
    chats: () => ({ ...section("chats", chats), open: chats.length, waiting: waiting.length, longest_since: waiting.length ? Math.min(...waiting.map((chat) => chat.since)) : null }),
    chat: () => one(chats),
    agents: () => ({
      ...section("chats", [...world.agents.values()].map((each) => ({ name: each.name, display_name: each.display_name, role: each.role, enabled: each.enabled, state: each.state, chats: chats.filter((chat) => chat.agents.includes(each.name)).length }))),
      ready: [...world.agents.values()].filter((each) => each.state === "ready").length,
    }),
    services: () => scanned(section("services", state.services)),
    service: () => {
      const { row } = one(state.services);
      return { row: { ...row, life_s: 3600, storage: uuid(77), parameters: { _phone_number: "***", _provide_code: "true", ...state.parameters } }, now: seconds() };
    },
    sessions: () => ({
      ...scanned(section("sessions", state.sessions.map(({ data: _data, timers, operations, log, ...row }) => row))),
      live: state.sessions.length, awake: state.sessions.filter((row) => row.awake).length, started_total: 20418, ended_total: 20418 - state.sessions.length, away: state.away,
    }),
    session: () => one(state.sessions),
    calls: () => section("calls", state.calls),
    voice_groups: () => section("calls", state.voiceGroups),
    groups: () => section("numbers", state.groups),
    bookings: () => section("numbers", state.bookings.filter((row) => row.group === data.group).map(({ group, ...row }) => row)),
    subscriptions: () => scanned(section("subscriptions", state.subscriptions)),
    deliveries: () => scanned(section("deliveries", state.deliveries.map(({ results, ...row }) => row))),
    delivery: () => one(state.deliveries),
    senders: () => section("senders", state.senders),
    configuration: () => page(state.configuration),
    errors: () => ({ ...section("errors", state.errors), away: state.errorsAway ?? [] }),
  };
  if (!Object.hasOwn(calls, data.do)) throw refusal(400, "do: no such call.", "gms.invalid_request");
  world.asked?.(data);
  return calls[data.do]();
}
