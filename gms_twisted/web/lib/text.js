/**
 * Text from strangers, made fit to be shown.
 *
 * Pure functions over strings; nothing here touches a document.  Everything that a page shows
 * passes through `clean` or `cleanName` and then into `textContent`.
 */

/** Longest text that is shown, as the server's limit of a message. */
export const MAX_TEXT = 4000;
const MAX_NAME = 80;
const MAX_MARKS = 6;

const C0 = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
const C1_AND_BIDI = /[\u0080-\u009f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]/g;
const STACKED_MARKS = new RegExp(`(\\p{M}{${MAX_MARKS}})\\p{M}+`, "gu");
const INVISIBLE = /[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028\u2029\u2060-\u2064\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]|[\u{e0000}-\u{e0fff}]/gu;

/** A control character as the picture that Unicode has for it. */
function picture(character) {
  const code = character.charCodeAt(0);
  return String.fromCharCode(code === 0x7f ? 0x2421 : 0x2400 + code);
}

/** Cut without splitting a surrogate pair. */
function cut(text, limit) {
  if (text.length <= limit) return text;
  const end = /[\ud800-\udbff]/.test(text[limit - 1]) ? limit - 1 : limit;
  return `${text.slice(0, end)}\u2026`;
}

/**
 * A message: line breaks stay, control characters become pictures, direction overrides and
 * C1 become U+FFFD, towers of combining marks lose all but six storeys.
 */
export function clean(value, limit = MAX_TEXT) {
  const text = typeof value === "string" ? value : value === undefined || value === null ? "" : String(value);
  return cut(text, limit)
    .replace(/\r\n?|[\u2028\u2029\u0085]/g, "\n")
    .replace(C0, picture)
    .replace(C1_AND_BIDI, "\ufffd")
    .replace(STACKED_MARKS, "$1");
}

/** A name or subject: one line, nothing invisible, at most 80 characters. */
export function cleanName(value, limit = MAX_NAME) {
  const text = clean(value, limit * 8).replace(INVISIBLE, "").replace(/\s+/g, " ").trim();
  return cut(text, limit);
}

const LOOKALIKE = new Map(Object.entries({
  "\u0430": "a", "\u0435": "e", "\u043e": "o", "\u0440": "p", "\u0441": "c", "\u0443": "y", "\u0445": "x",
  "\u0456": "i", "\u0458": "j", "\u0455": "s", "\u043a": "k", "\u043c": "m", "\u0442": "t", "\u043d": "h",
  "\u03b1": "a", "\u03bf": "o", "\u03c1": "p", "\u03b9": "i", "\u03bd": "v", "\u03ba": "k", "\u0131": "i",
  "0": "o", "1": "l", "|": "l", "3": "e", "5": "s",
}));

/** Two names with one skeleton look alike to a hurried reader. */
export function skeleton(name) {
  const plain = cleanName(name).normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const folded = [...plain].map((character) => LOOKALIKE.get(character) ?? character).join("");
  return folded.replace(/[^\p{L}\p{N}]/gu, "").replace(/l/g, "i");
}

/** Tell whether a customer's name could be taken for one of these (C06). */
export function collides(name, others) {
  const mine = skeleton(name);
  return mine !== "" && [...others].some((other) => skeleton(other) === mine);
}

/** An address that may become a link: absolute, http or https, no user and password; else null. */
export function safeUrl(value) {
  if (typeof value !== "string" || value.length > 2048 || !/^https?:\/\//i.test(value)) return null;
  if (/[\u0000-\u0020\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(value)) return null;
  try {
    const url = new URL(value);
    if (!["http:", "https:"].includes(url.protocol) || !url.hostname || url.username || url.password) return null;
    return url;
  } catch {
    return null;
  }
}

const LINK = /https?:\/\/[^\s<>"'`\u0000-\u001f\u007f-\u009f\u2000-\u206f\ufeff]+/gi;

/**
 * Cut a cleaned text into plain pieces and links.
 * @returns {Array<{text: string, href?: string}>}
 */
export function pieces(text) {
  const result = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const found = withoutTail(match[0]);
    const url = safeUrl(found);
    if (!url) continue;
    if (match.index > from) result.push({ text: text.slice(from, match.index) });
    result.push({ text: found, href: url.href });
    from = match.index + found.length;
  }
  if (from < text.length) result.push({ text: text.slice(from) });
  return result;
}

const OPENING = { ")": "(", "]": "[", "}": "{" };

/** A link without the punctuation of the sentence around it: final dots, brackets never opened. */
function withoutTail(text) {
  const surplus = {};
  for (const [closing, opening] of Object.entries(OPENING)) {
    surplus[closing] = text.split(closing).length - text.split(opening).length;
  }
  let end = text.length;
  for (; end > 0; end -= 1) {
    const last = text[end - 1];
    if (surplus[last] > 0) surplus[last] -= 1;
    else if (!".,;:!?\u2026\ufffd".includes(last)) break;
  }
  return text.slice(0, end);
}

/** One or two letters for the round sign of a person. */
export function initials(name) {
  const words = cleanName(name).split(" ").filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = words.map((word) => [...word].find((letter) => /[\p{L}\p{N}]/u.test(letter)));
  const chosen = letters.length > 1 ? [letters[0], letters.at(-1)] : letters.slice(0, 1);
  return chosen.join("").toUpperCase() || "?";
}

/** A file's size for people. */
export function fileSize(bytes, language) {
  const size = Number(bytes) || 0;
  const [value, unit] = size < 1000 ? [size, "byte"]
    : size < 1e6 ? [size / 1e3, "kilobyte"] : [size / 1e6, "megabyte"];
  return new Intl.NumberFormat(language, {
    style: "unit", unit, unitDisplay: unit === "byte" ? "long" : "short", maximumFractionDigits: value < 10 ? 1 : 0,
  }).format(value);
}
