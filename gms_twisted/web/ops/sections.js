/** The sections that are tables: their columns, and what the server is asked for. */
import { h } from "../lib/dom.js";
import { currentLocale, t } from "../lib/i18n.js";
import { clean, cleanName, fileSize } from "../lib/text.js";
import { address, certificateLevel, deliveryState, lagLevel, nodeState, poolLevel } from "./model.js";
import { copyButton, delay, figure, idCell, left, mono, past, since, state, words } from "./format.js";

const text = (key, label, more = {}) => ({ key, label, cell: (row) => words(row[key]), ...more });
const code = (key, label, more = {}) => ({ key, label, cell: (row) => mono(row[key]), ...more });
const amount = (key, label, more = {}) => ({ key, label, number: true, cell: (row) => (row[key] === null || row[key] === undefined ? "\u2013" : figure(Number(row[key]))), ...more });
const time = (key, label, show, more = {}) => ({ key, label, cell: (row) => show(row[key]), ...more });
const id = (key, label, section, more = {}) => ({ key, label, cell: (row) => idCell(section, row[key]), ...more });

/** Which node a row is of, where there are several. */
const atNode = (row) => (row.node ? h("span.small.muted.at-node", {}, t("ops.node.at", { node: cleanName(row.node, 10) })) : null);

export const deliveryWord = (row) => {
  const word = deliveryState(row);
  return state({ delivered: "green", partly: "amber", failed: "red" }[word] ?? "", t(`ops.delivery.${word}`));
};

export const certificate = (days) => {
  const level = certificateLevel(days);
  return level ? state(level, days < 0 ? t("ops.cert.over") : t("ops.days", { n: Math.floor(days) })) : "\u2013";
};

const circuit = (word) => state({ closed: "green", "half-open": "amber", open: "red" }[word] ?? "", word ? t(`ops.circuit.${["closed", "half-open", "open"].includes(word) ? word : "closed"}`) : "\u2013");

/** A bar for how many of a group's numbers are taken. */
function meter(row) {
  const all = Number(row.numbers) || 0;
  const held = Number(row.held) || 0;
  const fillBar = h("span.meter-fill", { class: poolLevel(row) });
  fillBar.style.inlineSize = `${all ? Math.min(100, (held / all) * 100) : 0}%`;
  return h("span.meter", { aria: { hidden: "true" } }, fillBar);
}

const nodeWord = (row) => {
  const word = nodeState(row);
  const level = { ok: "green", away: "red", silent: "red" }[word] ?? "amber";
  return state(level, t({ ok: "ops.part.ok", ill: "ops.part.bad", away: "ops.node.away", silent: "ops.node.silent" }[word] ?? `ops.status.${word}`));
};

export const nodeColumns = [
  {
    key: "node", label: "ops.col.node", sign: (row) => [row.node, row.home, row.here],
    cell: (row) => h("span.node-name", {}, h("strong", {}, cleanName(row.node, 10)), row.home && h("span.chip.home", {}, t("ops.node.home")), row.here && !row.home && h("span.chip", {}, t("ops.node.here"))),
  },
  { key: "state", label: "ops.col.state", value: nodeState, sign: nodeState, cell: nodeWord },
  text("address", "ops.col.address"),
  time("started", "ops.fact.uptime", since),
  {
    key: "configured", label: "ops.configuration", sign: (row) => [row.configured, row.refused],
    cell: (row) => (row.refused ? h("span", { title: clean(row.refused, 300) }, state("amber", t("connection.refused"))) : since(row.configured)),
  },
  {
    key: "lag_s", label: "ops.col.lag", number: true,
    cell: (row) => {
      if (!Number.isFinite(row.lag_s)) return "\u2013";
      const level = lagLevel(row.lag_s);
      return level ? state(level, delay(row.lag_s)) : delay(row.lag_s);
    },
  },
  { key: "memory_bytes", label: "ops.col.memory", number: true, cell: (row) => (Number.isFinite(row.memory_bytes) ? fileSize(row.memory_bytes, currentLocale()) : "\u2013") },
  amount("shards", "ops.col.shards"),
  amount("bayeux", "ops.col.bayeux"),
  amount("users", "ops.col.users"),
  amount("deliveries", "ops.col.deliveries"),
  amount("chats", "ops.col.chats"),
  amount("orchestration", "ops.col.scxml"),
];

export const chatColumns = [
  id("id", "ops.col.chat", "chats"),
  { key: "waiting", label: "ops.col.state", cell: (row) => (row.waiting ? state("amber", t("ops.chat.waiting"), "clock") : state("green", t("ops.chat.active"), "chat")) },
  text("group", "ops.col.group"),
  text("nickname", "ops.col.customer"),
  { key: "agents", label: "ops.col.agents", value: (row) => (row.agents ?? []).join(", "), cell: (row) => words((row.agents ?? []).join(", ")) },
  time("since", "ops.col.since", since),
  id("service", "ops.col.service", "services"),
];

