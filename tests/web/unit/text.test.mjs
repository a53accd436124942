/** Text from strangers (hardening C01, C06, C09). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { clean, cleanName, collides, fileSize, initials, pieces, safeUrl, skeleton } from "../../../gms_twisted/web/lib/text.js";

describe("clean", () => {
  it("C01: keeps what people write", () => {
    for (const text of ["Grüße\n\tzweite Zeile", "مرحبا", "नमस्ते", "👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "{{7*7}} <b>&amp;</b>"]) assert.equal(clean(text), text);
  });

  it("C01: shows control characters instead of sending them", () => {
    assert.equal(clean("a\u001b[31mred\u0007\u0000"), "a\u241b[31mred\u2407\u2400");
    assert.equal(clean("x\u009b31m\u007f"), "x\ufffd31m\u2421");
  });

  it("C01: neutralises direction overrides and isolates", () => {
    for (const character of "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") assert.equal(clean(`a${character}b`), "a\ufffdb");
  });

  it("C01: cuts towers of combining marks, quickly", () => {
    const tower = `e${"\u0301".repeat(100000)}`;
    const began = performance.now();
    assert.equal(clean(tower), `e${"\u0301".repeat(6)}\u2026`);
    assert.ok(performance.now() - began < 200);
  });

  it("C01: cuts what is too long without splitting a pair", () => {
    assert.equal(clean("😀".repeat(3), 3), "😀\u2026");
    assert.equal(clean("a".repeat(5000)).length, 4001);
  });

  it("takes anything", () => {
    assert.deepEqual([clean(undefined), clean(null), clean(7), clean({})], ["", "", "7", "[object Object]"]);
  });

  it("makes every line break one", () => {
    assert.equal(clean("a\r\nb\rc\u2028d"), "a\nb\nc\nd");
  });
});

describe("cleanName", () => {
  it("C01: is one line without invisible characters", () => {
    assert.equal(cleanName("  An\u200bna\n\u2060 Weber\u00ad "), "Anna Weber");
    assert.equal(cleanName("\u200b\u3164"), "");
    assert.equal(cleanName("x".repeat(200)).length, 81);
  });
});

describe("names that look alike", () => {
  it("C06: collide in spite of case, spaces, accents, invisible characters and look-alikes", () => {
    for (const name of ["anna weber", "ANNA  WEBER", "Anna\u200bWeber", "Ann\u0430 W\u0435ber", "Ánna Wëber", "Anna_Weber!"]) {
      assert.ok(collides(name, ["Anna Weber"]), name);
    }
    assert.ok(collides("Bi11", ["Bill"]));
  });

  it("C06: do not collide otherwise", () => {
    assert.ok(!collides("Annabelle", ["Anna"]));
    assert.ok(!collides("", [""]));
    assert.equal(skeleton("!!!"), "");
  });
});

describe("links", () => {
  it("C01, C09: only complete http and https addresses without user or password", () => {
    for (const bad of [
      "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "//evil.example", "/path", "http:/x", "ftp://x", "https://user:pw@host/",
      "https://user@host", " https://x.example", "https://x.example/\u202egpj", "https://", "http://x\ny", "https://x.example/" + "a".repeat(3000), 7, null,
    ]) assert.equal(safeUrl(bad), null, String(bad).slice(0, 40));
    assert.equal(safeUrl("HTTPS://Shop.Example/ä?q=1#f").href, "https://shop.example/%C3%A4?q=1#f");
  });

  it("C01: are found in text, the rest stays text", () => {
    assert.deepEqual(pieces("see https://a.example/x, or (http://b.example/y_(z))."), [
      { text: "see " }, { text: "https://a.example/x", href: "https://a.example/x" }, { text: ", or (" },
      { text: "http://b.example/y_(z)", href: "http://b.example/y_(z)" }, { text: ")." },
    ]);
    assert.deepEqual(pieces("javascript:alert(1) <a href=https://>"), [{ text: "javascript:alert(1) <a href=https://>" }]);
    assert.deepEqual(pieces('https://a.example/"onmouseover="x'), [{ text: "https://a.example/", href: "https://a.example/" }, { text: '"onmouseover="x' }]);
  });

  it("C01: look for links in linear time", () => {
    const began = performance.now();
    pieces("https://".repeat(500));
    pieces("https://a".padEnd(4000, ")"));
    assert.ok(performance.now() - began < 200);
  });
});

describe("small things", () => {
  it("initials", () => {
    assert.deepEqual(["Anna Weber", "anna", "Ben van der Okafor", "<b>", "", "李 小龍"].map(initials), ["AW", "A", "BO", "B", "?", "李小"]);
  });

  it("file sizes", () => {
    assert.deepEqual([512, 48211, 2.5e6].map((size) => fileSize(size, "en")), ["512 bytes", "48 kB", "2.5 MB"]);
  });
});
