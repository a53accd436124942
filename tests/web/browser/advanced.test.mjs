/** Advanced chat from the customer's page to the desk, and pokes back.  Needs a running server. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startServer } from "./server.mjs";
import { audit, goAway, goReady, openContext, startBrowser, until, wantNews } from "./support.mjs";

const REAL = process.env.GMS_URL ? {} : { skip: "needs GMS_URL" };

describe("advanced chat", REAL, () => {
  let server;
  let chromium;
  let desk;
  let customer;

  before(async () => {
    server = await startServer();
    chromium = await startBrowser();
    desk = await openContext(chromium.browser, server.url);
    customer = await openContext(chromium.browser, server.url, { width: 390, height: 844, touch: true });
    desk.page = await desk.context.newPage();
    await customer.context.addInitScript(() => {
      globalThis.told = [];
      globalThis.Notification = class { static permission = "granted"; constructor(title, { body }) { globalThis.told.push([title, body]); } close() {} };
    });
    customer.page = await customer.context.newPage();
    await server.enter(desk.page);
    await goAway(desk.page);
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  const state = (name) => customer.page.locator(`.watch[data-state="${name}"]`).waitFor();
  const say = async (page, selector, text) => {
    await page.locator(selector).fill(text);
    await page.keyboard.press("Enter");
  };
  const onTheWire = (words) => customer.page.locator(".wire-text", { hasText: words }).first().waitFor({ state: "attached" });
  const pokeButton = () => desk.page.locator(".poke button");

  it("waits as long as nobody is free, through a reload", async () => {
    await wantNews(customer.page, server.url, { name: "Wanda Free", subject: "When you have time" });
    await state("waiting");
    await customer.page.locator(".watch-facts", { hasText: "pushed to this page" }).waitFor();
    assert.match(await customer.page.locator(".watch-facts").innerText(), /Status of the service\s*waiting/);
    await onTheWire("POST /genesys/1/service/request-chat-poll");
    await audit(customer.page, "waiting");
    await customer.page.reload();
    await state("waiting");
    assert.equal(await customer.page.locator("#start-name").count(), 0);
  });

  it("tells the customer in the shop when an agent is free", async () => {
    await customer.page.getByRole("button", { name: "Go on shopping" }).click();
    await customer.page.locator(".chat-button", { hasText: "Looking for an agent" }).waitFor();
    await customer.page.evaluate(() => { document.hasFocus = () => false; });
    await goReady(desk.page);
    await customer.page.locator(".chat-button.calling", { hasText: "An agent is free" }).waitFor();
    assert.match(await customer.page.title(), /^\u25cf An agent is free/);
    assert.deepEqual(await customer.page.evaluate(() => globalThis.told.at(-1)[0]), "An agent is free");
    await onTheWire("/_genesys a2c.advanced.service.agentavailable.");
    await audit(customer.page, "called in the shop");
    await customer.page.evaluate(() => { delete document.hasFocus; dispatchEvent(new Event("focus")); });
    assert.doesNotMatch(await customer.page.title(), /\u25cf/);
  });

  it("waits for the customer to begin, through a reload", async () => {
    await customer.page.reload();
    await customer.page.locator(".chat-button.calling").click();
    await state("available");
    await audit(customer.page, "available");
    assert.ok(await customer.page.getByRole("button", { name: "Start chat" }).evaluate((element) => element === document.activeElement));
  });

  it("begins the chat when the customer says so", async () => {
    await customer.page.keyboard.press("Enter");
    await customer.page.locator("#message").waitFor();
    const entry = desk.page.locator(".entry", { hasText: "Wanda Free" }).last();
    await entry.waitFor();
    assert.match(await entry.innerText(), /When you have time/);
    await entry.locator(".item-main").click();
    await customer.page.locator(".sheet-head p", { hasText: "In chat with you" }).waitFor();
    await say(customer.page, "#message", "Thank you for calling me");
    await desk.page.locator(".bubble", { hasText: "Thank you for calling me" }).waitFor();
    await say(desk.page, "#composer", "With pleasure");
    await customer.page.locator(".bubble", { hasText: "With pleasure" }).waitFor();
  });

  it("shows at the desk that the customer can be poked, and not by which address", async () => {
    await desk.page.locator(".poke").waitFor();
    assert.doesNotMatch(await desk.page.locator(".customer").innerText(), /poke_url|internal-poke/);
    assert.ok(await pokeButton().isDisabled(), "the service has no text of its own");
    await audit(desk.page, "poke");
  });

  it("pokes: the customer is told in the chat, in the tab's title and by a notification", async () => {
    await customer.page.evaluate(() => { document.hasFocus = () => false; });
    await say(desk.page, "#poke-text", "Are you <b>still</b> there?");
    const nudge = customer.page.locator(".nudge");
    await nudge.waitFor();
    assert.match(await nudge.innerText(), /Are you <b>still<\/b> there\?/);
    assert.match(await customer.page.title(), /^\u25cf A message from your agent/);
    assert.deepEqual(await customer.page.evaluate(() => globalThis.told.at(-1)), ["A message from your agent", "Are you <b>still</b> there?"]);
    await audit(customer.page, "poked");
    await desk.page.locator(".poke-result", { hasText: "Sent to the device at" }).waitFor();
    await audit(desk.page, "poked");
    assert.equal(await desk.page.locator("#poke-text").inputValue(), "");
  });

  it("pokes at most once in ten seconds", async () => {
    assert.ok(await pokeButton().isDisabled());
    assert.match(await pokeButton().innerText(), /Again in \d+ s/);
    await desk.page.locator("#poke-text").fill("Hello?");
    await desk.page.locator(".poke button", { hasText: /^Poke$/ }).waitFor({ timeout: 15000 });
    assert.ok(await pokeButton().isEnabled());
    await customer.page.locator(".sheet-head .icon-button").first().click();
    await pokeButton().click();
    await customer.page.locator(".chat-button .badge", { hasText: "1" }).waitFor();
    await customer.page.locator(".chat-button").click();
    await customer.page.locator(".nudge", { hasText: "Hello?" }).waitFor();
    await say(customer.page, "#message", "Here I am");
    await customer.page.locator(".nudge").waitFor({ state: "hidden" });
    await desk.page.locator(".bubble", { hasText: "Here I am" }).waitFor();
  });

  it("shows all of it on the wire", async () => {
    await customer.page.getByRole("button", { name: "What happens on the wire" }).click();
    for (const words of ["/status", "/ixn/chat", "/_genesys service.chat.refresh.", "/_genesys a2c.advanced.service.poke."]) await onTheWire(words);
    await customer.page.locator(".wire-close").click();
  });

  it("tells the agent why a poke was refused", async () => {
    const id = await desk.page.locator(".ids .id-value code").first().innerText();
    const answer = await fetch(new URL(`genesys/1/service/${id}`, server.url), { method: "DELETE" });
    assert.ok(answer.status < 500);
    await desk.page.locator(".poke button", { hasText: /^Poke$/ }).waitFor({ timeout: 15000 });
    await say(desk.page, "#poke-text", "Too late");
    await desk.page.locator(".poke-result.failed").waitFor();
    assert.equal(await desk.page.locator("#poke-text").inputValue(), "Too late");
    assert.deepEqual([...customer.faults, ...desk.faults], []);
  });
});

describe("advanced chat without a connection", REAL, () => {
  it("hears of the agent by asking, and can be called off", async () => {
    const server = await startServer();
    const chromium = await startBrowser();
    try {
      const desk = await openContext(chromium.browser, server.url);
      const page = await desk.context.newPage();
      await server.enter(page);
      await goAway(page);
      const { context } = await openContext(chromium.browser, server.url, { width: 390, height: 844, locale: "de-DE", theme: "dark" });
      await context.addInitScript(() => { delete globalThis.WebSocket; });
      await context.route("**/genesys/cometd", (route) => route.abort());
      const customer = await context.newPage();
      await wantNews(customer, server.url, { name: "Paula Fragt", subject: "Ohne Leitung" }, "Sagen Sie mir Bescheid");
      await customer.locator(".watch-facts", { hasText: "alle 5 s abgefragt" }).waitFor();
      await goReady(page);
      await customer.locator('.watch[data-state="available"]').waitFor();
      await audit(customer, "available, dark");
      await customer.getByRole("button", { name: "Hat sich erledigt" }).click();
      await customer.locator("#start-name").waitFor();
      await until(customer, () => JSON.parse(localStorage.getItem("gms.demo")).watch === null);
      await customer.reload();
      await customer.locator(".chat-button", { hasText: "Fragen" }).waitFor();
    } finally {
      await chromium.stop();
      await server.stop();
    }
  });
});
