// npm cometd with cometd-nodejs-client: node cometd.mjs URL TRANSPORT [ack] [timesync]

import { adapt } from "cometd-nodejs-client";
import { AckExtension } from "cometd/AckExtension.js";
import { CometD } from "cometd/cometd.js";
import { TimeSyncExtension } from "cometd/TimeSyncExtension.js";
import { run } from "./scenario.mjs";

const [, , , transport, ...extensions] = process.argv;
adapt();
const cometd = new CometD();
const subscriptions = new Map();

function resubscribe() {
  cometd.batch(() => {
    for (const [channel, callback] of subscriptions) cometd.subscribe(channel, (message) => callback(message.data));
  });
}

await run(`cometd-${transport}`, {
  connect(url, user, whenBack) {
    for (const other of cometd.getTransportTypes()) {
      if (other !== transport) cometd.unregisterTransport(other);
    }
    if (extensions.includes("ack")) cometd.registerExtension("ack", new AckExtension());
    if (extensions.includes("timesync")) cometd.registerExtension("timesync", new TimeSyncExtension());
    cometd.configure({ url, requestHeaders: { gms_user: user }, logLevel: "warn", maxBackoff: 1000 });
    return new Promise((resolve, reject) => {
      let known = false;
      cometd.addListener("/meta/handshake", (reply) => {
        if (!reply.successful) return;
        if (known) {
          resubscribe();
          whenBack();
        }
        known = true;
      });
      cometd.handshake({ ext: { gms_user: user } }, (reply) =>
        reply.successful ? resolve() : reject(new Error(JSON.stringify(reply))),
      );
    });
  },
  subscribe(channel, callback) {
    subscriptions.set(channel, callback);
    return new Promise((resolve, reject) => {
      cometd.subscribe(channel, (message) => callback(message.data), (reply) =>
        reply.successful ? resolve() : reject(new Error(JSON.stringify(reply))),
      );
    });
  },
  publish(channel, data) {
    return new Promise((resolve, reject) => {
      cometd.publish(channel, data, (reply) => (reply.successful ? resolve() : reject(new Error(JSON.stringify(reply)))));
    });
  },
  close() {
    return new Promise((resolve) => {
      cometd.disconnect(() => resolve());
    });
  },
});
