// npm faye: node faye.mjs URL TRANSPORT (long-polling or websocket)

import faye from "faye";
import { run } from "./scenario.mjs";

const [, , , transport] = process.argv;
let client;

await run(`faye-${transport}`, {
  connect(url, user, whenBack) {
    client = new faye.Client(url, { retry: 1, timeout: 30 });
    client.setHeader("gms_user", user);
    if (transport === "long-polling") client.disable("websocket");
    let known = false;
    client.addExtension({
      outgoing(message, callback) {
        if (message.channel === "/meta/handshake") message.ext = { ...message.ext, gms_user: user };
        callback(message);
      },
      incoming(message, callback) {
        if (message.channel === "/meta/handshake" && message.successful) {
          // faye subscribes again by itself, right after this.
          if (known) setTimeout(whenBack, 500);
          known = true;
        }
        callback(message);
      },
    });
    return new Promise((resolve) => {
      client.connect(() => resolve());
    });
  },
  async subscribe(channel, callback) {
    await client.subscribe(channel, callback);
  },
  async publish(channel, data) {
    await client.publish(channel, data);
  },
  async close() {
    await client.disconnect();
  },
});
