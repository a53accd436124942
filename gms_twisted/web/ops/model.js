/**
 * What the operator page knows without a page: rows in order, pages, judgements, words in addresses.
 * Pure: nothing here touches a document.
 */

/** Numbers by size, texts by the alphabet with numbers in them by size, nothing last. */
export function compare(one, other) {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(one) || empty(other)) return empty(one) - empty(other);
  if (typeof one === "number" && typeof other === "number") return one - other;
  if (typeof one === "boolean" && typeof other === "boolean") return Number(one) - Number(other);
  return String(one).localeCompare(String(other), undefined, { numeric: true, sensitivity: "base" });
}

const isEmpty = (value) => value === null || value === undefined || value === "";

/** A copy in order; rows with nothing there stay last whichever way. */
export function sorted(rows, valueOf, descending) {
  return rows.map((row, index) => ({ row, index, value: valueOf(row) }))
    .sort((one, other) => {
      if (isEmpty(one.value) || isEmpty(other.value)) return isEmpty(one.value) - isEmpty(other.value) || one.index - other.index;
      return (descending ? -1 : 1) * compare(one.value, other.value) || one.index - other.index;
    })
    .map(({ row }) => row);
}

/**
 * The state of a table whose rows come in windows from the server.
 *
 * A window is up to 200 rows; it is sorted and shown page by page here.  Past its end the next one
 * is fetched.  What is typed into the filter is searched by the server.
 */
export class TableModel {
  /** @param {{size?: number, window?: number, sort?: {key: string, descending?: boolean}|null}} [options] */
  constructor({ size = 25, window = 200, sort = null } = {}) {
    this.size = size;
    this.window = window;
    this.sort = sort;
    this.text = "";
    this.reset();
  }

  reset() {
    this.cursors = [""];
    this.counts = [];
    this.page = 0;
    this.rows = null;
    this.next = null;
    this.total = null;
  }

  /** What to ask the server for. */
  request() {
    return { limit: this.window, ...(this.cursors.at(-1) ? { after: this.cursors.at(-1) } : {}), ...(this.text ? { text: this.text } : {}) };
  }

  /** Take an answer to `request`; one to another request is left aside. */
  take(answer, request = this.request()) {
    const mine = this.request();
    if (mine.after !== request.after || mine.text !== request.text) return false;
    this.rows = answer.rows ?? [];
    this.next = answer.next ?? null;
    this.total = Number.isFinite(answer.total) ? answer.total : null;
    this.counts[this.cursors.length - 1] = this.rows.length;
    this.page = Math.min(this.page, this.pages - 1);
    return true;
  }

  /** Look for something else, from the start. */
  search(text) {
    const wanted = text.trim();
    if (wanted === this.text) return false;
    this.text = wanted;
    this.reset();
    return true;
  }

  /** Order by a column: again for the other way round, a third time for as it came. */
  order(key) {
    if (this.sort?.key !== key) this.sort = { key, descending: false };
    else this.sort = this.sort.descending ? null : { key, descending: true };
    this.page = 0;
  }

  get pages() {
    return Math.max(1, Math.ceil((this.rows?.length ?? 0) / this.size));
  }

  get canBack() {
    return this.page > 0 || this.cursors.length > 1;
  }

  get canForward() {
    return this.page < this.pages - 1 || this.next !== null;
  }

  /** Go on; true when the next window must be fetched. */
  forward() {
    if (this.page < this.pages - 1) {
      this.page += 1;
      return false;
    }
    if (this.next === null) return false;
    this.cursors.push(this.next);
    this.page = 0;
    this.rows = null;
    this.next = null;
    return true;
  }

  /** Go back; true when a window must be fetched. */
  back() {
    if (this.page > 0) {
      this.page -= 1;
      return false;
    }
    if (this.cursors.length === 1) return false;
    this.cursors.pop();
    this.page = Number.MAX_SAFE_INTEGER;
    this.rows = null;
    this.next = null;
    return true;
  }

  /** The rows of this page. @param {Object<string, (row: *) => *>} values  Sort value by column. */
  view(values = {}) {
    const rows = this.rows ?? [];
    const by = this.sort && (values[this.sort.key] ?? ((row) => row[this.sort.key]));
    const ordered = by ? sorted(rows, by, this.sort.descending) : rows;
    return ordered.slice(this.page * this.size, (this.page + 1) * this.size);
  }

  /** Which rows these are: `{from, to, total, more}`; `more`: the total is not known, there are more. */
  get position() {
    const before = this.counts.slice(0, this.cursors.length - 1).reduce((sum, count) => sum + count, 0);
    const here = this.rows?.length ?? 0;
    const from = before + this.page * this.size;
    return {
      from: here ? from + 1 : 0, to: before + Math.min(here, (this.page + 1) * this.size),
      total: this.total ?? before + here, more: this.total === null && this.next !== null,
    };
  }
}

