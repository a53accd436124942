/** The parts of the pages that need no page. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { cannedFor, hostAllowed } from "../../../gms_twisted/web/desk/conversation.js";
import { overlap, Visitor } from "../../../gms_twisted/web/demo/visitor.js";
import { asCurl, pretty, shortPath, subject } from "../../../gms_twisted/web/demo/wire.js";
import { ICONS } from "../../../gms_twisted/web/lib/icons.js";
import { CREATES, learn, sampleOf } from "../../../gms_twisted/web/resources/services.js";
import { plan } from "../../../gms_twisted/web/lib/transcript.js";

const WEB = fileURLToPath(new URL("../../../gms_twisted/web/", import.meta.url));
const files = (folder) => readdirSync(folder).flatMap((name) => {
  const path = join(folder, name);
  return statSync(path).isDirectory() ? files(path) : [path];
});

describe("the plan of a transcript", () => {
  const event = (position, at, more = {}) => ({ position, type: "message", text: "x", nickname: "Cara", party: "CLIENT", at, mine: false, ...more });
  const shape = (items) => items.map((item) => item.kind + (item.first ? "(" : "") + (item.last ? ")" : ""));

  it("groups by sender and minute", () => {
    const items = plan([event(1, 1000), event(2, 1030), event(3, 1100), event(4, 1101, { nickname: "Dan" }), event(5, 1102, { mine: true, party: "AGENT" })], [], null);
    assert.deepEqual(shape(items), ["day", "line(", "line)", "line()", "line()", "line()"]);
  });

  it("puts a day before each first event of a day", () => {
    const items = plan([event(1, 0), event(2, 200000)], [], null);
    assert.deepEqual(shape(items), ["day", "line()", "day", "line()"]);
  });

  it("divides before the first unread event that is not mine", () => {
    const items = plan([event(1, 1000), event(2, 1001, { mine: true }), event(3, 1002)], [], 1);
    assert.deepEqual(items.map((item) => item.key), ["d1", "e1", "e2", "divider", "e3"]);
  });

  it("leaves out typing and ends with what is not sent yet", () => {
    const items = plan([event(1, 1000, { type: "typing_started" })], [{ ref: "r", text: "t", at: 1000, state: "sending" }], null);
    assert.deepEqual(items.map((item) => item.key), ["pr"]);
  });
});

describe("canned answers", () => {
  const canned = [{ key: "hello", text: "Hello!" }, { key: "help", text: "How can I help?" }, { key: "bye", text: "Goodbye, hello again" }];

  it("are offered after a slash at the start only", () => {
    assert.deepEqual(cannedFor("/hel", canned).map((each) => each.key), ["hello", "help", "bye"]);
    assert.deepEqual(cannedFor("/hello", canned).map((each) => each.key), ["hello", "bye"]);
    assert.equal(cannedFor("and/or", canned), null);
    assert.equal(cannedFor("/hello there", canned), null);
    assert.deepEqual(cannedFor("/zzz", canned), []);
  });
});

describe("C09: hosts of pushed pages", () => {
  it("are compared with the list", () => {
    assert.ok(hostAllowed("shop.example", ["*"]));
    assert.ok(hostAllowed("a.shop.example", ["*.shop.example"]));
    assert.ok(!hostAllowed("evilshop.example", ["*.shop.example", "shop.example"]));
  });
});

describe("the customer's transcript", () => {
  const row = (text, seconds = "1", party = "AGENT") => ["Message.Text", "Anna", text, seconds, party];
  const make = () => {
    const kept = new Map();
    const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
    const visitor = new Visitor({ base: "http://gms.example/", onchange: () => {}, wire: () => {}, storage });
    visitor.save({ service: "S", position: 0 });
    visitor.phase = "waiting";
    return visitor;
  };
  const texts = (visitor) => visitor.events.map((event) => event.text);

  it("finds how much of a repetition is known", () => {
    const [a, b, c] = ["a", "b", "c"].map((text) => row(text));
    assert.equal(overlap([a, b], [b, c]), 1);
    assert.equal(overlap([a, b], [a, b]), 2);
    assert.equal(overlap([a], [b]), 0);
    assert.equal(overlap([], [a]), 0);
  });

  it("takes what is new once, by position", () => {
    const visitor = make();
    visitor.answered({ transcriptPosition: 3, transcriptToShow: [row("a"), row("b")] });
    visitor.answered({ transcriptPosition: 3, transcriptToShow: [row("a"), row("b")] });
    visitor.answered({ transcriptPosition: 4, transcriptToShow: [row("b"), row("c")] });
    assert.deepEqual(texts(visitor), ["a", "b", "c"]);
    assert.equal(visitor.position, 4);
  });

  it("waits for the events of an answer that has none: they come on the channel", () => {
    const visitor = make();
    visitor.answered({ transcriptPosition: "2", transcriptToShow: [] });
    visitor.answered({ transcriptPosition: 2, transcriptToShow: [row("a")] });
    assert.deepEqual(texts(visitor), ["a"]);
  });

  it("reads everything again after a reload, event by event", () => {
    const visitor = make();
    visitor.save({ position: 9 });
    for (const [position, text] of [[1, "a"], [2, "b"], [9, "c"]]) visitor.answered({ transcriptPosition: position, transcriptToShow: [row(text)] });
    assert.deepEqual(texts(visitor), ["a", "b", "c"]);
  });

  it("recognises an own message that the server cleaned", () => {
    const visitor = make();
    visitor.pending = [{ ref: "1", text: "ansi \u001b[31m" }, { ref: "2", text: "other", accepted: true }];
    visitor.answered({ transcriptPosition: 2, transcriptToShow: [row("ansi [31m", "1", "CLIENT")] });
    assert.deepEqual(visitor.pending.map((message) => message.ref), ["2"]);
    visitor.answered({ transcriptPosition: 3, transcriptToShow: [row("quite different", "1", "CLIENT")] });
    assert.deepEqual(visitor.pending, []);
  });

  it("keeps two equal messages that are two", () => {
    const visitor = make();
    visitor.answered({ transcriptPosition: 2, transcriptToShow: [row("ok")] });
    visitor.answered({ transcriptPosition: 3, transcriptToShow: [row("ok")] });
    assert.deepEqual(texts(visitor), ["ok", "ok"]);
  });

  it("talks when an agent is there, and waits again when the last one left", () => {
    const visitor = make();
    visitor.answered({ transcriptPosition: 2, transcriptToShow: [["Notice.Joined", "Anna", "has joined the session", "2", "AGENT"]] });
    assert.equal(visitor.phase, "talking");
    visitor.answered({ transcriptPosition: 3, transcriptToShow: [["Notice.Left", "Anna", "has left the session", "3", "AGENT"]] });
    assert.equal(visitor.phase, "waiting");
  });

  it("ends with the state DISCONNECTED and forgets the service", () => {
    const visitor = make();
    visitor.answered({ chatIxnState: "DISCONNECTED", transcriptPosition: "2", transcriptToShow: [row("bye")] });
    assert.deepEqual([visitor.phase, visitor.endedBy, visitor.service, texts(visitor)], ["ended", "them", null, ["bye"]]);
  });

  it("survives rows that are not as promised", () => {
    const visitor = make();
    visitor.answered({ transcriptPosition: 2, transcriptToShow: [null, "x", ["short"], ["Notice.Unknown", null, undefined, "x", 7]] });
    assert.deepEqual(visitor.events.map((event) => event.type), ["custom"]);
  });
});

describe("the wire", () => {
  it("prints JSON and forms for people", () => {
    assert.equal(pretty('{"a":1}'), '{\n  "a": 1\n}');
    assert.equal(pretty("_verbose=true&subject=a+b"), "_verbose = true\nsubject = a b");
    assert.equal(pretty("plain text"), "plain text");
  });

  it("quotes a curl command for a shell", () => {
    assert.equal(asCurl({ url: "http://h/x", headers: { A: "it's" }, body: "b='$(id)'" }),
      "curl -X POST 'http://h/x' \\\n  -H 'A: it'\\''s' \\\n  --data-raw 'b='\\''$(id)'\\'''");
  });

  it("says what a delivered message is about", () => {
    assert.equal(subject({ channel: "/_genesys", data: { tag: "a2c.advanced.service.poke.0da34a9d0c5e46a6953c8e2f", message: "x" } }), "/_genesys a2c.advanced.service.poke.0da34a\u2026");
    assert.equal(subject({ channel: "/meta/connect" }), "/meta/connect");
    assert.equal(subject({ channel: "/x", data: { tag: 5 } }), "/x");
  });

  it("cuts identifiers in paths", () => assert.equal(shortPath("/genesys/1/service/0da34a9d-0c5e-46a6-953c/ixn/chat"), "/genesys/1/service/0da34a\u2026/ixn/chat"));
});

describe("the samples of the service test page", () => {
  it("wait for what earlier answers give", () => {
    assert.deepEqual(sampleOf(CREATES, "match-interaction", {}), [["_access_number", ""]]);
    const known = learn({}, { _id: "39a98e24", _access_number: "800344999", _access_code: "7684" }, [["_phone_number", "6504669999"]]);
    assert.deepEqual(sampleOf(CREATES, "match-interaction", known), [["_access_number", "800344999"], ["_phone_number", "6504669999"], ["_access_code", "7684"]]);
    assert.equal(sampleOf(CREATES, "request-access", known)[0][1], "39a98e24");
  });

  it("forget the code of a former booking, and read any answer", () => {
    const known = learn({ code: "7684" }, { _access_number: "800344999" }, []);
    assert.equal(known.code, "");
    assert.deepEqual(learn({}, "OK", []), {});
    assert.deepEqual(learn({}, [1], []), {});
    assert.deepEqual(learn({}, { transcriptPosition: 4, _id: {} }, []), { position: "4" });
    assert.deepEqual(sampleOf(CREATES, "constructor", {}), []);
  });
});

describe("the files", () => {
  it("C01: never make markup from data", () => {
    for (const path of files(WEB).filter((name) => name.endsWith(".js"))) {
      const source = readFileSync(path, "utf8");
      assert.doesNotMatch(source, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|createContextualFragment/, path);
    }
  });

  it("have the same keys and places in every language", () => {
    const load = (code) => JSON.parse(readFileSync(join(WEB, "lib/lang", `${code}.json`), "utf8"));
    const places = (text) => [...new Set(JSON.stringify(text).match(/\{\w+\}/g) ?? [])].sort();
    const english = load("en");
    const german = load("de");
    assert.deepEqual(Object.keys(german), Object.keys(english));
    for (const key of Object.keys(english)) assert.deepEqual(places(german[key]), places(english[key]), key);
  });

  it("use only keys that exist", () => {
    const english = JSON.parse(readFileSync(join(WEB, "lib/lang/en.json"), "utf8"));
    for (const path of files(WEB)) {
      const source = readFileSync(path, "utf8");
      const used = [...source.matchAll(/\bt\("([^"]+)"/g), ...source.matchAll(/data-t(?:-\w+)?="([^"]+)"/g), ...source.matchAll(/"(ops\.(?!css"|js")[a-z.-]+[a-z])"/g)].map((match) => match[1]);
      for (const key of used) assert.ok(Object.hasOwn(english, key), `${path}: ${key}`);
    }
  });

  it("use only icons that exist", () => {
    for (const path of files(WEB)) {
      const source = readFileSync(path, "utf8");
      for (const [, name] of [...source.matchAll(/\b(?:icon|iconButton|emptyState|item)\("([a-z-]+)"/g), ...source.matchAll(/data-icon="([a-z-]+)"/g)]) {
        assert.ok(Object.hasOwn(ICONS, name), `${path}: ${name}`);
      }
    }
  });

  it("weigh less than 150 KB a page on the wire, even all languages counted", () => {
    const size = (path) => gzipSync(readFileSync(join(WEB, path))).length;
    const shared = ["lib/base.css", "lib/favicon.svg", "lib/lang/en.json", "lib/lang/de.json", ...readdirSync(join(WEB, "lib")).filter((name) => name.endsWith(".js")).map((name) => `lib/${name}`)];
    for (const page of ["desk", "demo", "ops", "resources"]) {
      const own = readdirSync(join(WEB, page)).map((name) => `${page}/${name}`);
      const weight = [...shared, ...own].reduce((sum, path) => sum + size(path), 0);
      assert.ok(weight < 100_000, `${page}: ${weight}`);
    }
  });

  it("preload every module that a page will import", () => {
    for (const page of ["desk", "demo", "ops"]) {
      const html = readFileSync(join(WEB, page, "index.html"), "utf8");
      const seen = new Set();
      const visit = (path) => {
        if (seen.has(path)) return;
        seen.add(path);
        for (const [, target] of readFileSync(path, "utf8").matchAll(/^(?:import|export) (?:[^"]*from )?"(\.[^"]+)"/gm)) visit(join(path, "..", target));
      };
      visit(join(WEB, page, "main.js"));
      for (const path of seen) {
        const href = path.startsWith(join(WEB, "lib")) ? `../lib/${path.slice(join(WEB, "lib/").length)}` : path.slice(join(WEB, page, "/").length);
        assert.ok(html.includes(`"${href}"`), `${page}: ${href}`);
      }
    }
  });
});
