"""What runs in a script context before anything else: our half of the bridge, in JavaScript.

It keeps the functions that it needs from before a script could replace them, and never calls
anything of a script outside ``run`` and ``sys``, which the engine stops at its limits.
Values cross as JSON text; what ``run`` returns begins with a letter:

====  =======================================================
``v``  JSON of the value
``u``  undefined (or a function, which JSON has no word for)
``t``  true, ``f`` false
``e``  ``[name, message, line]`` of what was thrown
``c``  the same; the text is no script
``p``  why the variables are no plain data
====  =======================================================

A ``*`` before it: ``sys("drain")`` has lines and events for us.

Knows: JavaScript.  Does not know: Python, state charts.
"""

PRELUDE = r"""(function (system, more) {
"use strict";
var G = globalThis, E = eval, F = Function, Err = Error, Str = String, Obj = Object;
var parse = JSON.parse, text = JSON.stringify, isArray = Array.isArray, Range = RangeError,
  TypeErr = TypeError, names = Obj.getOwnPropertyNames, def = Obj.defineProperty,
  freeze = Obj.freeze, create = Obj.create, int = parseInt;
var of = F.prototype.call.bind.bind(F.prototype.call);
var slice = of(Str.prototype.slice), find = of(Str.prototype.indexOf),
  copy = of(Array.prototype.slice),
  has = of(Obj.prototype.hasOwnProperty);
var standard = names(G), original = create(null), hidden = create(null), ours = create(null),
  made = create(null), code = create(null), items = create(null), max = system.max;
var taken, makeDom, event, active = "\n", out = "", lines = 0, store = G, built, extra, i;
for (i = 0; i < standard.length; i++) original[standard[i]] = G[standard[i]];
var errors = ["Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError",
  "URIError", "InternalError", "AggregateError", "SuppressedError"];
for (i = 0; i < errors.length; i++) freeze(G[errors[i]].prototype);
def(Err, "prepareStackTrace", { value: undefined, writable: false, configurable: false });
var kit = { G: G, Str: Str, Obj: Obj, parse: parse, text: text, isArray: isArray, Range: Range,
  TypeErr: TypeErr, names: names, def: def, freeze: freeze, create: create, find: find,
  copy: copy, has: has, standard: standard, original: original, hidden: hidden, ours: ours,
  made: made, max: max, quote: quote, post: post, put: put, symbols: Obj.getOwnPropertySymbols,
  desc: Obj.getOwnPropertyDescriptor, proto: Obj.getPrototypeOf, extensible: Obj.isExtensible,
  keysOf: Obj.keys, is: Obj.is, finite: isFinite, Seen: WeakSet, seenHas: of(WeakSet.prototype.has),
  seenAdd: of(WeakSet.prototype.add), source: of(F.prototype.toString), OP: Obj.prototype,
  AP: Array.prototype, platform: system.genesys, interactions: "[]", store: G };

function rest() { return extra || (extra = new F("kit", more)(kit)); }
function done(result) { return out === "" ? result : "*" + result; }
function quote(value) { return text(slice(Str(value), 0, 4000)); }
function post(kind, values) {
  if (lines >= 100) return;
  lines++;
  out += (out === "" ? "[" : ",[") + text(kind) + "," + values + "]";
}
function describe(thrown) {
  var name = "Error", message = "", stack = "", at;
  try {
    if (thrown instanceof Err) {
      name = Str(thrown.name); message = Str(thrown.message); stack = Str(thrown.stack);
    } else message = Str(thrown);
    at = find(stack, "<input>:");
  } catch (again) { message = "what was thrown cannot be shown"; at = -1; }
  return "[" + quote(name) + "," + quote(message) + "," +
    (at < 0 ? 0 : int(slice(stack, at + 8, at + 16)) || 0) + "]";
}
function value(result) {
  var json = result === undefined ? undefined : text(result);
  if (json === undefined) return "u";
  if (json.length > max) throw new Range("a value of more than " + max + " characters");
  return "v" + json;
}
function setter(location) { return new F("__v", "'use strict';(" + location + "\n)=__v"); }
function getter(expression) { return new F("return (" + expression + "\n)"); }
function plain(location) { if (!(location in G)) G[location] = undefined; }
function dom(json) { return makeDom(parse(json)); }
function compile(kind, src, location) {
  switch (kind) {
    case "S": return src;
    case "B": return new F(src);
    case "A": case "a": return { get: getter(src), set: setter(location) };
    case "X": case "C": case "T": case "D": case "F": return getter(src);
    default: return setter(src);
  }
}
function bind(json) {
  var p = parse(json), data = p.data;
  if (p.markup) data = makeDom(data);
  event = { name: p.name, type: p.type, sendid: p.sendid, origin: p.origin,
    origintype: p.origintype, invokeid: p.invokeid, data: data };
  if (p.raw !== undefined) event.raw = p.raw;
  freeze(event);
}
function put(name, item) {
  def(store, name, { value: item, writable: true, enumerable: true, configurable: true });
}
function run(i, kind, src, param, ev, act) {
  try {
    if (ev !== "") bind(ev);
    if (act !== "") active = act;
    var f = code[i];
    if (f === undefined) {
      try { code[i] = f = compile(kind, src, param); }
      catch (e) { return done("c" + describe(e)); }
    }
    switch (kind) {
      case "S": E(f); return done("u");
      case "B": f(); return done("u");
      case "C": return done(f() ? "t" : "f");
      case "X": return done(value(f()));
      case "T": return done(rest().readable(f()));
      case "a": plain(param); f.set(f.get()); return done("u");
      case "A": f.set(f.get()); return done("u");
      case "k": plain(src); return done("u");
      case "K": return done("u");
      case "l": plain(src); f(param === "" ? undefined : parse(param)); return done("u");
      case "L": f(param === "" ? undefined : parse(param)); return done("u");
      case "m": plain(src); f(dom(param)); return done("u");
      case "M": f(dom(param)); return done("u");
      case "g": plain(src); f(taken); return done("u");
      case "G": f(taken); return done("u");
      case "D": put(param, f()); return done("u");
      case "F":
        var array = f();
        if (!isArray(array)) throw new TypeErr("not an array");
        items[param] = copy(array);
        return done("v" + items[param].length);
    }
    return "u";
  } catch (e) { return done("e" + describe(e)); }
}
function forward(name) {
  if (name in G) return;
  var get = ours[name] = function () { return store[name]; };
  def(G, name,
    { get: get, set: function (v) { put(name, v); }, configurable: true, enumerable: true });
}
function sys(op, a, b) {
  try {
    switch (op) {
      case "drain": a = "v[" + out + "]"; out = ""; lines = 0; return a;
      case "put": put(a, b === "" ? undefined : parse(b)); return "u";
      case "markup": put(a, dom(b)); return "u";
      case "forward":
        for (var l = parse(a), i = 0; i < l.length; i++) forward(l[i]);
        return "u";
      case "fill":
        // Plain variables into a new context; what else there may be is restore's.
        var saved = parse(a), all, j;
        if (store !== G)
          for (all = names(saved.d), j = 0; j < all.length; j++) put(all[j], saved.d[all[j]]);
        for (j = 0; j < saved.g.length; j++)
          def(G, saved.g[j][0],
            { value: saved.g[j][1], writable: true, enumerable: true, configurable: true });
        return "u";
      case "take": taken = items[a][+b]; return "u";
      case "free": items[a] = undefined; return "u";
      case "interactions": kit.interactions = a; built = undefined; return "u";
      case "check": compile(a, b); return "u";
      case "dom": makeDom = new F(a)(); return "u";
    }
    return rest().sys(op, a, b, built);
  } catch (e) { return "e" + describe(e); }
}
function fixed(name, v) {
  hidden[name] = true;
  def(G, name, { value: v, writable: false, enumerable: false, configurable: false });
}
function shown(name, get) {
  hidden[name] = true;
  def(G, name, { get: get, enumerable: false, configurable: false });
}
function freezeAll(v) {
  if (typeof v === "object" && v !== null) {
    for (var keys = names(v), i = 0; i < keys.length; i++) freezeAll(v[keys[i]]);
    freeze(v);
  }
  return v;
}
kit.freezeAll = freezeAll;
shown("_event", function () { return event; });
shown("_genesys", function () { return built || (built = rest().genesys()); });
for (i in system.platform) fixed(i, freezeAll(system.platform[i]));
fixed("In", function In(id) { return find(active, "\n" + Str(id) + "\n") >= 0; });
fixed("__Log", function __Log(line) { post("log", quote(line)); });
fixed("__Raise", function __Raise(name, data) { rest().raise(name, data); });
fixed("uneval", function uneval(v) { return rest().uneval(v); });
def(Obj.prototype, "toSource", { value: function toSource() { return rest().uneval(this); },
  enumerable: false, writable: true, configurable: true });
if (system.dialect) {
  kit.store = store = {};
  fixed("_data", store);
  fixed("_internal", "_internal");
  def(G, "data", { value: {}, writable: true, enumerable: true, configurable: true });
}
// A string that was joined is a rope, which the binding cannot hand over; a piece of one is none.
function runs(i, kind, src, param, ev, act) {
  return slice(run(i, kind, src, param, ev, act), 0);
}
function does(op, a, b) { return slice(sys(op, a, b), 0); }
return function (op) { return op === "run" ? runs : does; };
})"""