export const agentColumns = [
  text("display_name", "ops.col.name"),
  code("name", "ops.col.login"),
  { key: "role", label: "ops.col.role", cell: (row) => t(row.role === "operator" ? "role.operator" : "role.agent") },
  {
    key: "state", label: "ops.col.state", sign: (row) => [row.state, row.enabled],
    cell: (row) => (row.enabled === false ? state("", t("agent.disabled")) : state({ ready: "green", away: "amber" }[row.state] ?? "", t(`agent.${["ready", "away"].includes(row.state) ? row.state : "offline"}`))),
  },
  amount("chats", "ops.col.chats"),
];

export const serviceColumns = [
  id("id", "ops.col.id", "services"),
  code("name", "ops.col.name"),
  code("service", "ops.col.kind"),
  text("user", "ops.col.user"),
  time("created", "ops.col.age", since),
  { key: "ends", label: "ops.col.ends", sign: (row) => [row.ends, row.idle], cell: (row) => [left(row.ends), row.idle ? h("span.muted.small", {}, ` ${t("ops.idle")}`) : null] },
];

/** The states that a session is in: as many as its chart has regions. @param {number} most  That are shown. */
export const stateList = (states, most = 50) => {
  const names = (states ?? []).map((each) => cleanName(each, 60)).filter(Boolean);
  return names.length ? h("span.state-list", {}, names.slice(0, most).map((name) => h("code.chip", { dir: "auto" }, name)), names.length > most && h("span.small.muted", { title: names.slice(most).join(", ") }, `+${figure(names.length - most)}`)) : "\u2013";
};

export const awake = (row) => state(row.awake ? "green" : "", t(row.awake ? "ops.session.awake" : "ops.session.asleep"), row.awake ? "bolt" : "moon");

/** Limits that a session ran into: more than none is worth a look. */
export const strikes = (count) => (count > 0 ? state("amber", figure(count)) : figure(Number(count) || 0));

export const sessionColumns = [
  {
    key: "id", label: "ops.col.session", sign: (row) => [row.id, row.node],
    cell: (row) => [idCell("sessions", row.id), atNode(row)],
  },
  code("application", "ops.col.application"),
  { key: "states", label: "ops.col.states", value: (row) => (row.states ?? []).join(" "), cell: (row) => stateList(row.states, 2) },
  { key: "awake", label: "ops.col.state", cell: awake },
  id("service", "ops.col.service", "services"),
  amount("events", "ops.col.events"),
  amount("pending", "ops.col.pending"),
  { key: "strikes", label: "ops.col.strikes", number: true, cell: (row) => strikes(row.strikes) },
  time("started", "ops.col.age", since),
  time("ends", "ops.col.ends", left),
];

export const callState = (word) => {
  const known = ["dialing", "waiting", "ringing", "talking"].includes(word) ? word : "ended";
  return state({ waiting: "amber", ringing: "amber", talking: "green" }[known] ?? "", t(`ops.call.state.${known}`), { dialing: "phone", waiting: "clock", ringing: "bell", talking: "phone", ended: "check" }[known]);
};

export const direction = (word) => t(word === "outbound" ? "ops.call.to" : "ops.call.from");

export const callColumns = [
  id("call", "ops.col.call", "calls"),
  { key: "state", label: "ops.col.state", cell: (row) => callState(row.state) },
  { key: "direction", label: "ops.col.direction", cell: (row) => direction(row.direction) },
  code("number", "ops.col.number"),
  code("dnis", "ops.col.dialled"),
  text("group", "ops.col.group"),
  text("agent", "ops.col.agent"),
  time("since", "ops.col.since", since),
  id("service", "ops.col.service", "services"),
];

export const voiceGroupColumns = [
  text("name", "ops.col.group"),
  amount("agents", "ops.col.agents"),
  { key: "ready", label: "ops.col.ready", number: true, sign: (row) => [row.ready, row.waiting], cell: (row) => (row.waiting > 0 && !row.ready ? state("red", figure(0)) : figure(Number(row.ready) || 0)) },
  { key: "waiting", label: "ops.col.waiting", number: true, cell: (row) => (row.waiting > 0 ? state("amber", figure(row.waiting), "clock") : figure(0)) },
  time("longest_since", "ops.col.longest", since),
];

