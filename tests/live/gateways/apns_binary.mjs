// Clients of others against our gateway, and Node's TLS as a gateway for our sender.
//
//   node apns_binary.mjs apn DIRECTORY PORT FEEDBACK_PORT
//   node apns_binary.mjs apnagent DIRECTORY PORT FEEDBACK_PORT
//   node apns_binary.mjs gateway DIRECTORY [refuse=NTH] [tls=1.2]
//
// The directory has ca.pem, provider.p12 (password "simulated"), provider.pem, gateway.pem.
// A client sends good, bad, good, good, where bad goes to the device 0808...08, asks the feedback
// service, and prints one JSON line with what it was told.  The gateway prints its port, then one
// JSON line for each notification that it accepts.
//
// Both clients work with Node 20 and its OpenSSL 3 as they are, as long as the keystore is of
// today: a .p12 encrypted with RC2, as old keychains export it, needs --openssl-legacy-provider.
// They check the server's name, so that the certificate needs localhost among its names.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import tls from "node:tls";

const require = createRequire(import.meta.url);
const [kind, directory, ...rest] = process.argv.slice(2);
const file = (name) => readFileSync(join(directory, name));
const GOOD = "00".repeat(31) + "01";
const BAD = "08".repeat(32);
const LIMIT_MS = 20000;

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function finished(told) {
  say(told);
  process.exit(0);
}

function withApn([port, feedbackPort]) {
  const apn = require("apn");
  const common = {
    pfx: join(directory, "provider.p12"),
    passphrase: "simulated",
    ca: [join(directory, "ca.pem")],
    address: "localhost",
    production: false,
  };
  const told = { errors: [], feedback: [] };
  const connection = new apn.Connection({ ...common, port: Number(port) });
  connection.on("transmissionError", (code, notification, device) => {
    told.errors.push([code, device ? device.toString() : null]);
  });
  connection.on("error", (error) => told.errors.push(["error", String(error)]));
  ["first", "bad", "second", "third"].forEach((text, index) => {
    const notification = new apn.Notification();
    notification.alert = `${text} \u00fc`;
    notification.badge = index;
    notification.expiry = Math.floor(Date.now() / 1000) + 3600;
    notification.payload = { message: text };
    connection.pushNotification(notification, new apn.Device(text === "bad" ? BAD : GOOD));
  });
  setTimeout(() => {
    const feedback = new apn.Feedback({ ...common, port: Number(feedbackPort), interval: 0 });
    feedback.on("feedback", (list) => {
      told.feedback = list.map((one) => [one.device.toString(), one.time]);
      finished(told);
    });
    feedback.on("error", (error) => told.errors.push(["feedback", String(error)]));
  }, 3000);
}

function withApnagent([port, feedbackPort]) {
  const apnagent = require("apnagent");
  const told = { errors: [], feedback: [] };
  const set = (it) => {
    it.set("cert file", join(directory, "provider.pem"));
    it.set("key file", join(directory, "provider.pem"));
    it.set("ca", file("ca.pem"));
    return it;
  };
  // It knows Apple's addresses only.
  const connect = tls.connect;
  const ours = { 2195: Number(port), 2196: Number(feedbackPort) };
  tls.connect = (options, ...more) =>
    connect({ ...options, host: "localhost", port: ours[options.port] }, ...more);
  const agent = set(new apnagent.Agent());
  agent.set("reconnect delay", "100ms");
  agent.set("expires", "1h");
  agent.on("message:error", (error, message) => {
    told.errors.push([error.code, message && message.device() ? String(message.device()) : null]);
  });
  agent.on("gateway:error", (error) => told.errors.push(["gateway", String(error)]));
  agent.connect((error) => {
    if (error) throw error;
    for (const text of ["first", "bad", "second", "third"]) {
      agent
        .createMessage()
        .device(text === "bad" ? BAD : GOOD)
        .alert(`${text} \u00fc`)
        .set("message", text)
        .send();
    }
  });
  setTimeout(() => {
    const feedback = set(new apnagent.Feedback());
    feedback.set("interval", "30m");
    feedback.use((device, timestamp, done) => {
      // It gives the token's bytes as text.
      const token = Buffer.from(String(device.token ?? device), "latin1").toString("hex");
      told.feedback.push([token, Number(timestamp) / 1000]);
      done();
      finished(told);
    });
    feedback.connect();
  }, 3000);
}

// Written against the description of the protocol, not against our code.
class Reader {
  #bytes = Buffer.alloc(0);

  *read(data) {
    this.#bytes = Buffer.concat([this.#bytes, data]);
    for (;;) {
      const bytes = this.#bytes;
      if (bytes.length < 5) return;
      if (bytes[0] !== 2) throw new Error(`command ${bytes[0]}`);
      const end = 5 + bytes.readUInt32BE(1);
      if (bytes.length < end) return;
      const found = {};
      let at = 5;
      while (at < end) {
        const size = bytes.readUInt16BE(at + 1);
        found[bytes[at]] = bytes.subarray(at + 3, at + 3 + size);
        at += 3 + size;
      }
      this.#bytes = bytes.subarray(end);
      yield {
        token: found[1].toString("hex"),
        payload: JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(found[2])),
        identifier: found[3].readUInt32BE(0),
        expiry: found[4].readUInt32BE(0),
        priority: found[5][0],
      };
    }
  }
}

function asGateway(words) {
  const options = Object.fromEntries(words.map((word) => word.split("=")));
  const refuse = Number(options.refuse ?? 0);
  let count = 0;
  const server = tls.createServer(
    {
      key: file("gateway.pem"),
      cert: file("gateway.pem"),
      ca: file("ca.pem"),
      requestCert: true,
      rejectUnauthorized: true,
      maxVersion: options.tls === "1.2" ? "TLSv1.2" : "TLSv1.3",
    },
    (socket) => {
      const reader = new Reader();
      let over = false;
      say({ peer: socket.getPeerCertificate().subject, version: socket.getProtocol() });
      socket.on("error", () => {});
      socket.on("data", (data) => {
        if (over) return;
        for (const one of reader.read(data)) {
          count += 1;
          if (count === refuse) {
            over = true;
            const packet = Buffer.from([8, 8, 0, 0, 0, 0]);
            packet.writeUInt32BE(one.identifier, 2);
            // Late, as Apple's was: more is written meanwhile, and lost.
            setTimeout(() => socket.end(packet), 50);
            return;
          }
          say(one);
        }
      });
    },
  );
  server.on("tlsClientError", (error) => say({ refused: String(error.code ?? error) }));
  server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

setTimeout(() => {
  say({ late: true });
  process.exit(1);
}, LIMIT_MS).unref();

({ apn: withApn, apnagent: withApnagent, gateway: asGateway })[kind](rest);
