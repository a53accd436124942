// web-push against our simulated push service: node webpush_client.mjs ORIGIN
import webpush from "web-push";

const [origin] = process.argv.slice(2);
const say = (name, fine, detail) => console.log(JSON.stringify({ name, fine, detail }));
const keys = webpush.generateVAPIDKeys();
webpush.setVapidDetails("mailto:ops@example.com", keys.publicKey, keys.privateKey);
const subscription = await (await fetch(`${origin}/subscribe`, { method: "POST" })).json();
const options = { TTL: 60, contentEncoding: "aes128gcm", urgency: "high", topic: "status" };
const got = await webpush.sendNotification(subscription, "from web-push \u00e9", options);
say("web-push: a message", got.statusCode === 201, got.statusCode);
const empty = await webpush.sendNotification(subscription, null, { TTL: 0 });
say("web-push: an empty message", empty.statusCode === 201, empty.statusCode);
subscription.endpoint = `${origin}/push/999`;
const gone = await webpush.sendNotification(subscription, "x", options).catch((error) => error);
say("web-push: a subscription that is gone", gone.statusCode === 410, gone.statusCode);
