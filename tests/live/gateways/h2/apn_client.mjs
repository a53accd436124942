// @parse/node-apn against our simulated service: node apn_client.mjs PORT KEYFILE KEYID TEAM
import apn from "@parse/node-apn";

const [port, key, keyId, teamId] = process.argv.slice(2);
const provider = new apn.Provider({
  token: { key, keyId, teamId }, address: "localhost", port: Number(port), production: true,
});
const good = "00".repeat(31) + "01";
const note = (text) => {
  const made = new apn.Notification();
  Object.assign(made, { topic: "com.example.app", pushType: "alert", alert: text, badge: 3 });
  made.payload = { message: text };
  return made;
};
const say = (name, fine, detail) => console.log(JSON.stringify({ name, fine, detail }));
const one = await provider.send(note("from node-apn \u00e9"), good);
say("node-apn: one notification", one.sent.length === 1, one.failed);
const all = await Promise.all([...Array(50).keys()].map((n) => provider.send(note(`n${n}`), good)));
say("node-apn: fifty at once", all.every((r) => r.sent.length === 1), all.find((r) => r.failed.length));
const bad = await provider.send(note("x"), "abcd");
say("node-apn: a bad token is refused",
  bad.failed[0]?.response?.reason === "BadDeviceToken", bad.failed[0]);
await provider.shutdown();
setTimeout(() => process.exit(0), 200);
