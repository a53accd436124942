/** Small things that every page needs: theme, toasts, dialogs, copying. */
import { fill, h, icon, iconButton } from "./dom.js";
import { t } from "./i18n.js";

// ---- preferences --------------------------------------------------------------------------------

/** A value kept in this browser; `initial` where nothing is kept or keeping is refused. */
export function preference(name, initial) {
  try {
    const text = localStorage.getItem(`gms.${name}`);
    return text === null ? initial : JSON.parse(text);
  } catch {
    return initial;
  }
}

export function setPreference(name, value) {
  try {
    if (value === null || value === undefined) localStorage.removeItem(`gms.${name}`);
    else localStorage.setItem(`gms.${name}`, JSON.stringify(value));
  } catch {
    // Storage is full or refused: the page works on without memory.
  }
}

// ---- theme --------------------------------------------------------------------------------------

/** `light`, `dark`, or `system` for what the device says. */
export function theme() {
  return preference("theme", "system");
}

export function applyTheme(choice = theme()) {
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
}

/** What is on screen now. */
function shown() {
  const choice = theme();
  if (choice !== "system") return choice;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** A button that switches between light and dark. */
export function themeButton() {
  const button = iconButton("moon", t("theme.switch"), () => {
    const next = shown() === "dark" ? "light" : "dark";
    setPreference("theme", next);
    applyTheme(next);
    draw();
  });
  const draw = () => fill(button, icon(shown() === "dark" ? "sun" : "moon"));
  draw();
  return button;
}

// ---- toasts -------------------------------------------------------------------------------------

let shelf = null;

/**
 * A short message at the bottom.
 * @param {string} text
 * @param {{kind?: "info"|"success"|"danger", action?: string, onaction?: () => void, seconds?: number}} [options]
 * @returns {() => void} takes it away
 */
export function toast(text, { kind = "info", action, onaction, seconds = 6 } = {}) {
  if (!shelf) {
    shelf = h("div.toasts", { role: "status", aria: { live: "polite" } });
    document.body.append(shelf);
  }
  let timer = null;
  const remove = () => {
    clearTimeout(timer);
    element.remove();
  };
  const element = h("div.toast", { class: kind },
    icon({ success: "check", danger: "alert", info: "info" }[kind]),
    h("span.toast-text", { dir: "auto" }, text),
    action && h("button.toast-action", { type: "button", onclick: () => { remove(); onaction?.(); } }, action),
    iconButton("close", t("close"), remove),
  );
  while (shelf.children.length >= 4) shelf.firstElementChild.remove();
  shelf.append(element);
  timer = setTimeout(remove, seconds * 1000);
  return remove;
}

// ---- dialogs ------------------------------------------------------------------------------------

/**
 * Show a modal dialog; resolves with what `close` was given, `undefined` on Escape.
 * @param {string} title
 * @param {(close: (value?: *) => void) => Array<*>} body
 */
export function dialog(title, body, extra = "") {
  return new Promise((resolve) => {
    let result;
    const close = (value) => {
      result = value;
      element.close();
    };
    const heading = `dialog-${Math.floor(performance.now())}`;
    const element = h("dialog.dialog", { class: extra, aria: { labelledby: heading } },
      h("header.dialog-head", {}, h("h2", { id: heading }, title), iconButton("close", t("close"), () => close())),
      h("div.dialog-body", {}, body(close)));
    element.addEventListener("close", () => {
      element.remove();
      resolve(result);
    });
    element.addEventListener("click", (event) => {
      if (event.target === element) close();
    });
    document.body.append(element);
    element.showModal();
    element.querySelector("[data-autofocus]")?.focus();
  });
}

/** Ask once; resolves with true or false. */
export async function confirmDialog(title, text, yes, { danger = false } = {}) {
  const answer = await dialog(title, (close) => [
    h("p", {}, text),
    h("div.dialog-actions", {},
      h("button", { type: "button", onclick: () => close(false) }, t("cancel")),
      h("button", { type: "button", class: danger ? "danger" : "primary", dataset: { autofocus: "" }, onclick: () => close(true) }, yes)),
  ]);
  return Boolean(answer);
}

// ---- pieces -------------------------------------------------------------------------------------

/** Copy to the clipboard and say so. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("copied"), { kind: "success", seconds: 2 });
  } catch {
    // Pages without TLS have no clipboard: mark a text field and use the old command.
    const area = h("textarea.offscreen", { value: "", tabindex: "-1" });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    toast(done ? t("copied") : t("copy.failed"), { kind: done ? "success" : "danger", seconds: 2 });
  }
}

/** A place with nothing in it, saying what to do next. */
export function emptyState(name, title, text, ...more) {
  return h("div.empty", {}, icon(name, "large"), h("p.empty-title", {}, title), text && h("p.empty-text", {}, text), ...more);
}

/** What happened, and the way out. */
export function errorState(text, retry) {
  return h("div.empty.failed", { role: "alert" }, icon("alert", "large"),
    h("p.empty-title", {}, t("error.title")), h("p.empty-text", { dir: "auto" }, text),
    retry && h("button", { type: "button", onclick: retry }, icon("refresh"), t("retry")));
}

/** Grey lines where text will be, after 300 ms only (CSS delays them). */
export function skeleton(lines = 3) {
  return h("div.skeleton", { aria: { hidden: "true" } },
    Array.from({ length: lines }, (_, index) => h("span.skeleton-line", { class: `w${(index % 3) + 1}` })));
}

/** A labelled form field with room for its error. */
export function field(label, input, hint) {
  const hintElement = h("span.field-hint", {}, hint ?? "");
  hintElement.id = `${input.id}-hint`;
  input.setAttribute("aria-describedby", hintElement.id);
  const element = h("div.field", {}, h("label", { for: input.id }, label), input, hintElement);
  element.setError = (text) => {
    element.classList.toggle("invalid", Boolean(text));
    input.setAttribute("aria-invalid", String(Boolean(text)));
    hintElement.textContent = text || hint || "";
  };
  return element;
}
