/** A whole chat between the customer's page and the desk, in two browser contexts. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { startServer } from "./server.mjs";
import { assertHarmless, goReady, NASTY, openContext, PAYLOADS, startBrowser, startChat, until } from "./support.mjs";

describe("a chat", () => {
  let server;
  let chromium;
  let desk;
  let customer;
  const bubbles = (page) => page.locator(".transcript .bubble").allInnerTexts();
  const say = async (page, selector, text) => {
    await page.locator(selector).fill(text);
    await page.keyboard.press("Enter");
  };

  before(async () => {
    server = await startServer();
    chromium = await startBrowser();
    desk = await openContext(chromium.browser, server.url);
    customer = await openContext(chromium.browser, server.url, { width: 390, height: 844, touch: true });
    desk.page = await desk.context.newPage();
    customer.page = await customer.context.newPage();
    await server.enter(desk.page);
    await goReady(desk.page);
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  it("begins: the customer waits, the agent sees and accepts", async () => {
    await startChat(customer.page, server.url, { name: "Cara Lind", subject: "My lamp flickers", email: "cara@example.org" });
    await customer.page.locator(".waiting-title").waitFor();
    const entry = desk.page.locator(".entry", { hasText: "Cara Lind" }).last();
    await entry.waitFor();
    assert.match(await entry.innerText(), /My lamp flickers/);
    assert.match(await desk.page.title(), /^\(\d+\)/);
    await entry.locator(".item-main").focus();
    await desk.page.keyboard.press("Enter");
    await desk.page.locator(".conversation-head h1", { hasText: "Cara Lind" }).waitFor();
    await customer.page.locator(".sheet-head p", { hasText: "In chat with you" }).waitFor();
    assert.equal(await customer.page.locator(".waiting").isVisible(), false);
  });

  it("goes both ways, with typing", async () => {
    await customer.page.locator("#message").pressSequentially("Hel");
    await desk.page.locator(".conversation > .typing", { hasText: "is typing" }).waitFor();
    await say(customer.page, "#message", "Hello, it flickers");
    await desk.page.locator(".bubble", { hasText: "Hello, it flickers" }).waitFor();
    await desk.page.locator("#composer").pressSequentially("One mo");
    await customer.page.locator(".typing", { hasText: "is typing" }).waitFor();
    await say(desk.page, "#composer", "Which bulb is it?\nSee https://help.example/bulbs.");
    await customer.page.locator(".bubble", { hasText: "Which bulb" }).waitFor();
    const link = customer.page.locator(".bubble a");
    assert.equal(await link.getAttribute("href"), "https://help.example/bulbs");
    assert.match(await link.getAttribute("rel"), /noopener/);
    await desk.page.locator(".line.own .line-foot .icon").last().waitFor();
    await customer.page.locator(".line.own:not(.pending)").first().waitFor();
    assert.equal(await customer.page.locator(".line.pending").count(), 0);
  });

  it("shows the customer's data", async () => {
    const pane = desk.page.locator(".customer");
    assert.match(await pane.innerText(), /cara@example\.org/);
    assert.match(await pane.locator(".ids").innerText(), /\w{6,}/);
  });

  it("C09: pushes http and https pages only", async () => {
    await desk.page.getByRole("button", { name: "Send a page" }).click();
    await desk.page.locator("#push-url").fill("javascript:alert(1)");
    await desk.page.locator("dialog button.primary").click();
    assert.ok(await desk.page.locator("dialog[open]").isVisible());
    await desk.page.locator("#push-url").fill("https://help.example/returns");
    await desk.page.locator("dialog button.primary").click();
    await customer.page.locator(".bubble.pushed", { hasText: "help.example" }).waitFor();
  });

  it("C01: payloads in messages of both sides stay text", async () => {
    for (const payload of PAYLOADS) {
      await say(customer.page, "#message", payload);
      await customer.page.waitForTimeout(260);
    }
    await until(customer.page, () => !document.querySelector(".line.pending"));
    for (const payload of PAYLOADS) await say(desk.page, "#composer", payload);
    await until(desk.page, () => !document.querySelector(".line.pending"));
    for (const page of [desk.page, customer.page]) {
      await page.locator(".bubble", { hasText: "{{7*7}}" }).nth(1).waitFor();
      const texts = await bubbles(page);
      for (const part of ["<script>window.pwned=1</script>", '<img src=x onerror="window.pwned=1">', "javascript:window.pwned=1"]) {
        assert.equal(texts.filter((text) => text === part).length, 2, part);
      }
    }
    await assertHarmless(desk.page, desk.faults);
    await assertHarmless(customer.page, customer.faults);
  });

  it("survives a reload of both pages", async () => {
    await customer.page.waitForTimeout(800);
    const before = await bubbles(customer.page);
    await customer.page.reload();
    await until(customer.page, (count) => document.querySelectorAll(".transcript .bubble").length >= count, before.length);
    assert.deepEqual(await bubbles(customer.page), before);
    await desk.page.reload();
    await desk.page.locator(".chat .item-main", { hasText: "Cara Lind" }).first().click();
    await until(desk.page, (count) => document.querySelectorAll(".transcript .bubble").length >= count, before.length);
    assert.deepEqual(await bubbles(desk.page), before);
  });

  it("survives a restart of the server", async (test) => {
    if (!server.restart) return test.skip("GMS_RESTART is not set");
    await server.restart();
    await say(desk.page, "#composer", "Still here after the restart");
    await customer.page.locator(".bubble", { hasText: "Still here after the restart" }).waitFor();
    await say(customer.page, "#message", "So am I");
    await desk.page.locator(".bubble", { hasText: "So am I" }).waitFor();
    const texts = await bubbles(customer.page);
    assert.equal(texts.filter((text) => text === "Still here after the restart").length, 1);
    assert.equal(texts.filter((text) => text === "So am I").length, 1);
    return undefined;
  });

  it("shows on the wire what happened, and copies it for a terminal", async () => {
    await customer.page.getByRole("button", { name: "What happens on the wire" }).click();
    await say(customer.page, "#message", "on the wire");
    const item = customer.page.locator(".wire-item", { hasText: "ixn/chat/send" }).last();
    await item.locator("summary").click();
    assert.match(await item.innerText(), /message = on the wire/);
    await customer.page.locator(".wire-close").click();
  });

  it("ends after five seconds in which it can be undone", async () => {
    const end = async () => {
      await desk.page.locator(".conversation .end").click();
      await desk.page.locator("dialog button.danger").click();
      await desk.page.locator(".toast", { hasText: "ends in 5 seconds" }).waitFor();
    };
    await end();
    await desk.page.locator(".toast-action").click();
    await desk.page.waitForTimeout(5500);
    assert.ok(await desk.page.locator("#composer").isEnabled());
    await end();
    await customer.page.locator(".ended").waitFor({ timeout: 12000 });
    const [file] = await Promise.all([customer.page.waitForEvent("download"), customer.page.getByRole("button", { name: "Download transcript" }).click()]);
    const text = await readFile(await file.path(), "utf8");
    assert.match(text, /Which bulb is it\?/);
    assert.match(text, /Cara Lind/);
  });
});

describe("a chat without websockets", () => {
  let server;
  let chromium;

  before(async () => {
    server = await startServer();
    if (server.world) server.world.websockets = false;
    chromium = await startBrowser();
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  it("goes both ways over long polling", async () => {
    const open = async () => {
      const { context } = await openContext(chromium.browser, server.url);
      await context.addInitScript(() => { delete globalThis.WebSocket; });
      return context.newPage();
    };
    const customer = await open();
    const desk = await open();
    await server.enter(desk);
    await goReady(desk);
    await startChat(customer, server.url, { name: "Pola", subject: "No sockets" });
    await desk.locator(".entry", { hasText: "Pola" }).last().locator(".item-main").click();
    for (const round of [1, 2, 3]) {
      await desk.locator("#composer").fill(`question ${round}`);
      await desk.keyboard.press("Enter");
      await customer.locator(".bubble", { hasText: `question ${round}` }).waitFor();
      await customer.locator("#message").fill(`answer ${round}`);
      await customer.keyboard.press("Enter");
      await desk.locator(".bubble", { hasText: `answer ${round}` }).waitFor();
    }
    for (const page of [customer, desk]) await until(page, () => !document.querySelector(".line.pending"));
    assert.match(await customer.locator(".wire").innerText(), /in \u00b7 http/);
  });
});

describe("C01: payloads in everything that is not a message", () => {
  let server;
  let chromium;

  before(async () => {
    server = await startServer();
    chromium = await startBrowser();
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  it("names, subject, e-mail and attached data are text at the desk", async () => {
    const post = async (path, form) => {
      const response = await fetch(new URL(path, server.url), { method: "POST", headers: { gms_user: "mallory" }, body: new URLSearchParams(form) });
      assert.equal(response.status, 200, await response.clone().text());
      return response.json();
    };
    const data = { "<img src=x onerror=window.pwned=1>": "<script>window.pwned=1</script>", "{{key}}": "javascript:window.pwned=1", rtl: "a\u202eb" };
    const { _id } = await post("genesys/1/service/request-chat", { _verbose: "true", ...data });
    await post(`genesys/1/service/${_id}/ixn/chat`, { userDisplayName: NASTY, firstName: "<i>First</i>", lastName: "${last}", subject: PAYLOADS[1], email: '"<script>"@example.org' });
    const { context, faults } = await openContext(chromium.browser, server.url);
    const page = await context.newPage();
    await server.enter(page);
    await goReady(page);
    const entry = page.locator(".entry", { hasText: "Mallory" }).last();
    await entry.waitFor();
    assert.match(await entry.innerText(), /<img src=x onerror=/);
    await assertHarmless(page, faults);
    await entry.locator(".item-main").click();
    await page.locator(".customer .person").waitFor();
    await page.locator(".transcript").waitFor();
    await assertHarmless(page, faults);
    assert.match(await page.locator(".customer").innerText(), /<i>First<\/i>/);
    await context.close();
  });

  it("files are offered under their names, as downloads, and never run", async (test) => {
    if (server.mock) return test.skip("the stand-in keeps no files");
    const form = new FormData();
    form.append("_verbose", "true");
    form.append("photo", new Blob(["<svg xmlns='http://www.w3.org/2000/svg' onload='window.pwned=1'/>"], { type: "image/svg+xml" }), '<img onerror=x>\u202egpj.svg');
    const made = await fetch(new URL("genesys/1/service/request-chat", server.url), { method: "POST", headers: { gms_user: "mallory" }, body: form });
    const { _id } = await made.json();
    await fetch(new URL(`genesys/1/service/${_id}/ixn/chat`, server.url), { method: "POST", headers: { gms_user: "mallory" }, body: new URLSearchParams({ userDisplayName: "Phil", subject: "With a file" }) });
    const { context, faults } = await openContext(chromium.browser, server.url);
    const page = await context.newPage();
    await server.enter(page);
    await page.locator(".entry", { hasText: "With a file" }).last().locator(".item-main").click();
    const file = page.locator(".customer a.file");
    await file.waitFor();
    assert.match(await file.innerText(), /<img onerror=x>/);
    assert.ok(await file.getAttribute("download"));
    await assertHarmless(page, faults);
    const [saved] = await Promise.all([page.waitForEvent("download"), file.click()]);
    assert.match(await readFile(await saved.path(), "utf8"), /^<svg/);
    await assertHarmless(page, faults);
    await context.close();
    return undefined;
  });

  it("C06: a customer with an agent's name is marked", async () => {
    const { context } = await openContext(chromium.browser, server.url);
    const page = await context.newPage();
    await server.enter(page);
    const agent = await page.locator(".account").getAttribute("title");
    const form = (fields) => ({ method: "POST", headers: { gms_user: "mallory" }, body: new URLSearchParams(fields) });
    const { _id } = await (await fetch(new URL("genesys/1/service/request-chat", server.url), form({}))).json();
    await fetch(new URL(`genesys/1/service/${_id}/ixn/chat`, server.url), form({ userDisplayName: agent.toUpperCase(), subject: "I am you" }));
    const entry = page.locator(".entry", { hasText: "I am you" }).last();
    await entry.waitFor();
    assert.equal(await entry.locator(".chip.amber").innerText(), "Customer");
    await context.close();
  });
});
