/**
 * A conversation on screen, for both sides of it.
 *
 * Gets values, shows them; knows neither server nor chat.  An event is
 * `{position, type, text, nickname, party, at, mine, reason}` as in the desk protocol; a pending
 * message `{ref, text, at, state: "sending"|"failed", error}`.
 */
import { fill, h, icon, reconcile } from "./dom.js";
import { t } from "./i18n.js";
import { clean, cleanName, collides, initials, pieces, safeUrl } from "./text.js";
import { clockTime, dayName, sameDay, timeElement } from "./times.js";

const PAGE = 200;
const NEAR_BOTTOM = 48;
const SHOWN = new Set(["joined", "left", "message", "push_url", "custom", "nick"]);

/** Nodes for a message: text and links, nothing else. */
export function messageNodes(text) {
  return pieces(clean(text)).map((piece) => (piece.href ? h("a", { href: piece.href }, piece.text) : piece.text));
}

/** Words for an event that nobody said. */
export function noticeText(event) {
  const name = cleanName(event.nickname) || t("somebody");
  if (event.type === "joined") return t(event.party === "EXTERNAL" ? "event.joined.external" : "event.joined", { name });
  if (event.type === "left") {
    return t({ TIMEOUT: "event.left.timeout", KICKED: "event.left.kicked", CLOSED: "event.left.closed" }[event.reason] ?? "event.left", { name });
  }
  if (event.type === "nick") return t("event.nick", { name: cleanName(event.text) || name });
  return clean(event.text, 1000);
}

/** The last line of a chat for lists. */
export function preview(event) {
  if (!event) return "";
  if (event.type === "message" || event.type === "push_url") {
    const text = cleanName(event.text, 140);
    return event.mine ? t("preview.mine", { text }) : text;
  }
  return noticeText(event);
}

/** What is to be drawn, in order: the pure half of this module. */
export function plan(events, pending, divider) {
  const items = [];
  let previous = null;
  let dividerDone = divider === null || divider === undefined;
  for (const event of events) {
    if (!SHOWN.has(event.type)) continue;
    if (!previous || !sameDay(previous.at, event.at)) items.push({ kind: "day", key: `d${event.position}`, at: event.at });
    const spoken = event.type === "message" || event.type === "push_url";
    if (!dividerDone && spoken && event.position > divider && !event.mine) {
      items.push({ kind: "divider", key: "divider" });
      dividerDone = true;
    }
    items.push({ kind: spoken ? "line" : "notice", key: `e${event.position}`, event });
    previous = event;
  }
  for (const message of pending) {
    items.push({ kind: "line", key: `p${message.ref}`, pending: message, event: { type: "message", text: message.text, at: message.at, mine: true, nickname: "", party: "" } });
  }
  items.forEach((item, index) => {
    if (item.kind !== "line") return;
    item.first = !together(items[index - 1], item);
    item.last = !together(item, items[index + 1]);
  });
  return items;
}

function together(one, other) {
  if (one?.kind !== "line" || other?.kind !== "line") return false;
  if (one.event.mine !== other.event.mine || Math.abs(other.event.at - one.event.at) >= 60) return false;
  return one.event.mine || (one.event.nickname === other.event.nickname && one.event.party === other.event.party);
}

/** The scrolling transcript. */
export class Transcript {
  /**
   * @param {{label: string, onretry?: (ref: string) => void, ondiscard?: (ref: string) => void,
   *          onbottom?: () => void, names?: () => Iterable<string>}} options
   *   `names`: of agents; a customer who has one of them is marked (C06).
   */
  constructor(options) {
    this.options = options;
    this.limit = PAGE;
    this.signatures = new Map();
    this.stuck = true;
    this.unseen = 0;
    this.lastPosition = 0;
    this.log = h("div.transcript", { role: "log", tabindex: "0", aria: { label: options.label, live: "polite" } });
    this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.jump = h("button.to-bottom", { type: "button", hidden: true, onclick: () => this.toBottom() });
    this.element = h("div.transcript-frame", {}, this.log, this.jump);
    this.observer = new ResizeObserver(() => this.stuck && this.toBottom());
    this.observer.observe(this.log);
  }

  get atBottom() {
    return this.stuck;
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    this.stuck = scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM;
    if (this.stuck) {
      this.unseen = 0;
      this.options.onbottom?.();
    }
    this.drawJump();
  }

  toBottom() {
    this.log.scrollTop = this.log.scrollHeight;
    this.stuck = true;
    this.unseen = 0;
    this.drawJump();
  }

  drawJump() {
    this.jump.hidden = this.stuck;
    if (!this.stuck) fill(this.jump, icon("down", "small"), this.unseen ? t("new.messages", { n: this.unseen }) : t("to.bottom"));
  }

