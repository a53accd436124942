/** The customer's page: a shop with a chat, and a look behind the scenes. */
import { fill, h, icon, iconButton } from "../lib/dom.js";
import { startLanguage, t, translatePage } from "../lib/i18n.js";
import { clean, cleanName } from "../lib/text.js";
import { noticeText, Transcript, typingLine } from "../lib/transcript.js";
import { duration, everySecond, fullTime } from "../lib/times.js";
import { applyTheme, confirmDialog, emptyState, errorState, field, preference, setPreference, themeButton, toast } from "../lib/ui.js";
import { callFor, calm, mayNotify } from "./attention.js";
import { Visitor } from "./visitor.js";
import { WatchView } from "./watch-view.js";
import { Wire } from "./wire.js";

const MAX_MESSAGE = 4000;
const PLACE_EVERY_MS = 5000;
const GOODS = [["lamp", "shop.lamp", 89], ["chair", "shop.chair", 240], ["kettle", "shop.kettle", 64], ["vase", "shop.vase", 38]];

applyTheme();
await startLanguage();
translatePage();

const base = new URL("../", location.href).href;
const wire = new Wire(new URL("genesys/cometd", base).href);
const visitor = new Visitor({ base, onchange: schedule, wire: (entry) => wire.add(entry) });

// ---- the shop -----------------------------------------------------------------------------------

const price = new Intl.NumberFormat(document.documentElement.lang, { style: "currency", currency: "EUR", maximumFractionDigits: 0 });
const chatButton = h("button.primary.chat-button", { type: "button", aria: { controls: "sheet" }, onclick: () => openSheet() });
const shop = h("div.shop", {},
  h("header.shop-head", {}, h("span.shop-brand", {}, t("shop.name")), iconButton("cart", t("shop.cart"), () => toast(t("shop.cart.text")))),
  h("main.shop-body", { tabindex: "0" },
    h("section.shop-hero", {}, h("h1", {}, t("shop.hero")), h("p", {}, t("shop.text"))),
    h("ul.goods", {}, GOODS.map(([name, key, amount]) => h("li.good", {},
      h("span.good-picture", {}, icon(name)), h("span.good-name", {}, t(key)), h("span.muted.small", {}, price.format(amount))))),
    h("p.shop-foot.small.muted", {}, t("shop.foot"))),
  chatButton);

// ---- the chat -----------------------------------------------------------------------------------

const transcript = new Transcript({
  label: t("transcript.label"),
  onretry: (ref) => visitor.retry(ref),
  ondiscard: (ref) => visitor.discard(ref),
  names: () => visitor.agents(),
});
const title = h("h2.one-line", { id: "sheet-title" });
const subtitle = h("p.small.muted.one-line", { role: "status" });
const endButton = h("button.danger-quiet.quiet", { type: "button", onclick: () => void askLeave() }, t("demo.end"));
const bar = h("div", { role: "status", aria: { live: "polite" } });
const announcer = h("p.offscreen", { role: "status" });
const body = h("div.sheet-body");
const sheet = h("section.sheet", { id: "sheet", hidden: true, aria: { labelledby: "sheet-title" } },
  h("header.sheet-head", {}, iconButton("chevron", t("demo.minimise"), () => closeSheet()), h("div.sheet-who", {}, title, subtitle), endButton),
  bar, body);

const typing = h("div.typing", { role: "status", aria: { live: "polite" } });
const waiting = h("div.waiting", { role: "status" });
const nudge = h("div.nudge", { role: "alert", hidden: true });
const watchView = new WatchView({ visitor, onclose: () => closeSheet() });
const text = h("textarea", {
  id: "message", rows: 1, maxlength: MAX_MESSAGE, placeholder: t("demo.placeholder"), enterkeyhint: "send", dir: "auto", aria: { label: t("composer.label") },
  oninput: () => { visitor.typed(Boolean(text.value.trim())); sizeText(); },
  onblur: () => visitor.typed(false),
  onkeydown: (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  },
});
const left = h("span.small.composer-left");
const sendButton = h("button.primary.send", { type: "submit", title: t("send"), aria: { label: t("send") }, disabled: true }, icon("send", "turns"));
const composer = h("form.composer", { onsubmit: (event) => { event.preventDefault(); submit(); } }, text, sendButton, left);

function sizeText() {
  text.style.blockSize = "auto";
  text.style.blockSize = `${Math.min(text.scrollHeight + 2, 120)}px`;
  sendButton.disabled = !text.value.trim();
  const rest = MAX_MESSAGE - text.value.length;
  left.textContent = rest < 400 ? t("composer.left", { n: rest }) : "";
}

function submit() {
  const words = text.value.trim();
  if (!words) return;
  text.value = "";
  sizeText();
  transcript.toBottom();
  void visitor.send(words);
  text.focus();
}

let later = null;

