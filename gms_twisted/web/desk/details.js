/** Pieces of the right column that customers of chats and callers have in common. */
import { h, icon, iconButton } from "../lib/dom.js";
import { currentLocale, t } from "../lib/i18n.js";
import { clean, cleanName, fileSize, safeUrl } from "../lib/text.js";
import { copyText } from "../lib/ui.js";

const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const LARGEST_PREVIEW = 5e6;

/** What the app sent: names and texts. */
export function dataSection(data) {
  const entries = Object.entries(data ?? {});
  return h("section", {}, h("h3", {}, t("customer.data")),
    entries.length ? h("dl.data", {}, entries.map(([key, value]) => h("div.data-row", {},
      h("dt.one-line", { title: cleanName(key, 200) }, h("bdi", {}, cleanName(key, 60))),
      h("dd", { dir: "auto" }, clean(value, 1000) || "\u2013"))))
      : h("p.muted.small", {}, t("customer.data.none")));
}

export function filesSection(files) {
  return files?.length ? h("section", {}, h("h3", {}, t("customer.files")), h("ul.files", {}, files.map(fileItem))) : null;
}

/** Ids with their copy buttons; those that are not there are left out. @param {Array<[string, string]>} rows */
export function idsSection(rows) {
  return h("section", {}, h("h3", {}, t("customer.ids")), h("dl.data.ids", {}, rows.filter(([, value]) => value).map(([label, value]) =>
    h("div.data-row", {}, h("dt", {}, label), h("dd.id-value", {},
      h("code.one-line", { title: cleanName(value, 200) }, cleanName(value, 200)),
      iconButton("copy", t("copy.what", { what: label }), () => copyText(cleanName(value, 320))))))));
}

function fileItem(file) {
  const name = cleanName(file.filename, 120) || cleanName(file.key, 120);
  const picture = PICTURES.has(String(file.type).toLowerCase());
  const local = localAddress(file.url);
  const preview = picture && local && Number(file.size) <= LARGEST_PREVIEW && h("img.file-preview", { src: local, alt: "", width: 40, height: 40 });
  if (preview) preview.addEventListener("error", () => preview.replaceWith(icon("image")), { once: true });
  const text = h("span.file-text", {}, h("bdi.one-line", {}, name),
    h("span.small.muted.one-line", {}, [cleanName(file.type, 60), fileSize(file.size, currentLocale())].filter(Boolean).join(" \u00b7 ")));
  const address = local ?? safeUrl(file.url)?.href;
  return h("li", {}, address
    ? h("a.file", { href: address, download: name }, preview || icon(picture ? "image" : "file"), text, icon("download", "small"))
    : h("span.file", {}, icon("file"), text));
}

/** A file of this server as a path; null for other hosts, whose pictures are not loaded. */
function localAddress(value) {
  if (typeof value !== "string") return null;
  try {
    const url = new URL(value, location.href);
    return url.origin === location.origin ? url.pathname + url.search : null;
  } catch {
    return null;
  }
}
