/** Calls that applications bring to the desk.  Needs a running server that takes calls from inside. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { startServer } from "./server.mjs";
import { audit, goReady, openContext, startBrowser } from "./support.mjs";

const REAL = process.env.GMS_URL ? {} : { skip: "needs GMS_URL" };

describe("calls of applications", REAL, () => {
  let server;
  let chromium;
  let context;
  let faults;
  let page;
  let callers = 0;

  before(async () => {
    server = await startServer();
    chromium = await startBrowser();
    ({ context, faults } = await openContext(chromium.browser, server.url));
    page = await context.newPage();
    await server.enter(page);
  });

  after(async () => {
    await chromium?.stop();
    await server?.stop();
  });

  beforeEach(async () => {
    await page.locator(".groups-button").click();
    const box = page.getByRole("checkbox", { name: /Billing/ });
    await box.waitFor();
    if (!(await box.isChecked())) await box.check();
    await page.keyboard.press("Escape");
    await page.locator(".groups-menu").waitFor({ state: "hidden" });
    await goReady(page);
    await page.evaluate(() => document.activeElement?.blur());
  });

  afterEach(async () => {
    // What a test that failed has left would ring in the next one.
    const { calls } = await ask("GET", "embedded/calls");
    for (const { id, state } of calls) if (state !== "ended") await ask("DELETE", `embedded/calls/${id}`);
    const left = page.getByRole("button", { name: "Put away" });
    while (await left.count()) await left.first().click();
  });

  const ask = async (method, path, fields, user = "") => {
    const headers = user ? { gms_user: user } : {};
    const response = await fetch(new URL(path, server.url), { method, headers, body: fields && new URLSearchParams(fields) });
    const text = await response.text();
    assert.equal(response.status, 200, `${path}: ${text}`);
    return JSON.parse(text);
  };
  const number = () => `+1 415 555 ${String((callers += 1)).padStart(4, "0")}`;
  /** A customer asks the app for a number, and calls it. */
  const callIn = async (details = {}) => {
    const phone = number();
    const service = await ask("POST", "genesys/1/service/request-inbound-immediate", { _phone_number: phone, _provide_code: "true", ...details }, "customer-17");
    const { id } = await ask("POST", "embedded/calls", { dnis: service._access_number, ani: phone, access_code: service._access_code, "udata.language": "de" });
    return { phone, id, service: service._id };
  };
  const stage = (state) => page.locator(`.call-stage.${state}`).waitFor({ timeout: 40000 });
  const panel = (name) => page.locator(".call-stage").getByRole("button", { name });
  const callOf = (id) => ask("GET", `embedded/calls/${id}`);
  const putAway = async () => {
    await page.getByRole("button", { name: "Put away" }).click();
    await page.locator(".item.call").waitFor({ state: "detached" });
  };

  it("an inbound one rings, is answered, shows what came with it; the caller hangs up", async () => {
    const call = await callIn({ order: "2026-118", reason: "Parcel has not arrived", _latitude: "37.7750", _longitude: "-122.4183" });
    await stage("ringing");
    assert.match(await page.title(), /^\u260e/);
    await audit(page, "ringing");
    await panel("Answer").click();
    await stage("talking");
    const { state, agent } = await callOf(call.id);
    assert.deepEqual([state, agent], ["talking", process.env.GMS_DESK_NAME ?? "anna"]);
    const pane = page.locator(".customer");
    for (const text of ["Parcel has not arrived", "2026-118", "customer-17", call.service]) await pane.getByText(text).first().waitFor();
    assert.match(await pane.locator(".place-card").innerText(), /37\.775, -122\.4183/);
    assert.match(await page.locator(".call-stage").innerText(), /request-inbound-immediate/);
    await audit(page, "talking");
    await ask("DELETE", `embedded/calls/${call.id}`);
    await stage("ended");
    await putAway();
    assert.deepEqual(faults, []);
  });

  it("an outbound one rings when the customer has answered; the agent hangs up", async () => {
    const phone = number();
    const { _id } = await ask("POST", "genesys/1/service/request-outbound-immediate", { _phone_number: phone, order: "2026-119", _latitude: "48.8566", _longitude: "2.3522" }, "customer-18");
    await stage("ringing");
    await page.locator("h1", { hasText: "Call to" }).waitFor();
    await panel("Answer").click();
    await stage("talking");
    const pane = page.locator(".customer");
    for (const text of ["2026-119", "customer-18", _id]) await pane.getByText(text).first().waitFor();
    await pane.locator(".place-card", { hasText: "48.8566, 2.3522" }).waitFor();
    const [call] = (await ask("GET", "embedded/calls")).calls.filter((each) => each.session === _id);
    assert.deepEqual([call.kind, call.state], ["outbound", "talking"]);
    await panel("Hang up").click();
    await stage("ended");
    assert.equal((await callOf(call.id)).state, "ended");
    await putAway();
  });

  it("one whose caller hangs up before the answer is gone, and said to be", async () => {
    const call = await callIn();
    await stage("ringing");
    await ask("DELETE", `embedded/calls/${call.id}`);
    await page.getByText("hung up before you answered").waitFor();
    await page.locator(".item.call").waitFor({ state: "detached" });
  });

  it("a declined one waits again; the agent stays ready", async () => {
    const call = await callIn();
    await stage("ringing");
    await panel("Decline").click();
    await page.locator(".item.call.waiting").waitFor();
    assert.equal(await page.locator(".switch").getAttribute("aria-checked"), "true");
    assert.equal((await callOf(call.id)).state, "waiting");
    await ask("DELETE", `embedded/calls/${call.id}`);
    await page.locator(".item.call").waitFor({ state: "detached" });
  });

  it("an unanswered one sends the agent away, and waits for the next who is ready", async () => {
    const call = await callIn();
    await stage("ringing");
    await page.locator(".item.call.waiting").waitFor({ timeout: 40000 });
    await page.locator('.switch[aria-checked="false"]').waitFor();
    await page.locator(".toast.danger", { hasText: "did not answer a call" }).getByRole("button", { name: "Switch to ready" }).click();
    await stage("ringing");
    await page.locator(".call-stage").getByRole("button", { name: "Answer" }).click();
    await stage("talking");
    await ask("DELETE", `embedded/calls/${call.id}`);
    await stage("ended");
    await putAway();
  });

  it("none rings who has signed out of the group; it does as soon as the agent signs in", async () => {
    await page.locator(".groups-button").click();
    await page.getByRole("checkbox", { name: /Billing/ }).uncheck();
    await page.getByText("You are in no agent group: no call rings here.").waitFor();
    const call = await callIn();
    await page.locator(".group-row", { hasText: "Billing" }).getByText("1 waiting").waitFor();
    assert.equal(await page.locator(".item.call").count(), 0);
    await page.getByRole("checkbox", { name: /Billing/ }).check();
    await stage("ringing");
    await panel("Answer").click();
    await stage("talking");
    await panel("Hang up").click();
    await stage("ended");
    await putAway();
    assert.equal((await callOf(call.id)).state, "ended");
    assert.deepEqual(faults, []);
  });
});
