/** What an id stands for: everything that may be seen of one thing, in a dialog. */
import { fill, h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean, cleanName } from "../lib/text.js";
import { dialog, emptyState, errorState, skeleton } from "../lib/ui.js";
import { exact, figure, idCell, left, mono, past, plainId, since, state, words } from "./format.js";
import { awake, callState, deliveryWord, direction, resultColumns, stateList, strikes } from "./sections.js";
import { DataTable } from "./table.js";

const pair = (label, ...value) => h("div", {}, h("dt", {}, label), h("dd", {}, value));
const list = (...pairs) => h("dl.detail-list", {}, pairs);
const yes = (value) => t(value ? "yes" : "no");

function service(row) {
  const parameters = Object.entries(row.parameters ?? {});
  return [list(
    pair(t("ops.col.id"), plainId(row.id)), pair(t("ops.col.name"), mono(row.name)), pair(t("ops.col.kind"), mono(row.service)),
    pair(t("ops.col.user"), words(row.user)), pair(t("ops.detail.created"), exact(row.created)), pair(t("ops.col.ends"), left(row.ends)),
    pair(t("ops.detail.idle"), yes(row.idle)), row.storage && pair(t("ops.detail.storage"), plainId(row.storage))),
  h("h3", {}, t("ops.detail.parameters")),
  parameters.length ? list(parameters.map(([name, value]) => pair(mono(name), mono(value)))) : h("p.muted", {}, t("ops.detail.none")),
  h("p.small.muted", {}, t("ops.detail.masked"))];
}

function chat(row) {
  return [list(
    pair(t("ops.col.chat"), plainId(row.id)), pair(t("ops.col.state"), row.waiting ? state("amber", t("ops.chat.waiting"), "clock") : state("green", t("ops.chat.active"), "chat")),
    pair(t("ops.col.group"), words(row.group)), pair(t("ops.col.customer"), words(row.nickname)), pair(t("ops.col.agents"), words((row.agents ?? []).join(", "))),
    pair(t("ops.detail.started"), exact(row.started)), pair(t("ops.col.since"), exact(row.since)), pair(t("ops.col.service"), idCell("services", row.service)))];
}

function subscription(row) {
  return [list(
    pair(t("ops.col.id"), plainId(row.id)), pair(t("ops.col.subscriber"), words(row.subscriber)), pair(t("ops.col.filter"), mono(row.filter)),
    pair(t("ops.col.type"), mono(row.type)), pair(t("ops.col.device"), mono(row.device)), pair(t("ops.col.provider"), mono(row.provider)),
    pair(t("ops.col.ends"), left(row.ends)), pair(t("ops.col.state"), row.enabled === false ? state("red", t("ops.sub.disabled")) : state("green", t("ops.sub.enabled"))))];
}

function delivery(row) {
  const results = (row.results ?? []).map((each, index) => ({ ...each, key: String(index) }));
  const table = new DataTable({
    name: "results", label: "ops.detail.results", columns: resultColumns, keyOf: (each) => each.key, size: 20,
    empty: { icon: "send", title: "ops.results.empty", text: "ops.results.empty.text" },
    load: () => {
      const request = table.model.request();
      const wanted = (request.text ?? "").toLowerCase();
      const found = results.filter((each) => !wanted || Object.values(each).some((value) => String(value).toLowerCase().includes(wanted)));
      table.take({ rows: found, next: null, total: found.length }, request);
    },
  });
  table.load();
  return [list(
    pair(t("ops.col.id"), plainId(row.id)), pair(t("ops.col.tag"), mono(row.tag)), pair(t("ops.col.at"), exact(row.at)),
    pair(t("ops.col.devices"), figure(row.devices ?? 0)), pair(t("ops.col.outcome"), deliveryWord(row))),
  h("h3", {}, t("ops.detail.results")), table.element];
}

/** A short list with headings; an honest word where there is nothing. @param {Array<[string, (row: *) => *]>} columns */
function shortTable(label, rows, columns, none) {
  if (!rows?.length) return [h("h3", {}, t(label)), h("p.muted", {}, t(none))];
  return [h("h3", {}, t(label)), h("div.table-scroll", { tabindex: "0", role: "region", aria: { label: t(label) } }, h("table.table", { role: "table", aria: { label: t(label) } },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map(([heading]) => h("th", { scope: "col", role: "columnheader" }, t(heading))))),
    h("tbody", { role: "rowgroup" }, rows.slice(0, 200).map((row) => h("tr", { role: "row" }, columns.map(([heading, cell]) => h("td", { role: "cell", dataset: { label: t(heading) } }, h("div.cell", {}, cell(row)))))))))];
}

const LEVELS = { warn: "amber", warning: "amber", error: "red", critical: "red" };