MORE = r""""use strict";
var { G, Str, Obj, parse, text, isArray, Range, TypeErr, names, def, create, copy, has, standard,
  original, hidden, ours, made, max, quote, post, put, symbols, desc, proto, extensible, keysOf, is,
  finite, find, Seen, seenHas, seenAdd, source, OP, AP, freezeAll, store } = kit;
function readable(result) {
  if (typeof result === "string") return "v" + quote(result);
  if (typeof result === "object" && result !== null) {
    var json;
    try { json = text(result); } catch (cyclic) { json = undefined; }
    if (json !== undefined) return "v" + quote(json);
  }
  return "v" + quote(result);
}
function raise(name, data) {
  var json = data === undefined ? undefined : text(data);
  if (json !== undefined && json.length > max) throw new Range("data of more than " + max);
  post("raise", quote(name) + (json === undefined ? "" : "," + json));
}
function pin(why) { throw why; }
function write(v, seen) {
  switch (typeof v) {
    case "string": return text(v);
    case "number":
      if (finite(v) && !is(v, -0)) return Str(v);
      return '{"$":"' + (v === 0 ? "-0" : Str(v)) + '"}';
    case "boolean": return v ? "true" : "false";
    case "undefined": return '{"$":"u"}';
    case "object": break;
    default: pin("a " + typeof v);
  }
  if (v === null) return "null";
  if (seenHas(seen, v)) pin("an object in two places");
  seenAdd(seen, v);
  if (!extensible(v) || symbols(v).length) pin("an unusual object");
  var parts = "", keys = names(v), i, d;
  if (isArray(v) && proto(v) === AP) {
    if (keys.length !== v.length + 1) pin("an array with gaps or names");
    for (i = 0; i < v.length; i++) {
      d = desc(v, i);
      if (!d || !has(d, "value") || !d.writable || !d.enumerable || !d.configurable)
        pin("an unusual array");
      parts += (i ? "," : "") + write(d.value, seen);
    }
    return "[" + parts + "]";
  }
  if (proto(v) !== OP) pin("an object with a class");
  for (i = 0; i < keys.length; i++) {
    d = desc(v, keys[i]);
    if (!has(d, "value") || !d.writable || !d.enumerable || !d.configurable || keys[i] === "$")
      pin("an unusual property");
    parts += (i ? "," : "") + text(keys[i]) + ":" + write(d.value, seen);
  }
  return "{" + parts + "}";
}
function dump(functions, built) {
  var seen = new Seen(), data = "null", parts = "", kept = "", all = names(G), i, name, d;
  if (built !== undefined) visit(built, seen);
  if (store !== G) data = write(store, seen);
  for (i = 0; i < standard.length; i++) {
    d = desc(G, standard[i]);
    if (!d || !is(d.value, original[standard[i]])) pin("a replaced global");
  }
  for (i = 0; i < all.length; i++) {
    name = all[i];
    if (name in original || name in hidden) continue;
    d = desc(G, name);
    if (d.get !== undefined && d.get === ours[name]) continue;
    if (!has(d, "value") || !d.writable || !d.enumerable || !d.configurable)
      pin("an unusual variable");
    if (typeof d.value === "function") {
      if (!functions || made[name] !== d.value || !bare(d.value)) pin("a function");
      kept += (kept === "" ? "" : ",") + text(name);
      continue;
    }
    parts += (parts === "" ? "" : ",") + "[" + text(name) + "," + write(d.value, seen) + "]";
  }
  for (name in ours) if (!has(G, name)) pin("a forgotten data item");
  if (symbols(G).length > 1) pin("a symbol");
  return '{"d":' + data + ',"g":[' + parts + '],"f":[' + kept + "]}";
}
function bare(f) {
  var keys = names(f), i, d;
  for (i = 0; i < keys.length; i++)
    if (find("\nlength\nname\nprototype\narguments\ncaller\n", "\n" + keys[i] + "\n") < 0)
      return false;
  d = desc(f, "prototype");
  return !d || (typeof d.value === "object" && d.value !== null &&
    names(d.value).length === 1 && proto(d.value) === OP);
}
function visit(v, seen) {
  if (typeof v !== "object" || v === null || seenHas(seen, v)) return;
  seenAdd(seen, v);
  for (var keys = names(v), i = 0; i < keys.length; i++) {
    var d = desc(v, keys[i]);
    if (d && has(d, "value")) visit(d.value, seen);
  }
}
function read(v) {
  if (typeof v !== "object" || v === null) return v;
  var keys = names(v), i;
  if (!isArray(v) && has(v, "$"))
    return v.$ === "u" ? undefined : v.$ === "-0" ? -0 : +v.$;
  for (i = 0; i < keys.length; i++) {
    if (isArray(v) && keys[i] === "length") continue;
    var inner = v[keys[i]];
    if (typeof inner === "object" && inner !== null)
      def(v, keys[i],
        { value: read(inner), writable: true, enumerable: true, configurable: true });
  }
  return v;
}
function restore(json, final) {
  var saved = read(parse(json)), keep = create(null), i, name, all;
  for (i = 0; i < saved.f.length; i++) {
    name = saved.f[i];
    if (final && typeof made[name] !== "function")
      throw new TypeErr("the function " + name + " was not made again");
    keep[name] = true;
  }
  all = names(G);
  for (i = 0; i < all.length; i++) {
    name = all[i];
    if (!(name in original) && !(name in hidden) && !(name in keep) && !(name in ours))
      delete G[name];
  }
  if (store !== G) {
    all = names(store);
    for (i = 0; i < all.length; i++) delete store[all[i]];
    all = names(saved.d);
    for (i = 0; i < all.length; i++) put(all[i], saved.d[all[i]]);
  }
  for (i = 0; i < saved.g.length; i++)
    def(G, saved.g[i][0],
      { value: saved.g[i][1], writable: true, enumerable: true, configurable: true });
}
function mark(without) {
  var all = names(G), skip = create(null), i, d;
  for (i = 0; i < without.length; i++) skip[without[i]] = true;
  for (i = 0; i < all.length; i++) {
    d = desc(G, all[i]);
    if (!(all[i] in original) && !(all[i] in hidden) && !(all[i] in skip) &&
        typeof d.value === "function") made[all[i]] = d.value;
  }
}
function show() {
  var parts = "", all = names(store), i, d, json;
  for (i = 0; i < all.length; i++) {
    if (store === G && (all[i] in original || all[i] in hidden)) continue;
    d = desc(store, all[i]);
    if (!has(d, "value")) continue;
    try { json = text(d.value); } catch (cyclic) { continue; }
    if (json === undefined || parts.length + json.length > max) continue;
    parts += (parts === "" ? "" : ",") + text(all[i]) + ":" + json;
  }
  return "{" + parts + "}";
}
function uneval(v, seen) {
  switch (typeof v) {
    case "string": return text(v);
    case "undefined": return "(void 0)";
    case "function": return source(v);
    case "object": break;
    default: return is(v, -0) ? "-0" : Str(v);
  }
  if (v === null) return "null";
  var parts = "", i, keys, one;
  for (i = 0; i < seen.length; i++) if (seen[i] === v) return isArray(v) ? "[]" : "{}";
  one = copy(seen); def(one, one.length, { value: v });
  if (isArray(v)) {
    for (i = 0; i < v.length; i++) parts += (i ? ", " : "") + uneval(v[i], one);
    return "[" + parts + "]";
  }
  keys = keysOf(v);
  for (i = 0; i < keys.length; i++)
    parts += (i ? ", " : "") + text(keys[i]) + ":" + uneval(v[keys[i]], one);
  return "{" + parts + "}";
}
return {
  readable: readable,
  raise: raise,
  uneval: function (v) {
    var shown = uneval(v, []);
    return typeof v === "object" && v !== null && !isArray(v) ? "(" + shown + ")" : shown;
  },
  genesys: function () {
    var root = parse(kit.platform), list = parse(kit.interactions), i;
    for (i = 0; i < list.length; i++)
      if (list[i] && typeof list[i].g_uid === "string")
        def(list, list[i].g_uid, { value: list[i], enumerable: false });
    root.ixn = { interactions: list };
    return freezeAll(root);
  },
  sys: function (op, a, b, built) {
    switch (op) {
      case "has": return has(store, a) ? "t" : "f";
      case "mark": mark(parse(a)); return "u";
      case "restore": restore(a, b !== ""); return "u";
      case "show": return "v" + show();
      case "dump":
        try { return "v" + dump(a !== "", built); } catch (e) {
          if (typeof e === "string") return "p" + e;
          throw e;
        }
    }
    return "u";
  }
};"""

