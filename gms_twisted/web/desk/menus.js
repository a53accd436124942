/** The list of shortcuts. */
import { showKeys } from "../lib/account.js";

const CALLS = [["Enter", "shortcut.answer"], ["Esc", "shortcut.decline"], ["p", "shortcut.call"]];
const SHORTCUTS = [
  ["a", "shortcut.accept"], ["Alt+1 \u2026 9", "shortcut.switch"], ["\u2191 \u2193", "shortcut.move"],
  ["c", "shortcut.composer"], ["Enter", "shortcut.send"], ["Shift+Enter", "shortcut.break"], ["/", "shortcut.canned"],
  ["Esc", "shortcut.escape"], ["r", "shortcut.ready"], ["i", "shortcut.customer"], ["m", "shortcut.sound"], ["?", "shortcut.help"],
];

/** @param {boolean} calls  There is telephony, and keys for it. */
export function showShortcuts(calls) {
  showKeys(calls ? [...CALLS, ...SHORTCUTS] : SHORTCUTS);
}
