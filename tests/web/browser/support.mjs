/** A browser, a server, and the words that tests use for both. */
import { mkdtemp, rm } from "node:fs/promises";
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
