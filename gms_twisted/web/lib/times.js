/** Times for people: relative in sight, absolute on hover.  Seconds since 1970 in, text out. */
import { currentLocale, t } from "./i18n.js";
import { h } from "./dom.js";

const cache = new Map();

function formatter(Kind, options) {
  const key = Kind.name + JSON.stringify(options) + currentLocale();
  let made = cache.get(key);
  if (!made) cache.set(key, (made = new Kind(currentLocale(), options)));
  return made;
}

/** How far the server's clock is ahead of ours, in seconds. */
let ahead = 0;

export function setServerTime(seconds) {
  if (Number.isFinite(seconds)) ahead = seconds - Date.now() / 1000;
}

/** The server's time, in seconds. */
export function now() {
  return Date.now() / 1000 + ahead;
}

/** "45 s", "2 min", "1 h 5 min", "3 d". */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const unit = (value, name) =>
    formatter(Intl.NumberFormat, { style: "unit", unit: name, unitDisplay: "short" }).format(value);
  if (whole < 60) return unit(whole, "second");
  if (whole < 3600) return unit(Math.floor(whole / 60), "minute");
  if (whole < 86400) {
    const minutes = Math.floor((whole % 3600) / 60);
    return unit(Math.floor(whole / 3600), "hour") + (minutes ? ` ${unit(minutes, "minute")}` : "");
  }
  return unit(Math.floor(whole / 86400), "day");
}

/** As on a telephone: "2:05", "1:02:05". */
export function clockDuration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, index) => (index ? String(part).padStart(2, "0") : String(part))).join(":");
}

/** "5 minutes ago", "now". */
export function ago(seconds) {
  const past = Math.max(0, now() - seconds);
  if (past < 45) return t("time.now");
  const words = formatter(Intl.RelativeTimeFormat, { numeric: "auto", style: "short" });
  if (past < 3600) return words.format(-Math.round(past / 60), "minute");
  if (past < 86400) return words.format(-Math.round(past / 3600), "hour");
  return words.format(-Math.round(past / 86400), "day");
}

export function clockTime(seconds) {
  return formatter(Intl.DateTimeFormat, { timeStyle: "short" }).format(seconds * 1000);
}

export function fullTime(seconds) {
  return formatter(Intl.DateTimeFormat, { dateStyle: "full", timeStyle: "medium" }).format(seconds * 1000);
}

/** "Today", "Yesterday", "Monday, 3 June". */
export function dayName(seconds) {
  const day = (value) => new Date(value.getFullYear(), value.getMonth(), value.getDate()).getTime();
  const difference = Math.round((day(new Date(now() * 1000)) - day(new Date(seconds * 1000))) / 86400000);
  if (difference === 0 || difference === 1) {
    const word = formatter(Intl.RelativeTimeFormat, { numeric: "auto" }).format(-difference, "day");
    return word.charAt(0).toLocaleUpperCase(currentLocale()) + word.slice(1);
  }
  return formatter(Intl.DateTimeFormat, { weekday: "long", day: "numeric", month: "long", year: difference > 300 ? "numeric" : undefined })
    .format(seconds * 1000);
}

/** Same calendar day in the reader's zone. */
export function sameDay(one, other) {
  return new Date(one * 1000).toDateString() === new Date(other * 1000).toDateString();
}

/** A `<time>` that shows `text` and the full date on hover. */
export function timeElement(seconds, text) {
  return h("time", { datetime: new Date(seconds * 1000).toISOString(), title: fullTime(seconds) }, text);
}

const ticking = new Set();

/** Call `update` every second while `element` is in the page. */
export function everySecond(element, update) {
  ticking.add({ element, update, seen: false });
  if (ticking.size === 1) setTimeout(tick, 1000);
}

function tick() {
  for (const entry of ticking) {
    if (entry.element.isConnected) {
      entry.seen = true;
      entry.update();
    } else if (entry.seen) ticking.delete(entry);
    else entry.seen = true;
  }
  if (ticking.size) setTimeout(tick, 1000);
}
