/** The drawer "What happens on the wire": every request and Bayeux message, as it happens. */
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { clean } from "../lib/text.js";
import { copyText, emptyState } from "../lib/ui.js";

const MOST = 200;
const LONGEST = 20000;

/** JSON with indentation; form bodies one parameter a line; anything else as it is. */
export function pretty(text) {
  if (!text) return "";
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    if (/^[\w.%+-]+=[^\s]*$/.test(text)) return [...new URLSearchParams(text)].map(([name, value]) => `${name} = ${value}`).join("\n");
    return text;
  }
}

/** A path whose identifiers are cut, so that its last word is seen. */
export function shortPath(path) {
  return path.replace(/[^/]{20,}/g, (part) => `${part.slice(0, 6)}\u2026`);
}

/** What a Bayeux message is about: its channel, and the tag of what it delivers. */
export function subject({ channel, data }) {
  const tag = typeof data?.tag === "string" ? data.tag.replace(/[^.]{20,}/g, (part) => `${part.slice(0, 6)}\u2026`) : "";
  return tag ? `${channel} ${tag}` : channel;
}

/** A shell's single-quoted word. */
function quoted(text) {
  return `'${String(text).replaceAll("'", "'\\''")}'`;
}

/** The same request for a terminal. */
export function asCurl({ method = "POST", url, headers = {}, body = "" }) {
  const parts = [`curl -X ${method} ${quoted(url)}`];
  for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (body) parts.push(`--data-raw ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

/** Only heartbeats: `/meta/connect` without news. */
function heartbeat(messages) {
  return messages.every((message) => message.channel === "/meta/connect");
}

export class Wire {
  constructor(cometd) {
    this.cometd = cometd;
    this.entries = [];
    this.elements = new Map();
    this.heartbeats = false;
    this.list = h("ol.wire-list", { tabindex: "0", aria: { label: t("wire.title") } });
    this.empty = emptyState("wire", t("wire.empty.title"), t("wire.empty.text"));
    this.count = h("span.chip", {}, "0");
    this.element = h("aside.wire", { id: "wire", aria: { label: t("wire.title") } },
      h("header.wire-head", {}, h("h2", {}, t("wire.title")), this.count,
        iconButton("trash", t("wire.clear"), () => this.clear()),
        iconButton("close", t("close"), () => this.onclose?.(), "wire-close")),
      h("div.wire-filter.check", {},
        h("input", { id: "wire-heartbeats", type: "checkbox", onchange: (event) => this.filter(event.target.checked) }),
        h("label", { for: "wire-heartbeats" }, t("wire.heartbeats"))),
      this.empty, this.list);
  }

  /** Take an entry, or the same entry again when its answer is there. */
  add(entry) {
    const known = this.elements.get(entry);
    if (known) {
      this.draw(entry, known);
      return;
    }
    entry.at ??= new Date();
    this.entries.push(entry);
    const element = h("li.wire-item");
    this.elements.set(entry, element);
    this.draw(entry, element);
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 60;
    this.list.append(element);
    while (this.entries.length > MOST) {
      const old = this.entries.shift();
      this.elements.get(old)?.remove();
      this.elements.delete(old);
    }
    this.empty.hidden = true;
    this.count.textContent = String(this.entries.length);
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  clear() {
    this.entries = [];
    this.elements.clear();
    this.list.replaceChildren();
    this.empty.hidden = false;
    this.count.textContent = "0";
  }

  filter(on) {
    this.heartbeats = on;
    for (const [entry, element] of this.elements) element.hidden = this.hides(entry);
  }

  hides(entry) {
    return !this.heartbeats && entry.kind === "bayeux" && heartbeat(entry.messages);
  }

  draw(entry, element) {
    element.hidden = this.hides(entry);
    const open = element.querySelector("details")?.open ?? false;
    fill(element, entry.kind === "http" ? this.http(entry, open) : this.bayeux(entry, open));
  }

  http(entry, open) {
    const path = shortPath(new URL(entry.url).pathname);
    const failed = entry.status !== null && (entry.status === 0 || entry.status >= 400);
    return h("details", { open },
      summary(entry, "HTTP", `${entry.method} ${path}`, h("span.chip", { class: failed ? "red" : entry.status ? "green" : "" }, entry.status ?? "\u2026")),
      h("h3", {}, t("wire.request")), block(pretty(entry.body) || t("wire.no.body")),
      entry.status !== null && [h("h3", {}, t("wire.answer")), block(pretty(entry.answer) || t("wire.no.body"))],
      curlButton(entry));
  }

  bayeux(entry, open) {
    const out = entry.direction === "out";
    const channels = [...new Set(entry.messages.map(subject))].join(", ");
    const body = JSON.stringify(entry.messages);
    return h("details", { open },
      summary(entry, "Bayeux", channels, h("span.chip", {}, t(`wire.${entry.direction}`), ` \u00b7 ${entry.transport === "websocket" ? "ws" : "http"}`)),
      block(JSON.stringify(entry.messages, null, 2)),
      out && curlButton({ url: this.cometd, headers: { "Content-Type": "application/json" }, body }));
  }
}

function summary(entry, kind, text, chip) {
  const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(entry.at);
  return h("summary", {}, h("span.wire-time.mono", {}, time), h("span.wire-kind", { class: kind.toLowerCase() }, kind),
    h("code.wire-text", { title: clean(text, 300) }, clean(text, 300)), chip);
}

function block(text) {
  return h("pre.wire-body", { tabindex: "0" }, clean(text, LONGEST));
}

function curlButton(request) {
  return h("button.small", { type: "button", onclick: () => copyText(asCurl(request)) }, icon("copy", "small"), t("wire.curl"));
}
