/** The operator page: what every server shows, then what the stand-in is made to show. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { madeUp } from "../mock/ops.mjs";
import { startMock } from "../mock/server.mjs";
import { STAND_IN, startServer, THEMES } from "./server.mjs";
import { assertHarmless, audit, enterOps, NASTY, openContext, PAYLOADS, startBrowser, until } from "./support.mjs";

const SECTIONS = ["health", "traffic", "nodes", "chats", "calls", "services", "sessions", "numbers", "subscriptions", "deliveries", "senders", "configuration", "errors"];

/** Bring a section into view; it is asked for then. */
async function see(page, section) {
  await until(page, () => !document.querySelector(".settling"));
  await page.evaluate((id) => document.getElementById(id).scrollIntoView(), section);
  await until(page, (id) => ![...document.querySelectorAll(`#${id} [data-skeleton], #${id} .skeleton`)].some((each) => each.offsetParent), section);
}

async function seeAll(page) {
  for (const section of SECTIONS) await see(page, section);
}

for (const theme of THEMES) {
  describe(`the operator page, ${theme}`, () => {
    let server;
    let chromium;
    let context;
    let faults;
    let page;

    before(async () => {
      server = await startServer();
      chromium = await startBrowser();
      ({ context, faults } = await openContext(chromium.browser, server.url, { theme }));
      page = await context.newPage();
    });

    after(async () => {
      await chromium?.stop();
      await server?.stop();
    });

    it("asks for a log-in, and is open to who has logged in at the desk", async () => {
      await page.goto(new URL("ops/", server.url).href);
      await page.locator("#login-name").waitFor();
      await audit(page, "log-in");
      await server.enter(page);
      await page.locator(".account").click();
      await page.getByRole("button", { name: "Operations" }).click();
      await page.locator(".ops .connection.connected").waitFor();
      await page.locator(".verdict").waitFor();
      assert.match(await page.locator(".verdict-line").innerText(), /in order/);
    });

    it("fills each section when it comes into view", async () => {
      await seeAll(page);
      assert.equal(await page.locator(".traffic-card").count(), 6);
      assert.ok((await page.locator("#configuration tbody tr").count()) > 5);
      assert.ok((await page.locator("#chats .figures dd").count()) === 4);
      assert.match(await page.locator("#health .facts").innerText(), /\d/);
      assert.deepEqual(faults, []);
    });

    it("has nothing serious for axe-core, sections and shortcuts", async () => {
      await audit(page, "sections");
      await page.evaluate(() => document.activeElement?.blur());
      await page.keyboard.press("?");
      await page.locator("dialog .shortcuts").waitFor();
      await audit(page, "shortcuts");
      await page.keyboard.press("Escape");
    });

    it("finds a service by its id, shows it, and takes the id out of the address again", async () => {
      const made = await fetch(new URL("genesys/1/service/request-chat", server.url), { method: "POST", headers: { gms_user: "oscar" }, body: new URLSearchParams({ _verbose: "true", _secret_phone: "+14155550134" }) });
      let { _id } = await made.json();
      if (server.mock) _id = server.world.ops.services[300].id;
      await see(page, "services");
      await page.locator("#services-search").fill(_id);
      const link = page.locator(`#services tbody a[title="${_id}"]`);
      await link.waitFor();
      await until(page, () => document.querySelectorAll("#services tbody tr").length === 1);
      await link.click();
      await page.locator("dialog .detail-list").first().waitFor();
      assert.equal(new URL(page.url()).hash, `#services/${_id}`);
      assert.doesNotMatch(await page.locator("dialog").innerText(), /0134/);
      await audit(page, "details");
      await page.keyboard.press("Escape");
      await until(page, () => location.hash === "#services");
      await page.goto(new URL(`ops/#services/${_id}`, server.url).href);
      await page.reload();
      await page.locator("dialog .detail-list").first().waitFor();
      await page.keyboard.press("Escape");
    });

    it("sorts, filters and pages, by keyboard too", async () => {
      await see(page, "configuration");
      const table = page.locator("#configuration");
      const first = () => table.locator("tbody tr").first().innerText();
      const before = await first();
      await table.getByRole("button", { name: "Further rows" }).click();
      assert.notEqual(await first(), before);
      await table.getByRole("button", { name: "Option" }).focus();
      await page.keyboard.press("Enter");
      assert.equal(await table.locator("th", { hasText: "Option" }).getAttribute("aria-sort"), "ascending");
      const options = await table.locator("tbody td:nth-child(2)").allInnerTexts();
      assert.deepEqual(options, [...options].sort((one, other) => one.localeCompare(other, undefined, { numeric: true, sensitivity: "base" })));
      await page.keyboard.press("Enter");
      assert.equal(await table.locator("th", { hasText: "Option" }).getAttribute("aria-sort"), "descending");
      await page.locator("#configuration-search").fill("identity_secret");
      await until(page, () => document.querySelectorAll("#configuration tbody tr").length === 1);
      assert.doesNotMatch(await table.innerText(), /No option/);
      await page.locator("#configuration-search").fill("nothing is called so");
      await table.getByText("Nothing fits").waitFor();
      await table.getByRole("button", { name: "Show everything" }).click();
      await until(page, () => document.querySelectorAll("#configuration tbody tr").length > 5);
    });

    it("works on a phone, with no way to the side", async () => {
      await page.setViewportSize({ width: 390, height: 844 });
      await seeAll(page);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
      await audit(page, "phone");
      await page.setViewportSize({ width: 1024, height: 768 });
      await seeAll(page);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
      assert.deepEqual(faults, []);
    });

    it("C01: what clients send stays text", async () => {
      const post = async (path, form, user) => (await fetch(new URL(path, server.url), { method: "POST", headers: { gms_user: user }, body: new URLSearchParams(form) })).json();
      const user = "<img src=x onerror='window.pwned=1'>";
      const { _id } = await post("genesys/1/service/request-chat", { _verbose: "true", "_<svg onload=window.pwned=1>": "<script>window.pwned=1</script>" }, user);
      await post(`genesys/1/service/${_id}/ixn/chat`, { userDisplayName: NASTY, firstName: "M", subject: PAYLOADS[0] }, user);
      await see(page, "chats");
      await page.locator("#chats tbody td", { hasText: "Mallory" }).first().waitFor();
      await page.goto(new URL(`ops/#services/${_id}`, server.url).href);
      await page.locator("dialog[open]").waitFor();
      if (!server.mock) {
        await page.locator("dialog", { hasText: "<img src=x" }).waitFor();
        assert.doesNotMatch(await page.locator("dialog").innerText(), /<script>/);
      }
      await page.keyboard.press("Escape");
      await seeAll(page);
      await assertHarmless(page, faults);
    });

    it("C07: signing out ends it everywhere", async () => {
      const other = await context.newPage();
      await enterOps(other, server.url);
      await page.locator(".account").click();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.locator("#login-name").waitFor();
      if (!server.mock) await other.locator("#login-name").waitFor();
      await other.close();
    });
  });
}

