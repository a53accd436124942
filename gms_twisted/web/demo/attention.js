/** How the customer's page calls for attention while another tab is in front. */

const title = document.title;
let shown = null;

/** Ask whether notifications may be shown: only when a customer wants to be told something. */
export function mayNotify() {
  if (typeof Notification === "function" && isSecureContext && Notification.permission === "default") void Notification.requestPermission().catch(() => {});
}

/**
 * Say something to a customer who does not look: in the tab's title, and in a notification if allowed.
 * @param {string} what @param {string} more @param {string} tag  Of several with one tag the last is shown.
 * @param {() => void} onclick
 */
export function callFor(what, more, tag, onclick) {
  if (document.visibilityState === "visible" && document.hasFocus()) return;
  document.title = `\u25cf ${what}`;
  if (typeof Notification !== "function" || !isSecureContext || Notification.permission !== "granted") return;
  shown = new Notification(what, { body: more, tag, lang: document.documentElement.lang });
  shown.onclick = () => {
    window.focus();
    calm();
    onclick();
  };
}

/** It has been seen, or is true no more. */
export function calm() {
  if (document.title !== title) document.title = title;
  shown?.close();
  shown = null;
}

function seen() {
  if (document.visibilityState === "visible" && document.hasFocus()) calm();
}

addEventListener("focus", seen);
document.addEventListener("visibilitychange", seen);
