/** What both test pages share: sending a request, showing what came back, rows of parameters. */
import { fill, h, icon, iconButton } from "../../lib/dom.js";
import { startLanguage, t, translatePage } from "../../lib/i18n.js";
import { clean, fileSize } from "../../lib/text.js";
import { applyTheme, copyText, emptyState, themeButton } from "../../lib/ui.js";

const ROOT = new URL("../../", location.href);
/** The sample pages stand two levels below the root at each of their places. */
export const API = new URL("genesys/1/", ROOT);
const MOST = 30;

export async function startPage() {
  applyTheme();
  await startLanguage();
  translatePage();
  document.title = document.querySelector("h1").textContent;
  document.getElementById("theme").append(themeButton());
  for (const link of document.querySelectorAll("a[data-home]")) link.href = ROOT.href;
}

/** Rows of name and value; `values()` gives the filled ones. */
export class Parameters {
  constructor(place, initial = []) {
    this.rows = h("div.rows");
    this.counter = 0;
    this.prefix = place.id;
    fill(place, this.rows, h("button", { type: "button", onclick: () => this.add("", "").focus() }, icon("plus", "small"), t("test.add")));
    for (const [name, value] of initial) this.add(name, value);
  }

  add(name, value) {
    const number = ++this.counter;
    const nameInput = h("input.mono", { type: "text", value: name, placeholder: t("test.name"), spellcheck: "false", autocomplete: "off", aria: { label: t("test.name.n", { n: number }) } });
    const valueInput = h("input.mono", { type: "text", value, placeholder: t("test.value"), spellcheck: "false", autocomplete: "off", aria: { label: t("test.value.n", { n: number }) } });
    const row = h("div.row", {}, nameInput, valueInput, iconButton("close", t("test.remove"), () => row.remove()));
    this.rows.append(row);
    return nameInput;
  }

  replace(entries) {
    this.rows.replaceChildren();
    for (const [name, value] of entries) this.add(name, value);
  }

  values() {
    return [...this.rows.children]
      .map((row) => [...row.querySelectorAll("input")].map((input) => input.value))
      .filter(([name]) => name !== "");
  }
}

/** Rows of a key and a chosen file; `values()` gives the chosen ones. */
export class Files {
  constructor(place) {
    this.rows = h("div.rows");
    this.counter = 0;
    fill(place, this.rows, h("button", { type: "button", onclick: () => this.add().focus() }, icon("plus", "small"), t("test.add.file")));
  }

  add() {
    const number = ++this.counter;
    const key = h("input.mono", { type: "text", value: number === 1 ? "FileKey" : `FileKey${number}`, spellcheck: "false", autocomplete: "off", aria: { label: t("test.file.key.n", { n: number }) } });
    const file = h("input", { type: "file", aria: { label: t("test.file.n", { n: number }) } });
    const row = h("div.row", {}, key, file, iconButton("close", t("test.remove"), () => row.remove()));
    this.rows.append(row);
    return key;
  }

  values() {
    return [...this.rows.children]
      .map((row) => [...row.querySelectorAll("input")])
      .map(([key, file]) => ({ name: key.value.trim() || "file", file: file.files[0] }))
      .filter(({ file }) => file);
  }
}

/** The log of requests and answers, newest first. */
export class Results {
  constructor(place) {
    this.place = place;
    fill(place, emptyState("beaker", t("test.empty.title"), t("test.empty.text")));
    this.empty = true;
  }

  /**
   * Send a request and show it.
   * @param {{fields?: Array<[string, string]>, files?: Array<{name: string, file: File}>, body?: "form"|"multipart"|"json"|"query", headers?: Object<string, string>}} [what]
   *   Files make it multipart, whatever `body` says; a GET has everything in its query.
   * @returns {Promise<{ok: boolean, status: number, text: string, json: *}>}
   */
  async send(method, path, { fields = [], files = [], body: kind = "form", headers: more = {} } = {}) {
    const url = new URL(path, API);
    const headers = { ...more };
    let body;
    if (method === "GET" || method === "DELETE" || (kind === "query" && !files.length)) {
      for (const [name, value] of fields) url.searchParams.append(name, value);
    } else if (files.length || kind === "multipart") {
      body = new FormData();
      for (const [name, value] of fields) body.append(name, value);
      for (const { name, file } of files) body.append(name, file, file.name);
    } else if (kind === "json") {
      body = JSON.stringify(Object.fromEntries(fields));
      headers["Content-Type"] = "application/json";
    } else body = new URLSearchParams(fields);
    const began = performance.now();
    let answer;
    try {
      const response = await fetch(url, { method, body, headers, cache: "no-store" });
      const type = response.headers.get("Content-Type") ?? "";
      const blob = await response.blob();
      const text = /json|text|xml|javascript/.test(type) || blob.size === 0 ? await blob.text() : "";
      answer = { ok: response.ok, status: response.status, type, text, blob, json: parse(text) };
    } catch (error) {
      answer = { ok: false, status: 0, type: "", text: t("error.network"), blob: null, json: null };
    }
    this.show(method, url, body, answer, performance.now() - began);
    return answer;
  }

  show(method, url, body, answer, elapsed) {
    if (this.empty) this.place.replaceChildren();
    this.empty = false;
    const entry = h("article.result", {},
      h("header.result-head", {},
        h("code.result-what", {}, `${method} ${decodeURI(url.pathname)}${url.search}`),
        h("span.chip", { class: answer.ok ? "green" : "red" }, answer.status || t("test.no.answer")),
        h("span.small.muted", {}, t("test.ms", { n: Math.round(elapsed) }))),
      body && h("pre.result-body.muted", {}, bodyText(body)),
      answer.blob && answer.blob.size && !answer.text ? binary(answer) : h("pre.result-body", { tabindex: "0" }, clean(pretty(answer), 20000) || t("wire.no.body")),
      answer.text && iconButton("copy", t("copy"), () => copyText(answer.text), "result-copy"));
    this.place.prepend(entry);
    while (this.place.children.length > MOST) this.place.lastElementChild.remove();
  }
}

function binary({ blob, type }) {
  const button = h("button", { type: "button" }, icon("download"), `${type || "application/octet-stream"}, ${fileSize(blob.size)}`);
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
    link.download = "file";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  return button;
}

function bodyText(body) {
  if (typeof body === "string") return clean(body, 4000);
  return [...body].map(([name, value]) => clean(`${name} = ${value instanceof File ? `<${value.name}, ${fileSize(value.size)}>` : value}`, 2000)).join("\n") || t("wire.no.body");
}

function pretty({ text, json }) {
  return json === null ? text : JSON.stringify(json, null, 2);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Headers that say who calls. */
export function identity() {
  const user = document.getElementById("gms-user").value.trim();
  return user ? { gms_user: user } : {};
}