function session(row) {
  const data = Object.entries(row.data ?? {});
  return [list(
    pair(t("ops.col.session"), plainId(row.id)), pair(t("ops.col.application"), mono(row.application)), pair(t("ops.col.service"), idCell("services", row.service)),
    pair(t("ops.col.states"), stateList(row.states)), pair(t("ops.col.state"), awake(row)), pair(t("ops.detail.started"), exact(row.started)), pair(t("ops.col.ends"), left(row.ends)),
    row.node && pair(t("ops.col.node"), cleanName(row.node, 10)), pair(t("ops.col.events"), figure(Number(row.events) || 0)), pair(t("ops.col.pending"), figure(Number(row.pending) || 0)), pair(t("ops.col.strikes"), strikes(row.strikes))),
  ...shortTable("ops.detail.timers", row.timers, [["ops.col.event", (each) => mono(each.event)], ["ops.col.in", (each) => left(each.at)]], "ops.detail.timers.none"),
  ...shortTable("ops.detail.operations", row.operations, [["ops.col.module", (each) => mono(each.module)], ["ops.col.element", (each) => mono(each.element)], ["ops.col.since", (each) => since(each.since)]], "ops.detail.operations.none"),
  h("h3", {}, t("ops.detail.data")),
  data.length ? list(data.map(([name, value]) => pair(mono(name), mono(typeof value === "string" ? value : JSON.stringify(value), 400)))) : h("p.muted", {}, t("ops.detail.none")),
  h("p.small.muted", {}, t("ops.detail.masked")),
  ...shortTable("ops.detail.log", row.log, [["ops.col.at", (each) => past(each.at)], ["ops.col.level", (each) => h("span.chip", { class: LEVELS[each.level] ?? "" }, cleanName(each.level, 20))],
    ["ops.col.what", (each) => h("span", { dir: "auto" }, clean(each.text, 500))]], "ops.detail.log.none")];
}

function call(row) {
  return [list(
    pair(t("ops.col.call"), plainId(row.call)), pair(t("ops.col.state"), callState(row.state)), pair(t("ops.col.direction"), direction(row.direction)), pair(t("ops.col.number"), mono(row.number)),
    pair(t("ops.col.dialled"), mono(row.dnis)), pair(t("ops.col.group"), words(row.group)), pair(t("ops.col.agent"), words(row.agent)), pair(t("ops.detail.started"), exact(row.since)),
    row.answered && pair(t("ops.col.answered"), exact(row.answered)), row.ended && pair(t("ops.col.ended"), exact(row.ended)),
    pair(t("ops.col.service"), idCell("services", row.service)), row.service_name && pair(t("ops.col.name"), mono(row.service_name)))];
}

/** By section: the title, the call, and the body. */
const KINDS = {
  services: { title: "ops.detail.service", question: (id) => ({ do: "service", id }), row: (answer) => answer.row, body: service },
  chats: { title: "ops.detail.chat", question: (id) => ({ do: "chat", id }), row: (answer) => answer.row, body: chat },
  calls: { title: "ops.detail.call", question: (id) => ({ do: "calls", text: id, limit: 5 }), row: (answer, id) => answer.rows?.find((row) => row.call === id), body: call },
  sessions: { title: "ops.detail.session", question: (id) => ({ do: "session", id }), row: (answer) => answer.row, body: session },
  subscriptions: { title: "ops.detail.subscription", question: (id) => ({ do: "subscriptions", text: id, limit: 5 }), row: (answer, id) => answer.rows?.find((row) => row.id === id), body: subscription },
  deliveries: { title: "ops.detail.delivery", question: (id) => ({ do: "delivery", id }), row: (answer) => answer.row, body: delivery },
};

export const hasDetails = (section) => Object.hasOwn(KINDS, section);

/**
 * Show one thing.
 * @param {import("./ops.js").Ops} page @returns {{close: () => void, closed: Promise<*>}}
 */
export function showDetails(page, section, id) {
  const kind = KINDS[section];
  const place = h("div.details", {}, skeleton(5));
  const gone = () => emptyState("search", t("ops.detail.gone"), t("ops.detail.gone.text"), h("p.mono", {}, cleanName(id, 100)));
  const load = async () => {
    fill(place, skeleton(5));
    try {
      const row = kind.row(await page.call(kind.question(id)), id);
      fill(place, row ? kind.body(row) : gone());
    } catch (error) {
      fill(place, error.detail?.exception === "gms.not_found" ? gone() : errorState(page.words(error), () => void load()));
    }
  };
  let close = () => {};
  const closed = dialog(t(kind.title), (end) => {
    close = end;
    return [place];
  }, "wide");
  void load();
  return { close: () => close(), closed };
}