function startForm() {
  const name = h("input", { id: "start-name", type: "text", autocomplete: "name", required: true, maxlength: 60, value: cleanName(visitor.saved.name ?? "") });
  const subject = h("input", { id: "start-subject", type: "text", required: true, maxlength: 120, autocomplete: "off" });
  const email = h("input", { id: "start-email", type: "email", autocomplete: "email", inputmode: "email", maxlength: 120 });
  const consent = h("input", { id: "start-consent", type: "checkbox", required: true });
  const message = h("div.form-error", { role: "alert" });
  const button = h("button.primary", { type: "submit" }, t("demo.start"));
  later = h("div.later", { hidden: !visitor.advanced },
    h("button", { type: "submit", value: "later" }, icon("bell"), t("watch.ask")),
    h("p.small.muted", {}, t("watch.ask.text")));
  const disable = (off) => [button, later.firstElementChild].forEach((each) => { each.disabled = off; });
  return h("form.form.start", {
    onsubmit: async (event) => {
      event.preventDefault();
      fill(message);
      disable(true);
      const details = { name: name.value.trim(), subject: subject.value.trim(), email: email.value.trim() };
      const wantsNews = event.submitter?.value === "later";
      if (wantsNews) mayNotify();
      try {
        await (wantsNews ? visitor.watchFor(details) : visitor.start(details));
      } catch (error) {
        fill(message, icon("alert"), h("span", {}, error.status ? clean(error.message, 300) : t("error.network")));
        disable(false);
      }
    },
  }, h("p", {}, t("demo.intro")), message, field(t("demo.name"), name), field(t("demo.subject"), subject),
  field(t("demo.email"), email, t("demo.email.hint")),
  h("div.check", {}, consent, h("label", { for: "start-consent" }, t("demo.consent"))), button, later);
}

function endedFoot() {
  return h("div.ended", {},
    h("p", {}, t(`demo.ended.${visitor.endedBy || "them"}`)),
    h("div.form-actions", {},
      visitor.events.length > 0 && h("button", { type: "button", onclick: download }, icon("download"), t("demo.download")),
      h("button.primary", { type: "button", onclick: () => visitor.reset() }, t("demo.again"))));
}

