/** The two sections that are pictures: health and traffic. */
import { fill, h, icon, reconcile } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean, cleanName } from "../lib/text.js";
import { clockTime } from "../lib/times.js";
import { errorState, skeleton } from "../lib/ui.js";
import { detail, exact, figure, past, since, state } from "./format.js";
import { address, Samples } from "./model.js";
import { geometry, indexAt, sparkline } from "./spark.js";

const SERIES = ["requests", "deliveries", "held", "clients", "publishes", "pushes"];
const PARTS = new Set(["storage", "bayeux", "push", "chat", "store", "access-numbers", "localization", "orchestration", "contact-centre", "cluster"]);
/** Details that say nothing to a reader. */
const UNTOLD = new Set(["run"]);
const partName = (name) => (PARTS.has(name) ? t(`ops.part.${name}`) : cleanName(name));

/** A detail that is a table, `{NAME: {...}}`, has a line for each of its names. */
function pairsOf(details) {
  const table = (value) => value && typeof value === "object" && !Array.isArray(value) && Object.values(value).every((one) => one && typeof one === "object");
  return Object.entries(details).flatMap(([key, value]) => (table(value) ? Object.entries(value) : [[key, value]]));
}

/** What is wrong, in one line. */
function verdict(health) {
  if (health.ok) return t("ops.health.good");
  if (health.status === "draining") return t("ops.health.draining");
  if (health.status === "read-only") return t("ops.health.readonly");
  const parts = health.parts.filter((part) => !part.ok).map((part) => partName(part.name));
  const nodes = (health.ill ?? []).map((node) => t("ops.node.at", { node: cleanName(node, 10) }));
  return t("ops.health.bad", { parts: [...parts, ...nodes].join(", ") });
}

/** Something from the server that may be there, failing or still to come. */
class View {
  constructor(page, name) {
    Object.assign(this, { page, name, data: null, failure: null });
    this.place = h("div", {}, skeleton(4));
    this.problem = h("div.table-problem", { role: "status" });
    this.element = h("div", {}, this.problem, this.place);
  }

  async ask() {
    try {
      this.take(await this.page.call({ do: this.name, ...this.question() }));
      this.failure = null;
      this.page.settle();
    } catch (error) {
      this.failure = this.page.words(error);
      this.page.settle();
      if (this.page.isLost(error)) return;
      if (!this.known && this.shownFailure !== this.failure) {
        this.shownFailure = this.failure;
        fill(this.place, errorState(this.failure, () => this.page.refresh(this.name)));
      }
    }
    this.drawProblem();
  }

  question() {
    return {};
  }

  drawProblem() {
    const text = this.known && this.failure ? this.failure : "";
    if (this.shownProblem === text) return;
    this.shownProblem = text;
    fill(this.problem, text && [icon("alert", "small"), h("span", { dir: "auto" }, t("ops.stale", { reason: text })),
      h("button.link-button", { type: "button", onclick: () => this.page.refresh(this.name) }, t("retry"))]);
  }
}

export class HealthView extends View {
  constructor(page) {
    super(page, "health");
    this.known = false;
  }

  take(told) {
    // All is well when it is at every node; since when another one is not, this one does not know.
    const elsewhere = told.ok && Boolean(told.ill?.length);
    const health = { ...told, ok: told.ok && !elsewhere, since: elsewhere ? null : told.since };
    this.page.setHealth(health, verdict(health));
    if (!this.known) this.build();
    const level = health.ok ? "green" : "red";
    const line = `${level}${verdict(health)}${health.since}`;
    if (this.line !== line) {
      this.line = line;
      this.big.className = `verdict ${level}`;
      fill(this.big, icon(health.ok ? "check" : "alert", "large"), h("div", {}, h("p.verdict-line", {}, verdict(health)),
        health.since !== null && h("p.verdict-since", {}, `${t("ops.since")} `, exact(health.since))));
    }
    reconcile(this.parts, health.parts, (part) => part.name, (part, old) => this.part(part, old));
    this.drawFacts(health);
    this.drawChanges(health.changes);
  }

  build() {
    this.known = true;
    this.big = h("div", { role: "status" });
    this.parts = h("ul.parts");
    this.facts = h("dl.facts");
    this.changes = h("ol.changes");
    this.history = h("details.history", {}, h("summary", {}, t("ops.health.history")), this.changes);
    fill(this.place, this.big, this.parts, this.facts, this.history);
  }

  part(part, old) {
    const element = old ?? h("li.part");
    const sign = JSON.stringify(part);
    if (element.dataset.sign === sign) return element;
    element.dataset.sign = sign;
    return fill(element, h("div.part-head", {}, h("h3", {}, partName(part.name)), state(part.ok ? "green" : "red", t(part.ok ? "ops.part.ok" : "ops.part.bad"))),
      h("p.small.muted", {}, `${t("ops.since")} `, past(part.since)),
      h("dl.pairs", {}, pairsOf(part.details ?? {}).filter(([key]) => !UNTOLD.has(key)).map(([key, value]) =>
        h("div", {}, h("dt", {}, cleanName(key).replace(/_s$/, "").replaceAll("_", " ")), h("dd", {}, detail(key, value))))));
  }