  /** Show another conversation: forget what was on screen. */
  reset() {
    this.limit = PAGE;
    this.signatures.clear();
    this.log.replaceChildren();
    this.stuck = true;
    this.unseen = 0;
    this.lastPosition = 0;
    this.drawJump();
  }

  /** @param {{events: Array<*>, pending?: Array<*>, divider?: number|null}} state */
  update({ events, pending = [], divider = null }) {
    this.state = { events, pending, divider };
    const cut = Math.max(0, events.length - this.limit);
    const items = plan(cut ? events.slice(cut) : events, pending, divider);
    if (cut) items.unshift({ kind: "earlier", key: "earlier" });
    const last = events.at(-1)?.position ?? 0;
    if (!this.stuck && this.lastPosition) {
      this.unseen += events.filter((event) => event.position > this.lastPosition && event.type === "message" && !event.mine).length;
    }
    this.lastPosition = Math.max(last, this.lastPosition);
    reconcile(this.log, items, (item) => item.key, (item, old) => this.draw(item, old));
    if (this.stuck) this.toBottom();
    else this.drawJump();
  }

  draw(item, old) {
    const signature = JSON.stringify([item.first, item.last, item.event, item.pending]);
    if (old && this.signatures.get(item.key) === signature) return old;
    this.signatures.set(item.key, signature);
    if (item.kind === "day") return h("div.day", { role: "separator" }, h("span", {}, dayName(item.at)));
    if (item.kind === "divider") return h("div.new-divider", { role: "separator" }, h("span", {}, t("divider.new")));
    if (item.kind === "earlier") {
      return h("button.earlier.small", { type: "button", onclick: () => this.showEarlier() }, t("show.earlier"));
    }
    if (item.kind === "notice") {
      return h("div.notice", {}, h("bdi", {}, noticeText(item.event)), " ", timeElement(item.event.at, clockTime(item.event.at)));
    }
    return this.line(item);
  }

  line({ event, pending, first, last }) {
    const name = cleanName(event.nickname) || t("somebody");
    const customer = event.party === "CLIENT";
    const marked = customer && collides(event.nickname, this.options.names?.() ?? []);
    return h("div.line", {
      class: [event.mine && "own", first && "first", last && "last", pending && (pending.state === "failed" ? "failed" : "pending")]
        .filter(Boolean).join(" "),
    },
    h("span.avatar", { class: customer ? "" : "agent", aria: { hidden: "true" } }, initials(event.nickname)),
    h("div.bubble-column", {},
      first && !event.mine && h("span.line-name", {},
        h("bdi.name.one-line", {}, name), (marked || event.party === "SUPERVISOR") && h("span.chip.amber", {}, t(`party.${event.party}`)),
        event.hidden && h("span.chip", {}, t("event.internal"))),
      event.mine && first && h("span.offscreen", {}, t("you")),
      bubble(event),
      last && this.foot(event, pending)));
  }

  foot(event, pending) {
    if (!pending) {
      return h("span.line-foot", {}, timeElement(event.at, clockTime(event.at)),
        event.mine && h("span", { title: t("delivered") }, icon("check"), h("span.offscreen", {}, t("delivered"))));
    }
    if (pending.state !== "failed") return h("span.line-foot", {}, icon("clock"), t("sending"));
    return h("span.line-foot.failed", { role: "alert" }, icon("alert"), pending.error || t("not.sent"),
      h("button.link-button.small", { type: "button", onclick: () => this.options.onretry?.(pending.ref) }, t("retry")),
      this.options.ondiscard && h("button.link-button.small", { type: "button", onclick: () => this.options.ondiscard(pending.ref) }, t("discard")));
  }

  showEarlier() {
    const before = this.log.scrollHeight - this.log.scrollTop;
    this.limit += PAGE;
    this.stuck = false;
    this.update(this.state);
    this.log.scrollTop = this.log.scrollHeight - before;
  }
}

function bubble(event) {
  if (event.type !== "push_url") return h("div.bubble", { dir: "auto" }, messageNodes(event.text));
  const url = safeUrl(event.text);
  return h("div.bubble.pushed", { dir: "auto" },
    h("span.small.muted", {}, url ? t("pushed.page", { host: url.host }) : t("pushed.unsafe")),
    url ? h("a", { href: url.href }, clean(event.text, 300)) : clean(event.text, 300));
}

/** "Anna is typing" with dots; empty when nobody is. */
export function typingLine(element, names) {
  const list = [...names].map((name) => cleanName(name) || t("somebody"));
  const key = list.join("\n");
  if (element.dataset.names === key) return;
  element.dataset.names = key;
  fill(element, list.length > 0 && [
    h("span.dots", { aria: { hidden: "true" } }, h("i"), h("i"), h("i")),
    h("bdi", {}, t("is.typing", { name: list.join(", ") })),
  ]);
}
