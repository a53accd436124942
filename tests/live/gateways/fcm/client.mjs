// firebase-admin against our simulated FCM: node client.mjs PORT ACCOUNTFILE
//
// It knows Google's hosts only, for tokens too (it does not read token_uri), so TLS connections
// to them are led to the simulator here.  It speaks HTTP/1.1 in send(), and HTTP/2 in sendEach()
// unless told not to; the simulator, like our sender, speaks HTTP/1.1.
//
// Devices: "T-good..." is fine, "T-WORD" is answered WORD, "T-busy" 503 the first time, and on
// "T-revoked" the simulator takes its access tokens back.
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import { cert, initializeApp } from "firebase-admin/app";
import { getMessaging } from "firebase-admin/messaging";

const [port, accountFile] = process.argv.slice(2);
const account = JSON.parse(readFileSync(accountFile));
const hosts = new Set();
const connect = tls.connect;
tls.connect = (options, ...more) => {
  if (typeof options !== "object") throw new Error("HTTP/2 was not asked for");
  hosts.add(`${options.servername ?? options.host}:${options.port}`);
  const ours = { host: "localhost", servername: "localhost", port: Number(port) };
  return connect({ ...options, ...ours }, ...more);
};

const say = (name, fine, detail) =>
  console.log(JSON.stringify({ name: `firebase-admin: ${name}`, fine, detail: detail ?? null }));
const name = /^projects\/shop-1\/messages\/[^/]+$/;
const shown = (error) => `${error.code}: ${error.message}`;
const messaging = getMessaging(initializeApp({ credential: cert(account) }));
const refused = (message, of = messaging) => of.send(message).then(() => new Error("sent"), (e) => e);

const sent = await messaging.send({
  token: "T-good",
  data: { message: "from firebase-admin \u00e9 \u{1f600}" },
  notification: { title: "Title", body: "Body" },
  android: {
    collapseKey: "k",
    priority: "high",
    ttl: 1500,
    restrictedPackageName: "com.example.app",
    directBootOk: true,
    bandwidthConstrainedOk: true,
    restrictedSatelliteOk: false,
    notification: { icon: "icon", color: "#ff0000" },
    fcmOptions: { analyticsLabel: "a" },
  },
  apns: { headers: { "apns-priority": "10" }, payload: { aps: { alert: "x", badge: 3 } } },
  webpush: { headers: { Urgency: "high" } },
  fcmOptions: { analyticsLabel: "a" },
}).catch(shown);
say("a message with everything", name.test(sent), sent);
const dry = await messaging.send({ token: "T-good" }, true).catch(shown);
say("a dry run", name.test(dry), dry);

const codes = {
  UNREGISTERED: "registration-token-not-registered",
  INVALID_ARGUMENT: "invalid-argument",
  SENDER_ID_MISMATCH: "mismatched-credential",
  QUOTA_EXCEEDED: "message-rate-exceeded",
  THIRD_PARTY_AUTH_ERROR: "third-party-auth-error",
  INTERNAL: "internal-error",
};
for (const [word, code] of Object.entries(codes)) {
  const error = await refused({ token: `T-${word}` });
  say(word, error.code === `messaging/${code}`, shown(error));
}
const big = { token: "T-good", data: { message: "x".repeat(5000) } };
const tooBig = await refused(big);
say("a message that is too big",
  tooBig.code === "messaging/invalid-argument" && tooBig.message.includes("too big"), shown(tooBig));
const began = Date.now();
const late = await messaging.send({ token: "T-busy" }).catch(shown);
const took = Date.now() - began;
say("503 is tried again after Retry-After", name.test(late) && took >= 900 && took < 10000,
  `${late} after ${took} ms`);

messaging.enableLegacyHttpTransport();
const some = await messaging.sendEach([
  { token: "T-good-1" }, { token: "T-UNREGISTERED" }, big, { token: "T-good-2" },
]);
const answers = some.responses.map((one) => one.error?.code ?? name.test(one.messageId));
say("several, each with its own answer", JSON.stringify(answers) === JSON.stringify([
  true, "messaging/registration-token-not-registered", "messaging/invalid-argument", true,
]), answers);
const tokens = [...Array(100).keys()].map((number) => `T-good-${number}`);
const many = await messaging.sendEachForMulticast({ tokens, data: { message: "to all" } });
say("a hundred at once", many.successCount === 100,
  many.responses.filter((one) => one.error).map((one) => shown(one.error))[0]);

const revoked = await refused({ token: "T-revoked" });
say("an access token that was taken back",
  revoked.httpResponse?.status === 401 && revoked.httpResponse?.data?.error?.status === "UNAUTHENTICATED",
  shown(revoked));
const app = (credentials, called) =>
  getMessaging(initializeApp({ credential: cert(credentials) }, called));
// It shares tokens among equal accounts.
const again = await app({ ...account, private_key_id: "again" }, "again").send({ token: "T-good" }).catch(shown);
say("another access token is fine", name.test(again), again);
const privateKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const other = { ...account, private_key: privateKey.export({ type: "pkcs8", format: "pem" }) };
const stranger = await refused({ token: "T-good" }, app(other, "stranger"));
say("another key", stranger.code === "app/invalid-credential"
  && stranger.message.includes("invalid_grant"), shown(stranger));
const wanted = ["fcm.googleapis.com:443", "oauth2.googleapis.com:443"];
say("asked Google's hosts", JSON.stringify([...hosts].sort()) === JSON.stringify(wanted), [...hosts]);
setTimeout(() => process.exit(0), 100);
