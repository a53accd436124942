// A plain cometd-nodejs-server: node cometd.js PORT (long-polling only: it has no websocket)
const http = require("http");
const cometd = require("cometd-nodejs-server");

const bayeux = cometd.createCometDServer({ timeout: 60000, maxInterval: 60000, maxSessionsPerBrowser: -1 });
const server = http.createServer(bayeux.handle);
Object.assign(server, { keepAliveTimeout: 120000, requestTimeout: 0, headersTimeout: 0, timeout: 0 });
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 }, () => console.log("ready"));
