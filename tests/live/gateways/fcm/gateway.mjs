// Node as Google's OAuth 2 server and as FCM: node gateway.mjs PEMFILE
//
// Prints its port and a service account of its own making, then one JSON line for each request:
// {asked: "token" | "send", wrong: what breaks the rules, ...}.  Written against Google's
// description of the service, not against our code.
//
// What it does is the device's word, after "T-": dead, wrong, token, mismatch, busy, date, quota,
// fault, and "revoked": the first time it takes its access tokens back.  "cut" is delivered, but
// the next request on its connection ends that without an answer.  The rest is delivered.
import crypto from "node:crypto";
import fs from "node:fs";
import https from "node:https";

const [pemFile] = process.argv.slice(2);
const pem = fs.readFileSync(pemFile);
const say = (line) => console.log(JSON.stringify(line));
const PROJECT = "shop-1";
const TYPES = "type.googleapis.com/google";
const { publicKey, privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
const account = {
  type: "service_account",
  project_id: PROJECT,
  private_key_id: crypto.randomBytes(20).toString("hex"),
  private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
  client_email: `gms@${PROJECT}.iam.gserviceaccount.com`,
  client_id: "104000000000000000000",
  auth_uri: "https://accounts.google.com/o/oauth2/auth",
  universe_domain: "googleapis.com",
};
const accessTokens = new Set();
const seen = new Set();

class Wrong extends Error {}
const must = (fine, what) => {
  if (!fine) throw new Wrong(what);
};
const same = (found, wanted) => JSON.stringify([...found].sort()) === JSON.stringify(wanted);

function readText(body) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new Wrong("the body is not UTF-8");
  }
}

function judgeHeaders(request, body) {
  const headers = request.headers;
  const names = request.rawHeaders.filter((_, index) => index % 2 === 0).map((n) => n.toLowerCase());
  must(new Set(names).size === names.length, "a header is there twice");
  must(request.method === "POST", `method ${request.method}`);
  must(request.httpVersion === "1.1", `HTTP/${request.httpVersion}`);
  must(headers.host === `localhost:${server.address().port}`, `host ${headers.host}`);
  must(headers["content-length"] === String(body.length), "content-length");
  must(!("transfer-encoding" in headers), "transfer-encoding");
  must(!("expect" in headers), "expect");
  must(/^gms_twisted\/\S+$/.test(headers["user-agent"]), `user-agent ${headers["user-agent"]}`);
}

function judgeAssertion(assertion) {
  const parts = assertion.split(".");
  must(parts.length === 3 && parts.every((one) => /^[\w-]+$/.test(one)), "not a JWT");
  const [header, claims] = parts.slice(0, 2).map((one) => JSON.parse(Buffer.from(one, "base64url")));
  must(header.alg === "RS256" && header.typ === "JWT", `header ${JSON.stringify(header)}`);
  must(header.kid === account.private_key_id, "kid is not private_key_id");
  const signed = Buffer.from(parts.slice(0, 2).join("."));
  const signature = Buffer.from(parts[2], "base64url");
  must(crypto.verify("RSA-SHA256", signed, publicKey, signature), "signature");
  must(same(Object.keys(claims), ["aud", "exp", "iat", "iss", "scope"]), "claims");
  must(claims.iss === account.client_email, "iss");
  must(claims.aud === account.token_uri, "aud");
  must(claims.scope === "https://www.googleapis.com/auth/firebase.messaging", "scope");
  const now = Date.now() / 1000;
  must(Number.isInteger(claims.iat) && Math.abs(claims.iat - now) < 30, "iat");
  must(Number.isInteger(claims.exp) && claims.exp > now && claims.exp - claims.iat <= 3600, "exp");
}

function giveToken(request, body) {
  must(request.headers["content-type"] === "application/x-www-form-urlencoded", "content-type");
  must(!("authorization" in request.headers), "authorization at the token's URL");
  const form = new URLSearchParams(readText(body));
  must(same(form.keys(), ["assertion", "grant_type"]), "the form's fields");
  must(form.get("grant_type") === "urn:ietf:params:oauth:grant-type:jwt-bearer", "grant_type");
  judgeAssertion(form.get("assertion"));
  // Google's are long, and padded with dots.
  const token = `ya29.c.${crypto.randomBytes(600).toString("base64url")}${".".repeat(150)}`;
  accessTokens.add(token);
  return [200, { access_token: token, expires_in: 3599, token_type: "Bearer" }];
}

const isText = (value) => typeof value === "string";
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isTexts = (value) => isObject(value) && Object.values(value).every(isText);

function only(value, where, rules) {
  must(isObject(value), `${where} is not an object`);
  for (const [name, one] of Object.entries(value)) {
    must(Object.hasOwn(rules, name), `${where}.${name} is unknown`);
    must(rules[name](one), `${where}.${name} is ${JSON.stringify(one)}`);
  }
  return true;
}

const isTtl = (value) => isText(value) && /^\d{1,7}(\.\d{1,9})?s$/.test(value)
  && parseFloat(value) <= 2419200;
const isData = (value) => isTexts(value)
  && Object.keys(value).every((key) => !/^(from$|message_type$|google|gcm)/.test(key));