/** Samples of the last quarter of an hour, put together from answers that have only what is new. */
export class Samples {
  constructor() {
    this.last = 0;
    this.samples = [];
    this.series = [];
    this.most = 180;
  }

  take({ last, all, samples, series, period_s: period, span_s: span }) {
    this.most = Math.max(2, Math.round(span / period));
    if (all) this.samples = [];
    // Two answers may have the same sample when they crossed.
    const newest = this.samples.at(-1)?.[0] ?? -Infinity;
    this.samples = [...this.samples, ...samples.filter((sample) => sample[0] > newest)].slice(-this.most);
    this.last = last;
    this.series = series;
  }

  values(index) {
    return this.samples.map((sample) => sample[index + 1]);
  }
}

/** How worried to be about a certificate: below 7 days, or over, red; below 30 amber. */
export function certificateLevel(days) {
  if (days === null || days === undefined || !Number.isFinite(days)) return "";
  return days < 7 ? "red" : days < 30 ? "amber" : "green";
}

/** How worried to be about a group of numbers: none free is red, a fifth or less amber. */
export function poolLevel({ numbers, free }) {
  if (!(numbers > 0)) return "";
  if (free <= 0) return "red";
  return free / numbers <= 0.2 ? "amber" : "green";
}

/** How a node is: `away` (out of reach), `silent` (no answer), `draining`, `read-only`, `ill` or `ok`. */
export function nodeState({ reachable, answered, status, ok }) {
  if (!reachable) return "away";
  if (!answered) return "silent";
  if (status === "draining" || status === "read-only") return status;
  return ok ? "ok" : "ill";
}

/** What all nodes that answer have together, and how many do not answer. */
export function nodeSums(rows) {
  const sum = (key) => rows.reduce((all, row) => all + (Number(row[key]) || 0), 0);
  return { nodes: rows.length, silent: rows.filter((row) => !row.answered).length, bayeux: sum("bayeux"), orchestration: sum("orchestration"), deliveries: sum("deliveries") };
}

/** How worried to be about a loop that was held up: from a quarter of a second on amber, from two on red. */
export function lagLevel(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0.25) return "";
  return seconds < 2 ? "amber" : "red";
}

/** What a delivery came to: `delivered`, `failed`, `partly`, `none` (nobody to tell) or `open`. */
export function deliveryState({ devices = 0, delivered = 0, failed = 0 }) {
  if (!devices) return "none";
  if (delivered + failed < devices) return "open";
  return !failed ? "delivered" : delivered ? "partly" : "failed";
}

/** `#services/ID` as `{section, id}`; null for what is no address of this page. */
export function readAddress(hash) {
  const match = /^#([a-z]+)(?:\/(.+))?$/.exec(hash);
  if (!match) return null;
  try {
    return { section: match[1], id: match[2] === undefined ? null : decodeURIComponent(match[2]) };
  } catch {
    return { section: match[1], id: null };
  }
}

export function address(section, id) {
  return `#${section}${id ? `/${encodeURIComponent(id)}` : ""}`;
}

/** An id as a table shows it: long ones by their beginning. */
export function shortId(id) {
  const text = String(id ?? "");
  return text.length > 16 ? `${text.slice(0, 8)}\u2026` : text;
}

/**
 * Decides what to ask for when: each section in view every two seconds, one question of a section
 * at a time, nothing while the page is hidden or there is no connection.
 */
export class Poller {
  /** @param {{now: () => number, ask: (name: string) => Promise<*>, period?: number}} options  Times in ms. */
  constructor({ now, ask, period = 2000 }) {
    Object.assign(this, { now, ask, period });
    this.active = false;
    this.inView = new Set();
    this.asked = new Map();
    this.busy = new Set();
    this.periods = new Map();
  }

  /** Is somebody looking, and is there a connection? */
  setActive(active) {
    const before = this.active;
    this.active = active;
    if (active && !before) this.tick();
  }

  see(name, visible) {
    if (visible) this.inView.add(name);
    else this.inView.delete(name);
    if (visible) this.tick();
  }

  /** About to come into view: ask once, so that it is there when it does. */
  nearing(name) {
    if (this.active && !this.asked.has(name)) this.begin(name);
  }

  /** Ask again at once: something was searched, or a button pressed. */
  refresh(name) {
    this.asked.delete(name);
    if (this.busy.has(name)) this.again = (this.again ?? new Set()).add(name);
    else if (this.active) this.begin(name);
  }

  tick() {
    if (!this.active) return;
    for (const name of this.inView) {
      const last = this.asked.get(name);
      const period = this.periods.get(name) ?? this.period;
      if (!this.busy.has(name) && (last === undefined || this.now() - last >= period)) this.begin(name);
    }
  }

  begin(name) {
    this.busy.add(name);
    this.asked.set(name, this.now());
    const over = () => {
      this.busy.delete(name);
      if (this.again?.delete(name)) this.refresh(name);
    };
    Promise.resolve(this.ask(name)).then(over, over);
  }
}
