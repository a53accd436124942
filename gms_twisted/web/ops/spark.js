/** Small line pictures: their geometry is plain numbers, drawing it is one element. */
import { drawing } from "../lib/dom.js";

export const WIDTH = 300;
export const HEIGHT = 56;
const PAD = 3;

/** The next round number at or above: 1, 2, 5, 10, 20, 50 ... and their like below 1. */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const step = [1, 2, 5, 10].find((each) => each * power >= value * (1 - 1e-9));
  return Number((step * power).toPrecision(6));
}

/**
 * The path of a series, newest at the right edge; a short series leaves the left side empty.
 *
 * @param {number[]} values  Oldest first.
 * @param {number} most  How many values fill the width.
 * @returns {{line: string, area: string, top: number, highest: number, average: number}}
 */
export function geometry(values, most, width = WIDTH, height = HEIGHT) {
  const shown = values.slice(-most).map((value) => (Number.isFinite(value) && value > 0 ? value : 0));
  const highest = Math.max(0, ...shown);
  const top = roundUp(highest);
  if (!shown.length) return { line: "", area: "", top, highest, average: 0 };
  const step = most > 1 ? width / (most - 1) : width;
  const first = width - step * (shown.length - 1);
  const round = (number) => Math.round(number * 10) / 10;
  const points = shown.map((value, index) => `${round(first + index * step)} ${round(height - PAD - (value / top) * (height - 2 * PAD))}`);
  if (points.length === 1) points.unshift(`${round(Math.max(0, width - step))} ${points[0].split(" ")[1]}`);
  const line = `M${points.join("L")}`;
  const left = points[0].split(" ")[0];
  return {
    line, area: `${line}L${width} ${height}L${left} ${height}Z`, top, highest,
    average: shown.reduce((sum, value) => sum + value, 0) / shown.length,
  };
}

/** Which value lies under a place of the picture, from the left: 0 to 1; null beside the line. */
export function indexAt(share, count, most) {
  const place = Math.round(share * (most - 1)) - (most - count);
  return place >= 0 && place < count ? place : null;
}

export function sparkline(values, most) {
  const { line, area } = geometry(values, most);
  return drawing(WIDTH, HEIGHT, [
    { d: `M0 ${HEIGHT - PAD}H${WIDTH}`, class: "spark-ground" },
    ...(line ? [{ d: area, class: "spark-area" }, { d: line, class: "spark-line" }] : []),
  ]);
}
