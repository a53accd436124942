/** The operator page's tables, pictures, judgements and addresses, without a page. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { address, certificateLevel, compare, deliveryState, lagLevel, nodeState, nodeSums, Poller, poolLevel, readAddress, Samples, shortId, sorted, TableModel } from "../../../gms_twisted/web/ops/model.js";
import { geometry, HEIGHT, indexAt, roundUp } from "../../../gms_twisted/web/ops/spark.js";

const rows = (count, from = 0) => Array.from({ length: count }, (_, index) => ({ id: `r${from + index}`, n: (from + index) % 7 }));

describe("order", () => {
  it("is by size for numbers, and for numbers in texts", () => {
    assert.deepEqual([10, 9, 2].sort(compare), [2, 9, 10]);
    assert.deepEqual(["limit10", "limit9", "Limit2"].sort(compare), ["Limit2", "limit9", "limit10"]);
  });

  it("puts what is not there last, whichever way", () => {
    const some = [{ v: null }, { v: 2 }, { v: "" }, { v: 1 }];
    assert.deepEqual(sorted(some, (row) => row.v, false).map((row) => row.v), [1, 2, null, ""]);
    assert.deepEqual(sorted(some, (row) => row.v, true).map((row) => row.v), [2, 1, null, ""]);
  });

  it("keeps the order of equals, and the rows it was given", () => {
    const some = rows(9);
    const before = some.map((row) => row.id);
    assert.deepEqual(sorted(some, (row) => row.n, false).slice(0, 4).map((row) => row.id), ["r0", "r7", "r1", "r8"]);
    assert.deepEqual(some.map((row) => row.id), before);
  });
});

describe("nodes", () => {
  const good = { node: 1, reachable: true, answered: true, status: "ready", ok: true, bayeux: 3, orchestration: 2, deliveries: 1.5 };

  it("are as the worst of what is known of them says", () => {
    assert.equal(nodeState(good), "ok");
    assert.equal(nodeState({ ...good, ok: false }), "ill");
    assert.equal(nodeState({ ...good, ok: false, status: "draining" }), "draining");
    assert.equal(nodeState({ ...good, ok: false, status: "read-only" }), "read-only");
    assert.equal(nodeState({ ...good, answered: false }), "silent");
    assert.equal(nodeState({ ...good, answered: false, reachable: false }), "away");
    assert.equal(nodeState({ ...good, ok: undefined, status: undefined }), "ill");
  });

  it("are added up as far as they answer", () => {
    const silent = { node: 2, reachable: true, answered: false };
    assert.deepEqual(nodeSums([good, silent, { ...good, orchestration: null }]), { nodes: 3, silent: 1, bayeux: 6, orchestration: 2, deliveries: 3 });
    assert.deepEqual(nodeSums([]), { nodes: 0, silent: 0, bayeux: 0, orchestration: 0, deliveries: 0 });
  });

  it("are late from a quarter of a second on", () => {
    assert.deepEqual([0, 0.249, 0.25, 1.99, 2, null, undefined].map(lagLevel), ["", "", "amber", "amber", "red", "", ""]);
  });
});

describe("a table", () => {
  it("pages through a window, and asks for the next at its end", () => {
    const table = new TableModel({ size: 10, window: 20 });
    table.take({ rows: rows(20), next: "r19" });
    assert.equal(table.forward(), false);
    assert.deepEqual(table.position, { from: 11, to: 20, total: 20, more: true });
    assert.equal(table.forward(), true);
    assert.deepEqual(table.request(), { limit: 20, after: "r19" });
    table.take({ rows: rows(5, 20), next: null });
    assert.deepEqual(table.view().map((row) => row.id), ["r20", "r21", "r22", "r23", "r24"]);
    assert.deepEqual(table.position, { from: 21, to: 25, total: 25, more: false });
    assert.equal(table.canForward, false);
  });

  it("goes back into the former window, to its last page", () => {
    const table = new TableModel({ size: 10, window: 20 });
    table.take({ rows: rows(20), next: "r19" });
    table.forward();
    table.forward();
    table.take({ rows: rows(5, 20), next: null });
    assert.equal(table.back(), true);
    table.take({ rows: rows(20), next: "r19" });
    assert.deepEqual([table.view()[0].id, table.position.from], ["r10", 11]);
    assert.equal(table.back(), false);
    assert.equal(table.canBack, false);
  });

  it("leaves aside an answer to what is no longer asked", () => {
    const table = new TableModel();
    const asked = table.request();
    assert.equal(table.search("x"), true);
    assert.equal(table.take({ rows: rows(3), next: null }, asked), false);
    assert.equal(table.rows, null);
    assert.equal(table.search(" x "), false);
  });

  it("orders by a column, the other way, and as it came", () => {
    const table = new TableModel({ size: 3 });
    table.take({ rows: rows(5), next: null, total: 5 });
    table.order("n");
    assert.deepEqual(table.view().map((row) => row.n), [0, 1, 2]);
    table.order("n");
    assert.deepEqual(table.view().map((row) => row.n), [4, 3, 2]);
    table.order("n");
    assert.equal(table.sort, null);
  });

  it("stays on a page that exists when rows go", () => {
    const table = new TableModel({ size: 2 });
    table.take({ rows: rows(6), next: null });
    table.forward();
    table.forward();
    table.take({ rows: rows(3), next: null });
    assert.deepEqual(table.view().map((row) => row.id), ["r2"]);
    table.take({ rows: [], next: null });
    assert.deepEqual([table.view(), table.position.from], [[], 0]);
  });
});

describe("samples", () => {
  const answer = (last, all, times) => ({ last, all, period_s: 5, span_s: 20, series: [{ name: "requests", rate: true, known: true }], samples: times.map((time) => [time, time / 10]) });

  it("are put together, a quarter of an hour and no more", () => {
    const samples = new Samples();
    samples.take(answer(3, true, [10, 15, 20]));
    samples.take(answer(5, false, [20, 25, 30]));
    assert.deepEqual(samples.values(0), [1.5, 2, 2.5, 3]);
    assert.equal(samples.last, 5);
  });

  it("begin anew with a restarted server", () => {
    const samples = new Samples();
    samples.take(answer(3, true, [10, 15, 20]));
    samples.take(answer(1, true, [40]));
    assert.deepEqual(samples.values(0), [4]);
  });
});

describe("a sparkline", () => {
  it("has its newest value at the right edge", () => {
    const { line } = geometry([0, 10], 11, 100, 20);
    assert.equal(line, "M90 17L100 3");
  });

  it("stays inside, whatever it is given", () => {
    const { line, top, highest } = geometry([NaN, -5, Infinity, 730, undefined, 0], 6);
    const heights = [...line.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((match) => Number(match[1]));
    assert.equal(heights.length, 6);
    assert.ok(heights.every((height) => height >= 0 && height <= HEIGHT), String(heights));
    assert.deepEqual([top, highest], [1000, 730]);
  });

  it("is empty without values, and a short line for one", () => {
    assert.equal(geometry([], 180).line, "");
    assert.match(geometry([3], 180).line, /^M[\d.]+ [\d.]+L300 [\d.]+$/);
  });

  it("ends at round numbers", () => {
    assert.deepEqual([0, 0.03, 0.2, 1, 1.1, 7, 10, 101, 2000].map(roundUp), [1, 0.05, 0.2, 1, 2, 10, 10, 200, 2000]);
  });

  it("finds the value under the pointer", () => {
    assert.equal(indexAt(1, 3, 5), 2);
    assert.equal(indexAt(0.5, 3, 5), 0);
    assert.equal(indexAt(0, 3, 5), null);
  });
});

describe("judgements", () => {
  it("certificates: amber below 30 days, red below 7", () => {
    assert.deepEqual([30, 29.9, 7, 6.9, -1, null, undefined].map(certificateLevel), ["green", "amber", "amber", "red", "red", "", ""]);
  });

  it("pools: red with none free, amber with a fifth", () => {
    const level = (numbers, free) => poolLevel({ numbers, free });
    assert.deepEqual([level(10, 0), level(10, 2), level(10, 3), level(0, 0)], ["red", "amber", "green", ""]);
  });

  it("deliveries: what came of them", () => {
    const word = (devices, delivered, failed) => deliveryState({ devices, delivered, failed });
    assert.deepEqual([word(0, 0, 0), word(2, 1, 0), word(2, 2, 0), word(2, 1, 1), word(1, 0, 1)], ["none", "open", "delivered", "partly", "failed"]);
  });
});

describe("addresses and ids", () => {
  it("name a section and a thing of it, whatever is in its name", () => {
    const id = "a/b #c%<\u00e9>";
    assert.deepEqual(readAddress(address("numbers", id)), { section: "numbers", id });
    assert.deepEqual(readAddress("#health"), { section: "health", id: null });
    assert.deepEqual(readAddress("#services/%E0%A4%A"), { section: "services", id: null });
    assert.equal(readAddress("#Services//x y"), null);
    assert.equal(readAddress(""), null);
  });

  it("are shown by their beginning when they are long", () => {
    assert.equal(shortId("39a98e24-b03b-4191-b756-1efe8f3b16b8"), "39a98e24\u2026");
    assert.equal(shortId("000ABC1234567890"), "000ABC1234567890");
    assert.equal(shortId(null), "");
  });
});

describe("what is asked", () => {
  const make = () => {
    const asked = [];
    const open = [];
    let at = 0;
    const poller = new Poller({ now: () => at, ask: (name) => { asked.push(name); return new Promise((resolve) => { open.push(resolve); }); } });
    const answer = async () => {
      for (const resolve of open.splice(0)) resolve();
      await new Promise((resolve) => { setImmediate(resolve); });
    };
    return { poller, asked, answer, pass: (ms) => { at += ms; poller.tick(); } };
  };

  it("is what is in view, every two seconds", async () => {
    const { poller, asked, answer, pass } = make();
    poller.setActive(true);
    poller.see("health", true);
    await answer();
    pass(1999);
    assert.deepEqual(asked, ["health"]);
    pass(1);
    assert.deepEqual(asked, ["health", "health"]);
    await answer();
    poller.see("health", false);
    pass(5000);
    assert.equal(asked.length, 2);
  });

  it("is nothing while the page is hidden or the connection is gone", async () => {
    const { poller, asked, answer, pass } = make();
    poller.see("chats", true);
    pass(5000);
    assert.deepEqual(asked, []);
    poller.setActive(true);
    await answer();
    poller.setActive(false);
    pass(5000);
    assert.deepEqual(asked, ["chats"]);
  });

  it("waits for an answer before it asks again, also when hurried", async () => {
    const { poller, asked, answer, pass } = make();
    poller.setActive(true);
    poller.see("services", true);
    pass(9000);
    poller.refresh("services");
    assert.deepEqual(asked, ["services"]);
    await answer();
    assert.deepEqual(asked, ["services", "services"]);
  });

  it("comes once for what is about to be in view", async () => {
    const { poller, asked, answer, pass } = make();
    poller.nearing("errors");
    assert.deepEqual(asked, []);
    poller.setActive(true);
    poller.nearing("errors");
    await answer();
    poller.nearing("errors");
    pass(9000);
    assert.deepEqual(asked, ["errors"]);
  });

  it("goes on after a failure", async () => {
    const asked = [];
    let at = 0;
    const poller = new Poller({ now: () => at, ask: (name) => { asked.push(name); return Promise.reject(new Error("no")); } });
    poller.setActive(true);
    poller.see("errors", true);
    await new Promise((resolve) => { setImmediate(resolve); });
    at = 2000;
    poller.tick();
    assert.equal(asked.length, 2);
  });
});
