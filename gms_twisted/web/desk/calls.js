/**
 * What an agent does with calls, and how a ringing one calls for attention.  Knows the model and the
 * server's calls; the sound, the tab's title and the notification of a call follow from the model.
 */
import { h } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { now } from "../lib/times.js";
import { toast } from "../lib/ui.js";
import * as alerts from "./alerts.js";
import { callerName } from "./call-words.js";
import { words } from "./link.js";

/** A key pressed as a call begins to ring was meant for something else. */
const STRAY_KEY_S = 0.4;

/** What the server says of a call that is not mine any more. */
const OVER = new Set(["gms.desk.taken", "gms.call.not_found", "gms.not_found"]);

export class Calls {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.model = desk.model;
    this.voice = desk.model.voice;
    this.rings = null;
    /** Read at once, whatever is being read. */
    this.announcer = h("p.offscreen", { role: "alert", aria: { live: "assertive" } });
  }

  stop() {
    this.silence();
  }

  // ---- attention ----------------------------------------------------------------------------

  /** Ring while a call rings, and not longer. */
  sync() {
    const call = this.voice.ringing;
    if (call?.call === this.rings) return;
    this.silence();
    if (call) this.ring(call);
  }

  ring(call) {
    const name = callerName(call);
    const service = cleanName(call.service_name, 80);
    this.rings = call.call;
    this.rungSince = now();
    alerts.startRinging();
    this.shown = alerts.notify(t("notify.call", { name }), [service, cleanName(call.group, 40)].filter(Boolean).join(" \u00b7 "), `call-${call.call}`, { onclick: () => this.select(call.call), stays: true });
    this.announcer.textContent = t("call.announce", { name, group: cleanName(call.group, 40) });
    // Nothing else is on the screen: then the call is.
    if (!this.model.showing || this.voice.current?.state === "waiting") this.select(call.call);
  }

  silence() {
    this.rings = null;
    alerts.stopRinging();
    this.shown?.close();
    this.shown = null;
    this.announcer.textContent = "";
  }

  /** What an event means to the agent. @param {string} what  From the model. @param {*} call  As it was before. */
  announce(what, call) {
    const name = call ? callerName(call) : "";
    if (what === "call") {
      this.desk.lists.announce(t("call.waiting.announce", { name, group: cleanName(call.group, 40) }));
      if (this.model.state === "ready") alerts.play("queue");
    } else if (what === "lost" || what === "withdrawn" || what === "left") {
      toast(t({ lost: "call.lost", withdrawn: "call.withdrawn", left: "call.left" }[what], { name }));
      this.desk.backToLists();
    } else if (what === "ended") {
      alerts.play("over");
      this.desk.lists.announce(t("call.ended.announce", { name }));
      // Where the list is in sight it tells, and nothing lies over what is being written.
      if (this.voice.selected !== call.call && !this.desk.lists.visible) toast(t("call.ended.announce", { name }), { action: t("call.show"), onaction: () => this.select(call.call) });
    } else if (what === "no_answer") {
      toast(t("call.no.answer"), { kind: "danger", action: t("state.go.ready"), onaction: this.desk.goReady, seconds: 30 });
    }
  }

  // ---- what an agent does -------------------------------------------------------------------

  select(id) {
    if (!this.voice.calls.has(id)) return;
    this.model.selectCall(id);
    this.desk.show("conversation");
    this.desk.update();
  }

  /** To the call that rings or is talked on, from anywhere. */
  goTo() {
    const call = this.voice.ringing ?? this.voice.talking;
    if (!call) return;
    this.select(call.call);
    this.desk.conversation.element.focus({ preventScroll: true });
  }

  async answer(id) {
    await this.ask(id, "answer", ({ call }) => {
      this.voice.put(call, now());
      this.select(id);
      this.desk.conversation.element.focus({ preventScroll: true });
    });
  }

  async decline(id) {
    await this.ask(id, "decline", () => {
      this.voice.declined(id);
      this.desk.backToLists();
    });
  }

  /** End the call that I talk on; what I talked about stays to be looked at. */
  async hangUp(id) {
    await this.ask(id, "hang_up", () => {});
  }

  /** Take a call that is over out of the list. */
  async dismiss(id) {
    if (this.voice.calls.get(id)?.aged) this.away(id);
    else await this.ask(id, "hang_up", () => this.away(id));
  }

  away(id) {
    this.voice.forget(id);
    this.desk.backToLists();
  }

  async ask(id, what, done) {
    if (!this.voice.calls.has(id) || this.voice.busy.has(id)) return;
    this.voice.busy.add(id);
    this.model.changed();
    try {
      done(await this.desk.call({ do: what, call: id }));
    } catch (error) {
      const over = OVER.has(error.detail?.exception);
      if (over) this.away(id);
      if (!over || what === "answer") toast(over ? t("call.taken") : words(error), { kind: over ? "info" : "danger" });
    } finally {
      this.voice.busy.delete(id);
      this.model.changed();
    }
  }

  async signIn(name, on) {
    const set = (groups) => {
      this.voice.groups = groups;
      this.model.changed();
    };
    const before = this.voice.groups;
    set(before.map((group) => (group.name === name ? { ...group, signed_in: on } : group)));
    try {
      set((await this.desk.call({ do: "group", name, on })).groups ?? this.voice.groups);
    } catch (error) {
      set(before);
      this.desk.failed(error);
    }
  }

  // ---- keys ---------------------------------------------------------------------------------

  /**
   * Enter answers and Escape declines a call that rings, wherever that cannot mean anything else.
   * @param {KeyboardEvent} event @param {boolean} chosen  The key is for the control that was chosen with the keyboard.
   * @returns {boolean} whether it was that
   */
  key(event, chosen) {
    const { ringing } = this.voice;
    if (!ringing || event.repeat || now() - this.rungSince < STRAY_KEY_S) return false;
    if (event.key === "Enter" && !chosen) void this.answer(ringing.call);
    else if (event.key === "Escape") void this.decline(ringing.call);
    else return false;
    return true;
  }
}
