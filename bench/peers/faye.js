// A plain faye server: node faye.js PORT
const http = require("http");
const faye = require("faye");

const server = http.createServer((request, response) => response.writeHead(404).end());
Object.assign(server, { keepAliveTimeout: 120000, requestTimeout: 0, headersTimeout: 0 });
new faye.NodeAdapter({ mount: "/bayeux", timeout: 60 }).attach(server);
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 1024 }, () => console.log("ready"));
