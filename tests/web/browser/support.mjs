/** A browser, a server, and the words that tests use for both. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.GMS_CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Start Chromium with an empty profile. */
export async function startBrowser() {
  const home = await mkdtemp(join(tmpdir(), "gms-browser-"));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS, env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home } });
  return { browser, stop: async () => { await browser.close(); await rm(home, { recursive: true, force: true }); } };
}

/**
 * A context whose pages report what must not happen: `faults` collects console errors, refusals by
 * the policy and requests to other hosts.
 */
export async function openContext(browser, server, { locale = "en-GB", theme = "light", width = 1440, height = 900, touch = false, ...more } = {}) {
  const context = await browser.newContext({ locale, colorScheme: theme, viewport: { width, height }, hasTouch: touch, reducedMotion: "reduce", ...more });
  const faults = [];
  const origin = new URL(server).origin;
  context.on("page", (page) => {
    page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => { faults.push(`dialog: ${dialog.message()}`); void dialog.dismiss().catch(() => {}); });
    page.on("console", (message) => {
      if (message.type() === "error" && /Content Security Policy|Trusted|Refused/.test(message.text())) faults.push(`policy: ${message.text()}`);
    });
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(origin) && !/^(?:blob|data|ws):/.test(url)) faults.push(`request: ${url}`);
    });
  });
  return { context, faults };
}

/** Log in at the desk with name and password, or by a link's token. */
export async function enterDesk(page, server, { name = "anna", password = "correct horse", token = "", displayName = "Anna Weber" } = {}) {
  await page.goto(new URL(token ? `desk/#link=${token}` : "desk/", server).href);
  if (token) {
    const field = page.locator("#claim-name");
    await field.waitFor();
    if (await field.isEditable()) {
      await field.fill(name);
      await page.locator("#claim-display").fill(displayName);
    }
    await page.locator("#claim-password").fill(password);
    await page.locator("#claim-again").fill(password);
  } else {
    await page.locator("#login-name").fill(name);
    await page.locator("#login-password").fill(password);
  }
  await page.locator("form button.primary").click();
  await page.locator(".desk .connection.connected").waitFor();
}

/** Open the operator page, logging in with name and password if need be. */
export async function enterOps(page, server, { name = "anna", password = "correct horse", hash = "" } = {}) {
  await page.goto(new URL(`ops/${hash}`, server).href);
  await page.locator("#login-name, .ops, .login h1").first().waitFor();
  if (await page.locator("#login-name").count()) {
    await page.locator("#login-name").fill(name);
    await page.locator("#login-password").fill(password);
    await page.locator("form button.primary").click();
  }
  await page.locator(".ops .connection.connected").waitFor();
}

/** Switch to ready unless it is so; the switch can be used once the server has told the agent's state. */
export async function goReady(page) {
  const button = page.locator(".switch:enabled");
  await button.waitFor();
  if ((await button.getAttribute("aria-checked")) !== "true") await button.click();
  await page.locator('.switch[aria-checked="true"]').waitFor();
}

/** Switch to away unless it is so. */
export async function goAway(page) {
  const button = page.locator(".switch:enabled");
  await button.waitFor();
  if ((await button.getAttribute("aria-checked")) === "true") await button.click();
  await page.locator('.switch[aria-checked="false"]').waitFor();
}

/** Ask on the customer's page to be told when an agent is free. */
export async function wantNews(page, server, { name, subject }, button = "Tell me when an agent is free") {
  await page.goto(new URL("demo/", server).href);
  await page.locator(".chat-button").click();
  await page.locator("#start-name").fill(name);
  await page.locator("#start-subject").fill(subject);
  await page.locator("#start-consent").check();
  await page.getByRole("button", { name: button }).click();
  await page.locator(".watch").waitFor();
}

/** Begin a chat on the customer's page. */
export async function startChat(page, server, { name, subject, email = "" }) {
  await page.goto(new URL("demo/", server).href);
  await page.locator(".chat-button").click();
  await page.locator("#start-name").fill(name);
  await page.locator("#start-subject").fill(subject);
  if (email) await page.locator("#start-email").fill(email);
  await page.locator("#start-consent").check();
  await page.locator(".start button.primary").click();
  await page.locator("#message").waitFor();
}

/** Wait until a function in the page says yes; the pages' policy forbids the driver's own way. */
export async function until(page, predicate, argument, ms = 10000) {
  const end = Date.now() + ms;
  while (!(await page.evaluate(predicate, argument))) {
    if (Date.now() > end) throw new Error(`It did not become true: ${predicate}`);
    await page.waitForTimeout(50);
  }
}

/** C01: what must stay text wherever it is shown. */
export const PAYLOADS = [
  "<script>window.pwned=1</script>", '<img src=x onerror="window.pwned=1">', "<svg onload=window.pwned=1><circle r=9>", '"><iframe src="https://evil.example/">',
  "javascript:window.pwned=1", "[x](javascript:window.pwned=1)", "{{7*7}} ${7*7} <%= 7*7 %>", "</textarea></pre><style>*{display:none}</style>",
  "a\u202egpj.exe\u202c", "zero\u200bwidth\u2060", `zalgo e${"\u0301".repeat(400)}`, "ansi \u001b[31m\u009b31m", "https://evil.example/\"onmouseover=\"window.pwned=1", "data:text/html,<script>1</script>",
];
export const NASTY = '<b onclick="window.pwned=1">Mallory</b>\u202e';

/** Nothing ran, nothing was built from data, no link leads elsewhere than http(s) or to a position. */
export async function assertHarmless(page, faults) {
  const found = await page.evaluate(() => ({
    pwned: "pwned" in window,
    elements: [...document.querySelectorAll("#app script, #app iframe, #app object, #app embed, #app style, #app b, #app link")].map((element) => element.outerHTML),
    handlers: [...document.querySelectorAll("*")].filter((element) => [...element.attributes].some((attribute) => attribute.name.startsWith("on"))).length,
    links: [...document.querySelectorAll("a[href]")].filter((link) => !/^geo:-?[\d.]+,-?[\d.]+$/.test(link.href) && (!/^https?:/.test(link.href) || link.origin !== location.origin && !/noopener/.test(link.rel))).map((link) => link.href),
    raw: /[\u0000-\u0008\u000b-\u001f\u0080-\u009f\u202a-\u202e\u2066-\u2069]/.test(document.body.innerText),
  }));
  assert.deepEqual(found, { pwned: false, elements: [], handlers: 0, links: [], raw: false });
  assert.deepEqual(faults, []);
}

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Fail on what axe-core calls serious. */
export async function audit(page, what) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.target.join(" ")).join(", ")}`);
  });
  assert.deepEqual(found, [], what);
}
