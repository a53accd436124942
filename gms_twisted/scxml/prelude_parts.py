"""What a script context reads when it needs it first; see ``prelude``.

:data:`MORE`: failures in words, loops, ``uneval``, ``_genesys``.  :data:`DUMP`: variables
written down.  :data:`DOM`: XML as a value.  Each is the body of a function; the first two get
the kit of things kept from before a script could replace them.

Knows: JavaScript.  Does not know: Python, state charts.
"""

MORE = r"""1 && function (kit, G, F, parse, text, names, def, freeze, slice, find, store, put, post,
  read, fill) {
"use strict";
var { Str, Err, int, isArray, Range, TypeErr, create, copy, has, max, desc, keysOf, is,
  source } = kit;
var items = create(null), taken, makeDom, ioprocessors;
for (var known = create(null), k = 0; k < kit.first.length; k++) known[kit.first[k]] = true;
function line(json) { if (kit.lines++ < 100) post(json); }
function quote(value) { return text(slice(Str(value), 0, 4000)); }
function freezeAll(v) {
  if (typeof v === "object" && v !== null) {
    for (var keys = names(v), i = 0; i < keys.length; i++) freezeAll(v[keys[i]]);
    freeze(v);
  }
  return v;
}
function describe(thrown) {
  var name = "Error", message = "", stack = "", at;
  try {
    // Choice: null is what the engine throws when there is no room for an error.
    if (thrown === null) { name = "InternalError"; message = "out of memory"; }
    else if (thrown instanceof Err) {
      name = Str(thrown.name); message = Str(thrown.message); stack = Str(thrown.stack);
    } else message = Str(thrown);
    at = find(stack, "<input>:");
  } catch (again) { message = "what was thrown cannot be shown"; at = -1; }
  return "[" + quote(name) + "," + quote(message) + "," +
    (at < 0 ? 0 : int(slice(stack, at + 8, at + 16)) || 0) + "]";
}
function dom(json) { return makeDom(parse(json)); }
function run(kind, f, src, param, plain) {
  switch (kind) {
    case "F":
      f = f();
      if (!isArray(f)) throw new TypeErr("not an array");
      items[param] = copy(f);
      return "v" + items[param].length;
    case "k": case "m": case "g": plain(src);
  }
  switch (kind) {
    case "m": case "M": f(dom(param)); break;
    case "g": case "G": f(taken);
  }
  return "u";
}
function readable(result) {
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
  line('["raise",' + quote(name) + (json === undefined ? "]" : "," + json + "]"));
}
function show() {
  var parts = "", all = names(store), i, d, json;
  for (i = 0; i < all.length; i++) {
    if (store === G && all[i] in known) continue;
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
function visit(v, seen) {
  if (typeof v !== "object" || v === null || kit.seenHas(seen, v)) return;
  kit.seenAdd(seen, v);
  for (var keys = names(v), i = 0; i < keys.length; i++) {
    var d = desc(v, keys[i]);
    if (d && has(d, "value")) visit(d.value, seen);
  }
}
function restore(json, final) {
  var saved = read(parse(json)), keep = create(null), i, name, all;
  for (i = 0; i < saved.f.length; i++) {
    name = saved.f[i];
    if (final && typeof kit.made[name] !== "function")
      throw new TypeErr("the function " + name + " was not made again");
    keep[name] = true;
  }
  all = names(G);
  for (i = 0; i < all.length; i++) {
    name = all[i];
    if (!(name in known) && !(name in keep) && !(name in kit.ours)) delete G[name];
  }
  if (store !== G) {
    all = names(store);
    for (i = 0; i < all.length; i++) delete store[all[i]];
  }
  fill(saved);
}
return {
  readable: readable,
  large: function () { throw new Range("a value of more than " + max + " characters"); },
  __Raise: raise,
  run: run,
  describe: describe,
  __Log: function (words) { line('["log",' + quote(words) + "]"); },
  dom: function (tree) { return makeDom(tree); },
  processors: function () {
    return ioprocessors || (ioprocessors = freezeAll(kit.processors));
  },
  uneval: function (v) {
    var shown = uneval(v, []);
    return typeof v === "object" && v !== null && !isArray(v) ? "(" + shown + ")" : shown;
  },
  visit: function (v) { return function (seen) { visit(v, seen); }; },
  genesys: function () {
    var root = parse(text(kit.genesys)), list = parse(kit.interactions || "[]"), i;
    for (i = 0; i < list.length; i++)
      if (list[i] && typeof list[i].g_uid === "string")
        def(list, list[i].g_uid, { value: list[i], enumerable: false });
    root.ixn = { interactions: list };
    return freezeAll(root);
  },
  sys: function (op, a, b) {
    switch (op) {
      case "put": put(store, a, b === "" ? undefined : parse(b)); return "u";
      case "markup": put(store, a, dom(b)); return "u";
      case "take": taken = items[a][+b]; return "u";
      case "free": items[a] = undefined; return "u";
      case "check":
        new F(a === "B" ? b : a === "L" ? "(" + b + "\n)=0" : "return (" + b + "\n)");
        return "u";
      case "dom": makeDom = new F(a)(); return "u";
      case "restore": restore(a, b !== ""); return "u";
      case "has": return has(store, a) ? "t" : "f";
      case "show": return "v" + show();
    }
    return "u";
  }
};
}"""

