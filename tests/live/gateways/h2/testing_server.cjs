// web-push-testing as the push service: node testing_server.cjs PORT
const { PushApiModel } = require("web-push-testing/src/PushApiModel.js");
const WebPushTestingServer = require("web-push-testing/src/server.js");

new WebPushTestingServer(new PushApiModel(), Number(process.argv[2])).startServer();
