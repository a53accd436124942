"""What runs in a script context before anything else: our half of the bridge, in JavaScript.

What most sessions need is in :data:`PRELUDE`, and read by the engine for each of them; the
rest, in ``prelude_parts``, when it is needed first.

It keeps the functions that it needs from before a script could replace them, and never calls
anything of a script outside ``run`` and ``sys``, which the engine stops at its limits.
Values cross as JSON text; what ``run`` returns begins with a letter:

- ``v``: JSON of the value
- ``u``: undefined (or a function, which JSON has no word for)
- ``t``: true, ``f``: false
- ``e``: ``[name, message, line]`` of what was thrown
- ``c``: the same; the text is no script
- ``p``: why the variables are no plain data

A ``*`` before it: ``sys("drain")`` has lines and events for us.

Knows: JavaScript.  Does not know: Python, state charts.
"""

_STANDARD = """
AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array
Boolean DOMException DataView Date DisposableStack Error EvalError FinalizationRegistry
Float16Array Float32Array Float64Array Function Infinity Int16Array Int32Array Int8Array
InternalError Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError
Reflect RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError URIError
Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet atob btoa decodeURI
decodeURIComponent encodeURI encodeURIComponent escape eval globalThis isFinite isNaN parseFloat
parseInt performance queueMicrotask undefined unescape
"""
STANDARD = frozenset(_STANDARD.split())
"""Global names that a context has of its own."""

