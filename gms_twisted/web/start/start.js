/** The start page: texts, icons, and one look at the server's health. */
import { fill, icon } from "../lib/dom.js";
import { startLanguage, t, translatePage } from "../lib/i18n.js";
import { applyTheme, themeButton } from "../lib/ui.js";

applyTheme();
await startLanguage();
translatePage();
document.title = t("start.title");
document.getElementById("theme").append(themeButton());
for (const place of document.querySelectorAll("[data-icon]")) fill(place, icon(place.dataset.icon));

const health = document.getElementById("health");
try {
  const response = await fetch("health", { cache: "no-store" });
  health.textContent = t(response.ok ? "start.health.good" : "start.health.bad");
  health.className = response.ok ? "good" : "bad";
} catch {
  health.textContent = t("error.network");
  health.className = "bad";
}
