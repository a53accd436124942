// A plain cometd-nodejs-server: node cometd.js PORT [ack] [PEM] (long-polling only: it has no websocket)
const http = require("http");
const https = require("https");
const fs = require("fs");
const cometd = require("cometd-nodejs-server");

const words = process.argv.slice(3);
const pem = words.find((word) => word.endsWith(".pem"));
const bayeux = cometd.createCometDServer({ timeout: 60000, maxInterval: 60000, maxSessionsPerBrowser: -1 });
if (words.includes("ack")) {
    const { AcknowledgedMessagesExtension } = require("cometd-nodejs-server/ack-extension");
    bayeux.addExtension(new AcknowledgedMessagesExtension());
}
const server = pem
    ? https.createServer({ key: fs.readFileSync(pem), cert: fs.readFileSync(pem) }, bayeux.handle)
    : http.createServer(bayeux.handle);
Object.assign(server, { keepAliveTimeout: 120000, requestTimeout: 0, headersTimeout: 0, timeout: 0 });
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 }, () => console.log("ready"));
