/** The two ways in: a one-time link, or name and password. */
import { fill, h, icon } from "./dom.js";
import { chooseLanguage, currentLanguage, LANGUAGES, t } from "./i18n.js";
import { cleanName } from "./text.js";
import { errorState, field, skeleton, themeButton } from "./ui.js";
import * as api from "./api.js";

const NAME = "[a-z0-9][a-z0-9._\\-]{0,63}";

/** The card in the middle.  `brand`: icon and title of the page that one logs in to. */
function frame([name, title], ...content) {
  return h("main.login", {},
    h("div.login-card.card", {},
      h("div.login-brand", {}, icon(name), h("span", {}, title)),
      ...content),
    h("div.login-foot", {}, languageChoice(), themeButton()));
}

export function languageChoice() {
  return h("select.language", { aria: { label: t("language") }, onchange: (event) => chooseLanguage(event.target.value) },
    Object.entries(LANGUAGES).map(([code, name]) => h("option", { value: code, selected: code === currentLanguage(), lang: code }, name)));
}

/** What went wrong, in the reader's words. */
export function errorText(error) {
  if (error.status === 401) return t("login.wrong");
  if (error.status === 429) return t("login.too.many", { n: Math.max(1, Math.ceil(error.retryAfter || 60)) });
  if (error.status === 0) return t("error.network");
  return error.message;
}

/** Run a form's action with the button disabled; shows the failure. */
async function submit(form, action) {
  const button = form.querySelector("button.primary");
  const message = form.querySelector(".form-error");
  fill(message);
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    fill(message, icon("alert"), h("span", {}, errorText(error)));
    button.disabled = false;
  }
}

function passwordField(id, label, autocomplete, hint) {
  const input = h("input", { id, type: "password", autocomplete, required: true, minlength: 10, maxlength: 200 });
  return { input, element: field(label, input, hint) };
}

/** Name and password.  Calls `done(me)` when logged in. */
export function loginForm(brand, done, notice = "") {
  const name = h("input", { id: "login-name", type: "text", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 64, dataset: { autofocus: "" } });
  const secret = h("input", { id: "login-password", type: "password", autocomplete: "current-password", required: true, maxlength: 200 });
  const form = h("form.form", {
    onsubmit: (event) => {
      event.preventDefault();
      void submit(form, async () => done(await api.login(name.value.trim().toLowerCase(), secret.value)));
    },
  },
  h("h1", {}, t("login.title")),
  notice && h("p.login-notice", { role: "status" }, notice),
  h("div.form-error", { role: "alert" }),
  field(t("login.name"), name),
  field(t("login.password"), secret),
  h("div.form-actions", {}, h("button.primary", { type: "submit" }, t("login.submit"))),
  h("p.small.muted", {}, t("login.help")));
  return frame(brand, form);
}

/** The first visit by a one-time link: loads what it is for, then asks for a name and password. */
export function claimForm(brand, token, done, giveUp) {
  const place = h("div", {}, skeleton(4));
  const load = async () => {
    fill(place, skeleton(4));
    try {
      fill(place, claimFields(token, await api.link(token), done));
      place.querySelector("input:not([readonly])")?.focus();
    } catch (error) {
      if (error.status === 404) {
        fill(place, h("div.form", {}, h("h1", {}, t("link.gone.title")), h("p", {}, t("link.gone.text")),
          h("div.form-actions", {}, h("button.primary", { type: "button", onclick: giveUp }, t("link.gone.login")))));
      } else fill(place, errorState(errorText(error), load));
    }
  };
  void load();
  return frame(brand, place);
}

function claimFields(token, info, done) {
  const fresh = info.new !== false;
  const name = h("input", { id: "claim-name", type: "text", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, pattern: NAME, maxlength: 64, value: info.name ?? "" });
  const display = h("input", { id: "claim-display", type: "text", autocomplete: "name", required: true, maxlength: 64, value: info.display_name ?? "" });
  name.readOnly = !fresh;
  const first = passwordField("claim-password", t("claim.password"), "new-password", t("claim.password.hint"));
  const again = h("input", { id: "claim-again", type: "password", autocomplete: "new-password", required: true, maxlength: 200 });
  const nameField = field(t("login.name"), name, fresh ? t("claim.name.hint") : "");
  const againField = field(t("claim.again"), again);
  const form = h("form.form", {
    onsubmit: (event) => {
      event.preventDefault();
      const same = first.input.value === again.value;
      againField.setError(same ? "" : t("claim.differs"));
      if (!same) return again.focus();
      return submit(form, async () => done(await api.claim({
        token,
        ...(fresh ? { name: name.value.trim(), display_name: display.value.trim() } : {}),
        password: first.input.value,
      })));
    },
  },
  h("h1", {}, fresh ? t("claim.title") : t("claim.title.again", { name: cleanName(info.display_name || info.name) })),
  h("p.muted", {}, fresh ? t(info.role === "operator" ? "claim.text.operator" : "claim.text.agent") : t("claim.text.again")),
  h("div.form-error", { role: "alert" }),
  nameField,
  fresh && field(t("claim.display"), display, t("claim.display.hint")),
  first.element, againField,
  h("div.form-actions", {}, h("button.primary", { type: "submit" }, t("claim.submit"))));
  return form;
}

/** A page that this account may not see, and the ways on. */
export function noPermission(brand, title, text, ...actions) {
  return frame(brand, h("div.form", {}, h("h1", {}, title), h("p", {}, text), h("div.form-actions", {}, actions)));
}
