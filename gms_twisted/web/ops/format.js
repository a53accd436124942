/** Values for people, and the cells that they stand in. */
import { h, icon, iconButton } from "../lib/dom.js";
import { currentLocale, t } from "../lib/i18n.js";
import { clean, cleanName, fileSize } from "../lib/text.js";
import { ago, clockTime, duration, everySecond, fullTime, now, timeElement } from "../lib/times.js";
import { copyText } from "../lib/ui.js";
import { address, shortId } from "./model.js";

const DASH = "\u2013";

export function number(value, digits = 0) {
  return new Intl.NumberFormat(currentLocale(), { maximumFractionDigits: digits }).format(value);
}

/** A rate or level: three digits that matter, no more. */
export function figure(value) {
  const size = Math.abs(value);
  return number(value, size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2);
}

/** A short time, in milliseconds below a second. */
export function delay(seconds) {
  const [value, unit, digits] = seconds < 1 ? [seconds * 1000, "millisecond", 0] : [seconds, "second", 1];
  return new Intl.NumberFormat(currentLocale(), { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits }).format(value);
}

/** A member of some details: sizes, times and flags by the end of its name. */
export function detail(name, value) {
  if (value === null || value === undefined || value === "") return DASH;
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (typeof value === "number") {
    if (/(^|_)bytes$/.test(name)) return fileSize(value, currentLocale());
    if (/_s$/.test(name)) return duration(value);
    return number(value, 2);
  }
  // A list of things is for its own section: here it is how many.
  if (Array.isArray(value) && value.some((each) => each && typeof each === "object")) return number(value.length);
  if (Array.isArray(value)) return value.map((each) => detail(name, each)).join(", ") || DASH;
  if (typeof value === "object") return Object.entries(value).map(([key, each]) => `${key}: ${detail(key, each)}`).join(", ");
  return clean(value, 300);
}

/** Text that a stranger may have chosen. */
export function words(value, limit = 200) {
  const text = cleanName(value, limit);
  return text ? h("bdi", {}, text) : DASH;
}

/** A short code, in fixed width. */
export function mono(value, limit = 200) {
  const text = cleanName(value, limit);
  return text ? h("span.mono", { dir: "auto" }, text) : DASH;
}

/** An id: a link to what it stands for, and a button that copies it. */
export function idCell(section, id, shown = shortId(id)) {
  const text = cleanName(id, 300);
  if (!text) return DASH;
  return h("span.id", {},
    h("a.mono", { href: address(section, id), title: text, aria: { label: t("ops.open.id", { id: text }) } }, cleanName(shown, 60)),
    copyButton(id));
}

/** An id that leads nowhere, whole. */
export function plainId(id) {
  const text = cleanName(id, 300);
  if (!text) return DASH;
  return h("span.id", {}, h("span.mono", {}, text), copyButton(id));
}

export function copyButton(text) {
  return iconButton("copy", t("copy.what", { what: cleanName(shortId(text), 40) }), () => copyText(String(text)), "copy-id");
}

/** A time that goes on counting. @param {(seconds: number) => string} text */
function counting(seconds, text) {
  if (!Number.isFinite(seconds)) return DASH;
  const element = timeElement(seconds, text(seconds));
  everySecond(element, () => {
    const next = text(seconds);
    if (element.textContent !== next) element.textContent = next;
  });
  return element;
}

export const since = (seconds) => counting(seconds, (at) => duration(now() - at));
export const past = (seconds) => counting(seconds, (at) => (now() - at < 12 * 3600 ? `${clockTime(at)}, ${ago(at)}` : ago(at)));
export const left = (seconds) => counting(seconds, (at) => (at > now() ? duration(at - now()) : t("ops.over")));
export const exact = (seconds) => (Number.isFinite(seconds) ? h("span", {}, fullTime(seconds), " (", past(seconds), ")") : DASH);

/** A word in colour, with a sign besides: colour alone tells nothing to some. */
export function state(level, text, sign = { green: "check", amber: "alert", red: "alert" }[level]) {
  return h("span.chip.state", { class: level }, sign && icon(sign, "small"), text);
}
