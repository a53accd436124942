/** The sections that are tables, live. */
import { fill, h, icon } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { figure, since } from "./format.js";
import { nodeSums } from "./model.js";
import * as sections from "./sections.js";
import { DataTable } from "./table.js";

/** One table and the call that fills it. */
class Feed {
  /** @param {import("./ops.js").Ops} page @param {string} section @param {*} options  Of the table; `call` names what is asked. */
  constructor(page, section, { call, more = () => ({}), taken = () => {}, ...options }) {
    Object.assign(this, { page, section, call, more, taken });
    this.table = new DataTable({ name: call, load: () => page.refresh(section), ...options });
    this.element = this.table.element;
  }

  async ask() {
    const request = this.table.model.request();
    const more = this.more();
    try {
      const answer = await this.page.call({ do: this.call, ...request, ...more });
      if (JSON.stringify(this.more()) !== JSON.stringify(more)) return;
      this.table.take(answer, request);
      this.taken(answer);
    } catch (error) {
      if (!this.page.isLost(error) || !this.table.loadedOnce) this.table.failed(this.page.words(error));
    }
  }
}

/** A section with one table. */
class TableView {
  constructor(page, name, options) {
    this.feed = new Feed(page, name, { label: `ops.${name}`, ...options });
    this.element = this.feed.element;
  }

  ask() {
    return this.feed.ask();
  }
}

/** Figures above a table: `[label, value, level]` each. */
function figureList(place, pairs) {
  fill(place, pairs.map(([label, value, level = ""]) => h("div", { class: level }, h("dt", {}, t(label)), h("dd", {}, value ?? "\u2013"))));
}

const amount = (value) => (Number.isFinite(value) ? figure(value) : null);

/** The processes that are one GMS. */
class NodesView {
  constructor(page) {
    this.figures = h("dl.figures");
    this.alone = h("p.small.muted", { hidden: true }, t("ops.nodes.alone"));
    this.feed = new Feed(page, "nodes", {
      call: "nodes", label: "ops.nodes", columns: sections.nodeColumns, keyOf: (row) => String(row.node), sort: { key: "node" },
      empty: { icon: "nodes", title: "ops.nodes.empty", text: "ops.nodes.empty.text" },
      taken: (answer) => this.draw(answer),
    });
    this.element = h("div", {}, this.figures, this.feed.element, this.alone);
    this.draw({});
  }

  draw({ available, rows }) {
    this.figures.hidden = available === false;
    // What a filter leaves is not all there is.
    if (rows && this.feed.table.model.text) return;
    this.alone.hidden = !(rows?.length === 1 && rows[0].shards === null);
    const { nodes, silent, bayeux, orchestration, deliveries } = rows ? nodeSums(rows) : {};
    const sign = JSON.stringify([nodes, silent, bayeux, orchestration, deliveries]);
    if (this.sign === sign) return;
    this.sign = sign;
    figureList(this.figures, [["ops.nodes", amount(nodes)], ["ops.nodes.silent", amount(silent), silent ? "red" : ""], ["ops.traffic.clients", amount(bayeux)],
      ["ops.detail.sessions", amount(orchestration)], ["ops.nodes.deliveries", amount(deliveries)]]);
  }

  ask() {
    return this.feed.ask();
  }
}

/** What the logs of all nodes say is wrong. */
class ErrorsView {
  constructor(page) {
    this.feed = new Feed(page, "errors", {
      call: "errors", label: "ops.errors", columns: sections.errorColumns, keyOf: (row) => `${row.node}/${row.id}`,
      empty: { icon: "check", title: "ops.errors.empty", text: "ops.errors.empty.text" },
      taken: (answer) => this.drawAway(answer.away ?? []),
    });
    this.away = h("div.table-problem", { role: "status" });
    this.element = h("div", {}, this.away, this.feed.element);
  }

  /** Nodes whose lines are missing. */
  drawAway(nodes) {
    const names = nodes.map((node) => t("ops.node.at", { node: cleanName(node, 10) })).join(", ");
    const text = names && `${t("ops.node.silent")}: ${names}`;
    if (this.away.textContent === text) return;
    fill(this.away, text && [icon("alert", "small"), h("span", {}, text)]);
  }