  drawFacts({ facts = {}, started, parts }) {
    const { nodes, node } = parts.find((part) => part.name === "cluster")?.details ?? {};
    const count = Array.isArray(nodes) ? nodes.length : 0;
    const sign = JSON.stringify([facts, started, count, node]);
    if (this.factsSign === sign) return;
    this.factsSign = sign;
    const pair = (label, ...value) => h("div", {}, h("dt", {}, label), h("dd", {}, value));
    fill(this.facts, count > 0 && pair(t("ops.nodes"), h("a", { href: address("nodes") }, t("ops.nodes.count", { n: count })), h("span.small.muted", {}, ` ${t("ops.nodes.shown", { node: cleanName(node, 10) })}`)),
      pair(t("ops.fact.uptime"), since(started)),
      facts.version && pair(t("ops.fact.version"), cleanName(facts.version)),
      facts.identity_mode && pair(t("ops.fact.identity"), h("code", {}, cleanName(facts.identity_mode))),
      facts.store && pair(t("ops.fact.store"), h("code", {}, cleanName(facts.store))),
      facts.listeners && pair(t("ops.fact.listeners"), facts.listeners.map((url) => h("code.address", {}, clean(url, 200)))));
  }

  drawChanges(changes = []) {
    this.history.hidden = !changes.length;
    const sign = JSON.stringify(changes);
    if (this.changesSign === sign) return;
    this.changesSign = sign;
    const name = (what) => (["ready", "draining", "read-only"].includes(what) ? t(`ops.status.${what}`) : partName(what));
    fill(this.changes, changes.map(({ at, what, ok }) => h("li", {}, past(at), state(ok ? "green" : "red", name(what)))));
  }
}

export class TrafficView extends View {
  constructor(page) {
    super(page, "traffic");
    this.samples = new Samples();
    this.known = false;
    this.cards = new Map();
    // The frame is there from the start, so that nothing moves when the numbers come.
    this.grid = h("ul.traffic");
    fill(this.place, this.grid);
    this.draw(SERIES.map((name) => ({ name, rate: false, known: true })));
  }

  question() {
    return { after: this.samples.last };
  }

  take(answer) {
    this.samples.take(answer);
    if (!this.known) fill(this.place, this.grid);
    this.known = true;
    this.draw(this.samples.series);
  }

  draw(series) {
    const shown = series.map((each, index) => ({ ...each, index }));
    reconcile(this.grid, shown, (each) => each.name, (each, old) => this.card(each, old));
  }

  card(series, old) {
    let card = this.cards.get(series.name);
    if (!old || !card) {
      card = this.build(series);
      this.cards.set(series.name, card);
    }
    card.values = this.samples.values(series.index);
    card.times = this.samples.samples.map((sample) => sample[0]);
    const sign = `${series.known}${series.rate}${this.samples.last}`;
    if (card.sign === sign) return card.element;
    card.sign = sign;
    card.element.classList.toggle("unknown", !series.known);
    const { highest, average } = geometry(card.values, this.samples.most);
    fill(card.picture, sparkline(series.known ? card.values : [], this.samples.most), card.cursor);
    const latest = card.values.at(-1);
    const unit = series.rate ? t("ops.per.second") : "";
    card.unit = unit;
    fill(card.value, series.known ? [latest === undefined ? "\u2013" : figure(latest), unit && h("span.unit", {}, ` ${unit}`)] : h("span.muted.small", {}, t("ops.missing.title")));
    card.picture.setAttribute("aria-label", series.known && latest !== undefined
      ? t("ops.spark", { name: t(`ops.traffic.${series.name}`), now: `${figure(latest)} ${unit}`.trim(), average: figure(average), highest: figure(highest) }) : t(`ops.traffic.${series.name}`));
    card.foot.textContent = series.known ? t("ops.spark.foot", { average: figure(average), highest: figure(highest) }) : "\u00a0";
    return card.element;
  }

  build(series) {
    const cursor = h("span.spark-cursor", { hidden: true });
    const reading = h("span.spark-reading.small.muted");
    const card = {
      cursor, value: h("p.traffic-value"), foot: h("p.small.muted"), values: [], times: [],
      picture: h("div.spark", { role: "img", tabindex: "0" }),
    };
    card.element = h("li.traffic-card", {}, h("div.traffic-head", {}, h("h3", {}, t(`ops.traffic.${series.name}`)), reading), card.value, card.picture, card.foot);
    let place = null;
    const show = () => {
      const known = place !== null && card.values[place] !== undefined;
      cursor.hidden = !known;
      reading.textContent = known ? `${clockTime(card.times[place])}: ${figure(card.values[place])} ${card.unit}`.trim() : "";
      if (known) cursor.style.insetInlineStart = `${((place + this.samples.most - card.values.length) / (this.samples.most - 1)) * 100}%`;
    };
    const leave = () => {
      place = null;
      show();
    };
    card.picture.addEventListener("pointermove", (event) => {
      const { left, width } = card.picture.getBoundingClientRect();
      place = indexAt((event.clientX - left) / width, card.values.length, this.samples.most);
      show();
    });
    card.picture.addEventListener("pointerleave", leave);
    card.picture.addEventListener("blur", leave);
    card.picture.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !card.values.length) return;
      event.preventDefault();
      place = Math.min(card.values.length - 1, Math.max(0, (place ?? card.values.length) + step));
      show();
    });
    return card;
  }
}