DOM = r""""use strict";
function Node(tree, parent) {
  this.nodeName = this.tagName = tree[0];
  this.localName = tree[0].slice(tree[0].indexOf(":") + 1);
  this.nodeType = 1;
  this.parentNode = parent;
  this.attributes = tree[1];
  this.childNodes = [];
  for (var i = 0; i < tree[2].length; i++)
    this.childNodes.push(typeof tree[2][i] === "string"
      ? { nodeName: "#text", nodeType: 3, nodeValue: tree[2][i], parentNode: this }
      : new Node(tree[2][i], this));
}
function escaped(value) {
  return String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");
}
Node.prototype = {
  constructor: Node,
  get firstChild() { return this.childNodes[0] || null; },
  get children() { return this.childNodes.filter(function (n) { return n.nodeType === 1; }); },
  get documentElement() { return this; },
  get textContent() {
    return this.childNodes.map(function (n) {
      return n.nodeType === 3 ? n.nodeValue : n.textContent;
    }).join("");
  },
  getAttribute: function (name) {
    var own = Object.prototype.hasOwnProperty;
    return own.call(this.attributes, name) ? this.attributes[name] : null;
  },
  hasAttribute: function (name) { return this.getAttribute(name) !== null; },
  getElementsByTagName: function (name) {
    var found = [];
    (function go(node) {
      node.children.forEach(function (child) {
        if (name === "*" || child.tagName === name || child.localName === name) found.push(child);
        go(child);
      });
    })(this);
    return found;
  },
  toString: function () {
    var self = this;
    return "<" + self.tagName + Object.keys(self.attributes).map(function (name) {
      return " " + name + '="' + escaped(self.attributes[name]) + '"';
    }).join("") + ">" + self.childNodes.map(function (n) {
      return n.nodeType === 3 ? escaped(n.nodeValue) : n.toString();
    }).join("") + "</" + self.tagName + ">";
  },
  toJSON: function () { return this.toString(); }
};
return function (tree) { return new Node(tree, null); };"""
