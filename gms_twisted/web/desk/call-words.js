/** A call in words: who, how long, in which state. */
import { t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { clockDuration, clockTime, duration } from "../lib/times.js";
import { numberOf } from "./voice.js";

/** The number, or that there is none to be seen. */
export const callerName = (call) => cleanName(numberOf(call), 40) || t("call.withheld");

/** How long a call waits, rings or is talked on, as it counts. */
export function callTime(call, time) {
  if (call.state === "talking") return clockDuration(time - (call.answered ?? call.since));
  if (call.state === "ended") return call.answered ? clockDuration((call.ended ?? time) - call.answered) : clockTime(call.ended ?? call.since);
  return duration(time - call.since);
}

/** The word for a call's state; green while talked on, red while it rings. */
export function stateWord(call) {
  if (call.state === "ringing" && !call.mine) return t("call.state.elsewhere");
  if (call.state === "waiting" && call.direction === "outbound") return t("call.state.waiting.outbound");
  return t(`call.state.${["waiting", "ringing", "talking"].includes(call.state) ? call.state : "ended"}`);
}