function transcriptText() {
  const lines = visitor.events.map((event) => {
    const time = fullTime(event.at);
    return event.type === "message" || event.type === "push_url"
      ? `[${time}] ${cleanName(event.nickname)}: ${clean(event.text)}`
      : `[${time}] * ${noticeText(event)}`;
  });
  return `${t("shop.name")}\n${cleanName(visitor.saved.subject ?? "", 120)}\n\n${lines.join("\n")}\n`;
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([transcriptText()], { type: "text/plain;charset=utf-8" }));
  link.download = `${t("demo.file")}-${new Date().toISOString().slice(0, 10)}.txt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function askLeave() {
  if (!(await confirmDialog(t("demo.end.title"), t("demo.end.text"), t("demo.end"), { danger: true }))) return;
  try {
    await visitor.leave();
  } catch (error) {
    toast(error.status ? clean(error.message, 300) : t("error.network"), { kind: "danger" });
  }
}

// ---- drawing ------------------------------------------------------------------------------------

let layout = "";
let scheduled = false;
let seen = 0;

function schedule() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    draw();
  }, 16);
}

function draw() {
  const { phase } = visitor;
  const wanted = { idle: "start", starting: "start", watching: "watch", ended: "ended" }[phase] ?? "chat";
  if (layout !== wanted) {
    const focused = body.contains(document.activeElement);
    if (wanted === "start") {
      transcript.reset();
      fill(body, startForm());
    } else if (wanted === "watch") {
      watchView.reset();
      fill(body, watchView.element);
    } else if (wanted === "chat") {
      if (layout !== "ended") transcript.reset();
      fill(body, waiting, nudge, transcript.element, typing, composer);
    } else fill(body, visitor.events.length ? transcript.element : emptyState("chat", t("demo.over"), ""), endedFoot());
    layout = wanted;
    if (focused && !sheet.hidden) body.querySelector("textarea, input, button")?.focus();
  }
  if (later) later.hidden = !visitor.advanced;
  if (wanted === "watch") watchView.update();
  const agents = [...visitor.agents()].map((name) => cleanName(name));
  title.textContent = phase === "talking" && agents.length ? agents.join(", ") : t("demo.title");
  subtitle.textContent = t(phase === "watching" ? `watch.phase.${visitor.watch.state}` : `demo.phase.${phase}`);
  endButton.hidden = wanted !== "chat";
  if (wanted === "chat" || wanted === "ended") transcript.update({ events: visitor.events, pending: visitor.pending });
  typingLine(typing, visitor.typing.keys());
  drawWaiting();
  drawNudge();
  drawBar();
  announce();
  const news = visitor.events.filter((event) => event.type === "message" && !event.mine).length;
  if (!sheet.hidden) seen = news;
  drawButton(Math.max(0, news - seen) + (visitor.poke ? 1 : 0));
}

function drawButton(count) {
  const { phase, watch } = visitor;
  const key = `${phase}${watch.state}${Boolean(visitor.poke)}${count}`;
  if (chatButton.dataset.state === key) return;
  chatButton.dataset.state = key;
  chatButton.classList.toggle("calling", watch.state === "available" || count > 0);
  const words = visitor.poke ? "nudge.title" : phase === "watching" ? `watch.phase.${watch.state}` : ["idle", "starting", "ended"].includes(phase) ? "demo.open" : "demo.back";
  fill(chatButton, icon(phase === "watching" ? "bell" : "chat"), t(words),
    count > 0 && h("span.badge", { aria: { label: t("unread", { n: count }) } }, count));
}

function drawWaiting() {
  waiting.hidden = visitor.phase !== "waiting";
  if (waiting.hidden) return;
  if (visitor.failure) {
    fill(waiting, errorState(clean(visitor.failure.message, 300), () => visitor.replay()));
    waiting.dataset.key = "failed";
    return;
  }
  const seconds = visitor.saved.since ? (Date.now() - visitor.saved.since) / 1000 : 0;
  const key = `${visitor.place}|${duration(seconds)}`;
  if (waiting.dataset.key === key) return;
  waiting.dataset.key = key;
  fill(waiting, h("span.pulse", { aria: { hidden: "true" } }),
    h("div", {}, h("p.waiting-title", {}, visitor.place ? t("demo.place", { n: visitor.place }) : t("demo.waiting")),
      h("p.small.muted", {}, t("demo.waiting.text", { time: duration(seconds) }))));
}

/** What the agent nudged with, until it is answered or put away. */
function drawNudge() {
  const { poke } = visitor;
  const key = poke ? `${poke.id}${poke.text}` : "";
  if (nudge.dataset.key === key) return;
  nudge.dataset.key = key;
  nudge.hidden = !poke;
  fill(nudge, poke && [icon("bell"),
    h("div.nudge-text", {}, h("p.small.muted", {}, t("nudge.title")), h("p", { dir: "auto" }, clean(poke.text, 300))),
    iconButton("close", t("close"), () => { visitor.unpoke(); text.focus(); })]);
}

let announced = "";

/** Tell a customer who is in the shop, or in another tab, what cannot wait. */
function announce() {
  const { poke, watch } = visitor;
  const key = poke ? `poke${poke.id}` : watch.state === "available" || watch.state === "expired" ? watch.state : "";
  if (announced === key) return;
  announced = key;
  const words = !key ? ["", ""] : poke ? [t("nudge.title"), clean(poke.text, 300)] : [t(`watch.${watch.state}`), t(`watch.${watch.state}.text`)];
  announcer.textContent = key && sheet.hidden ? words.join(": ") : "";
  if (key) callFor(words[0], words[1], "gms-demo", () => openSheet());
  else calm();
}

function drawBar() {
  const { state, retryAt } = visitor.connection;
  const off = ["waiting", "connecting", "refused"].includes(state) && (layout === "chat" || layout === "watch") && visitor.client.sessions > 0;
  const seconds = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
  const key = off ? `${state}${seconds}` : "";
  if (bar.dataset.key === key) return;
  bar.dataset.key = key;
  bar.className = off ? "connection-bar" : "";
  fill(bar, off && [icon("offline", "small"), h("span", {}, seconds ? t("connection.retry", { n: seconds }) : t("connection.now")),
    state !== "connecting" && h("button.link-button", { type: "button", onclick: () => (state === "refused" ? visitor.client.start() : visitor.client.retryNow()) }, t("try.now"))]);
}

function openSheet() {
  sheet.hidden = false;
  shop.inert = true;
  setPreference("demo.open", true);
  draw();
  transcript.toBottom();
  body.querySelector("textarea, input, .watch .primary")?.focus();
}

function closeSheet() {
  sheet.hidden = true;
  shop.inert = false;
  setPreference("demo.open", false);
  draw();
  chatButton.focus();
}

sheet.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) closeSheet();
});

// ---- the frame around it ------------------------------------------------------------------------

const wireButton = h("button", { type: "button", title: t("wire.title"), aria: { controls: "wire", label: t("wire.title") }, onclick: () => showWire(document.body.dataset.wire !== "open") }, icon("wire"), h("span", {}, t("wire.title")));

function showWire(open) {
  document.body.dataset.wire = open ? "open" : "closed";
  wireButton.setAttribute("aria-expanded", String(open));
  setPreference("demo.wire", open);
}

wire.onclose = () => {
  showWire(false);
  wireButton.focus();
};

fill(document.getElementById("app"),
  h("header.demo-top", {},
    h("a.demo-home", { href: "../" }, icon("back", "turns"), h("span", {}, t("demo.page"))),
    h("span.spacer"), wireButton, themeButton()),
  h("div.stage", {}, h("div.phone", {}, shop, sheet), wire.element), announcer);
showWire(preference("demo.wire", matchMedia("(min-width: 1000px)").matches));
everySecond(sheet, () => {
  if (visitor.phase === "waiting") drawWaiting();
  if (visitor.phase === "watching") watchView.update();
  if (visitor.connection.state === "waiting") drawBar();
});
setInterval(() => void visitor.askPlace(), PLACE_EVERY_MS);
if (visitor.restore()) {
  void visitor.askPlace();
  if (preference("demo.open", true)) openSheet();
}
draw();
void visitor.askServices();
addEventListener("pagehide", () => visitor.typed(false));
