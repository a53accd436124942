/** How the desk calls for attention: sound, the tab's title, desktop notifications. */
import { t } from "../lib/i18n.js";
import { preference, setPreference } from "../lib/ui.js";

let context = null;

/** Browsers let a page sound only after a click or key. */
function audio() {
  if (!context && typeof AudioContext === "function") context = new AudioContext();
  if (context?.state === "suspended") void context.resume().catch(() => {});
  return context;
}

export function soundOn() {
  return preference("desk.sound", true);
}

export function setSound(on) {
  setPreference("desk.sound", on);
  if (on) play("message");
}

/** Each tone: hertz and seconds from the start. */
const TUNES = {
  queue: [[660, 0], [880, 0.14]], message: [[740, 0]], over: [[520, 0], [390, 0.16]],
  ring: [[784, 0], [988, 0.12], [784, 0.24], [988, 0.36], [784, 0.48], [988, 0.6]],
};
const LOUDNESS = { ring: 0.24 };
const RING_EVERY_MS = 2600;
let ringing = null;

/** Sound like a telephone until told to stop. */
export function startRinging() {
  stopRinging();
  play("ring");
  ringing = setInterval(() => play("ring"), RING_EVERY_MS);
}

export function stopRinging() {
  clearInterval(ringing);
  ringing = null;
}

/** A short tune: two tones for the queue, one for a message, two falling ones for a call that is over. */
export function play(name) {
  const sound = soundOn() && audio();
  if (!sound || sound.state !== "running") return;
  for (const [frequency, delay] of TUNES[name]) {
    const start = sound.currentTime + delay;
    const tone = sound.createOscillator();
    const volume = sound.createGain();
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0.0001, start);
    volume.gain.exponentialRampToValueAtTime(LOUDNESS[name] ?? 0.12, start + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.22);
    tone.connect(volume).connect(sound.destination);
    tone.start(start);
    tone.stop(start + 0.25);
  }
}

for (const type of ["pointerdown", "keydown"]) {
  addEventListener(type, () => soundOn() && audio(), { once: true, passive: true });
}

/** `granted`, `denied`, `default`, or `none` where the browser has no notifications. */
export function notificationState() {
  return typeof Notification === "function" && isSecureContext ? Notification.permission : "none";
}

export async function askForNotifications() {
  if (notificationState() === "default") await Notification.requestPermission();
  return notificationState();
}

/** Show a notification unless the desk is in front.  @returns {Notification|null} */
export function notify(title, body, tag, { onclick, stays = false } = {}) {
  if (notificationState() !== "granted" || (document.visibilityState === "visible" && document.hasFocus())) return null;
  const shown = new Notification(title, { body, tag, requireInteraction: stays, lang: document.documentElement.lang });
  shown.onclick = () => {
    window.focus();
    shown.close();
    onclick?.();
  };
  return shown;
}

/** "(3) Agent desk": who waits and unread messages; a call that rings stands before everything. */
export function titleBadge(count, caller = "") {
  const title = caller ? `\u260e ${t("title.ringing", { name: caller })}` : (count ? `(${count}) ` : "") + t("desk.title");
  if (document.title !== title) document.title = title;
}
