/** Time, sockets and requests that a test owns. */

/** Timers that fire when told. */
export class FakeClock {
  constructor() {
    this.time = 0;
    this.timers = [];
  }

  environment(more = {}) {
    return {
      setTimeout: (callback, ms) => {
        const timer = { at: this.time + ms, callback };
        this.timers.push(timer);
        return timer;
      },
      clearTimeout: (timer) => { this.timers = this.timers.filter((each) => each !== timer); },
      now: () => this.time,
      random: () => 1,
      base: "https://gms.example/desk/",
      WebSocket: undefined,
      fetch: () => Promise.reject(new TypeError("no network")),
      ...more,
    };
  }

  /** Let time pass, firing what is due, and everything that follows from it. */
  async advance(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = this.timers.filter((timer) => timer.at <= end).sort((one, other) => one.at - other.at)[0];
      if (!due) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.time = Math.max(this.time, due.at);
      due.callback();
      await settle();
    }
    this.time = end;
    await settle();
  }
}

/** Let promises that are ready run. */
export async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** A class of websockets whose instances a test opens, feeds and closes. */
export function fakeSockets() {
  return class FakeSocket {
    static made = [];

    static get last() {
      return this.made.at(-1);
    }

    constructor(url) {
      Object.assign(this, { url, sent: [], closed: false });
      this.constructor.made.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close() {
      this.closed = true;
    }

    // ---- the server's side ----

    async open() {
      this.onopen?.();
      await settle();
    }

    async say(...messages) {
      this.onmessage?.({ data: JSON.stringify(messages) });
      await settle();
    }

    async drop(reason = "") {
      this.onclose?.({ reason });
      await settle();
    }

    /** Messages that went out on a channel. */
    on(channel) {
      return this.sent.flat().filter((message) => message.channel === channel);
    }

    /** Answer the handshake and the first connect. */
    async welcome({ clientId = "c1", ext, advice } = {}) {
      await this.open();
      const [hello] = this.on("/meta/handshake").slice(-1);
      await this.say({ channel: "/meta/handshake", id: hello.id, successful: true, version: "1.0", clientId, ...(ext ? { ext } : {}) });
      const [connect] = this.on("/meta/connect").slice(-1);
      await this.say({ channel: "/meta/connect", id: connect.id, successful: true, advice: advice ?? { reconnect: "retry", interval: 0, timeout: 60000 } });
    }
  };
}

/** A `fetch` whose requests wait to be answered. */
export function fakeFetch() {
  const requests = [];
  const fetch = (url, options) => new Promise((resolve, reject) => {
    const request = {
      url,
      options,
      messages: JSON.parse(options.body),
      aborted: false,
      answer: async (...messages) => {
        resolve({ ok: true, status: 200, json: async () => messages });
        await settle();
      },
      refuse: async (status) => {
        resolve({ ok: false, status, json: async () => ({}) });
        await settle();
      },
      fail: async () => {
        reject(new TypeError("network"));
        await settle();
      },
    };
    options.signal?.addEventListener("abort", () => { request.aborted = true; reject(new DOMException("aborted", "AbortError")); });
    requests.push(request);
  });
  return { fetch, requests };
}
