/**
 * A position without a map: degrees and minutes, and the lines of a small field around it.
 *
 * Pure numbers.  The field is a plane in which a kilometre is the same everywhere: over its few
 * kilometres the earth's roundness is less than a line's width.
 */

export const WIDTH = 280;
export const HEIGHT = 160;
/** A minute of latitude, in kilometres. */
const MINUTE_KM = 1.852;
const PX_PER_KM = 34;
const RINGS_KM = [1, 2];
/** Minutes between two lines; the first with enough room is taken. */
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
const ROOM_PX = 58;

/** `{latitude, longitude}` as numbers on the earth, or null. */
export function readPosition(position) {
  if (!position || typeof position !== "object") return null;
  const [latitude, longitude] = [position.latitude, position.longitude].map((value) => (typeof value === "string" && value.trim() === "" ? NaN : Number(value ?? NaN)));
  if (!(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) return null;
  return { latitude, longitude };
}

/** Degrees and minutes of an angle: rounded together, so that 59.999 minutes become a degree. */
export function degreesMinutes(value, digits = 2) {
  const power = 10 ** digits;
  const whole = Math.round(Math.abs(value) * 60 * power);
  return { negative: value < 0 && whole > 0, degrees: Math.floor(whole / (60 * power)), minutes: (whole % (60 * power)) / power };
}

/** As a program takes it: `52.52,13.405`. */
export function decimal({ latitude, longitude }, between = ",") {
  return [latitude, longitude].map((value) => String(Number(value.toFixed(6)))).join(between);
}

/**
 * The lines around a position.
 *
 * @returns {{parallels: Array<{at: number, value: number}>, meridians: Array<{at: number, value: number}>, rings: Array<{radius: number, km: number}>}}
 *   `at`: distance from the top or left; `value`: the line's latitude or longitude in degrees.
 */
export function field({ latitude, longitude }) {
  const vertical = MINUTE_KM * PX_PER_KM;
  // At the poles meridians meet: no line is drawn where none is apart from the next.
  const horizontal = vertical * Math.cos((latitude * Math.PI) / 180);
  return {
    parallels: lines(latitude, -vertical, HEIGHT).filter(({ value }) => Math.abs(value) <= 90),
    meridians: lines(longitude, horizontal, WIDTH).map(({ at, value }) => ({ at, value: turned(value) })),
    rings: RINGS_KM.map((km) => ({ km, radius: km * PX_PER_KM })),
  };
}

/** Where round minutes fall along a side. @param {number} scale  Pixels a minute; negative: upwards. */
function lines(centre, scale, size) {
  const step = STEPS.find((minutes) => minutes * Math.abs(scale) >= ROOM_PX);
  if (!step) return [];
  const minutes = centre * 60;
  const reach = size / 2 / Math.abs(scale);
  const found = [];
  for (let line = Math.ceil((minutes - reach) / step) * step; line <= minutes + reach; line += step) {
    found.push({ at: Math.round((size / 2 + (line - minutes) * scale) * 10) / 10, value: line / 60 });
  }
  return found;
}

/** Beyond the line of the date it goes on from the other side. */
function turned(longitude) {
  return longitude > 180 ? longitude - 360 : longitude < -180 ? longitude + 360 : longitude;
}
