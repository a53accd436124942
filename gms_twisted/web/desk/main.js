/** Starts the desk: texts, then the log-in or the desk itself. */
import * as api from "../lib/api.js";
import { fill } from "../lib/dom.js";
import { startLanguage, t, translatePage } from "../lib/i18n.js";
import { claimForm, errorText, loginForm } from "../lib/login.js";
import { applyTheme, errorState } from "../lib/ui.js";
import { Desk } from "./desk.js";

const root = document.getElementById("app");
const brand = () => ["headset", t("desk.title")];

/** The one-time link's token; taken out of the address at once so that it is not copied along. */
function takeLink() {
  const match = /^#link=(.+)$/.exec(location.hash);
  if (match) history.replaceState(null, "", location.pathname + location.search);
  return match ? decodeURIComponent(match[1]) : null;
}

function enter(me) {
  const desk = new Desk(me, (notice) => showLogin(notice));
  fill(root, desk.element);
  desk.start();
}

function showLogin(notice = "") {
  document.title = t("desk.title");
  fill(root, loginForm(brand(), enter, notice));
  root.querySelector("[data-autofocus]")?.focus();
}

async function begin() {
  const token = takeLink();
  if (token) {
    fill(root, claimForm(brand(), token, enter, () => showLogin()));
    return;
  }
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
let known = location.hash.startsWith("#link=") ? null : api.me();
known?.catch(() => {});
await startLanguage();
translatePage();
document.title = t("desk.title");
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#link=")) location.reload();
});
await begin();
