/** A table that sorts, filters and pages, with every state drawn. */
import { fill, h, icon, iconButton, reconcile } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { emptyState, errorState } from "../lib/ui.js";
import { TableModel } from "./model.js";

const TYPING_MS = 250;

/**
 * @typedef {Object} Column
 * @property {string} key
 * @property {string} label  Key of its heading.
 * @property {(row: *) => *} cell  What stands in it.
 * @property {(row: *) => *} [value]  What it is sorted by; default the row's member.
 * @property {(row: *) => *} [sign]  What makes it look different; default the member.
 * @property {boolean} [number]  Aligned at the end.
 * @property {boolean} [plain]  Cannot be sorted.
 */
export class DataTable {
  /**
   * @param {{name: string, label: string, columns: Column[], keyOf: (row: *) => string, load: () => void,
   *   empty: {icon: string, title: string, text: string}, sort?: *, size?: number, search?: string}} options
   */
  constructor(options) {
    Object.assign(this, options);
    this.model = new TableModel({ sort: options.sort ?? null, size: options.size ?? 10 });
    this.values = Object.fromEntries(this.columns.filter((column) => column.value).map((column) => [column.key, column.value]));
    this.input = h("input", {
      id: `${this.name}-search`, type: "search", placeholder: t(this.search ?? "ops.filter"), autocomplete: "off", spellcheck: "false", maxlength: 200,
      aria: { label: `${t(this.label)}: ${t(this.search ?? "ops.filter")}` },
      oninput: () => {
        clearTimeout(this.typing);
        this.typing = setTimeout(() => this.find(this.input.value), TYPING_MS);
      },
      onkeydown: (event) => { if (event.key === "Enter") this.find(this.input.value); },
    });
    this.sortChoice = h("select", { aria: { label: t("ops.sort.by") }, onchange: () => this.chooseSort(this.sortChoice.value) },
      h("option", { value: "" }, t("ops.sort.none")),
      this.columns.filter((column) => !column.plain).flatMap((column) => [["", "\u2191"], ["-", "\u2193"]].map(([sign, arrow]) =>
        h("option", { value: sign + column.key }, `${t(column.label)} ${arrow}`))));
    this.tools = h("div.table-tools", {}, h("div.search-box", {}, icon("search", "small"), this.input), h("div.sort-choice", {}, this.sortChoice));
    this.headings = h("tr", { role: "row" });
    this.body = h("tbody", { role: "rowgroup" });
    this.table = h("table.table", { role: "table", aria: { label: t(this.label) } },
      h("thead", { role: "rowgroup" }, this.headings), this.body);
    this.scroller = h("div.table-scroll", { tabindex: "0", role: "region", aria: { label: t(this.label) } }, this.table);
    this.note = h("div.table-note");
    this.problem = h("div.table-problem", { role: "status" });
    this.count = h("span.small.muted", { role: "status" });
    this.backButton = iconButton("previous", t("ops.page.back"), () => this.turn("back"), "turns-button");
    this.forwardButton = iconButton("next", t("ops.page.next"), () => this.turn("forward"), "turns-button");
    this.foot = h("div.table-foot", {}, this.count, h("span.spacer"), this.backButton, this.forwardButton);
    this.element = h("div.data-table", {}, this.tools, this.problem, this.scroller, this.note, this.foot);
    this.loadedOnce = false;
    this.drawHeadings();
    this.draw();
  }

  find(text) {
    clearTimeout(this.typing);
    if (!this.model.search(text)) return;
    this.load();
    this.draw();
  }

  /** Look for something from outside: an address names it. */
  show(text) {
    this.input.value = text;
    this.find(text);
  }

  chooseSort(choice) {
    this.model.sort = choice ? { key: choice.replace("-", ""), descending: choice.startsWith("-") } : null;
    this.model.page = 0;
    this.drawHeadings();
    this.draw();
  }

  turn(way) {
    if (this.model[way]()) this.load();
    this.draw();
    this.scroller.scrollIntoView({ block: "nearest" });
  }

  /** Take the server's answer. */
  take(answer, request) {
    if (answer.available === false) {
      this.missing = true;
      this.draw();
      return;
    }
    if (!this.model.take(answer, request)) return;
    this.missing = false;
    this.failure = null;
    this.loadedOnce = true;
    this.draw();
  }

  failed(text) {
    this.failure = text;
    this.draw();
  }

