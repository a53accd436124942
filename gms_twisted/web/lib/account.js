/** The account menu and changing one's password, for pages that one logs in to. */
import * as api from "./api.js";
import { fill, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { errorText, languageChoice } from "./login.js";
import { cleanName, initials } from "./text.js";
import { applyTheme, dialog, field, preference, setPreference, toast } from "./ui.js";

/** The list of keys: `[keys, text]` pairs. */
export function showKeys(keys) {
  void dialog(t("shortcuts.title"), () => [
    h("dl.shortcuts", {}, keys.map(([key, text]) => h("div", {}, h("dt", {}, h("kbd.key", {}, key)), h("dd", {}, t(text))))),
  ]);
}

/**
 * The round button with the agent's initials.
 * @param {*} agent
 * @param {() => Array<[string, string, () => void]|false>} more  Icon, text and action of the page's own items.
 * @param {() => void} logout
 */
export function accountMenu(agent, more, logout) {
  const name = cleanName(agent.display_name) || agent.name;
  const menu = h("div.menu", { hidden: true, id: "account-menu" });
  const button = h("button.account", {
    type: "button", title: name, aria: { haspopup: "true", expanded: "false", controls: "account-menu", label: t("account", { name }) },
    onclick: () => toggle(menu.hidden),
  }, h("span.avatar.agent", { aria: { hidden: "true" } }, initials(name)), h("bdi.account-name.one-line.only-wide", {}, name), icon("chevron", "small"));
  const toggle = (open) => {
    menu.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) draw();
  };
  const item = (name, text, action) => h("button.menu-item", { type: "button", onclick: () => { toggle(false); action(); } }, icon(name), text);
  const draw = () => fill(menu,
    h("div.menu-head", {}, h("strong", {}, h("bdi", {}, name)), h("span.small.muted", {}, `${agent.name} \u00b7 ${t(`role.${agent.role}`)}`)),
    more().map((entry) => entry && item(...entry)),
    item("key", t("password.change"), showPassword),
    h("label.menu-choice", {}, icon("sun"), h("span", {}, t("theme")), themeChoice()),
    h("label.menu-choice", {}, icon("globe"), h("span", {}, t("language")), languageChoice()),
    item("logout", t("logout"), logout));
  const box = h("div.account-box", {
    onfocusout: (event) => { if (!box.contains(event.relatedTarget)) toggle(false); },
    onkeydown: (event) => {
      if (event.key === "Escape" && !menu.hidden) {
        event.stopPropagation();
        toggle(false);
        button.focus();
      }
    },
  }, button, menu);
  return box;
}

function themeChoice() {
  return h("select", {
    aria: { label: t("theme") },
    onchange: (event) => {
      setPreference("theme", event.target.value);
      applyTheme(event.target.value);
    },
  }, ["system", "light", "dark"].map((choice) => h("option", { value: choice, selected: preference("theme", "system") === choice }, t(`theme.${choice}`))));
}

function showPassword() {
  void dialog(t("password.change"), (close) => {
    const input = (id, autocomplete, extra) => h("input", { id, type: "password", autocomplete, required: true, maxlength: 200, ...extra });
    const old = input("password-old", "current-password", { dataset: { autofocus: "" } });
    const fresh = input("password-new", "new-password", { minlength: 10 });
    const again = input("password-again", "new-password", {});
    const againField = field(t("claim.again"), again);
    const message = h("div.form-error", { role: "alert" });
    return [h("form.form", {
      onsubmit: async (event) => {
        event.preventDefault();
        fill(message);
        againField.setError(fresh.value === again.value ? "" : t("claim.differs"));
        if (fresh.value !== again.value) return;
        try {
          await api.password(old.value, fresh.value);
          close();
          toast(t("password.changed"), { kind: "success" });
        } catch (error) {
          fill(message, icon("alert"), h("span", {}, error.status === 401 || error.status === 403 ? t("password.wrong") : errorText(error)));
        }
      },
    }, message, field(t("password.old"), old), field(t("password.new"), fresh, t("claim.password.hint")), againField,
    h("div.dialog-actions", {},
      h("button", { type: "button", onclick: () => close() }, t("cancel")),
      h("button.primary", { type: "submit" }, t("save"))))];
  });
}