PRELUDE = r"""(function (given, more, dump) {
"use strict";
var G = globalThis, E = eval, F = Function, Str = String, Obj = Object;
var parse = JSON.parse, text = JSON.stringify, names = Obj.getOwnPropertyNames,
  def = Obj.defineProperty, freeze = Obj.freeze, create = Obj.create;
var of = F.prototype.call.bind.bind(F.prototype.call);
var slice = of(Str.prototype.slice), find = of(Str.prototype.indexOf);
var system = parse(given), code = create(null), active = "\n", out = "", store = G,
  event, built, extra, i, v;
var kit = { G: G, F: F, Str: Str, Obj: Obj, parse: parse, text: text, names: names, def: def,
  freeze: freeze, create: create, find: find, slice: slice, put: put, quote: quote,
  max: system.max, Err: Error, int: parseInt, isArray: Array.isArray, Range: RangeError,
  TypeErr: TypeError, copy: of(Array.prototype.slice), has: of(Obj.prototype.hasOwnProperty),
  symbols: Obj.getOwnPropertySymbols, desc: Obj.getOwnPropertyDescriptor,
  proto: Obj.getPrototypeOf, extensible: Obj.isExtensible, keysOf: Obj.keys, is: Obj.is,
  finite: isFinite, Seen: WeakSet, seenHas: of(WeakSet.prototype.has),
  seenAdd: of(WeakSet.prototype.add), source: of(F.prototype.toString), OP: Obj.prototype,
  AP: Array.prototype, genesys: system.genesys, interactions: "[]", store: G, lines: 0,
  standard: create(null), watched: create(null), hidden: create(null), ours: create(null),
  made: create(null), post: function (line) { out += (out === "" ? "" : ",") + line; } };
v = names(G);
for (i = 0; i < v.length; i++) {
  kit.standard[v[i]] = true;
  if (find(v[i], "Error") >= 0) freeze(G[v[i]].prototype);
}
v = system.watched;
for (i = 0; i < v.length; i++) kit.watched[v[i]] = G[v[i]];
def(Error, "prepareStackTrace", { value: undefined, writable: false, configurable: false });

function rest() { return extra || (extra = new F("kit", more)(kit)); }
// Long sums of strings are ropes, which the binding cannot hand over.
function flat(result) { return result.length < 200 ? result : slice(result, 0); }
function quote(value) { return text(slice(Str(value), 0, 4000)); }
function value(result) {
  var json = result === undefined ? undefined : text(result);
  if (json === undefined) return "u";
  if (json.length > kit.max)
    throw new kit.Range("a value of more than " + kit.max + " characters");
  return "v" + json;
}
function setter(location) { return new F("__v", "'use strict';(" + location + "\n)=__v"); }
function getter(expression) { return new F("return (" + expression + "\n)"); }
function plain(location) { if (!(location in G)) G[location] = undefined; }
function put(name, item) {
  def(store, name, { value: item, writable: true, enumerable: true, configurable: true });
}
function compile(kind, src, param) {
  if (kind === "S") return src;
  if (kind === "B") return new F(src);
  if (kind === "A" || kind === "a") return { get: getter(src), set: setter(param) };
  return find("XCTDF", kind) < 0 ? setter(src) : getter(src);
}
function run(i, kind, src, param, ev, act) {
  var result = "u", f;
  try {
    if (ev !== "") {
      event = parse(ev);
      event = freeze({ name: event.name, type: event.type, sendid: event.sendid,
        origin: event.origin, origintype: event.origintype, invokeid: event.invokeid,
        data: event.markup || event.raw ? rest().unusual(event) : event.data });
      if (extra && extra.raw) event = extra.raw(event);
    }
    if (act !== "") active = act;
    f = code[i];
    if (f === undefined) {
      try { code[i] = f = compile(kind, src, param); }
      catch (e) { return "c" + rest().describe(e); }
    }
    switch (kind) {
      case "S": E(f); break;
      case "B": f(); break;
      case "C": result = f() ? "t" : "f"; break;
      case "X": result = value(f()); break;
      case "T":
        f = f();
        result = typeof f === "string" ? "v" + quote(f) : rest().readable(f);
        break;
      case "a": plain(param);
      case "A": f.set(f.get()); break;
      case "l": plain(src);
      case "L": f(param === "" ? undefined : parse(param)); break;
      case "D": put(param, f()); break;
      default: result = rest().run(kind, f, src, param, plain);
    }
  } catch (e) { result = "e" + rest().describe(e); }
  return flat(out === "" ? result : "*" + result);
}
function forward(name) {
  if (name in G) return;
  var get = kit.ours[name] = function () { return store[name]; };
  def(G, name,
    { get: get, set: function (v) { put(name, v); }, configurable: true, enumerable: true });
}
function read(v) {
  if (typeof v === "object" && v !== null) {
    var keys = names(v), i;
    if (keys[0] === "$") return v.$ === "u" ? undefined : v.$ === "-0" ? -0 : +v.$;
    for (i = 0; i < keys.length; i++)
      if (typeof v[keys[i]] === "object")
        def(v, keys[i],
          { value: read(v[keys[i]]), writable: true, enumerable: true, configurable: true });
  }
  return v;
}
function fill(saved) {
  var d = saved.d, all = d ? names(d) : [], i;
  for (i = 0; i < all.length; i++) put(all[i], d[all[i]]);
  all = saved.g;
  for (i = 0; i < all.length; i++)
    def(G, all[i][0],
      { value: all[i][1], writable: true, enumerable: true, configurable: true });
}
function mark(without) {
  for (var all = names(G), i = 0, n = all[0]; i < all.length; n = all[++i])
    if (!(n in kit.standard) && !(n in kit.hidden) && !(n in kit.ours) &&
        typeof G[n] === "function" && find(without, text(n)) < 0) kit.made[n] = G[n];
}
function sys(op, a, b) {
  try {
    switch (op) {
      case "drain": a = "v[" + out + "]"; out = ""; kit.lines = 0; return flat(a);
      case "forward": a = parse(a); for (b = 0; b < a.length; b++) forward(a[b]); return "u";
      case "fill": a = parse(a); fill(b === "" ? a : read(a)); return "u";
      case "mark": mark(a); return "u";
      case "interactions": kit.interactions = a; built = undefined; return "u";
    }
    if (op === "dump" || op === "restore") {
      if (typeof dump === "string") dump = new F("kit", dump)(kit);
      return flat(dump(op, a, b, built));
    }
    return flat(rest().sys(op, a, b));
  } catch (e) { return "e" + rest().describe(e); }
}
function fixed(name, v) {
  kit.hidden[name] = true;
  def(G, name, { value: v, writable: false, enumerable: false, configurable: false });
}
function shown(name, get) {
  kit.hidden[name] = true;
  def(G, name, { get: get, enumerable: false, configurable: false });
}
shown("_event", function () { return event; });
shown("_genesys", function () { return built || (built = rest().genesys()); });
shown("_ioprocessors", function () { return rest().processors(system.processors); });
for (i in system.platform) fixed(i, system.platform[i]);
fixed("_x", freeze({}));
fixed("In", function In(id) { return find(active, "\n" + Str(id) + "\n") >= 0; });
function ours(name) { fixed(name, function (a, b) { return rest()[name](a, b); }); }
ours("__Log");
ours("__Raise");
ours("uneval");
def(Obj.prototype, "toSource", { value: function toSource() { return rest().uneval(this); },
  enumerable: false, writable: true, configurable: true });
if (system.dialect) {
  kit.store = store = {};
  fixed("_data", store);
  fixed("_internal", "_internal");
  def(G, "data", { value: {}, writable: true, enumerable: true, configurable: true });
}
kit.read = read;
kit.fill = fill;
return function (op) { return op === "run" ? run : sys; };
})"""
