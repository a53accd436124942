/** Starts the operator page: texts, then the log-in, the page, or why there is none for this account. */
import * as api from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { startLanguage, t, translatePage } from "../lib/i18n.js";
import { errorText, loginForm, noPermission } from "../lib/login.js";
import { cleanName } from "../lib/text.js";
import { applyTheme, errorState } from "../lib/ui.js";
import { Ops } from "./ops.js";

const root = document.getElementById("app");
const brand = () => ["pulse", t("ops.title")];

function enter(me) {
  if (me.agent.role !== "operator") {
    showDenied(me);
    return;
  }
  const page = new Ops(me, { leave: showLogin, denied: () => showDenied(me) });
  fill(root, page.element);
  page.start();
}

function showLogin(notice = "") {
  fill(root, loginForm(brand(), enter, notice));
  root.querySelector("[data-autofocus]")?.focus();
}

function showDenied(me) {
  const leave = async () => {
    try {
      await api.logout();
    } catch {
      // Whoever logs in next gets a session of their own.
    }
    showLogin();
  };
  fill(root, noPermission(brand(), t("ops.denied.title"), t("ops.denied.text", { name: cleanName(me.agent.display_name) || me.agent.name }),
    h("a.button.primary", { href: "../desk/" }, t("ops.denied.desk")),
    h("button", { type: "button", onclick: () => void leave() }, t("ops.denied.other"))));
}

async function begin() {
  try {
    enter(await known);
  } catch (error) {
    if (error.status === 401) showLogin();
    else {
      fill(root, errorState(errorText(error), () => {
        known = api.me();
        void begin();
      }));
    }
  }
}

applyTheme();
// Who is logged in is asked while the texts are loading.
let known = api.me();
known.catch(() => {});
await startLanguage();
translatePage();
document.title = t("ops.title");
await begin();
