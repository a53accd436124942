// A plain faye server: node faye.js PORT [PEM]
const http = require("http");
const https = require("https");
const fs = require("fs");
const faye = require("faye");

const pem = process.argv[3];
const refuse = (request, response) => response.writeHead(404).end();
const server = pem
    ? https.createServer({ key: fs.readFileSync(pem), cert: fs.readFileSync(pem) }, refuse)
    : http.createServer(refuse);
Object.assign(server, { keepAliveTimeout: 120000, requestTimeout: 0, headersTimeout: 0 });
new faye.NodeAdapter({ mount: "/bayeux", timeout: 60 }).attach(server);
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 }, () => console.log("ready"));
