/** Calls as entries of the lists: waiting and ringing in the queue, talked on and over among mine. */
import { fill, h, icon } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { fullTime, now } from "../lib/times.js";
import { callButtons } from "./call.js";
import { callerName, callTime, stateWord } from "./call-words.js";

/** Who waits, chats and calls alike by time; before them the call that rings me. */
export function sortedQueue({ waiting, voice }) {
  const both = [...waiting, ...voice.waiting].sort((one, other) => one.since - other.since);
  return voice.ringing ? [voice.ringing, ...both] : both;
}

/** @param {import("./desk.js").Desk} desk @param {HTMLElement|null} old @param {boolean} announce  Show that it is new. */
export function callItem(desk, call, old, announce) {
  const { voice } = desk.model;
  const selected = voice.selected === call.call;
  const signature = JSON.stringify([call, selected, voice.busy.has(call.call)]);
  if (old?.dataset.signature === signature) return old;
  const element = old ?? h("li");
  const focused = element.contains(document.activeElement);
  element.className = ["item", "call", call.state, selected && "selected", !old && announce && call.state === "waiting" && "fresh"].filter(Boolean).join(" ");
  Object.assign(element.dataset, { signature, call: call.call });
  fill(element, h("button.item-main", { type: "button", aria: { current: selected ? "true" : null }, onclick: () => desk.calls.select(call.call) },
    h("span.item-head", {},
      h("span.call-sign", { role: "img", aria: { label: t(call.direction === "outbound" ? "call.outbound" : "call.inbound") } }, icon("phone", "small")),
      h("bdi.item-name.one-line", {}, callerName(call))),
    h("span.item-text.one-line", { dir: "auto" }, cleanName(call.service_name, 80) || t(call.direction === "outbound" ? "call.outbound" : "call.inbound")),
    h("span.item-foot", {}, h("span.call-word", {}, stateWord(call)), call.group && h("span.one-line", {}, cleanName(call.group, 40)),
      h("span.chip.call-clock", { title: fullTime(call.answered ?? call.since) }))),
  call.state !== "waiting" && h("div.item-buttons", {}, callButtons(desk, call, true)));
  if (focused) element.firstElementChild.focus({ preventScroll: true });
  paintCall(desk, element);
  return element;
}

/** Bring the time of an entry up to date; false when it is no call's. */
export function paintCall(desk, element) {
  const id = element.dataset.call;
  if (id === undefined) return false;
  const call = desk.model.voice.calls.get(id);
  if (!call) return true;
  const chip = element.querySelector(".call-clock");
  const { amber_s: amber, red_s: red } = desk.model.settings;
  const seconds = now() - call.since;
  const level = { talking: "green", ended: "" }[call.state] ?? (seconds >= red ? "red" : seconds >= amber ? "amber" : "");
  chip.className = `chip call-clock ${level}`;
  const text = callTime(call, now());
  if (chip.textContent !== text) fill(chip, call.state === "waiting" || call.state === "ringing" ? icon("clock", "small") : null, text);
  return true;
}
