/** What a healthy server does not show, with the stand-in: refusals, lost connections, races. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { Advanced } from "../mock/advanced.mjs";
import { startMock } from "../mock/server.mjs";
import { audit, enterDesk, openContext, PAYLOADS, startBrowser, wantNews } from "./support.mjs";

describe("the desk", () => {
  let server;
  let chromium;
  let context;
  let page;

  before(async () => {
    server = await startMock();
    chromium = await startBrowser();
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  beforeEach(async () => {
    await context?.close();
    server.world.chats.clear();
    server.world.failing = null;
    server.world.websockets = true;
    ({ context } = await openContext(chromium.browser, server.url));
    page = await context.newPage();
  });

  it("C07: takes a one-time link out of the address and lets its holder in", async () => {
    server.world.links.set("once", { name: "", display_name: "", role: "agent", new: true });
    await page.goto(`${server.url}desk/#link=once`);
    await page.locator("#claim-name").waitFor();
    assert.equal(new URL(page.url()).hash, "");
    await page.locator("#claim-name").fill("cleo");
    await page.locator("#claim-display").fill("Cleo");
    await page.locator("#claim-password").fill("a long password");
    await page.locator("#claim-again").fill("another password");
    await page.locator("form button.primary").click();
    await page.locator(".field.invalid").waitFor();
    await page.locator("#claim-again").fill("a long password");
    await page.locator("form button.primary").click();
    await page.locator(".connection.connected").waitFor();
    assert.equal(await page.getByRole("button", { name: "Agents", exact: true }).count(), 0);
    await context.newPage().then(async (second) => {
      await second.goto(`${server.url}desk/#link=once`);
      await second.getByText("has been used or is too old").waitFor();
    });
  });

  it("C07: says no to a wrong password, and when to come back", async () => {
    await page.goto(`${server.url}desk/`);
    await page.locator("#login-name").fill("anna");
    await page.locator("#login-password").fill("wrong password");
    await page.locator("form button.primary").click();
    await page.getByText("Name or password is wrong.").waitFor();
    server.world.failing = (path) => (path === "/desk/api/login" ? Object.assign(new server.Refusal(429, "Slow."), { retryAfter: 42 }) : undefined);
    await page.locator("form button.primary").click();
    await page.getByText("Try again in 42 seconds").waitFor();
  });

  it("shows agents who may not administer that they may not", async () => {
    await enterDesk(page, server.url, { name: "ben", password: "battery staple" });
    await page.goto(`${server.url}desk/#agents`);
    await page.reload();
    await page.getByText("Not for your account").waitFor();
  });

  it("says so when a colleague was faster", async () => {
    const chat = server.world.newChat({ nickname: "Quick" });
    await enterDesk(page, server.url);
    server.world.chats.get(chat.chat).agent = "ben";
    await page.locator(".entry .item-main").click();
    await page.getByText("A colleague was faster.").waitFor();
    await page.locator(".entry").waitFor({ state: "detached" });
  });

  it("offers the retry when the queue cannot be read", async () => {
    server.world.newChat({ nickname: "Behind" });
    server.world.failing = (what) => (what === "hello" ? new server.Refusal(503, "The rooms cannot be read.") : undefined);
    await enterDesk(page, server.url);
    await page.getByText("The rooms cannot be read.").waitFor();
    server.world.failing = null;
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".entry", { hasText: "Behind" }).waitFor();
  });

  it("offers the retry when a transcript cannot be read", async () => {
    const chat = server.world.newChat({ nickname: "Broken", agent: "anna" });
    await enterDesk(page, server.url);
    server.world.failing = (what) => (what === "open" ? new server.Refusal(503, "The chat server does not answer.") : undefined);
    await page.locator(".chat .item-main").click();
    await page.getByText("The chat server does not answer.").waitFor();
    server.world.failing = null;
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".notice").waitFor();
    assert.ok(chat);
  });

  it("counts down while offline, keeps what was written, and sends it once", async () => {
    const chat = server.world.newChat({ nickname: "Patience", agent: "anna" });
    await enterDesk(page, server.url);
    await page.locator(".chat .item-main").click();
    await page.locator("#composer").waitFor();
    server.world.websockets = false;
    server.world.failing = (path) => (path === "/genesys/cometd" ? new server.Refusal(503, "Down.") : undefined);
    server.world.restart();
    await page.locator(".connection-bar").waitFor();
    await page.locator("#composer").fill("Written while offline");
    await page.keyboard.press("Enter");
    await page.locator(".line.pending").waitFor();
    await page.waitForTimeout(1500);
    assert.match(await page.locator(".connection-bar").innerText(), /Reconnecting/);
    server.world.websockets = true;
    server.world.failing = null;
    await page.getByRole("button", { name: "Try now" }).click({ timeout: 3000 }).catch(() => {});
    await page.locator(".connection.connected").waitFor();
    await page.locator(".line.own:not(.pending)", { hasText: "Written while offline" }).waitFor();
    assert.equal(await page.locator(".connection-bar").count(), 0);
    assert.equal(chat.events.filter((event) => event.text === "Written while offline").length, 1);
  });

  it("works over long polling where there are no websockets", async () => {
    server.world.websockets = false;
    const chat = server.world.newChat({ nickname: "Poll" });
    await enterDesk(page, server.url);
    await page.locator(".entry .item-main").click();
    await page.locator("#composer").fill("Over long polling");
    await page.keyboard.press("Enter");
    await page.locator(".line.own:not(.pending)").waitFor();
    server.world.append(chat, { type: "message", text: "I hear you", nickname: "Poll", party: "CLIENT" });
    await page.locator(".bubble", { hasText: "I hear you" }).waitFor();
  });

  it("marks what is unread and divides it from what was read", async () => {
    const one = server.world.newChat({ nickname: "One", agent: "anna" });
    const two = server.world.newChat({ nickname: "Two", agent: "anna" });
    await enterDesk(page, server.url);
    await page.keyboard.press("Alt+1");
    await page.locator("h1", { hasText: "One" }).waitFor();
    server.world.append(two, { type: "message", text: "first", nickname: "Two", party: "CLIENT" });
    server.world.append(two, { type: "message", text: "<i>second</i>", nickname: "Two", party: "CLIENT" });
    await page.locator(".chat .badge", { hasText: "2" }).waitFor();
    assert.match(await page.title(), /^\(2\)/);
    await page.locator("#composer").press("Alt+2");
    await page.locator(".new-divider").waitFor();
    await page.locator(".chat .badge").waitFor({ state: "detached" });
    assert.equal(two.read, two.events.length);
    assert.ok(one);
  });

  it("limits a message and shows what is left near the end", async () => {
    server.world.newChat({ nickname: "Long", agent: "anna" });
    await enterDesk(page, server.url);
    await page.locator(".chat .item-main").click();
    await page.locator("#composer").fill("x".repeat(3990));
    await page.getByText("10 characters left").waitFor();
    await page.locator("#composer").press("End");
    await page.locator("#composer").pressSequentially("y".repeat(12));
    assert.equal((await page.locator("#composer").inputValue()).length, 4000);
  });

  it("inserts canned answers by the keyboard", async () => {
    server.world.newChat({ nickname: "Can", agent: "anna" });
    await enterDesk(page, server.url);
    await page.locator(".chat .item-main").click();
    await page.locator("#composer").pressSequentially("/th");
    await page.locator(".canned-item").waitFor();
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#composer").inputValue(), "Thank you for your patience.");
  });

  it("puts a chat back into the queue", async () => {
    server.world.newChat({ nickname: "Again", agent: "anna" });
    await enterDesk(page, server.url);
    await page.locator(".chat .item-main").click();
    await page.getByRole("button", { name: "Back to the queue" }).click();
    await page.locator("dialog button.primary").click();
    await page.locator(".entry .chip", { hasText: "Again" }).waitFor();
    assert.equal(await page.locator(".chat").count(), 0);
  });

  it("C07: goes back to the log-in when signed out elsewhere", async () => {
    await enterDesk(page, server.url);
    server.world.logins.clear();
    server.world.tell("anna", { type: "signed_out", reason: "disabled" });
    await page.getByText("Your account was disabled.").waitFor();
    await page.locator("#login-name").waitFor();
  });

  it("keeps a phone's one column and its way back", async () => {
    server.world.newChat({ nickname: "Phone", agent: "anna" });
    await page.setViewportSize({ width: 390, height: 844 });
    await enterDesk(page, server.url);
    await page.locator(".chat .item-main").click();
    await page.locator(".conversation-head").waitFor();
    assert.equal(await page.locator(".lists").isVisible(), false);
    await page.locator(".customer-toggle").click();
    await page.locator(".customer .person").waitFor();
    await page.locator(".customer").getByRole("button", { name: "Back" }).click();
    await page.locator(".conversation").getByRole("button", { name: "Back" }).click();
    assert.ok(await page.locator(".lists").isVisible());
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    assert.equal(wide, false);
  });

  it("speaks German where the browser does", async () => {
    await context.close();
    ({ context } = await openContext(chromium.browser, server.url, { locale: "de-DE" }));
    page = await context.newPage();
    await enterDesk(page, server.url);
    await page.getByText("Warteschlange", { exact: true }).first().waitFor();
    assert.equal(await page.locator("html").getAttribute("lang"), "de");
  });

  it("turns around for right-to-left without breaking", async () => {
    server.world.newChat({ nickname: "\u0645\u0631\u064a\u0645", subject: "\u0645\u0631\u062d\u0628\u0627", agent: "anna" });
    await enterDesk(page, server.url);
    await page.evaluate(() => { document.documentElement.dir = "rtl"; });
    await page.locator(".chat .item-main").click();
    await page.locator("#composer").waitFor();
    const sides = await page.evaluate(() => [".lists", ".conversation", ".customer"].map((name) => document.querySelector(name).getBoundingClientRect().left));
    assert.ok(sides[0] > sides[1] && sides[1] > sides[2], String(sides));
  });
});

describe("the customer's page", () => {
  let server;
  let chromium;
  let context;
  let page;

  before(async () => {
    server = await startMock();
    chromium = await startBrowser();
    ({ context } = await openContext(chromium.browser, server.url, { width: 390, height: 844 }));
    page = await context.newPage();
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  it("says why a chat cannot begin, and keeps the form", async () => {
    server.world.failing = (path) => (path.endsWith("/request-chat") ? new server.Refusal(503, "No chat server is to be had.") : undefined);
    await page.goto(`${server.url}demo/`);
    await page.locator(".chat-button").click();
    await page.locator("#start-name").fill("Cara");
    await page.locator("#start-subject").fill("Keep me");
    await page.locator("#start-consent").check();
    await page.locator(".start button.primary").click();
    await page.locator(".form-error", { hasText: "No chat server is to be had." }).waitFor();
    assert.equal(await page.locator("#start-subject").inputValue(), "Keep me");
    server.world.failing = null;
    await page.locator(".start button.primary").click();
    await page.getByText("You are number 1 in the queue").waitFor();
  });

  it("offers to send again what was refused", async () => {
    server.world.failing = (path) => (path.endsWith("/send") ? new server.Refusal(429, "Too many messages.") : undefined);
    await page.locator("#message").fill("Again, please");
    await page.keyboard.press("Enter");
    await page.locator(".line-foot", { hasText: "Too many messages." }).waitFor();
    server.world.failing = null;
    await page.locator(".line.failed").getByRole("button", { name: "Try again" }).click();
    await page.locator(".line.own:not(.failed, .pending)", { hasText: "Again, please" }).waitFor();
  });

  it("reads on where it was when the server forgets its session", async () => {
    const chat = [...server.world.chats.values()].at(-1);
    server.world.restart();
    server.world.append(chat, { type: "message", text: "Said in between", nickname: "Anna", party: "AGENT" });
    await page.locator(".bubble", { hasText: "Said in between" }).waitFor();
    await page.waitForTimeout(500);
    assert.equal(await page.locator(".bubble", { hasText: "Said in between" }).count(), 1);
    assert.equal(await page.locator(".bubble", { hasText: "Again, please" }).count(), 1);
  });

  it("ends politely when the chat is no longer there", async () => {
    server.world.services.clear();
    await page.reload();
    await page.getByText("This chat is no longer available.").waitFor();
    await page.getByRole("button", { name: "New chat" }).click();
    await page.locator("#start-name").waitFor();
    assert.equal(await page.locator("#start-name").inputValue(), "Cara");
  });

  it("begins nothing without consent", async () => {
    const before = server.world.chats.size;
    await page.locator("#start-subject").fill("No consent");
    await page.locator(".start button.primary").click();
    assert.ok(await page.locator("#start-consent").evaluate((element) => element.matches(":invalid")));
    assert.equal(server.world.chats.size, before);
  });
});

describe("the customer who waits for an agent", () => {
  let server;
  let chromium;
  let context;
  let page;

  before(async () => {
    server = await startMock();
    chromium = await startBrowser();
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  beforeEach(async () => {
    server.world.failing = null;
    server.world.advanced ??= new Advanced(server.world);
    await context?.close();
    ({ context } = await openContext(chromium.browser, server.url, { width: 390, height: 844 }));
    page = await context.newPage();
  });

  const state = (name) => page.locator(`.watch[data-state="${name}"]`).waitFor();
  const ask = () => wantNews(page, server.url, { name: "Wanda", subject: "Later" });

  it("is not offered it where the service is switched off", async () => {
    server.world.advanced = null;
    await page.goto(`${server.url}demo/`);
    await page.locator(".chat-button").click();
    await page.getByRole("button", { name: "Start chat" }).waitFor();
    await page.locator(".wire-item", { hasText: "demo/api/services" }).locator(".chip.green").waitFor({ state: "attached" });
    assert.equal(await page.getByRole("button", { name: "Tell me" }).count(), 0);
  });

  it("is told why it cannot be, and keeps the form", async () => {
    server.world.failing = (path) => (path.endsWith("/request-chat-poll") ? new server.Refusal(504, "No Orchestration Server answers.") : undefined);
    await page.goto(`${server.url}demo/`);
    await page.locator(".chat-button").click();
    await page.locator("#start-name").fill("Wanda");
    await page.locator("#start-subject").fill("Keep me");
    await page.locator("#start-consent").check();
    await page.getByRole("button", { name: "Tell me when" }).click();
    await page.locator(".form-error", { hasText: "No Orchestration Server answers." }).waitFor();
    assert.equal(await page.locator("#start-subject").inputValue(), "Keep me");
  });

  it("is told that it was in vain, and may ask again", async () => {
    await ask();
    await state("waiting");
    server.world.advanced.become("expired");
    await state("expired");
    await audit(page, "expired");
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.locator("#start-name").waitFor();
    assert.equal(await page.locator("#start-name").inputValue(), "Wanda");
    await page.reload();
    await page.locator(".chat-button", { hasText: "Ask us" }).waitFor({ state: "attached" });
  });

  it("is told so too when the service has ended while nobody listened", async () => {
    await ask();
    await state("waiting");
    server.world.services.clear();
    await page.reload();
    await state("expired");
  });

  it("waits on when the agent was gone before the chat began", async () => {
    await ask();
    server.world.advanced.become("available");
    await state("available");
    server.world.advanced.become("waiting", { silent: true });
    await page.getByRole("button", { name: "Start chat" }).click();
    await state("waiting");
    await page.getByText("The agent has just been taken.").waitFor();
    await audit(page, "missed");
    server.world.advanced.become("available");
    await state("available");
    assert.equal(await page.locator(".watch .form-error").innerText(), "");
    await page.getByRole("button", { name: "Start chat" }).click();
    await page.locator("#message").waitFor();
  });

  it("hears of what happened while the connection was lost", async () => {
    await ask();
    await state("waiting");
    server.world.advanced.become("available", { silent: true });
    server.world.restart();
    await state("available");
  });

  it("says so when the chat cannot begin, and can try again", async () => {
    await ask();
    server.world.advanced.become("available");
    await state("available");
    server.world.failing = (path) => (path.endsWith("/ixn/chat") ? new server.Refusal(503, "No chat server is to be had.") : undefined);
    await page.getByRole("button", { name: "Start chat" }).click();
    await page.locator(".form-error", { hasText: "No chat server is to be had." }).waitFor();
    server.world.failing = null;
    await page.getByRole("button", { name: "Start chat" }).click();
    await page.locator("#message").waitFor();
  });

  it("is shown a poke once, as text, until it is put away", async () => {
    await ask();
    server.world.advanced.become("available");
    await page.getByRole("button", { name: "Start chat" }).click();
    await page.locator("#message").waitFor();
    const service = [...server.world.advanced.services.keys()].at(-1);
    server.world.advanced.tell(service, "poke", PAYLOADS[1]);
    await page.locator(".nudge", { hasText: PAYLOADS[1] }).waitFor();
    server.world.advanced.tell("another", "poke", "not for me");
    await page.locator(".nudge .icon-button").click();
    await page.locator(".nudge").waitFor({ state: "hidden" });
    assert.ok(await page.locator("#message").evaluate((element) => element === document.activeElement));
  });

  it("may be poked from the desk with the service's own text, and not when the chat is over", async () => {
    const world = server.world;
    world.newChat({ nickname: "Plain", agent: "anna" });
    const chat = world.newChat({ nickname: "Quiet", agent: "anna", poke: { text: "Are you still there?", pause_s: 10 } });
    world.advanced.services.set(chat.service, { user: "nobody", state: "available" });
    await page.setViewportSize({ width: 1440, height: 900 });
    await enterDesk(page, server.url);
    await page.locator(".chat .item-main", { hasText: "Plain" }).click();
    await page.locator(".customer .person-name", { hasText: "Plain" }).waitFor();
    assert.equal(await page.locator(".poke").count(), 0);
    await page.locator(".chat .item-main", { hasText: "Quiet" }).click();
    assert.equal(await page.locator("#poke-text").getAttribute("placeholder"), "Are you still there?");
    world.failing = (what) => (what === "poke" ? new server.Refusal(503, "The event was not delivered to every device.") : undefined);
    await page.locator(".poke button").click();
    await page.locator(".poke-result.failed", { hasText: "not delivered" }).waitFor();
    assert.ok(await page.locator(".poke button").isEnabled());
    world.failing = null;
    await page.locator("#poke-text").fill("Half a sen");
    chat.customer = "away";
    world.tell("anna", { type: "chat_changed", summary: world.summary(chat) });
    await page.locator(".person .presence.away").waitFor();
    assert.ok(await page.locator("#poke-text").evaluate((element) => element === document.activeElement));
    assert.equal(await page.locator("#poke-text").inputValue(), "Half a sen");
    world.close(chat);
    await page.locator(".person .presence.closed").waitFor();
    assert.ok(await page.locator(".poke button").isDisabled());
  });
});
