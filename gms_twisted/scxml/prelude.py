"""What runs in a script context before anything else: our half of the bridge, in JavaScript.

What most sessions need is in :data:`PRELUDE`, and read by the engine for each of them; the
rest, in ``prelude_parts``, when it is needed first.

It keeps the functions that it needs from before a script could replace them (:data:`KEPT`), and
never calls anything of a script outside ``run`` and ``sys``, which the engine stops at its limits.
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

ERRORS = sorted(name for name in STANDARD if "Error" in name)
"""Their prototypes are frozen: what the engine says of a failure must not run a script."""

KEPT = {
    "Str": ["String"],
    "Err": ["Error"],
    "int": ["parseInt"],
    "Range": ["RangeError"],
    "TypeErr": ["TypeError"],
    "finite": ["isFinite"],
    "Seen": ["WeakSet"],
    "isArray": ["Array", "isArray"],
    "AP": ["Array", "prototype"],
    "OP": ["Object", "prototype"],
    "create": ["Object", "create"],
    "symbols": ["Object", "getOwnPropertySymbols"],
    "desc": ["Object", "getOwnPropertyDescriptor"],
    "proto": ["Object", "getPrototypeOf"],
    "extensible": ["Object", "isExtensible"],
    "keysOf": ["Object", "keys"],
    "is": ["Object", "is"],
    "copy": ["Array", "prototype", "slice"],
    "has": ["Object", "prototype", "hasOwnProperty"],
    "seenHas": ["WeakSet", "prototype", "has"],
    "seenAdd": ["WeakSet", "prototype", "add"],
    "source": ["Function", "prototype", "toString"],
}
"""Where the functions are that the parts keep; three names: a method, which is called with its
object as the first argument."""

# It begins as it does since the engine reads what begins with a parenthesis twice, to see
# whether it is an arrow function: a third of what a context costs.
PRELUDE = r"""1 && function (given, more, dump) {
"use strict";
var G = globalThis, E = eval, F = Function, Obj = Object, parse = JSON.parse,
  text = JSON.stringify, names = Obj.getOwnPropertyNames, def = Obj.defineProperty,
  freeze = Obj.freeze, of = F.prototype.call.bind.bind(F.prototype.call),
  slice = of("".slice), find = of("".indexOf), kit = parse(given), code = { __proto__: null },
  active = "\n", out = "", store = G, event, built, extra, write, i, j, v;
for (i in kit.kept) {
  v = kit.kept[i];
  j = G[v[0]];
  kit[i] = v[2] ? of(j[v[1]][v[2]]) : v[1] ? j[v[1]] : j;
}
for (i = 0; i < kit.errors.length; i++) freeze(G[kit.errors[i]].prototype);
for (i in kit.watched) kit.watched[i] = G[i];
def(Error, "prepareStackTrace", { value: undefined, writable: false, configurable: false });

function part(source) {
  return E(source)(kit, G, F, parse, text, names, def, freeze, slice, find, store, put, post,
    read, fill);
}
function rest() { return extra || (extra = part(more)); }
function post(line) { out += (out === "" ? "" : ",") + line; }
// Long sums of strings are ropes, which the binding cannot hand over.
function flat(result) { return result.length < 200 ? result : slice(result, 0); }
function value(result) {
  var json = result === undefined ? undefined : text(result);
  return json === undefined ? "u" : json.length > kit.max ? rest().large() : "v" + json;
}
function setter(location) { return new F("__v", "'use strict';(" + location + "\n)=__v"); }
function getter(expression) { return new F("return (" + expression + "\n)"); }
function plain(location) { if (!(location in G)) G[location] = undefined; }
function put(on, name, item) {
  def(on, name, { value: item, writable: true, enumerable: true, configurable: true });
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
      ev = parse(ev);
      event = { name: ev.name, type: ev.type, sendid: ev.sendid, origin: ev.origin,
        origintype: ev.origintype, invokeid: ev.invokeid,
        data: ev.markup ? rest().dom(ev.data) : ev.data };
      if (ev.raw !== undefined) event.raw = ev.raw;
      freeze(event);
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
        result = typeof f === "string" && f.length < 4000 ? "v" + text(f) : rest().readable(f);
        break;
      case "a": plain(param);
      case "A": f.set(f.get()); break;
      case "l": plain(src);
      case "L": f(param === "" ? undefined : parse(param)); break;
      case "D": put(store, param, f()); break;
      default: result = rest().run(kind, f, src, param, plain);
    }
  } catch (e) { result = "e" + rest().describe(e); }
  return flat(out === "" ? result : "*" + result);
}
function forward(name) {
  if (name in G) return;
  def(G, name, { get: kit.ours[name] = function () { return store[name]; },
    set: function (v) { put(store, name, v); }, configurable: true, enumerable: true });
}
function read(v) {
  if (typeof v !== "object" || v === null) return v;
  var keys = names(v), i;
  if (keys[0] === "$") return v.$ === "u" ? undefined : +v.$;
  for (i = 0; i < keys.length; i++)
    if (typeof v[keys[i]] === "object") put(v, keys[i], read(v[keys[i]]));
  return v;
}
function fill(saved) {
  var all = saved.d ? names(saved.d) : [], i;
  for (i = 0; i < all.length; i++) put(store, all[i], saved.d[all[i]]);
  for (i = 0, all = saved.g; i < all.length; i++) put(G, all[i][0], all[i][1]);
}
function mark(without) {
  for (var all = names(G), i = kit.first.length, f; i < all.length; i++)
    if (typeof (f = kit.desc(G, all[i]).value) === "function" && find(without, text(all[i])) < 0)
      kit.made[all[i]] = f;
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
    if (op === "dump")
      return flat((write || (write = part(dump)))(a !== "", built && rest().visit(built)));
    return flat(rest().sys(op, a, b));
  } catch (e) { return "e" + rest().describe(e); }
}
function fixed(name, v) { def(G, name, { value: v, writable: false }); }
function shown(name, get) { def(G, name, { get: get }); }
shown("_event", function () { return event; });
shown("_genesys", function () { return built || (built = rest().genesys()); });
shown("_ioprocessors", function () { return rest().processors(); });
for (i in kit.platform) fixed(i, kit.platform[i]);
fixed("_x", freeze({}));
fixed("In", function In(id) { return find(active, "\n" + kit.Str(id) + "\n") >= 0; });
function ours(name) { fixed(name, function (a, b) { return rest()[name](a, b); }); }
ours("__Log");
ours("__Raise");
ours("uneval");
def(Obj.prototype, "toSource", { value: function toSource() { return rest().uneval(this); },
  enumerable: false, writable: true, configurable: true });
if (kit.dialect) {
  fixed("_data", store = {});
  fixed("_internal", "_internal");
}
kit.first = names(G); kit.lines = 0; kit.ours = { __proto__: null }; kit.made = { __proto__: null };
if (kit.dialect) put(G, "data", {});
return function (op) { return op === "run" ? run : sys; };
}"""
