/** The operator page: the connection, the sections, and which of them is asked for. */
import { accountMenu, showKeys } from "../lib/account.js";
import * as api from "../lib/api.js";
import { BayeuxClient } from "../lib/bayeux.js";
import { ConnectionState } from "../lib/connection.js";
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { setServerTime } from "../lib/times.js";
import { themeButton, toast } from "../lib/ui.js";
import { hasDetails, showDetails } from "./details.js";
import { address, Poller, readAddress } from "./model.js";
import { HealthView, TrafficView } from "./overview.js";
import { makeViews } from "./views.js";

const SECTIONS = [
  ["health", "pulse"], ["traffic", "wire"], ["nodes", "nodes"], ["chats", "chat"], ["calls", "headset"], ["services", "layers"], ["sessions", "flow"], ["numbers", "phone"],
  ["subscriptions", "bell"], ["deliveries", "send"], ["senders", "truck"], ["configuration", "sliders"], ["errors", "alert"],
];
const TICK_MS = 500;
const SETTLE_MS = 1500;
/** Sections that are of one node, the one that answers. */
const OF_ONE = new Set(["health", "traffic", "senders", "configuration"]);
const SLOW = { configuration: 30000, errors: 5000, senders: 5000 };
const LOST = new Set(["lost", "offline", "timeout", "closed"]);
const SHORTCUTS = [
  ["j / k", "ops.key.next"], ["/", "ops.key.search"], ["r", "ops.key.refresh"], ["Esc", "shortcut.escape"],
  ["\u2190 \u2192", "ops.key.spark"], ["?", "shortcut.help"],
];

export class Ops {
  /** @param {*} me  Answer of `me` or `login`. @param {{leave: (notice: string) => void, denied: () => void}} ways  Out of this page. */
  constructor(me, { leave, denied }) {
    Object.assign(this, { me, leave, denied });
    this.stopped = new AbortController();
    this.connection = { state: "idle", retryAt: null };
    this.client = new BayeuxClient({ url: new URL("../genesys/cometd", location.href).href, ext: () => this.ticket() });
    this.connectionState = new ConnectionState({ retry: () => this.client.retryNow(), restart: () => this.client.start() });
    this.poller = new Poller({ now: () => performance.now(), ask: (name) => this.views[name].ask() });
    for (const [name, period] of Object.entries(SLOW)) this.poller.periods.set(name, period);
    this.views = { health: new HealthView(this), traffic: new TrafficView(this), ...makeViews(this) };
    this.pill = h("a.health-pill.chip", { href: "#health", hidden: true });
    this.links = new Map();
    this.sections = new Map();
    this.ofNodes = [];
    this.element = this.build();
  }

  build() {
    const menu = h("nav.side", { aria: { label: t("ops.sections") } }, h("ul", {}, SECTIONS.map(([name, sign]) => {
      const link = h("a.side-link", { href: address(name), onclick: () => this.focusHeading(name) }, icon(sign), h("span", {}, t(`ops.${name}`)));
      this.links.set(name, link);
      return h("li", {}, link);
    })));
    const sections = SECTIONS.map(([name]) => {
      const element = h("section.section", { id: name, aria: { labelledby: `${name}-title` } },
        h("header.section-head", {}, h("h2", { id: `${name}-title`, tabindex: "-1" }, t(`ops.${name}`), OF_ONE.has(name) && [" ", this.ofNode()]), h("p.muted", {}, t(`ops.${name}.about`))),
        this.views[name].element);
      this.sections.set(name, element);
      return element;
    });
    this.main = h("main.sections.settling", {}, sections);
    this.head = h("div.ops-head", {},
      h("header.top", {}, h("h1.brand", {}, icon("pulse"), h("span", {}, t("ops.title"))), this.pill, h("span.spacer"),
        this.connectionState.dot, iconButton("help", `${t("shortcuts.title")} (?)`, () => showKeys(SHORTCUTS), "only-wide"),
        h("span.only-wide", {}, themeButton()),
        accountMenu(this.me.agent, () => [
          ["headset", t("desk.title"), () => { location.href = new URL("../desk/", location.href).href; }],
          ["keyboard", t("shortcuts.title"), () => showKeys(SHORTCUTS)],
        ], () => void this.logout())),
      this.connectionState.bar);
    return h("div.ops", {},
      h("a.skip", { href: "#health", onclick: () => this.focusHeading("health") }, t("ops.skip")),
      this.head,
      h("div.ops-body", {}, menu, this.main));
  }