export const groupColumns = [
  { key: "name", label: "ops.col.group", cell: (row) => h("a", { href: address("numbers", row.name) }, h("bdi", {}, cleanName(row.name, 80))) },
  code("strategy", "ops.col.strategy"),
  amount("numbers", "ops.col.numbers"),
  { key: "held", label: "ops.col.held", number: true, sign: (row) => [row.held, row.numbers], cell: (row) => [meter(row), h("span.of-meter", {}, figure(Number(row.held) || 0))] },
  amount("free", "ops.col.free"),
  {
    key: "level", label: "ops.col.state", value: (row) => (row.numbers ? row.free / row.numbers : null), sign: (row) => [row.free, row.numbers],
    cell: (row) => {
      const level = poolLevel(row);
      return level ? state(level, t(`ops.pool.${level}`)) : "\u2013";
    },
  },
];

export const bookingColumns = [
  code("number", "ops.col.number"),
  id("service", "ops.col.booking", "services"),
  code("phone", "ops.col.phone"),
  code("code", "ops.col.code"),
  time("until", "ops.col.until", left),
];

export const subscriptionColumns = [
  id("id", "ops.col.id", "subscriptions"),
  text("subscriber", "ops.col.subscriber"),
  code("filter", "ops.col.filter"),
  code("type", "ops.col.type"),
  code("device", "ops.col.device"),
  code("provider", "ops.col.provider"),
  time("ends", "ops.col.ends", left),
  { key: "enabled", label: "ops.col.state", cell: (row) => (row.enabled === false ? state("red", t("ops.sub.disabled")) : state("green", t("ops.sub.enabled"))) },
];

export const deliveryColumns = [
  id("id", "ops.col.id", "deliveries"),
  time("at", "ops.col.at", past),
  code("tag", "ops.col.tag"),
  amount("devices", "ops.col.devices"),
  amount("delivered", "ops.col.delivered"),
  amount("failed", "ops.col.failed"),
  { key: "outcome", label: "ops.col.outcome", value: deliveryState, sign: (row) => [row.devices, row.delivered, row.failed], cell: deliveryWord },
];

export const resultColumns = [
  id("subscription", "ops.col.subscription", "subscriptions"),
  code("type", "ops.col.type"),
  {
    key: "status", label: "ops.col.outcome", sign: (row) => [row.status, row.unsubscribed],
    cell: (row) => {
      const word = ["delivered", "failed", "pending"].includes(row.status) ? row.status : "open";
      return [state({ delivered: "green", failed: "red" }[word] ?? "amber", t(`ops.delivery.${word}`), { pending: "clock", open: "clock" }[word]), row.unsubscribed ? h("span.chip", {}, t("ops.unsubscribed")) : null];
    },
  },
  text("reason", "ops.col.reason"),
  amount("attempts", "ops.col.attempts"),
];

export const senderColumns = [
  code("transport", "ops.col.transport"),
  code("provider", "ops.col.provider"),
  { key: "debug", label: "ops.col.debug", cell: (row) => t(row.debug ? "yes" : "no") },
  { key: "circuit", label: "ops.col.circuit", cell: (row) => circuit(row.circuit) },
  amount("queue", "ops.col.queue"),
  amount("in_flight", "ops.col.inflight"),
  { key: "days_left", label: "ops.col.cert", cell: (row) => certificate(row.days_left) },
  text("last_error", "ops.col.error"),
];

export const configColumns = [
  code("section", "ops.col.section"),
  code("option", "ops.col.option"),
  {
    key: "value", label: "ops.col.value",
    cell: (row) => (row.value === "***" ? h("span.muted", {}, "***") : row.value === "" ? h("span.muted", {}, t("ops.config.empty")) : mono(row.value, 1000)),
  },
];

const LEVELS = { warn: "amber", error: "red", critical: "red" };

export const errorColumns = [
  time("at", "ops.col.at", past),
  { key: "level", label: "ops.col.level", cell: (row) => state(LEVELS[row.level] ?? "amber", t(LEVELS[row.level] === "red" ? "ops.level.error" : "ops.level.warn")) },
  { key: "who", label: "ops.col.who", sign: (row) => [row.who, row.node], cell: (row) => [mono(row.who), atNode(row)] },
  {
    key: "text", label: "ops.col.what", plain: true, sign: (row) => [row.id],
    cell: (row) => (row.traceback || String(row.text).includes("\n")
      ? h("details.trace", {}, h("summary", {}, clean(String(row.text).split("\n")[0], 300)),
        h("div.trace-body", {}, h("pre", { tabindex: "0" }, clean([row.text, row.traceback].filter(Boolean).join("\n"), 8000)), copyButton([row.text, row.traceback].filter(Boolean).join("\n"))))
      : h("span", { dir: "auto" }, clean(row.text, 1000))),
  },
];

