/** The right column for a call: who calls, from where, and what came with it. */
import { drawing, geoLink, h, icon, iconButton } from "../lib/dom.js";
import { currentLocale, t } from "../lib/i18n.js";
import { cleanName } from "../lib/text.js";
import { copyText } from "../lib/ui.js";
import { callerName, stateWord } from "./call-words.js";
import { dataSection, filesSection, idsSection } from "./details.js";
import { decimal, degreesMinutes, field, HEIGHT, readPosition, WIDTH } from "./place.js";
import { numberOf } from "./voice.js";

/** What changes what is drawn here. */
export const callerKey = (call) => JSON.stringify([call.call, call.number, call.state, call.mine, call.direction, call.data, call.position, call.files, call.service, call.service_name, call.gms_user]);

export function callerSections(call) {
  return [person(call), placeSection(call.position), dataSection(call.data), filesSection(call.files), idsSection([
    [t("service.id"), call.service], [t("call.id"), call.call], [t("gms.user"), call.gms_user]])];
}

function person(call) {
  const number = numberOf(call);
  return h("section.person", {},
    h("span.avatar.big", { aria: { hidden: "true" } }, icon("phone")),
    h("div.person-text", {},
      h("p.person-name", {}, h("bdi", { dir: number ? "ltr" : null }, callerName(call))),
      call.service_name && h("p.muted.small.one-line", {}, h("bdi", {}, cleanName(call.service_name, 80))),
      h("p.small.muted", {}, stateWord(call))));
}

function angle(value, axis, digits) {
  const { negative, degrees, minutes } = degreesMinutes(value, digits);
  const number = new Intl.NumberFormat(currentLocale(), { minimumFractionDigits: digits, maximumFractionDigits: digits, minimumIntegerDigits: 2 });
  const side = t(`place.${axis === "latitude" ? (negative ? "south" : "north") : (negative ? "west" : "east")}`);
  return `${new Intl.NumberFormat(currentLocale()).format(degrees)}\u00b0\u202f${number.format(minutes)}\u2032 ${side}`;
}

const kilometres = (km) => new Intl.NumberFormat(currentLocale(), { style: "unit", unit: "kilometer" }).format(km);
const circle = (radius) => `M${WIDTH / 2 - radius} ${HEIGHT / 2}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`;

/** A label at a place of the drawing, which keeps its shape at every size. */
function label(text, left, top, extra = "") {
  const element = h("span.place-label", { class: extra }, text);
  element.style.left = `${(left / WIDTH) * 100}%`;
  element.style.top = `${(top / HEIGHT) * 100}%`;
  return element;
}

function picture(position) {
  const { parallels, meridians, rings } = field(position);
  const svg = drawing(WIDTH, HEIGHT, [
    ...parallels.map(({ at }) => ({ d: `M0 ${at}H${WIDTH}`, class: "place-line" })),
    ...meridians.map(({ at }) => ({ d: `M${at} 0V${HEIGHT}`, class: "place-line" })),
    ...rings.map(({ radius }) => ({ d: circle(radius), class: "place-ring" })),
    { d: circle(11), class: "place-halo" }, { d: circle(5), class: "place-dot" },
  ]);
  // Labels stay clear of the corners, where two of them would meet.
  return h("div.place-picture", { dir: "ltr", aria: { hidden: "true" } }, svg,
    parallels.filter(({ at }) => at > 16 && at < HEIGHT - 24).map(({ at, value }) => label(angle(value, "latitude", 0), 4, at, "parallel")),
    meridians.filter(({ at }) => at > 4 && at < WIDTH - 52).map(({ at, value }) => label(angle(value, "longitude", 0), at, HEIGHT, "meridian")),
    rings.map(({ radius, km }) => label(kilometres(km), WIDTH / 2 + radius * Math.SQRT1_2, HEIGHT / 2 - radius * Math.SQRT1_2, "ring")),
    h("span.place-north", {}, icon("up", "small"), t("place.north")));
}

/** Where the caller is: no map, nothing is asked for from anywhere. */
function placeSection(given) {
  const position = readPosition(given);
  if (!position) return null;
  const name = cleanName(given.place, 80);
  const words = `${angle(position.latitude, "latitude", 2)}, ${angle(position.longitude, "longitude", 2)}`;
  return h("section.place", {}, h("h3", {}, t("place.title")),
    h("figure.place-card", {}, picture(position),
      h("figcaption.place-text", {},
        name && h("p.place-name.one-line", {}, icon("pin", "small"), h("bdi", {}, t("place.near", { place: name }))),
        h("p.place-words", {}, h("span", { dir: "ltr" }, words)),
        h("p.place-numbers", {}, h("code", { dir: "ltr" }, decimal(position, ", ")), iconButton("copy", t("place.copy"), () => copyText(decimal(position)))),
        geoLink(position.latitude, position.longitude, icon("pin", "small"), t("place.open")))));
}