DUMP = r"""1 && function (kit, G, F, parse, text, names, def, freeze, slice, find, store, put, post,
  read, fill) {
"use strict";
var { Str, isArray, TypeErr, create, has, watched, ours, made, symbols, desc, proto, extensible,
  is, finite, Seen, seenHas, seenAdd, OP, AP } = kit;
for (var known = create(null), k = 0; k < kit.first.length; k++) known[kit.first[k]] = true;
var USUAL = '["length","name","prototype"] ["length","name"]';
function pin(why) { throw why; }
function plain(d) {
  return d && has(d, "value") && d.writable && d.enumerable && d.configurable;
}
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
  var list = isArray(v), keys = names(v), n = keys.length, parts = "", i, d;
  if (proto(v) !== (list ? AP : OP)) pin("an object with a class");
  if (list && n-- !== v.length + 1) pin("an array with gaps or names");
  for (i = 0; i < n; i++) {
    d = desc(v, keys[i]);
    if (!plain(d) || keys[i] === "$") pin("an unusual property");
    parts += (i ? "," : "") + (list ? "" : text(keys[i]) + ":") + write(d.value, seen);
  }
  return list ? "[" + parts + "]" : "{" + parts + "}";
}
// A function as it was made: with nothing of its own but what each has.
function bare(f) {
  var d = desc(f, "prototype");
  return find(USUAL, text(names(f))) >= 0 && (!d || (typeof d.value === "object" &&
    d.value !== null && names(d.value).length === 1 && proto(d.value) === OP));
}
function dump(functions, visit) {
  var seen = new Seen(), data = "null", parts = "", kept = "", all = names(G), i, name, d;
  if (visit) visit(seen);
  if (store !== G) data = write(store, seen);
  for (name in watched)
    if (!(d = desc(G, name)) || !is(d.value, watched[name])) pin("a replaced global");
  for (i = 0; i < all.length; i++) {
    name = all[i];
    if (name in known) continue;
    d = desc(G, name);
    if (d.get !== undefined && d.get === ours[name]) continue;
    if (!plain(d)) pin("an unusual variable");
    if (typeof d.value === "function") {
      if (!functions || made[name] !== d.value || !bare(d.value)) pin("a function");
      kept += (kept === "" ? "" : ",") + text(name);
    } else
      parts += (parts === "" ? "" : ",") + "[" + text(name) + "," + write(d.value, seen) + "]";
  }
  for (name in ours) if (!has(G, name)) pin("a forgotten data item");
  if (symbols(G).length > 1) pin("a symbol");
  return '{"d":' + data + ',"g":[' + parts + '],"f":[' + kept + "]}";
}
return function (functions, visit) {
  try { return "v" + dump(functions, visit); } catch (e) {
    if (typeof e === "string") return "p" + e;
    throw e;
  }
};
}"""

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
