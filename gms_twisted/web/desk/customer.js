/** The right column: who the customer is. */
import { fill, h, iconButton } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName, initials } from "../lib/text.js";
import { Transcript } from "../lib/transcript.js";
import { clockTime, dayName, everySecond, fullTime } from "../lib/times.js";
import { copyText, dialog, errorState, skeleton } from "../lib/ui.js";
import { callerKey, callerSections } from "./caller.js";
import { dataSection, filesSection, idsSection } from "./details.js";
import { PokeBox } from "./poke.js";

export class CustomerPane {
  constructor(desk) {
    this.desk = desk;
    this.histories = new Map();
    this.poke = new PokeBox(desk);
    this.element = h("aside.customer", { id: "customer", tabindex: "-1", aria: { label: t("customer.label") } });
    everySecond(this.element, () => this.poke.tick());
  }

  update() {
    const call = this.desk.model.voice.current;
    if (call) {
      const key = callerKey(call);
      if (this.key !== key) fill(this.element, this.top(), callerSections(call));
      this.key = key;
      return;
    }
    const chat = this.desk.model.current;
    const history = chat && this.histories.get(chat.id);
    const key = chat ? JSON.stringify([chat.id, chat.customer, chat.summary.customer, chat.summary.service, chat.closed, chat.loaded, history?.state]) : "";
    if (this.key === key) return;
    this.key = key;
    if (!chat) {
      fill(this.element);
      return;
    }
    if (!chat.customer) {
      fill(this.element, this.top(), skeleton(6));
      return;
    }
    if (!history) void this.loadHistory(chat.id);
    const { customer, summary } = chat;
    const { activeElement } = document;
    fill(this.element, this.top(), this.person(chat), this.poke.of(chat), dataSection(customer.data), filesSection(customer.files), this.past(chat, history),
      idsSection([[t("service.id"), customer.service ?? summary.service], [t("chat.id"), chat.id], [t("gms.user"), customer.gms_user]]));
    // What is being written goes on being written.
    if (this.poke.element.contains(activeElement)) activeElement.focus({ preventScroll: true });
  }

  top() {
    return h("header.customer-top", {},
      iconButton("back", t("back"), () => this.desk.show("conversation"), "only-phone turns"),
      h("h2", {}, t("customer.label")),
      iconButton("close", t("close"), () => this.desk.toggleCustomer(false), "only-narrow"));
  }

  person({ customer, summary, closed }) {
    const full = cleanName([customer.first_name, customer.last_name].filter(Boolean).join(" "));
    const nickname = cleanName(customer.nickname) || t("customer");
    const presence = closed ? "closed" : summary.customer ?? "here";
    return h("section.person", {},
      h("span.avatar.big", { aria: { hidden: "true" } }, initials(full || nickname)),
      h("div.person-text", {},
        h("p.person-name", {}, h("bdi", {}, nickname)),
        full && full !== nickname && h("p.muted.small", {}, h("bdi", {}, full)),
        h("p.small.muted", {}, h("span.presence", { class: presence }), t(presence === "closed" ? "chat.closed" : `customer.${presence}`))),
      customer.email && h("p.person-mail", {},
        h("bdi.one-line", { title: cleanName(customer.email, 200) }, cleanName(customer.email, 200)),
        iconButton("copy", t("copy.email"), () => copyText(cleanName(customer.email, 320)))));
  }

  past(chat, history) {
    let body = skeleton(2);
    if (history?.state === "failed") body = errorState(history.error, () => this.loadHistory(chat.id));
    else if (history?.state === "loaded") {
      body = history.chats.length
        ? h("ul.past", {}, history.chats.map((earlier) => h("li", {},
          h("button.past-item", { type: "button", onclick: () => this.showPast(chat, earlier) },
            h("span.one-line", { dir: "auto" }, cleanName(earlier.subject, 120) || t("no.subject")),
            h("span.small.muted.one-line", { title: fullTime(earlier.started) },
              `${dayName(earlier.started)}, ${clockTime(earlier.started)}`,
              earlier.agents?.length ? ` \u00b7 ${earlier.agents.map((name) => cleanName(name, 40)).join(", ")}` : "")))))
        : h("p.muted.small", {}, t("customer.past.none"));
    }
    return h("section", {}, h("h3", {}, t("customer.past")), body);
  }

  async loadHistory(id) {
    this.histories.set(id, { state: "loading" });
    try {
      const { chats } = await this.desk.call({ do: "history", chat: id });
      this.histories.set(id, { state: "loaded", chats: chats ?? [] });
    } catch (error) {
      this.histories.set(id, { state: "failed", error: error.message });
    }
    if (this.histories.size > 50) this.histories.delete(this.histories.keys().next().value);
    this.update();
  }

  /** Forget what failed or may have changed while we were away. */
  forget() {
    this.histories.clear();
    this.key = null;
  }

  async showPast(chat, earlier) {
    const place = h("div.past-transcript", {}, skeleton(5));
    const transcript = new Transcript({ label: t("transcript.label"), names: () => this.desk.model.agentNames() });
    const load = async () => {
      fill(place, skeleton(5));
      try {
        const { events } = await this.desk.call({ do: "past", chat: chat.id, earlier: earlier.chat });
        fill(place, transcript.element);
        transcript.update({ events: events ?? [] });
        transcript.log.scrollTop = 0;
      } catch (error) {
        fill(place, errorState(error.message, load));
      }
    };
    void load();
    await dialog(cleanName(earlier.subject, 80) || t("customer.past"), () => [place], "wide");
  }
}
