/** The HTTP side of the stand-in: the pages' files, the desk's log-in, the Chat API and the storage. */
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { id, Refusal } from "./words.mjs";

const WEB = fileURLToPath(new URL("../../../gms_twisted/web/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml" };
const GUARDS = {
  "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
};

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function fields(request, body) {
  const type = request.headers["content-type"] ?? "";
  if (type.includes("json")) return body ? JSON.parse(body) : {};
  if (type.includes("multipart")) {
    const names = [...body.matchAll(/name="([^"]+)"(?:; filename="([^"]*)")?[^\n]*\r\n(?:[^\n]+\r\n)?\r\n([^\r]*)/g)];
    return Object.fromEntries(names.map(([, name, filename, value]) => [name, filename ? `http://mock/${filename}` : value]));
  }
  return Object.fromEntries(new URLSearchParams(body));
}

async function file(path) {
  let name = path.replace(/^\/(?:genesys|gms-web|GMS-web)\/resources\//, "/resources/");
  if (name.endsWith("/")) name += "index.html";
  const full = normalize(join(WEB, name));
  if (!full.startsWith(WEB) || !TYPES[extname(full)]) return null;
  try {
    return { body: await readFile(full), type: TYPES[extname(full)] };
  } catch {
    return null;
  }
}

/** Answer one request. */
export async function handle(world, request, response) {
  const url = new URL(request.url, "http://mock");
  const path = url.pathname;
  const json = (status, value, headers = {}) => {
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  };
  const body = await readBody(request);
  const failure = world.failing?.(path);
  if (failure) throw failure;
  if (path === "/genesys/cometd") {
    let open = true;
    response.on("close", () => { open = false; });
    return world.bayeux([JSON.parse(body)].flat(), {
      live: false, open: () => open, cut: () => response.destroy(),
      send: (messages) => (response.headersSent ? undefined : json(200, messages)),
    });
  }
  if (path.startsWith("/desk/api/")) return deskApi(world, request, path.slice(10), body ? JSON.parse(body) : {}, json);
  if (path === "/demo/api/visitor") {
    const { token } = JSON.parse(body || "{}");
    const user = token?.split(":")[0] ?? id();
    return json(200, { user, token: `${user}:${id()}`, expires_s: 3600 });
  }
  if (path === "/demo/api/queue") {
    const { service } = JSON.parse(body);
    const waiting = [...world.chats.values()].filter((chat) => !chat.agent && !chat.closed).sort((one, other) => one.since - other.since);
    return json(200, { position: waiting.findIndex((chat) => chat.service === service) + 1 || null });
  }
  if (path === "/demo/api/services") return json(200, { services: world.advanced ? ["request-chat", "request-chat-poll"] : ["request-chat"] });
  if (path === "/health") return json(200, { status: "ok" });
  if (path.startsWith("/genesys/1/")) return api(world, request, path.slice(11).split("/").map(decodeURIComponent), fields(request, body), json);
  const found = await file(path);
  if (!found) return json(404, { message: "There is no such page.", exception: "gms.not_found" });
  response.writeHead(200, { ...GUARDS, "Content-Type": found.type });
  return response.end(found.body);
}

function deskApi(world, request, call, data, json) {
  const cookie = /gms_desk=(\w+)/.exec(request.headers.cookie ?? "")?.[1];
  const name = world.logins.get(cookie);
  const enter = (agent) => {
    const session = id();
    world.logins.set(session, agent.name);
    const { display_name, role } = agent;
    return json(200, { agent: { name: agent.name, display_name, role }, csrf: `csrf-${session}` }, { "Set-Cookie": `gms_desk=${session}; HttpOnly; SameSite=Strict; Path=/desk` });
  };
  if (call.startsWith("link/")) {
    const link = world.links.get(call.slice(5));
    if (!link) throw new Refusal(404, "This link is not known.", "gms.not_found");
    return json(200, link);
  }
  if (call === "claim") {
    const link = world.links.get(data.token);
    if (!link) throw new Refusal(404, "This link is not known.", "gms.not_found");
    if (data.password.length < 10) throw new Refusal(400, "The password is too short.", "gms.invalid_request");
    world.links.delete(data.token);
    const agent = { enabled: true, state: "away", role: link.role, name: data.name ?? link.name, display_name: data.display_name ?? link.display_name, password: data.password };
    world.agents.set(agent.name, agent);
    return enter(agent);
  }
  if (call === "login") {
    const agent = world.agents.get(data.name);
    if (!agent || agent.password !== data.password) throw new Refusal(401, "Name or password is wrong.", "gms.unauthorized");
    return enter(agent);
  }
  if (!name) throw new Refusal(401, "Log in first.", "gms.unauthorized");
  const agent = world.agents.get(name);
  if (call === "me") return json(200, { agent: world.shape(agent), csrf: `csrf-${cookie}` });
  if (request.headers["x-gms-csrf"] !== `csrf-${cookie}`) throw new Refusal(403, "The token is missing.", "gms.forbidden");
  if (call === "ticket") {
    const ticket = id();
    world.tickets.set(ticket, name);
    return json(200, { ticket, expires_s: 60 });
  }
  if (call === "logout") world.logins.delete(cookie);
  return json(200, {});
}

function api(world, request, parts, data, json) {
  if (parts[0] === "storage") return storage(world, request, parts.slice(1), data, json);
  if (parts[0] !== "service") throw new Refusal(404, "There is no such resource.", "gms.not_found");
  const user = /^Bearer ([^:]+)/.exec(request.headers.authorization ?? "")?.[1] ?? request.headers.gms_user ?? null;
  if (parts.length === 2 && request.method === "DELETE") {
    world.advanced?.forget(parts[1]);
    if (!world.services?.delete(parts[1])) throw new Refusal(404, "There is no such service.", "gms.service.not_found");
    return json(200, {});
  }
  if (parts.length === 2) {
    const service = `${id()}-${id()}`;
    world.services ??= new Map();
    world.services.set(service, data);
    if (parts[1] === "request-chat-poll") {
      if (!world.advanced) throw new Refusal(404, "There is no such service.", "gms.service.unknown_name");
      return json(200, world.advanced.create(service, user));
    }
    return json(200, { _id: service, "_chatIxnAPI-CREATE-URL": `/genesys/1/service/${service}/ixn/chat` });
  }
  const [, service, first, , operation] = parts;
  if (!world.services?.has(service)) throw new Refusal(404, "There is no such service.", "gms.service.not_found");
  if (first === "status" && world.advanced?.knows(service)) return json(200, world.advanced.status(service));
  if (first === "update") {
    Object.assign(world.services.get(service), data);
    return json(200, {});
  }
  if (!operation) {
    world.advanced?.check(service);
    const chat = world.newChat({ service, user, nickname: data.userDisplayName ?? "Customer", first_name: data.firstName, last_name: data.lastName, subject: data.subject ?? "", email: data.email ?? "", data: { source: "customer page", ...world.services.get(service) }, poke: world.advanced?.knows(service) ? { text: world.advanced.text, pause_s: 10 } : null });
    world.services.set(service, chat);
    return json(200, { message: "Messages will sent over CometD service channel /_genesys", _id: service, comet_channel: "/_genesys", chatIxnState: "CONNECTED", chatSessionId: chat.chat, transcriptPosition: "1", transcriptToShow: [] });
  }
  const chat = world.services.get(service);
  if (!chat?.events) throw new Refusal(404, "There is no such chat.", "gms.not_found");
  const say = (type, text) => world.append(chat, { type, text, nickname: chat.nickname, party: "CLIENT" });
  if (operation === "send" || (operation === "refresh" && data.message)) say("message", data.message);
  else if (operation === "refresh") world.toCustomer(chat, chat.events.slice(Number(data.transcriptPosition) || 0), true);
  else if (operation === "startTyping") say("typing_started", "");
  else if (operation === "stopTyping") say("typing_stopped", "");
  else if (operation === "disconnect") {
    world.append(chat, { type: "left", nickname: chat.nickname, party: "CLIENT", reason: "LEFT" });
    world.close(chat);
  }
  return json(200, { message: "Messages will sent over CometD service channel /_genesys", chatIxnState: chat.closed ? "DISCONNECTED" : "TRANSCRIPT", chatSessionId: chat.chat, transcriptPosition: String(chat.events.length), transcriptToShow: [] });
}

function storage(world, request, parts, data, json) {
  const [first, second] = parts;
  if (request.method === "POST" && !second) {
    if (!/^\d+$/.test(first)) throw new Refusal(400, "The lifetime must be a number of seconds from 1 to 2147483647.", "gms.invalid_request");
    const area = id();
    world.areas.set(area, data);
    return json(200, { id: area });
  }
  const area = world.areas.get(first);
  if (!area) throw new Refusal(404, "There is no such storage area.", "gms.storage.not_found");
  if (request.method === "DELETE") {
    world.areas.delete(first);
    return json(200, {});
  }
  if (request.method === "POST") return json(200, Object.assign(area, data) && {});
  return json(200, second ? area[second] : area);
}
