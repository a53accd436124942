/**
 * Building pages from values: the only module that makes elements.
 *
 * There is no way to markup here.  Strings become text nodes, attributes come from a short list,
 * and the two that hold addresses take safe ones only.
 */
import { ICONS } from "./icons.js";
import { safeUrl } from "./text.js";

const ATTRIBUTES = new Set([
  "id", "class", "type", "name", "for", "title", "role", "dir", "lang", "rows", "maxlength", "minlength",
  "placeholder", "autocomplete", "inputmode", "enterkeyhint", "tabindex", "datetime", "download", "pattern",
  "value", "width", "height", "alt", "spellcheck", "autocapitalize", "method", "min", "max", "accept", "list", "scope", "colspan", "label",
]);
const PROPERTIES = new Set(["disabled", "hidden", "checked", "required", "readOnly", "open", "selected", "multiple"]);
const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 *     h("button.primary", { type: "button", onclick: save }, icon("check"), "Save")
 *
 * @param {string} selector  Tag with classes: `div.card.wide`.
 * @param {Object<string, *>} [properties]  Attributes, `on...` listeners, `dataset`, `aria`, `ref`.
 * @param {...*} children  Nodes, strings, numbers, arrays; null, undefined and false are left out.
 * @returns {HTMLElement}
 */
export function h(selector, properties, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value !== undefined && value !== null) set(element, name, value);
  }
  append(element, children);
  return element;
}

function set(element, name, value) {
  if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2), value);
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "aria") {
    for (const [key, word] of Object.entries(value)) {
      if (word !== undefined && word !== null) element.setAttribute(`aria-${key}`, String(word));
    }
  } else if (PROPERTIES.has(name)) element[name] = Boolean(value);
  else if (name === "class") element.className = [element.className, value].filter(Boolean).join(" ");
  else if (name === "href" || name === "src") address(element, name, value);
  else if (ATTRIBUTES.has(name)) element.setAttribute(name, String(value));
  else throw new TypeError(`h() does not set ${name}`);
}

/** Addresses: http(s), or a path on this server.  Anything else leaves the attribute out. */
function address(element, name, value) {
  const url = safeUrl(value) ?? localUrl(value);
  if (!url) return;
  element.setAttribute(name, url.href);
  if (name === "href" && url.origin !== location.origin) {
    element.setAttribute("rel", "noopener noreferrer nofollow");
    element.setAttribute("target", "_blank");
  }
}

/** A link to a position for the device's own map: made of two numbers, so that nothing else can be in it. */
export function geoLink(latitude, longitude, ...children) {
  const link = h("a.geo", {}, ...children);
  const numbers = [latitude, longitude].map((value) => Number(value).toFixed(6).replace(/\.?0+$/, ""));
  if (numbers.every((text) => /^-?\d{1,3}(?:\.\d{1,6})?$/.test(text))) link.setAttribute("href", `geo:${numbers.join(",")}`);
  return link;
}

function localUrl(value) {
  if (typeof value !== "string" || !/^(?:\.{1,2}\/|\/(?!\/)|#)/.test(value) || value.includes("\\")) return null;
  const url = new URL(value, location.href);
  return url.origin === location.origin ? url : null;
}

function append(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === true) continue;
    if (Array.isArray(child)) append(parent, child);
    else parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** An icon, hidden from screen readers: its control carries the name. */
export function icon(name, extra = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${extra}`.trim());
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("viewBox", "0 0 24 24");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * A drawing of lines and areas that stretches with its place.
 * @param {number} width @param {number} height  Of the field that the paths are in.
 * @param {Array<{d: string, class: string}>} paths
 */
export function drawing(width, height, paths) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const { d, class: name } of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

/** A button that shows only an icon. */
export function iconButton(name, label, onclick, extra = "") {
  return h("button.icon-button", { type: "button", class: extra, title: label, aria: { label }, onclick }, icon(name));
}

/**
 * Bring the children of `parent` in line with a list, keeping elements whose key stays: focus,
 * selection and scroll position survive.
 *
 * @param {HTMLElement} parent @param {Array<*>} items @param {(item: *) => string} key
 * @param {(item: *, element: HTMLElement|null) => HTMLElement} render  Gets the element it made before, or null.
 */
export function reconcile(parent, items, key, render) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let cursor = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const old = before.get(name) ?? null;
    before.delete(name);
    const element = render(item, old);
    element.dataset.key = name;
    if (old && old !== element) {
      if (old === cursor) cursor = old.nextElementSibling;
      old.replaceWith(element);
      if (element.nextElementSibling === cursor) continue;
    }
    if (element === cursor) cursor = cursor.nextElementSibling;
    else parent.insertBefore(element, cursor);
  }
  for (const rest of before.values()) rest.remove();
}
