/** Calls and agent groups on the desk, with the stand-in. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { startMock } from "../mock/server.mjs";
import { RICH_CALL } from "../mock/voice.mjs";
import { assertHarmless, audit, enterDesk, goReady, NASTY, openContext, PAYLOADS, startBrowser, until } from "./support.mjs";

describe("calls at the desk", () => {
  let server;
  let world;
  let voice;
  let chromium;
  let context;
  let faults;
  let page;

  before(async () => {
    server = await startMock();
    ({ world } = server);
    ({ voice } = world);
    chromium = await startBrowser();
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  const open = async (more = {}) => {
    await context?.close();
    ({ context, faults } = await openContext(chromium.browser, server.url, more));
    page = await context.newPage();
  };

  beforeEach(async () => {
    world.chats.clear();
    world.failing = null;
    world.voice = voice;
    voice.clear();
    world.agents.get("anna").state = "away";
    await open();
  });

  const enterReady = async () => {
    await enterDesk(page, server.url);
    await goReady(page);
    await page.evaluate(() => document.activeElement?.blur());
  };
  const ring = async (details) => {
    const call = voice.ring(voice.arrive(details), "anna");
    await page.locator(".item.call.ringing").waitFor({ state: "attached" });
    // Keys pressed as it begins to ring are not for it.
    await page.waitForTimeout(500);
    return call;
  };
  const stage = (state) => page.locator(`.call-stage.${state}`).waitFor();

  it("shows nothing of telephony where there is none", async () => {
    world.voice = null;
    await enterReady();
    await page.getByText("Chats that you accept appear here.").waitFor();
    await page.getByText("Billing, default").waitFor();
    assert.equal(await page.locator(".groups-button, .item.call").count(), 0);
    await page.keyboard.press("?");
    await page.locator("dialog .shortcuts").waitFor();
    assert.doesNotMatch(await page.locator(".desk, dialog").allInnerTexts().then((texts) => texts.join("\n")), /\b[Cc]all(?!ed)/);
  });

  it("is called, answers by Enter, talks and hangs up by button; the call stays until it is put away", async () => {
    await enterReady();
    const call = await ring(RICH_CALL);
    await stage("ringing");
    assert.match(await page.title(), /^\u260e Call from \+49 151/);
    assert.match(await page.locator("[role=alert].offscreen").innerText(), /Call from \+49 151 2345 6789, Billing/);
    assert.match(await page.locator(".call-left").innerText(), /Rings here for \d+ secs? more/);
    await audit(page, "ringing");
    await page.keyboard.press("Enter");
    await stage("talking");
    assert.equal(call.state, "talking");
    assert.doesNotMatch(await page.title(), /\u260e/);
    assert.equal(await page.locator("[role=alert].offscreen").innerText(), "");
    await until(page, () => /^0:0[1-9]$/.test(document.querySelector(".call-stage .call-time").textContent));
    await audit(page, "talking");
    await page.locator(".call-stage").getByRole("button", { name: "Hang up" }).click();
    await stage("ended");
    assert.equal(call.state, "ended");
    assert.equal(await page.locator("dialog[open]").count(), 0);
    await audit(page, "ended");
    await page.getByRole("button", { name: "Put away" }).click();
    await page.locator(".item.call").waitFor({ state: "detached" });
    assert.equal(voice.calls.size, 0);
    assert.deepEqual(faults, []);
  });

  it("declines by Escape: it rings no more and waits again for others", async () => {
    await enterReady();
    const call = await ring({ number: "+44 20 7946 0958" });
    await page.keyboard.press("Escape");
    await page.locator(".item.call.ringing").waitFor({ state: "detached" });
    assert.deepEqual([call.state, call.who], ["waiting", null]);
    assert.equal(world.agents.get("anna").state, "ready");
    await page.locator(".item.call.waiting", { hasText: "+44 20 7946 0958" }).waitFor();
    assert.equal(await page.locator(".call-stage, .toast").count(), 0);
  });

  it("sounds again and again and notifies until it is answered", async () => {
    await page.addInitScript(() => {
      const told = { tones: 0, shown: [], closed: 0 };
      const node = { frequency: {}, gain: { setValueAtTime() {}, exponentialRampToValueAtTime() {} }, connect: (next) => next, start: () => { told.tones += 1; }, stop() {} };
      Object.assign(globalThis, {
        told,
        AudioContext: class { state = "running"; currentTime = 0; createOscillator = () => node; createGain = () => node; },
        Notification: class { static permission = "granted"; constructor(title, options) { told.shown.push([title, options.body, options.requireInteraction]); } close() { told.closed += 1; } },
      });
      document.hasFocus = () => false;
    });
    await enterReady();
    await page.keyboard.press("Shift");
    await ring({ number: "+49 30 7", service_name: "inbound-delay" });
    const first = await page.evaluate(() => globalThis.told.tones);
    assert.ok(first > 2, String(first));
    await until(page, (before) => globalThis.told.tones >= 2 * before, first);
    assert.deepEqual(await page.evaluate(() => globalThis.told.shown.at(-1)), ["Call from +49 30 7", "inbound-delay \u00b7 Billing", true]);
    await page.keyboard.press("Enter");
    await stage("talking");
    const after = await page.evaluate(() => ({ ...globalThis.told }));
    assert.equal(after.closed, 1);
    await page.waitForTimeout(3000);
    assert.equal(await page.evaluate(() => globalThis.told.tones), after.tones);
  });

  it("never takes a key that was meant for a chat", async () => {
    const chat = world.newChat({ nickname: "Cara", agent: "anna" });
    await enterReady();
    await page.locator(".chat .item-main").click();
    await page.locator("#composer").fill("One moment, please");
    const call = await ring(RICH_CALL);
    await page.locator(".call-bar.ringing").waitFor();
    await page.keyboard.press("Enter");
    await page.locator(".line.own", { hasText: "One moment, please" }).waitFor();
    assert.equal(call.state, "ringing");
    await page.keyboard.press("Escape");
    await page.waitForTimeout(200);
    assert.equal(call.state, "ringing");
    await page.keyboard.press("Enter");
    await stage("talking");
    assert.equal(chat.events.filter(({ type }) => type === "message").length, 1);
  });

  it("leaves Enter to a button that was reached by Tab, not to one that was clicked before", async () => {
    await enterReady();
    await page.locator(".switch").click();
    await page.locator('.switch[aria-checked="false"]').waitFor();
    await page.locator(".switch").click();
    await page.locator('.switch[aria-checked="true"]').waitFor();
    const call = await ring({});
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForTimeout(200);
    assert.equal(call.state, "ringing");
    await page.keyboard.press("Escape");
    await page.locator(".groups-menu").waitFor({ state: "hidden" });
    assert.equal(call.state, "ringing");
    await page.locator(".switch").focus();
    await page.mouse.click(700, 850);
    await page.locator(".switch").focus();
    await page.keyboard.press("Enter");
    await stage("talking");
    assert.equal(world.agents.get("anna").state, "ready");
  });

  it("talks and chats at once", async () => {
    const chat = world.newChat({ nickname: "Cara", agent: "anna" });
    await enterReady();
    await ring(RICH_CALL);
    await page.keyboard.press("Enter");
    await stage("talking");
    await page.locator(".chat .item-main").click();
    await page.locator("#composer").fill("I am on the phone, but read you");
    await page.keyboard.press("Enter");
    await page.locator(".line.own:not(.pending)").waitFor();
    assert.equal(chat.events.at(-1).text, "I am on the phone, but read you");
    await page.locator(".item.call.talking").getByRole("button", { name: "Hang up" }).waitFor();
    await page.locator("#composer").press("Escape");
    await page.keyboard.press("p");
    await stage("talking");
    assert.ok(await page.locator("#conversation").evaluate((element) => element === document.activeElement));
  });

  it("tells operators who is on the phone, and warns before a call is lost by signing out", async () => {
    await enterReady();
    await ring({});
    await page.keyboard.press("Enter");
    await stage("talking");
    await page.getByRole("button", { name: "Agents", exact: true }).click();
    await page.locator(".agent-row", { hasText: "Anna Weber" }).getByText("On a call").waitFor();
    assert.equal(await page.getByText("On a call").count(), 1);
    await audit(page, "agents");
    await page.keyboard.press("Escape");
    await page.locator(".account").click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.locator("dialog", { hasText: "The call that you talk on is hung up." }).getByRole("button", { name: "Cancel" }).click();
    await stage("talking");
  });

  it("says so when the caller hangs up: before the answer, and after", async () => {
    await enterReady();
    voice.end(await ring({ number: "+1 415 555 0100" }));
    await page.getByText("+1 415 555 0100 hung up before you answered.").waitFor();
    assert.equal(await page.locator(".call-stage").count(), 0);
    const call = await ring({ number: "+1 415 555 0101" });
    await page.keyboard.press("Enter");
    await stage("talking");
    voice.end(call);
    await stage("ended");
  });

  it("says so when nobody answered, and offers the way back", async () => {
    await enterReady();
    voice.unanswered(await ring({}));
    await page.locator('.switch[aria-checked="false"]').waitFor();
    await page.locator(".toast.danger", { hasText: "did not answer a call" }).getByRole("button", { name: "Switch to ready" }).click();
    await page.locator('.switch[aria-checked="true"]').waitFor();
  });

  it("says so when a call rings no more as it is answered", async () => {
    await enterReady();
    const call = await ring({});
    call.who = "ben";
    await page.locator(".call-stage").getByRole("button", { name: "Answer" }).click();
    await page.getByText("This call does not ring here any more.").waitFor();
    assert.equal(await page.locator(".item.call").count(), 0);
  });

  it("signs in to groups and out of them", async () => {
    voice.arrive({ group: "Sales", number: "+1 900 1" });
    await enterReady();
    assert.equal(await page.locator(".item.call").count(), 0);
    await page.locator(".groups-button").click();
    await page.locator(".group-row").first().waitFor();
    assert.match(await page.locator(".group-row", { hasText: "Sales" }).innerText(), /0 of 0 ready[^]*1 waiting/);
    await audit(page, "groups");
    await page.getByRole("checkbox", { name: /Sales/ }).check();
    await page.locator(".item.call", { hasText: "+1 900 1" }).waitFor();
    assert.ok(voice.groups.get("Sales").has("anna"));
    assert.match(await page.locator(".groups-button").getAttribute("aria-label"), /Billing, Sales\. Ready: 1\. Calls waiting: 1/);
    for (const name of [/Sales/, /Billing/]) await page.getByRole("checkbox", { name }).uncheck();
    await page.getByText("You are in no agent group: no call rings here.").waitFor();
    await page.locator(".item.call").waitFor({ state: "detached" });
    world.failing = (what) => (what === "group" ? new server.Refusal(503, "The store cannot write.") : undefined);
    await page.getByRole("checkbox", { name: /Billing/ }).click();
    await page.getByText("The store cannot write.").waitFor();
    await page.getByRole("checkbox", { name: /Billing/, checked: false }).waitFor();
  });

  it("shows where the caller is without asking anybody", async () => {
    await enterReady();
    voice.arrive(RICH_CALL);
    await page.locator(".item.call .item-main").click();
    const card = page.locator(".place-card");
    await card.waitFor();
    assert.match(await card.innerText(), /Near Berlin-Mitte/);
    assert.match(await card.locator(".place-words").innerText(), /^52\u00b0\s31\.20\u2032 N, 13\u00b0\s24\.30\u2032 E$/);
    assert.equal(await card.locator("a.geo").getAttribute("href"), "geo:52.520008,13.404954");
    assert.equal(await page.locator(".customer").getByText("K-20418").count(), 1);
    assert.equal(await page.locator(".customer a.file").count(), 1);
    await audit(page, "position");
    assert.deepEqual(faults, []);
  });

  it("C01: what callers and their applications send stays text", async () => {
    await enterReady();
    const data = Object.fromEntries(PAYLOADS.map((text, index) => [`${NASTY}${index}`, text]));
    voice.groups.set(`${NASTY} group`, new Set(["anna"]));
    await ring({
      number: PAYLOADS[0], dnis: PAYLOADS[1], service: PAYLOADS[2], service_name: PAYLOADS[3], gms_user: NASTY, data, agent: NASTY, position: { latitude: 1, longitude: 2, place: PAYLOADS[1] },
      files: [{ key: "k", filename: PAYLOADS[5], type: PAYLOADS[6], size: 4, url: "javascript:window.pwned=1" }],
    });
    await stage("ringing");
    await page.locator(".groups-button").click();
    await assertHarmless(page, faults);
    await page.locator(".call-stage").getByRole("button", { name: "Answer" }).click();
    await stage("talking");
    await assertHarmless(page, faults);
  });

  it("survives the loss of the connection: it rings on after it, and stops when it is over", async () => {
    await enterReady();
    const call = await ring({ number: "+49 30 1" });
    world.restart();
    await page.locator(".connection.connected").waitFor();
    await page.locator(".item.call.ringing").waitFor();
    assert.match(await page.title(), /\u260e/);
    voice.calls.delete(call.call);
    world.restart();
    await page.locator(".item.call").waitFor({ state: "detached" });
    await until(page, () => !document.title.includes("\u260e"));
  });

  it("works on a phone: one column, answered from over a chat, with a way back", async () => {
    await open({ width: 390, height: 844, touch: true });
    world.newChat({ nickname: "Cara", agent: "anna" });
    await enterReady();
    await page.locator(".chat .item-main").click();
    await page.locator("#composer").waitFor();
    await ring(RICH_CALL);
    const bar = page.locator(".call-bar");
    await bar.getByRole("button", { name: "Answer" }).click();
    await stage("talking");
    assert.equal(await bar.isVisible(), false);
    await audit(page, "phone");
    await page.locator(".customer-toggle").click();
    await page.locator(".place-card").waitFor();
    await page.locator(".customer").getByRole("button", { name: "Back" }).click();
    await page.locator(".conversation").getByRole("button", { name: "Back" }).click();
    await page.locator(".chat .item-main").click();
    await bar.getByRole("button", { name: "Hang up" }).click();
    await page.locator(".toast", { hasText: "is over" }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
  });

  it("has nothing serious for axe-core in the dark, in German", async () => {
    await open({ theme: "dark", locale: "de-DE" });
    await enterReady();
    voice.arrive({ number: "" });
    await ring(RICH_CALL);
    await page.getByText("Klingelt hier noch").waitFor();
    await audit(page, "ringing");
    await page.keyboard.press("Enter");
    await stage("talking");
    await audit(page, "talking");
    assert.match(await page.locator(".place-words").innerText(), /31,20\u2032 N, 13\u00b0\s24,30\u2032 O/);
    assert.doesNotMatch(await page.locator(".desk").innerText(), /\b(?:call|groups|place)\.[a-z]/);
  });

  it("turns around for right-to-left without breaking", async () => {
    world.newChat({ nickname: "Cara", agent: "anna" });
    await enterReady();
    await page.evaluate(() => { document.documentElement.dir = "rtl"; });
    await page.locator(".chat .item-main").click();
    await ring(RICH_CALL);
    const over = await page.evaluate(() => [".call-bar", ".conversation"].map((name) => document.querySelector(name).getBoundingClientRect()).map(({ left, right }) => [left, right]));
    assert.ok(over[0][0] >= over[1][0] && over[0][1] <= over[1][1], JSON.stringify(over));
    await page.locator("#composer").press("Escape");
    await page.keyboard.press("p");
    await stage("ringing");
    const [north, card] = await page.evaluate(() => [".place-north", ".place-card"].map((name) => document.querySelector(name).getBoundingClientRect()).map(({ left, width }) => left + width / 2));
    assert.ok(north > card);
  });

  it("moves nothing while it loads", async () => {
    await enterReady();
    voice.arrive(RICH_CALL);
    await page.addInitScript(() => {
      globalThis.moved = [];
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) globalThis.moved.push([entry.value, ...entry.sources.map(({ node }) => node?.className || node?.nodeName)]);
      }).observe({ type: "layout-shift", buffered: true });
    });
    for (const width of [390, 1024, 1440]) {
      await page.setViewportSize({ width, height: 844 });
      await page.reload();
      await page.locator(".item.call").waitFor();
      await page.waitForTimeout(600);
      const moved = await page.evaluate(() => globalThis.moved);
      assert.ok(moved.reduce((sum, [value]) => sum + value, 0) < 0.02, `${width}: ${JSON.stringify(moved)}`);
    }
  });
});
