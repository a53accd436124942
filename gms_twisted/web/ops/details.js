/** What an id stands for: everything that may be seen of one thing, in a dialog. */
import { fill, h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { dialog, emptyState, errorState, skeleton } from "../lib/ui.js";
import { exact, figure, idCell, left, mono, plainId, state, words } from "./format.js";
import { deliveryWord, resultColumns } from "./sections.js";
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

/** By section: the title, the call, and the body. */
const KINDS = {
  services: { title: "ops.detail.service", question: (id) => ({ do: "service", id }), row: (answer) => answer.row, body: service },
  chats: { title: "ops.detail.chat", question: (id) => ({ do: "chat", id }), row: (answer) => answer.row, body: chat },
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

