// Node's own HTTP/2 as Apple's service: node apns_server.mjs PEMFILE PUBLICKEYFILE
// What it does is the device token's last byte: 0d is gone, 0e is answered and then the
// connection is left, 0f is reset, 10 is answered late; the rest is delivered.
import crypto from "node:crypto";
import fs from "node:fs";
import http2 from "node:http2";

const [pemFile, keyFile] = process.argv.slice(2);
const pem = fs.readFileSync(pemFile);
const key = crypto.createPublicKey(fs.readFileSync(keyFile));
const say = (line) => console.log(JSON.stringify(line));

function reasonFor(headers, body) {
  const [word, token] = (headers.authorization ?? "").split(" ");
  const [head, claims, signature] = (token ?? "").split(".");
  const fine = word === "bearer" && signature && crypto.verify("sha256",
    Buffer.from(`${head}.${claims}`), { key, dsaEncoding: "ieee-p1363" },
    Buffer.from(signature, "base64url"));
  if (!fine) return "InvalidProviderToken";
  if (!/^\/3\/device\/[0-9a-f]{64}$/.test(headers[":path"])) return "BadPath";
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(headers["apns-id"])) return "BadMessageId";
  try {
    if (typeof JSON.parse(body).aps !== "object") return "PayloadEmpty";
  } catch { return "PayloadEmpty"; }
  return "";
}

const server = http2.createSecureServer({
  cert: pem, key: pem, settings: { maxConcurrentStreams: 10 },
});
server.on("sessionError", () => {});
server.on("stream", (stream, headers) => {
  let body = "";
  stream.on("error", () => {});
  stream.setEncoding("utf8");
  stream.on("data", (piece) => { body += piece; });
  stream.on("end", () => {
    const reason = reasonFor(headers, body);
    const last = headers[":path"].slice(-2);
    const answer = (status, text) => {
      stream.respond({ ":status": status, "apns-id": headers["apns-id"] });
      stream.end(text);
    };
    say({ last, reason, body, id: headers["apns-id"] });
    if (reason) answer(400, JSON.stringify({ reason }));
    else if (last === "0d") answer(410, JSON.stringify({ reason: "Unregistered", timestamp: 1700000000123 }));
    else if (last === "0f") stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    else if (last === "10") setTimeout(() => answer(200), 300);
    else {
      answer(200);
      if (last === "0e") stream.session.close();
    }
  });
});
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
