// One scenario for every real client: talk, chat, survive a restart of the server.
//
// A client is an adapter {connect, subscribe, publish, close}:
//   connect(url, user, whenBack)  resolves when connected; whenBack() after every later handshake
//   subscribe(channel, callback)  resolves when the server has confirmed; callback(data)
//   publish(channel, data)        resolves when the server has confirmed
//   close()                       disconnects
// The process prints RESTART when the server may be restarted, and reads one line from its
// standard input when that has been done.

import { once } from "node:events";
import { createInterface } from "node:readline";

const PATIENCE_MS = 20000;
let checks = 0;

function check(condition, sentence) {
  if (!condition) throw new Error(`not so: ${sentence}`);
  checks += 1;
  console.log(`# ${sentence}`);
}

class Inbox {
  constructor() {
    this.items = [];
    this.waiting = [];
  }

  put(item) {
    this.items.push(item);
    this.waiting = this.waiting.filter((look) => !look());
  }

  until(wanted, sentence) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.items.find(wanted);
        if (found === undefined) return false;
        clearTimeout(timer);
        resolve(found);
        return true;
      };
      const timer = setTimeout(
        () => reject(new Error(`waited in vain for ${sentence}; came: ${JSON.stringify(this.items)}`)),
        PATIENCE_MS,
      );
      if (!look()) this.waiting.push(look);
    });
  }
}

async function call(url, user, fields) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { gms_user: user },
    body: new URLSearchParams(fields),
  });
  const body = await answer.json();
  check(answer.status === 200, `${url.replace(/.*genesys/, "")} answers 200 (${JSON.stringify(body).slice(0, 80)})`);
  return body;
}

export async function run(name, client) {
  const url = process.argv[2];
  const user = `user-of-${name}-${process.pid}`; // several run at once
  const news = new Inbox();
  const events = new Inbox();
  const said = (text) => (data) =>
    data.message.transcriptToShow.some((row) => row[0] === "Message.Text" && row[2] === text);

  let back = () => {};
  await client.connect(`${url}/genesys/cometd`, user, () => back());
  await client.subscribe("/news/sport", (data) => news.put(data));
  await client.publish("/news/sport", { number: 1, text: "Grüße, 世界" });
  const first = await news.until((data) => data.number === 1, "its own publish");
  check(first.text === "Grüße, 世界", "a publish comes back as it was sent");

  await client.subscribe("/_genesys", (data) => events.put(data));
  const service = await call(`${url}/genesys/1/service/request-chat`, user, { product: "shoes" });
  const chat = `${url}/genesys/1/service/${service._id}/ixn/chat`;
  const started = await call(chat, user, { notify_by: "comet", firstName: "Vasya", lastName: "Pupkin", subject: "test" });
  check(started.chatIxnState === "CONNECTED", "the chat is connected");
  const opening = await events.until(() => true, "the first event of the chat");
  check(opening.tag === `service.chat.refresh.${service._id}`, "events carry the chat's tag");
  check(opening.message.chatIxnState === "TRANSCRIPT", "events carry the state TRANSCRIPT");
  await call(`${chat}/send`, user, { message: "hello agent" });
  const echo = await events.until(said("hello agent"), "the echo of a message");
  check(/^[0-9a-f]{32}$/.test(echo.id), "events have ids of 32 hex digits");

  const returned = new Promise((resolve) => {
    back = resolve;
  });
  console.log("RESTART");
  await once(createInterface({ input: process.stdin }), "line");
  await returned;
  check(true, "it handshakes again after a restart of the server");
  await client.publish("/news/sport", { number: 2 });
  await news.until((data) => data.number === 2, "a publish after the restart");
  check(true, "its subscriptions work after the restart");
  await call(`${chat}/send`, user, { message: "still there?" });
  await events.until(said("still there?"), "a message after the restart");
  check(true, "its chat goes on after the restart");
  await call(`${chat}/disconnect`, user, {});
  await client.close();
  console.log(`# pass ${checks}\n# fail 0`);
  process.exit(0);
}
