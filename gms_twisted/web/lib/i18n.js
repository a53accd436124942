/**
 * Languages: one JSON catalogue each (`lang/en.json`), chosen by the reader or the browser.
 *
 * A catalogue maps keys to texts with `{name}` places; a text that depends on a number is an object
 * by plural category: `{"one": "{n} message", "other": "{n} messages"}`.  To add a language put its
 * file beside the others and its code into `LANGUAGES`.  A key that is missing there falls back
 * to English.
 */
export const LANGUAGES = { en: "English", de: "Deutsch" };
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur", "yi"]);
const STORED = "gms.language";

let language = "en";
let catalogue = {};
let fallback = {};
let plural = new Intl.PluralRules("en");

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}

/** The language to use: the reader's choice, else the browser's first that we have, else English. */
function choose() {
  const wished = [stored(), ...(navigator.languages ?? [navigator.language])];
  for (const tag of wished) {
    const code = String(tag ?? "").toLowerCase().split("-")[0];
    if (Object.hasOwn(LANGUAGES, code)) return code;
  }
  return "en";
}

async function load(code) {
  const response = await fetch(new URL(`./lang/${code}.json`, import.meta.url));
  if (!response.ok) throw new Error(`No texts for ${code}: ${response.status}`);
  return response.json();
}

/** Load the texts; call once before anything is drawn. */
export async function startLanguage() {
  language = choose();
  [fallback, catalogue] = await Promise.all([load("en"), language === "en" ? null : load(language)]);
  catalogue ??= fallback;
  const tag = (navigator.languages ?? []).find((each) => each.toLowerCase().split("-")[0] === language) ?? language;
  locale = tag;
  plural = new Intl.PluralRules(tag);
  document.documentElement.lang = language;
  document.documentElement.dir = RIGHT_TO_LEFT.has(language) ? "rtl" : "ltr";
}

let locale = "en";

/** The reader's locale for numbers and dates, with region: `de-AT`. */
export function currentLocale() {
  return locale;
}

export function currentLanguage() {
  return language;
}

/** Use another language from the next load on. */
export function chooseLanguage(code) {
  try {
    localStorage.setItem(STORED, code);
  } catch {
    // Private windows may refuse; then the choice lasts for nothing, and no harm is done.
  }
  location.reload();
}

/**
 * The text of a key.
 * @param {string} key @param {Object<string, *>} [values]  `n` chooses the plural form.
 */
export function t(key, values = {}) {
  let text = catalogue[key] ?? fallback[key] ?? key;
  if (typeof text === "object") text = text[plural.select(Number(values.n))] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? new Intl.NumberFormat(locale).format(value) : String(value);
  });
}

/** Put texts into the static elements of a page: the key is in `data-t`, `data-t-title`, ... */
export function translatePage(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-title]")) element.title = t(element.dataset.tTitle);
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
  for (const element of root.querySelectorAll("[data-t-placeholder]")) {
    element.setAttribute("placeholder", t(element.dataset.tPlaceholder));
  }
}