  start() {
    const { signal } = this.stopped;
    this.client.on("state", ({ state, retryAt, error }) => this.connected({ state, retryAt, error }));
    this.client.on("session", () => void this.hello());
    this.client.listen("/service/ops/event", ({ data }) => {
      if (data?.type === "signed_out") this.goodbye(t(data.reason === "disabled" ? "signed.out.disabled" : "signed.out"));
    });
    addEventListener("hashchange", () => this.follow(), { signal });
    addEventListener("keydown", (event) => this.key(event), { signal });
    document.addEventListener("visibilitychange", () => this.look(), { signal });
    this.ticker = setInterval(() => {
      this.poller.tick();
      if (this.connection.state === "waiting") this.drawConnection();
    }, TICK_MS);
    setTimeout(() => this.settle(), SETTLE_MS);
    this.watch();
    this.client.start();
    this.follow();
  }

  /** Know which sections are on the screen: only those are asked for. */
  watch() {
    const byElement = new Map([...this.sections].map(([name, element]) => [element, name]));
    this.inView = new IntersectionObserver((entries) => {
      for (const entry of entries) this.poller.see(byElement.get(entry.target), entry.isIntersecting);
    }, { rootMargin: "-40px 0px -10px 0px" });
    this.near = new Set();
    this.nearing = new IntersectionObserver((entries) => {
      for (const entry of entries) this.near[entry.isIntersecting ? "add" : "delete"](byElement.get(entry.target));
      this.fetchNear();
    }, { rootMargin: "300px 0px 500px 0px" });
    this.reading = new Set();
    this.chosenUntil = 0;
    this.current = new IntersectionObserver((entries) => {
      for (const entry of entries) this.reading[entry.isIntersecting ? "add" : "delete"](byElement.get(entry.target));
      const name = SECTIONS.map(([each]) => each).find((each) => this.reading.has(each));
      if (name && performance.now() > this.chosenUntil) this.mark(name);
    }, { rootMargin: "-130px 0px -65% 0px" });
    // What sticks below the head moves when the bar of a lost connection appears.
    this.headSize = new ResizeObserver(() => document.documentElement.style.setProperty("--head", `${this.head.offsetHeight}px`));
    this.headSize.observe(this.head);
    for (const element of this.sections.values()) {
      this.inView.observe(element);
      this.nearing.observe(element);
      this.current.observe(element);
    }
  }

  /** Go to a section; the last ones cannot come to the top, so the menu is told. */
  go(name) {
    if (name !== "health") this.settle();
    this.sections.get(name).scrollIntoView();
    this.chosenUntil = performance.now() + 400;
    this.mark(name);
  }