  drawHeadings() {
    const { sort } = this.model;
    this.sortChoice.value = sort ? (sort.descending ? "-" : "") + sort.key : "";
    const focused = this.headings.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
    fill(this.headings, this.columns.map((column) => {
      const mine = sort?.key === column.key;
      const order = mine ? (sort.descending ? "descending" : "ascending") : null;
      const heading = h("th", { scope: "col", role: "columnheader", class: column.number ? "number" : "", aria: { sort: column.plain ? null : order ?? "none" } },
        column.plain ? t(column.label) : h("button.sort", {
          type: "button", dataset: { sort: column.key },
          onclick: () => {
            this.model.order(column.key);
            this.drawHeadings();
            this.draw();
          },
        }, t(column.label), icon(mine ? (sort.descending ? "down" : "up") : "sort", mine ? "small" : "small faint")));
      return heading;
    }));
    if (focused) this.headings.querySelector(`[data-sort="${focused}"]`)?.focus();
  }

  draw() {
    const { model } = this;
    const waiting = model.rows === null;
    const rows = model.view(this.values);
    this.element.classList.toggle("missing", Boolean(this.missing));
    if (this.missing || this.failure) this.clearSkeleton();
    if (this.missing) {
      this.setNote("missing", () => emptyState("info", t("ops.missing.title"), t("ops.missing.text")));
      return;
    }
    this.scroller.hidden = !waiting && !rows.length || (waiting && Boolean(this.failure));
    if (!waiting) this.drawRows(rows);
    else if (!this.failure) this.drawSkeleton();
    if (this.failure && waiting) this.setNote(`failed${this.failure}`, () => errorState(this.failure, () => this.retry()));
    else if (!waiting && !rows.length) {
      this.setNote(`empty${model.text}`, () => (model.text
        ? emptyState("search", t("ops.none.title"), t("ops.none.text"), h("button", { type: "button", onclick: () => this.show("") }, t("ops.none.all")))
        : emptyState(this.empty.icon, t(this.empty.title), t(this.empty.text))));
    } else this.setNote("", () => null);
    this.drawProblem(waiting);
    this.drawFoot(waiting, rows.length);
  }

  setNote(key, make) {
    if (this.noteKey === key) return;
    this.noteKey = key;
    fill(this.note, make());
  }

  /** Rows are there, but the last look at them failed. */
  drawProblem(waiting) {
    const text = !waiting && this.failure ? this.failure : "";
    if (this.problemText === text) return;
    this.problemText = text;
    fill(this.problem, text && [icon("alert", "small"), h("span", { dir: "auto" }, t("ops.stale", { reason: text })),
      h("button.link-button", { type: "button", onclick: () => this.retry() }, t("retry"))]);
  }

  retry() {
    this.failure = null;
    this.load();
    this.draw();
  }

  drawSkeleton() {
    if (this.body.dataset.skeleton) return;
    this.body.dataset.skeleton = "1";
    fill(this.body, Array.from({ length: 4 }, (_, index) => h("tr.skeleton-row", { role: "row", aria: { hidden: "true" } },
      this.columns.map((_column, place) => h("td", { role: "cell" }, h("span.skeleton-line", { class: `w${((index + place) % 3) + 1}` }))))));
  }

  clearSkeleton() {
    if (!this.body.dataset.skeleton) return;
    delete this.body.dataset.skeleton;
    this.body.replaceChildren();
  }

  drawRows(rows) {
    this.clearSkeleton();
    reconcile(this.body, rows, this.keyOf, (row, old) => this.row(row, old));
  }

  /** Cells whose value stays keep their element: focus, selection and open details survive a refresh. */
  row(row, old) {
    const element = old ?? h("tr", { role: "row" }, this.columns.map((column) =>
      h("td", { role: "cell", class: column.number ? "number" : "", dataset: { label: t(column.label) } })));
    this.columns.forEach((column, index) => {
      const cell = element.children[index];
      const sign = JSON.stringify(column.sign ? column.sign(row) : row[column.key]) ?? "";
      if (cell.dataset.sign === sign) return;
      cell.dataset.sign = sign;
      fill(cell, h("div.cell", {}, column.cell(row)));
    });
    const level = this.levelOf?.(row) ?? "";
    if (element.dataset.level !== level) element.dataset.level = level;
    return element;
  }

  drawFoot(waiting, shown) {
    const { from, to, total, more } = this.model.position;
    this.foot.hidden = waiting || (!shown && !this.model.canBack);
    const text = waiting ? "" : t(more ? "ops.rows.more" : "ops.rows", { from, to, total });
    if (this.count.textContent !== text) this.count.textContent = text;
    this.backButton.hidden = this.forwardButton.hidden = !this.model.canBack && !this.model.canForward;
    this.backButton.disabled = !this.model.canBack;
    this.forwardButton.disabled = !this.model.canForward;
  }
}