describe("the operator page, on a server that is not well", STAND_IN, () => {
  let server;
  let chromium;
  let context;
  let faults;
  let page;

  before(async () => {
    server = await startMock();
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
    server.world.chats.clear();
    server.world.failing = null;
    server.world.asked = null;
    server.world.websockets = true;
    server.world.ops = madeUp();
    server.world.agents.get("anna").role = "operator";
    await open();
  });

  it("C07: tells an agent that it is not for them", async () => {
    await page.goto(`${server.url}ops/`);
    await page.locator("#login-name").fill("ben");
    await page.locator("#login-password").fill("battery staple");
    await page.locator("form button.primary").click();
    await page.getByText("Not for your account").waitFor();
    await audit(page, "no permission");
    assert.equal(await page.locator(".ops").count(), 0);
    await page.getByRole("button", { name: "Sign in as somebody else" }).click();
    await page.locator("#login-name").waitFor();
  });

  it("C07: ends when the role is taken away meanwhile", async () => {
    await enterOps(page, server.url);
    await page.locator(".verdict").waitFor();
    server.world.agents.get("anna").role = "agent";
    await page.getByText("Not for your account").waitFor();
    assert.equal(await page.locator(".ops").count(), 0);
  });

  it("C01: payloads in every field of every section stay text", async () => {
    let at = 0;
    const nasty = () => `${PAYLOADS[at++ % PAYLOADS.length]}${NASTY}`;
    const poison = (value) => {
      if (typeof value === "string") return nasty();
      if (Array.isArray(value)) return value.slice(0, 4).map(poison);
      if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, poison(each)]));
      return value;
    };
    const state = madeUp();
    const { health, samples, missing } = state;
    server.world.ops = { ...poison({ ...state, samples: [], missing: [] }), samples, missing };
    Object.assign(server.world.ops.health, { status: nasty(), parts: health.parts.map((part) => ({ ...poison(part), details: { [nasty()]: nasty(), list: [nasty()] } })), changes: [{ at: 1, what: nasty(), ok: false }] });
    server.world.ops.groups.forEach((group, index) => Object.assign(group, { name: index ? nasty() : "DNIS" }));
    server.world.ops.bookings.forEach((row) => { row.group = "DNIS"; });
    server.world.ops.parameters = { [nasty()]: nasty() };
    server.world.ops.errors[0].traceback = `${nasty()}\n${nasty()}`;
    server.world.newChat({ nickname: NASTY, group: nasty(), subject: nasty() });
    await enterOps(page, server.url);
    await seeAll(page);
    await page.locator("#bookings-title").waitFor();
    for (const [section, list] of [["services", "services"], ["subscriptions", "subscriptions"], ["deliveries", "deliveries"], ["sessions", "sessions"], ["calls", "calls"]]) {
      await see(page, section);
      await page.locator(`#${section} tbody a`).first().click();
      await page.locator("dialog .detail-list").first().waitFor();
      await assertHarmless(page, faults);
      await page.keyboard.press("Escape");
      assert.ok(list);
    }
    await page.locator("#errors details summary").first().click();
    await page.locator("#health .history summary").click();
    await seeAll(page);
    await assertHarmless(page, faults);
  });

  it("says in one line what is wrong, and since when", async () => {
    const { health } = server.world.ops;
    Object.assign(health, { ok: false, since: Date.now() / 1000 - 600 });
    Object.assign(health.parts[2], { ok: false });
    await enterOps(page, server.url);
    await page.getByText("Needs attention: Push").first().waitFor();
    assert.match(await page.locator(".verdict-since").innerText(), /10 min/);
    assert.match(await page.title(), /^\u26a0/);
    await audit(page, "bad health");
    health.ok = true;
    await page.getByText("Everything is in order").waitFor();
    assert.doesNotMatch(await page.title(), /\u26a0/);
  });

  it("names the node that a section is of, and the others where something is wrong", async () => {
    const { health } = server.world.ops;
    Object.assign(health, { node: 7, ill: [2, 301] });
    await enterOps(page, server.url);
    await page.getByText("Needs attention: node 2, node 301").first().waitFor();
    assert.equal(await page.locator(".verdict-since").count(), 0);
    for (const section of ["health", "traffic", "senders", "configuration"]) assert.match(await page.locator(`#${section}-title`).textContent(), /node 7$/);
    server.world.ops.errorsAway = [301];
    await see(page, "errors");
    assert.match(await page.locator("#errors tbody tr").nth(1).innerText(), /node 2/);
    await page.getByText("No answer: node 301").waitFor();
    Object.assign(health, { node: null, ill: [] });
    server.world.ops.errorsAway = [];
    await see(page, "health");
    await page.getByText("Everything is in order").waitFor();
    assert.equal(await page.locator("#health-title").textContent(), "Health ");
  });

  it("asks for the sections in view only, and for nothing while hidden", async () => {
    let asked = [];
    await enterOps(page, server.url);
    await see(page, "subscriptions");
    await page.waitForTimeout(300);
    server.world.asked = ({ do: call }) => asked.push(call);
    await page.waitForTimeout(2600);
    assert.ok(asked.includes("subscriptions"), String(asked));
    assert.ok(!asked.includes("health") && !asked.includes("services"), String(asked));
    const hide = (state) => page.evaluate((word) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => word });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
    await hide("hidden");
    await page.waitForTimeout(200);
    asked = [];
    await page.waitForTimeout(2600);
    assert.deepEqual(asked, []);
    await hide("visible");
    await page.waitForTimeout(400);
    assert.ok(asked.includes("subscriptions"), String(asked));
  });

  it("keeps focus, selection and open details while rows are refreshed", async () => {
    await enterOps(page, server.url);
    await see(page, "errors");
    await page.locator("#errors details summary").click();
    await see(page, "services");
    const link = page.locator("#services tbody a").nth(2);
    await link.focus();
    server.world.ops.services[0].user = "somebody-new";
    await page.getByText("somebody-new").waitFor();
    assert.ok(await link.evaluate((element) => element === document.activeElement));
    assert.ok(await page.locator("#errors details").evaluate((element) => element.open));
  });

  it("marks low pools, and shows the bookings of a group", async () => {
    await enterOps(page, server.url);
    await see(page, "numbers");
    assert.match(await page.locator("#numbers tbody tr").first().innerText(), /Hotline[^]*None free/);
    await page.locator("#numbers tr", { hasText: "DNIS" }).locator(".chip.amber").waitFor();
    await page.locator("#numbers a", { hasText: "Hotline" }).click();
    await page.getByRole("heading", { name: "Bookings in Hotline" }).waitFor();
    await until(page, () => document.querySelectorAll("#numbers table[aria-label=Bookings] tbody tr:not(.skeleton-row)").length === 3);
    assert.match(await page.locator("#numbers table[aria-label=Bookings]").innerText(), /\*\*\*34/);
  });

  it("warns of certificates: amber below 30 days, red below 7", async () => {
    await enterOps(page, server.url);
    await see(page, "senders");
    const chip = (text) => page.locator("#senders .chip", { hasText: text });
    assert.match(await chip("24 days").getAttribute("class"), /amber/);
    assert.match(await chip(/^4 days/).getAttribute("class"), /red/);
    assert.match(await chip("Expired").getAttribute("class"), /red/);
    assert.match(await chip("311 days").getAttribute("class"), /green/);
    assert.match(await page.locator("#senders tbody tr").first().innerText(), /Expired/);
  });

  it("shows an orchestration session: figures, states, timers, what is under way, its log", async () => {
    const [session] = server.world.ops.sessions;
    Object.assign(session, { states: ["notify", "watch_customer"], awake: true, strikes: 3, timers: [{ event: "poll.timer", at: Date.now() / 1000 + 7500 }], operations: [{ module: "queue", element: "submit", since: Date.now() / 1000 - 7230 }] });
    await enterOps(page, server.url);
    await see(page, "sessions");
    const figures = await page.locator("#sessions .figures").innerText();
    assert.match(figures, /Live\s+140[^]*Begun since the start\s+20,418[^]*Ended since the start\s+20,278/);
    await page.locator("#sessions-search").fill(session.id);
    const row = page.locator("#sessions tbody tr", { hasText: "notify" });
    await until(page, () => document.querySelectorAll("#sessions tbody tr").length === 1);
    assert.match(await row.innerText(), /notify[^]*watch_customer[^]*Awake/);
    await audit(page, "sessions");
    await row.locator(`a[title="${session.id}"]`).click();
    await page.locator("dialog .detail-list").first().waitFor();
    const text = await page.locator("dialog").innerText();
    for (const part of [/poll\.timer\s+2 hrs/, /queue\s+submit\s+2 hrs/, /_phone_number\s+\*\*\*/, /position\.estimate\s+\{"wait":120\}/, /No agent is ready/]) assert.match(text, part);
    assert.equal(new URL(page.url()).hash, `#sessions/${session.id}`);
    await audit(page, "session");
  });

  it("shows all nodes, which of them is home, and what is wrong with one", async () => {
    const { nodes } = server.world.ops;
    await enterOps(page, server.url);
    await page.locator("#health .facts a", { hasText: "3 nodes" }).click();
    await until(page, () => location.hash === "#nodes");
    await see(page, "nodes");
    const row = (place) => page.locator("#nodes tbody tr").nth(place);
    assert.match(await row(0).innerText(), /^1\s*Home\s+In order\s+gms-1\.example\.com, process 4001\s+5 hrs?\s+10 mins?\s+12 ms\s+141 MB\s+22\s+81\s+74\s+23\.4\s+3\s+52/);
    assert.doesNotMatch(await row(1).innerText(), /Home/);
    assert.match(await row(1).locator(".chip.amber").first().innerText(), /Refused/);
    assert.match(await row(1).locator("[title*='http/max_body']").innerText(), /Refused/);
    assert.match(await row(1).locator(".chip.amber").last().innerText(), /310 ms/);
    const figures = page.locator("#nodes .figures");
    assert.match(await figures.innerText(), /Nodes\s+3\s+Without an answer\s+0\s+Bayeux sessions\s+214\s+Orchestration sessions\s+140\s+Messages per second\s+64\.4/);
    await audit(page, "nodes");
    const { node, address, started } = nodes[2];
    nodes[2] = { node, address, started, shards: 21, here: false, home: false, reachable: true, answered: false };
    nodes[1].ok = false;
    await row(2).locator(".chip.red", { hasText: "No answer" }).waitFor();
    await row(1).locator(".chip.amber", { hasText: "Not in order" }).waitFor();
    assert.match(await figures.locator(".red").innerText(), /Without an answer\s+1/);
    assert.match(await row(2).innerText(), /\u2013\s+\u2013\s+21\s+\u2013/);
    nodes[2].reachable = false;
    nodes[1].status = "draining";
    await row(2).locator(".chip.red", { hasText: "Out of reach" }).waitFor();
    await row(1).locator(".chip.amber", { hasText: "Shutting down" }).waitFor();
    await page.locator("#nodes-search").fill("gms-3");
    await until(page, () => document.querySelectorAll("#nodes tbody tr").length === 1);
    assert.match(await figures.innerText(), /Nodes\s+3/);
    assert.equal(await page.locator("#nodes", { hasText: "runs alone" }).count(), 1);
    assert.equal(await page.getByText("This server runs alone").isVisible(), false);
    await audit(page, "nodes not well");
  });

  it("says of one process that it is alone, and shows its figures", async () => {
    const { health, nodes } = server.world.ops;
    health.parts = health.parts.filter((part) => part.name !== "cluster");
    server.world.ops.nodes = [{ ...nodes[0], shards: null }];
    await enterOps(page, server.url);
    await page.locator(".verdict").waitFor();
    assert.doesNotMatch(await page.locator("#health .facts").innerText(), /node/i);
    await see(page, "nodes");
    await page.getByText("This server runs alone").waitFor();
    assert.match(await page.locator("#nodes tbody tr").innerText(), /12 ms\s+141 MB/);
  });

  it("names the node of a session, and the nodes whose sessions are missing", async () => {
    const session = server.world.ops.sessions.find((row) => row.node === 301);
    server.world.ops.away = [2];
    await enterOps(page, server.url, { hash: `#sessions/${session.id}` });
    await page.locator("dialog .detail-list").first().waitFor();
    assert.match(await page.locator("dialog").innerText(), /Node\s+301/);
    await page.keyboard.press("Escape");
    await see(page, "sessions");
    await page.locator("#sessions .table-problem", { hasText: "Node 2 does not answer; its sessions are missing here." }).waitFor();
    assert.match(await page.locator("#sessions tbody tr").nth(0).innerText(), /node (?:1|2|301)\b/);
    server.world.ops.away = [2, 301];
    await page.getByText("Nodes 2, 301 do not answer").waitFor();
    server.world.ops.away = [];
    await until(page, () => !document.querySelector("#sessions .table-problem").textContent);
  });

  it("shows calls and agent groups, and one call by its address", async () => {
    const { calls } = server.world.ops;
    await enterOps(page, server.url, { hash: `#calls/${calls[3].call}` });
    await page.locator("dialog .detail-list").first().waitFor();
    assert.match(await page.locator("dialog").innerText(), /Ringing[^]*\*\*\*13/);
    await page.keyboard.press("Escape");
    await see(page, "calls");
    assert.match(await page.locator("#calls table[aria-label='Agent groups'] tbody tr").first().innerText(), /Billing\s+6\s+2\s+5/);
    assert.match(await page.locator("#calls tr", { hasText: "Sales" }).first().locator(".chip.red").innerText(), /^0$/);
    await page.locator("#calls-search").fill("***12");
    await until(page, () => document.querySelectorAll("#calls table[aria-label=Calls] tbody tr").length === 1);
    assert.match(await page.locator("#calls table[aria-label=Calls] tbody tr").innerText(), /Ended\s+Outgoing\s+\*\*\*12/);
    calls[0].state = "dialing";
    await page.locator("#calls-search").fill(calls[0].call);
    await page.locator("#calls table[aria-label=Calls] tbody tr", { hasText: "Dialling" }).waitFor();
    await page.locator("#calls table[aria-label=Calls]").getByRole("button", { name: "Direction" }).click();
    await audit(page, "calls");
    assert.deepEqual(faults, []);
  });

  it("shows a delivery with its results, found by its id", async () => {
    const { id } = server.world.ops.deliveries[49];
    await enterOps(page, server.url);
    await see(page, "deliveries");
    await page.locator("#deliveries-search").fill(id);
    await page.locator(`#deliveries a[title="${id}"]`).click();
    await page.locator("dialog .chip", { hasText: "Failed" }).first().waitFor();
    await page.locator("dialog th", { hasText: "Outcome" }).waitFor();
    assert.match(await page.locator("dialog").innerText(), /503 Service Unavailable/);
    const subscription = await page.locator("dialog tbody a").first().getAttribute("title");
    await page.locator("dialog tbody a").first().click();
    await page.getByRole("heading", { name: "Subscription", exact: true }).waitFor();
    await page.locator("dialog .detail-list, dialog .empty").first().waitFor();
    assert.equal(await page.locator("dialog[open]").count(), 1);
    assert.match(page.url(), new RegExp(`#subscriptions/${subscription}$`));
  });

  it("says that there is nothing of an id that is gone", async () => {
    await enterOps(page, server.url, { hash: "#services/not-there" });
    await page.locator("dialog", { hasText: "There is nothing of this id" }).waitFor();
    await page.keyboard.press("Escape");
    await until(page, () => location.hash === "#services");
  });

  it("says what this server does not have, and what is empty", async () => {
    server.world.ops.missing = new Set(["nodes", "calls", "sessions", "numbers", "subscriptions", "deliveries", "senders", "traffic pushes", "traffic publishes"]);
    server.world.ops.services = [];
    await enterOps(page, server.url);
    await seeAll(page);
    for (const section of ["nodes", "calls", "sessions", "numbers", "subscriptions", "deliveries", "senders"]) {
      assert.match(await page.locator(`#${section}`).innerText(), /Not available/);
      assert.equal(await page.locator(`#${section} .table-scroll`).first().isVisible(), false);
    }
    assert.match(await page.locator("#services").innerText(), /No service is alive/);
    assert.equal(await page.locator(".traffic-card.unknown").count(), 2);
    await audit(page, "missing");
  });

  it("offers the retry when a section cannot be read, and keeps what it has", async () => {
    server.world.failing = (call) => (call === "services" ? new server.Refusal(503, "The store cannot read.") : undefined);
    await enterOps(page, server.url);
    await see(page, "services");
    await page.locator("#services .failed", { hasText: "The store cannot read." }).waitFor();
    await audit(page, "failed");
    server.world.failing = null;
    // The next look may come first; then there is nothing to press any more.
    await page.locator("#services").getByRole("button", { name: "Try again" }).click({ timeout: 2000 }).catch(() => {});
    await page.locator("#services tbody a").first().waitFor();
    server.world.failing = (call) => (call === "services" ? new server.Refusal(503, "The store cannot read.") : undefined);
    await page.locator("#services .table-problem", { hasText: "The store cannot read." }).waitFor();
    assert.ok((await page.locator("#services tbody a").count()) > 1);
  });

  it("counts down while offline, keeps what was seen, and goes on", async () => {
    await enterOps(page, server.url);
    await page.locator(".verdict").waitFor();
    server.world.websockets = false;
    server.world.failing = (path) => (path === "/genesys/cometd" ? new server.Refusal(503, "Down.") : undefined);
    server.world.restart();
    await page.locator(".connection-bar").waitFor();
    await page.waitForTimeout(1500);
    assert.match(await page.locator(".connection-bar").innerText(), /Reconnecting/);
    assert.ok(await page.locator(".verdict").isVisible());
    await audit(page, "offline");
    server.world.websockets = true;
    server.world.failing = null;
    await page.getByRole("button", { name: "Try now" }).click({ timeout: 3000 }).catch(() => {});
    await page.locator(".connection.connected").waitFor();
    await page.locator(".connection-bar").waitFor({ state: "detached" });
  });

  it("C07: goes back to the log-in when the account is disabled", async () => {
    await enterOps(page, server.url);
    server.world.logins.clear();
    server.world.tell("anna", { type: "signed_out", reason: "disabled" });
    await page.getByText("Your account was disabled.").waitFor();
    await page.locator("#login-name").waitFor();
  });

  it("pages on over many services without loading all", async () => {
    await enterOps(page, server.url);
    await see(page, "services");
    const status = page.locator("#services .table-foot [role=status]");
    await until(page, () => /1 to 10;/.test(document.querySelector("#services .table-foot [role=status]").textContent));
    const forward = page.locator("#services").getByRole("button", { name: "Further rows" });
    for (let turn = 0; turn < 20; turn += 1) await forward.click();
    await until(page, () => /^201 to 210/.test(document.querySelector("#services .table-foot [role=status]").textContent));
    await page.locator("#services").getByRole("button", { name: "Earlier rows" }).click();
    await until(page, () => /^191 to 200/.test(document.querySelector("#services .table-foot [role=status]").textContent));
    assert.ok(await status.isVisible());
  });

  it("reads single values of a picture by keyboard", async () => {
    await enterOps(page, server.url);
    await see(page, "traffic");
    const picture = page.locator(".traffic-card .spark").first();
    assert.match(await picture.getAttribute("aria-label"), /^Requests: now [\d.]+ per second/);
    await picture.focus();
    await page.keyboard.press("ArrowLeft");
    assert.match(await page.locator(".spark-reading").first().innerText(), /\d per second/);
  });

  it("goes from section to section by keyboard", async () => {
    await enterOps(page, server.url);
    await page.locator(".verdict").waitFor();
    await page.evaluate(() => document.activeElement?.blur());
    for (let press = 0; press < 5; press += 1) await page.keyboard.press("j");
    await page.locator('.side-link[aria-current]', { hasText: "Services" }).waitFor();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "services-search");
  });

  it("speaks German, and turns around for right-to-left", async () => {
    await open({ locale: "de-DE" });
    await enterOps(page, server.url);
    await page.getByText("Alles ist in Ordnung").waitFor();
    await seeAll(page);
    assert.doesNotMatch(await page.locator(".ops").innerText(), /ops\.[a-z]/);
    await page.evaluate(() => { document.documentElement.dir = "rtl"; });
    const [side, main] = await page.evaluate(() => [".side", ".sections"].map((name) => document.querySelector(name).getBoundingClientRect().left));
    assert.ok(side > main);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
  });

  it("moves nothing while it loads", async () => {
    await enterOps(page, server.url);
    await page.addInitScript(() => {
      globalThis.moved = [];
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) globalThis.moved.push([entry.value, ...entry.sources.map(({ node }) => node?.className || node?.nodeName)]);
      }).observe({ type: "layout-shift", buffered: true });
    });
    for (const width of [390, 1024, 1440]) {
      await page.setViewportSize({ width, height: 844 });
      await page.reload();
      await page.locator(".verdict").waitFor();
      await page.waitForTimeout(800);
      const moved = await page.evaluate(() => globalThis.moved);
      assert.ok(moved.reduce((sum, [value]) => sum + value, 0) < 0.02, `${width}: ${JSON.stringify(moved)}`);
    }
  });

  it("works over long polling where there are no websockets", async () => {
    server.world.websockets = false;
    await enterOps(page, server.url);
    await page.locator(".verdict").waitFor();
  });
});