  ask() {
    return this.feed.ask();
  }
}

/** The state charts that run. */
class SessionsView {
  constructor(page) {
    this.figures = h("dl.figures");
    this.feed = new Feed(page, "sessions", {
      call: "sessions", label: "ops.sessions", columns: sections.sessionColumns, keyOf: (row) => row.id, search: "ops.sessions.search",
      empty: { icon: "flow", title: "ops.sessions.empty", text: "ops.sessions.empty.text" },
      taken: (answer) => this.draw(answer),
    });
    this.away = h("div.table-problem", { role: "status" });
    this.element = h("div", {}, this.figures, this.away, this.feed.element);
    this.draw({});
  }

  draw({ available, live, awake, started_total: started, ended_total: ended, away }) {
    this.figures.hidden = available === false;
    this.drawAway(away ?? []);
    const sign = JSON.stringify([live, awake, started, ended]);
    if (this.sign === sign) return;
    this.sign = sign;
    figureList(this.figures, [["ops.sessions.live", amount(live)], ["ops.sessions.awake", amount(awake)], ["ops.sessions.started", amount(started)], ["ops.sessions.ended", amount(ended)]]);
  }

  /** Nodes whose sessions are missing. */
  drawAway(nodes) {
    const text = nodes.length ? t("ops.sessions.away", { n: nodes.length, nodes: nodes.map((node) => cleanName(node, 10)).join(", ") }) : "";
    if (this.away.textContent === text) return;
    fill(this.away, text && [icon("alert", "small"), h("span", {}, text)]);
  }

  ask() {
    return this.feed.ask();
  }
}

/** Agent groups and the calls in them. */
class CallsView {
  constructor(page) {
    this.groups = new Feed(page, "calls", {
      call: "voice_groups", label: "ops.calls.groups", columns: sections.voiceGroupColumns, keyOf: (row) => row.name, sort: { key: "waiting", descending: true },
      empty: { icon: "users", title: "ops.calls.groups.empty", text: "ops.calls.groups.empty.text" },
      taken: ({ available }) => { this.rest.hidden = available === false; },
    });
    this.calls = new Feed(page, "calls", {
      call: "calls", label: "ops.calls.list", columns: sections.callColumns, keyOf: (row) => row.call, sort: { key: "since" }, search: "ops.calls.search",
      empty: { icon: "phone", title: "ops.calls.empty", text: "ops.calls.empty.text" },
    });
    this.rest = h("div", {}, h("h3.subtitle", {}, t("ops.calls.list")), this.calls.element);
    this.element = h("div", {}, this.groups.element, this.rest);
  }

  async ask() {
    await Promise.all([this.groups.ask(), this.calls.ask()]);
  }
}

/** What is open, who waits, who answers. */
class ChatsView {
  constructor(page) {
    this.figures = h("dl.figures");
    this.chats = new Feed(page, "chats", {
      call: "chats", label: "ops.chats", columns: sections.chatColumns, keyOf: (row) => row.id,
      empty: { icon: "chat", title: "ops.chats.empty", text: "ops.chats.empty.text" },
      taken: (answer) => this.draw(answer),
    });
    this.agents = new Feed(page, "chats", {
      call: "agents", label: "ops.agents", columns: sections.agentColumns, keyOf: (row) => row.name, sort: { key: "state", descending: true },
      empty: { icon: "users", title: "ops.agents.empty", text: "ops.agents.empty.text" },
      taken: (answer) => {
        this.ready = answer.ready;
        this.draw({});
      },
    });
    this.known = {};
    this.agentsTitle = h("h3.subtitle", {}, t("ops.agents"));
    this.element = h("div", {}, this.figures, this.chats.element, this.agentsTitle, this.agents.element);
  }