  mark(name) {
    if (this.marked === name) return;
    this.marked = name;
    for (const [each, link] of this.links) {
      if (each === name) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    // On a phone the menu is a strip: keep the word in sight without moving the page.
    const link = this.links.get(name);
    const strip = link.closest("ul");
    if (strip.scrollWidth > strip.clientWidth) strip.scrollTo({ left: link.offsetLeft - strip.offsetLeft - 16 });
  }

  stop() {
    this.stopped.abort();
    clearInterval(this.ticker);
    this.poller.setActive(false);
    this.inView.disconnect();
    this.nearing.disconnect();
    this.current.disconnect();
    this.headSize.disconnect();
    this.shown?.close();
  }

  // ---- connection ---------------------------------------------------------------------------

  async ticket() {
    try {
      const { ticket } = await api.ticket();
      return { ops: { ticket } };
    } catch (error) {
      if (error.status === 401 || error.status === 403) throw Object.assign(error, { fatal: true });
      throw error;
    }
  }

  connected(connection) {
    if (this.stopped.signal.aborted) return;
    this.connection = connection;
    if (connection.state !== "connected") this.greeted = false;
    this.drawConnection();
    this.look();
    if (connection.state === "refused") void this.refused();
  }

  drawConnection() {
    this.connectionState.draw(this.connection, Boolean(this.known));
    this.element.classList.toggle("stale", Boolean(this.known) && this.connection.state !== "connected");
  }

  async refused() {
    try {
      await api.me();
    } catch (error) {
      if (error.status === 401) this.goodbye(t("signed.out"));
    }
  }

  look() {
    this.poller.setActive(this.greeted === true && document.visibilityState === "visible");
    this.fetchNear();
  }

  fetchNear() {
    for (const name of this.near) this.poller.nearing(name);
  }

  /** The first answer is there: what is below it may be shown, it will not be pushed down any more. */
  settle() {
    this.main.classList.remove("settling");
  }

  async hello() {
    try {
      const answer = await this.call({ do: "hello" });
      this.known = answer;
      for (const [name, available] of Object.entries(answer.available ?? {})) this.links.get(name)?.classList.toggle("unavailable", !available);
    } catch (error) {
      if (this.isLost(error)) return;
      toast(this.words(error), { kind: "danger" });
      return;
    }
    this.greeted = true;
    this.drawConnection();
    this.look();
    this.pending?.();
  }

  /** Ask the server; what only an operator may know, and this one is none any more, ends the page. */
  async call(data) {
    try {
      const answer = await this.client.call("ops", data);
      if (Number.isFinite(answer?.now)) setServerTime(answer.now);
      return answer;
    } catch (error) {
      if (error.detail?.exception === "gms.ops.not_operator" && !this.stopped.signal.aborted) {
        this.stop();
        void this.client.disconnect();
        this.denied();
      }
      throw error;
    }
  }

  isLost(error) {
    return LOST.has(error.code);
  }

  words(error) {
    return this.isLost(error) ? t("error.network") : error.message;
  }

  refresh(name) {
    this.poller.refresh(name);
  }

  goodbye(notice) {
    if (this.stopped.signal.aborted) return;
    this.stop();
    void this.client.disconnect();
    this.leave(notice);
  }

  async logout() {
    this.stop();
    try {
      await api.logout();
    } catch (error) {
      if (error.status !== 401) toast(t("logout.failed"), { kind: "danger" });
    }
    void this.client.disconnect();
    this.leave(t("signed.out"));
  }

  // ---- looking around -----------------------------------------------------------------------

  /** Where a section says which node it is of. */
  ofNode() {
    const place = h("span.chip", { hidden: true });
    this.ofNodes.push(place);
    return place;
  }

  setNode(node) {
    if (this.node === node) return;
    this.node = node;
    for (const place of this.ofNodes) {
      place.hidden = !node;
      place.textContent = node ? t("ops.node.at", { node: cleanName(node, 10) }) : "";
    }
  }

  setHealth({ ok, node }, text) {
    this.setNode(node);
    const key = `${ok}${text}`;
    if (this.healthKey === key) return;
    this.healthKey = key;
    this.pill.hidden = false;
    this.pill.className = `health-pill chip ${ok ? "green" : "red"}`;
    fill(this.pill, icon(ok ? "check" : "alert", "small"), h("span", {}, ok ? t("ops.health.short") : text));
    this.links.get("health").classList.toggle("alarm", !ok);
    document.title = ok ? t("ops.title") : `\u26a0 ${t("ops.title")}`;
  }

  focusHeading(name) {
    // After the browser has followed the link.
    setTimeout(() => document.getElementById(`${name}-title`)?.focus({ preventScroll: true }));
  }

  /** Go where the address says: a section, or a thing of it. */
  follow() {
    const place = readAddress(location.hash);
    const before = this.shown;
    this.shown = null;
    before?.close();
    if (!place || !this.sections.has(place.section)) return;
    const open = () => {
      this.pending = null;
      if (place.section === "numbers" && place.id !== null) {
        this.views.numbers.show(place.id);
        return;
      }
      if (place.id === null || !hasDetails(place.section)) return;
      const shown = showDetails(this, place.section, place.id);
      this.shown = shown;
      void shown.closed.then(() => {
        if (this.shown !== shown) return;
        this.shown = null;
        history.replaceState(null, "", address(place.section));
      });
    };
    if (place.id === null || !before) this.go(place.section);
    if (this.greeted) open();
    else this.pending = open;
  }

  key(event) {
    if (document.querySelector("dialog[open]")) return;
    const writing = /^(?:INPUT|TEXTAREA|SELECT)$/.test(event.target?.tagName ?? "");
    if (event.key === "Escape" && writing) event.target.blur();
    if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
    const names = SECTIONS.map(([name]) => name);
    const at = Math.max(0, names.indexOf(this.marked));
    const go = (name) => {
      history.replaceState(null, "", address(name));
      this.go(name);
      this.focusHeading(name);
    };
    const action = {
      "?": () => showKeys(SHORTCUTS),
      j: () => go(names[Math.min(names.length - 1, at + 1)]),
      k: () => go(names[Math.max(0, at - 1)]),
      r: () => this.poller.inView.forEach((name) => this.refresh(name)),
      "/": () => (this.sections.get(names[at]).querySelector("input[type=search]") ?? this.sections.get("services").querySelector("input[type=search]")).focus(),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