const isNotification = (value) => only(value, "notification", {
  title: isText, body: isText, image: isText,
});
const isAndroid = (value) => only(value, "android", {
  collapse_key: isText,
  priority: (one) => ["NORMAL", "HIGH"].includes(one),
  ttl: isTtl,
  restricted_package_name: isText,
  data: isData,
  notification: isObject,
  fcm_options: isObject,
  direct_boot_ok: (one) => typeof one === "boolean",
});
const isApns = (value) => only(value, "apns", {
  headers: isTexts, payload: (one) => isObject(one) && isObject(one.aps), fcm_options: isObject,
});
const isWebpush = (value) => only(value, "webpush", {
  headers: isTexts, data: isTexts, notification: isObject, fcm_options: isObject,
});
const isMessage = (value) => only(value, "message", {
  token: (one) => isText(one) && one !== "",
  data: isData,
  notification: isNotification,
  android: isAndroid,
  apns: isApns,
  webpush: isWebpush,
});

function failed(code, status, message, ...details) {
  return [code, { error: { code, message, status, details } }];
}

const fcmError = (errorCode) => ({ "@type": `${TYPES}.firebase.fcm.v1.FcmError`, errorCode });
const badRequest = (field, description) => ({
  "@type": `${TYPES}.rpc.BadRequest`, fieldViolations: [{ field, description }],
});
const later = (ms) => new Date(Date.now() + ms).toUTCString();

function unauthenticated() {
  const [status, document] = failed(401, "UNAUTHENTICATED",
    "Request had invalid authentication credentials. Expected OAuth 2 access token.",
    { "@type": `${TYPES}.rpc.ErrorInfo`, reason: "ACCESS_TOKEN_EXPIRED", domain: "googleapis.com" });
  return [status, document, { "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"' }];
}

const answers = {
  dead: () => failed(404, "NOT_FOUND", "Requested entity was not found.", fcmError("UNREGISTERED")),
  wrong: () => failed(400, "INVALID_ARGUMENT", "Invalid value at 'message.android'",
    fcmError("INVALID_ARGUMENT"), badRequest("message.android", "no")),
  token: () => failed(400, "INVALID_ARGUMENT",
    "The registration token is not a valid FCM registration token", fcmError("INVALID_ARGUMENT")),
  mismatch: () => failed(403, "PERMISSION_DENIED", "SenderId mismatch",
    fcmError("SENDER_ID_MISMATCH")),
  busy: () => [...failed(503, "UNAVAILABLE", "The service is currently unavailable.",
    fcmError("UNAVAILABLE")), { "Retry-After": "7" }],
  date: () => [...failed(503, "UNAVAILABLE", "The service is currently unavailable.",
    fcmError("UNAVAILABLE")), { "Retry-After": later(90000) }],
  quota: () => failed(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric",
    fcmError("QUOTA_EXCEEDED")),
  fault: () => [502, "<!DOCTYPE html><html lang=en><title>Error 502</title></html>"],
};

function send(request, body, line) {
  const headers = request.headers;
  must(/^application\/json(; ?charset=utf-8)?$/i.test(headers["content-type"]), "content-type");
  const [, token] = /^Bearer ([\w.~+/-]+=*)$/.exec(headers.authorization ?? "") ?? [];
  must(token !== undefined, "authorization");
  let document;
  try {
    document = JSON.parse(readText(body));
  } catch (error) {
    throw error instanceof Wrong ? error : new Wrong("the body is not JSON");
  }
  const rules = { message: isMessage, validate_only: (one) => typeof one === "boolean" };
  only(document, "request", rules);
  must(isObject(document.message) && isText(document.message.token), "there is no token");
  must(!/"(\w+)":[^{}]*"\1":/.test(readText(body)), "a member is there twice");
  const word = document.message.token.replace(/^T-/, "");
  Object.assign(line, { word, document });
  if (word === "revoked" && !seen.has(word)) accessTokens.clear();
  seen.add(word);
  if (!accessTokens.has(token)) return unauthenticated();
  if (Object.hasOwn(answers, word)) return answers[word]();
  return [200, { name: `projects/${PROJECT}/messages/${crypto.randomBytes(8).toString("hex")}` }];
}

function handle(request, body, line) {
  judgeHeaders(request, body);
  if (request.url === "/token") {
    line.asked = "token";
    return giveToken(request, body);
  }
  must(request.url === `/v1/projects/${PROJECT}/messages:send`, `URL ${request.url}`);
  line.asked = "send";
  return send(request, body, line);
}

const server = https.createServer({ cert: pem, key: pem }, async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  if (request.socket.doomed) {
    say({ dropped: true });
    request.socket.destroy();
    return;
  }
  const line = { asked: "", wrong: "" };
  let answer;
  try {
    answer = handle(request, Buffer.concat(pieces), line);
  } catch (error) {
    line.wrong = error instanceof Wrong ? error.message : String(error.stack);
    answer = line.asked === "token"
      ? [400, { error: "invalid_grant", error_description: line.wrong }]
      : failed(400, "INVALID_ARGUMENT", line.wrong, fcmError("INVALID_ARGUMENT"),
        badRequest("", line.wrong));
  }
  say({ ...line, status: answer[0] });
  const [status, document, more] = answer;
  const type = isText(document) ? "text/html; charset=UTF-8" : "application/json; charset=UTF-8";
  // Without Content-Length: in chunks, as Google does.
  response.writeHead(status, { "Content-Type": type, Vary: "Origin", ...more });
  const text = isText(document) ? document : JSON.stringify(document, null, 2);
  response.write(text.slice(0, 9));
  response.end(text.slice(9));
  if (line.word === "cut") request.socket.doomed = true;
});
server.keepAliveTimeout = 30000;
let connections = 0;
server.on("secureConnection", () => { connections += 1; });
server.on("tlsClientError", () => say({ refused: true }));
process.on("SIGTERM", () => {
  say({ connections });
  process.exit(0);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  account.token_uri = `https://localhost:${port}/token`;
  say({ port, account });
});