  draw(answer) {
    Object.assign(this.known, answer);
    const missing = this.known.available === false;
    this.figures.hidden = missing;
    this.agentsTitle.hidden = this.agents.element.hidden = missing;
    if (missing) return;
    const { open, waiting, longest_since: longest } = this.known;
    const sign = JSON.stringify([open, waiting, longest, this.ready]);
    if (this.sign === sign) return;
    this.sign = sign;
    figureList(this.figures, [["ops.chats.open", amount(open)], ["ops.chats.waiting", amount(waiting), waiting ? "amber" : ""],
      ["ops.chats.longest", longest ? since(longest) : null], ["ops.chats.ready", amount(this.ready), this.ready === 0 && waiting ? "red" : ""]]);
  }

  async ask() {
    await Promise.all([this.chats.ask(), this.agents.ask()]);
  }
}

/** Groups of access numbers, and the bookings of one. */
class NumbersView {
  constructor(page) {
    this.group = null;
    this.groups = new Feed(page, "numbers", {
      call: "groups", label: "ops.numbers.groups", columns: sections.groupColumns, keyOf: (row) => row.name, sort: { key: "level" },
      empty: { icon: "phone", title: "ops.numbers.empty", text: "ops.numbers.empty.text" },
      taken: (answer) => this.choose(answer),
    });
    this.bookings = new Feed(page, "numbers", {
      call: "bookings", label: "ops.numbers.bookings", columns: sections.bookingColumns, keyOf: (row) => `${row.number}/${row.service}`, sort: { key: "until" },
      empty: { icon: "phone", title: "ops.bookings.empty", text: "ops.bookings.empty.text" },
      more: () => ({ group: this.group }),
    });
    this.title = h("h3.subtitle", { id: "bookings-title" });
    this.place = h("div", { hidden: true }, this.title, this.bookings.element);
    this.page = page;
    this.element = h("div", {}, this.groups.element, this.place);
  }

  /** Without a choice, the group with most to see. */
  choose(answer) {
    const rows = answer.rows ?? [];
    if (this.group === null && rows.length) {
      const busiest = rows.reduce((best, row) => ((row.held ?? 0) > (best.held ?? 0) ? row : best));
      this.show(busiest.name, false);
    }
  }

  show(name, chosen = true) {
    if (this.group === name) return;
    this.group = name;
    this.bookings.table.model.reset();
    this.bookings.table.draw();
    this.place.hidden = false;
    fill(this.title, t("ops.bookings.of", { group: cleanName(name) }));
    this.page.refresh("numbers");
    if (chosen) this.title.scrollIntoView({ block: "nearest" });
  }

  async ask() {
    await Promise.all([this.groups.ask(), this.group !== null && this.bookings.ask()]);
  }
}

/** @param {import("./ops.js").Ops} page */
export function makeViews(page) {
  const table = (name, options) => new TableView(page, name, { call: name, keyOf: (row) => row.id, ...options });
  return {
    nodes: new NodesView(page),
    chats: new ChatsView(page),
    calls: new CallsView(page),
    sessions: new SessionsView(page),
    services: table("services", {
      columns: sections.serviceColumns, search: "ops.services.search",
      empty: { icon: "layers", title: "ops.services.empty", text: "ops.services.empty.text" },
    }),
    numbers: new NumbersView(page),
    subscriptions: table("subscriptions", {
      columns: sections.subscriptionColumns, search: "ops.subscriptions.search",
      empty: { icon: "bell", title: "ops.subscriptions.empty", text: "ops.subscriptions.empty.text" },
    }),
    deliveries: table("deliveries", {
      columns: sections.deliveryColumns, search: "ops.deliveries.search",
      empty: { icon: "send", title: "ops.deliveries.empty", text: "ops.deliveries.empty.text" },
    }),
    senders: table("senders", {
      columns: sections.senderColumns, keyOf: (row) => `${row.transport}/${row.provider}/${row.debug}`, sort: { key: "days_left" },
      empty: { icon: "truck", title: "ops.senders.empty", text: "ops.senders.empty.text" },
    }),
    configuration: table("configuration", {
      columns: sections.configColumns, keyOf: (row) => `${row.section}/${row.option}`, search: "ops.configuration.search",
      empty: { icon: "sliders", title: "ops.configuration.empty", text: "ops.configuration.empty.text" },
    }),
    errors: new ErrorsView(page),
  };
}

